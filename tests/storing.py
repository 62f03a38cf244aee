"""Dark flows for stores: batches of events, and a program that writes them until it is killed.

python storing.py DIR    appends BATCH_ROWS rows at a time to the store in DIR, for ever
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from itertools import chain
from typing import Any

from darkflow.flow.batch import Events, Frames
from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from darkflow.flow.networks import Networks
from darkflow.sinks.columns import Columns
from writers import RAW, SECOND_NS, Flow

HOLD_NS, IDLE_NS = 5 * SECOND_NS, 60 * SECOND_NS
BATCH_ROWS = 500
NOON_NS = 1_772_366_400 * SECOND_NS  # 2026-03-01T12:00:00Z


def columns(at_verdict: bool = False) -> Columns:
    """With the settings of these tests."""
    return Columns(Networks.everything(), HOLD_NS, at_verdict)


def feed(take: Callable[[Events], Any], count: int, t_ns: int = NOON_NS) -> None:
    """Give so many dark flows, 1 us apart, to `take` in batches of at most BATCH_ROWS."""
    for first in range(0, count, BATCH_ROWS):
        size = min(BATCH_ROWS, count - first)
        syns = [
            (t_ns + (first + i) * 1000, RAW, Flow(orig_port=i, resp_port=first % 65536).syn(i))
            for i in range(size)
        ]
        engine = Engine(HOLD_NS, IDLE_NS)
        packets = Decoder().decode(Frames.of(syns))
        for events in chain(engine.observe(packets), engine.finish(t_ns + 99 * SECOND_NS)):
            take(events)


def write_for_ever(folder: str) -> None:
    """Small and frequent commits, upkeep all the time."""
    from darkflow.sinks import store

    store.TIDY_COMMITS = 8
    sink = store.Store(folder, columns(), store.Limits(flush_s=0.01))
    while True:
        feed(sink.write, BATCH_ROWS)
        time.sleep(0.002)


if __name__ == "__main__":
    write_for_ever(sys.argv[1])
