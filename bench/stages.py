"""CPU time of each stage of the pipeline, in one process: `stages.py CAPTURE` prints JSON.

One pass over the capture. Around every call of a stage the thread's CPU clock is read; a call
handles some thousand packets, so reading the clock costs nothing that would show. When decoding
begins, the frames of its batch are in memory: what reading cost is its own stage.
"""

from __future__ import annotations

import json
import os
import sys
from time import thread_time_ns

from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from darkflow.flow.networks import Networks
from darkflow.flow.order import Reorder
from darkflow.sinks.summary import Summary
from darkflow.sources.captures import Captures

SECOND_NS = 1_000_000_000
STAGES = ("read", "decode", "order", "engine", "summary")


def measure(path: str) -> dict[str, float]:
    """Packets, and CPU seconds of each stage, with the default settings."""
    source = Captures([path], SECOND_NS)
    source.open()
    decoder, order = Decoder(), Reorder(SECOND_NS)
    engine = Engine(5 * SECOND_NS, 60 * SECOND_NS, seed=os.urandom(16))
    summary = Summary(Networks.everything(), os.urandom(16))
    spent = dict.fromkeys(STAGES, 0)
    clock = thread_time_ns()

    def lap(stage: str) -> None:
        nonlocal clock
        now = thread_time_ns()
        spent[stage] += now - clock
        clock = now

    for frames in source:
        lap("read")
        packets = decoder.decode(frames)
        lap("decode")
        rows = order.put(packets)
        lap("order")
        for events in engine.observe(rows):
            lap("engine")
            summary.write(events)
            lap("summary")
        lap("engine")
    seconds = {name: time_ns / SECOND_NS for name, time_ns in spent.items()}
    return {"packets": decoder.counters["packets"], **seconds}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
