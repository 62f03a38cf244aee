"""Dark flows for stores: batches of events, and a program that writes them until it is killed.

python storing.py DIR    appends BATCH_ROWS rows at a time to the store in DIR, for ever, and says
    when it puts files together; ends at SIGTERM, as darkflow does
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from datetime import date
from itertools import chain
from pathlib import Path
from threading import Event
from typing import Any

from darkflow import cli
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


def say(line: str) -> None:
    """To who has started this program."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def write_for_ever(folder: str) -> int:
    """Small and frequent commits, upkeep all the time; the exit status."""
    from darkflow.sinks import store
    from darkflow.sinks.delta import Upkeep

    class Telling(Upkeep):
        """Says what it is about to do."""

        def compact_day(self, day: date) -> None:
            """As ever, between two words."""
            say("compacting")
            super().compact_day(day)
            say("compacted")

    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    store.TIDY_COMMITS = 8
    sink = store.Store(folder, columns(), store.Limits(flush_s=0.01))
    sink.housekeeping.tables = [Telling(Path(folder), "darkflows")]
    while not stop.wait(0.002):
        feed(sink.write, BATCH_ROWS)
    sink.close(1.5)
    say(f"written {sink.written} dropped {sink.dropped}")
    return 0


if __name__ == "__main__":
    # As `darkflow` itself is entered and left.
    cli.main = lambda argv: write_for_ever(argv[0])
    cli.entry()
