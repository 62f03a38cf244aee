"""What follows a late SYN+ACK: told once, or silence."""

from __future__ import annotations

from darkflow.commands import traces
from darkflow.commands.traces import MOST, SILENT_NS, Traces
from darkflow.sinks.records import Trace

FLOW = (b"\xc6\x33\x64\x01", 1, b"\xc0\0\2\1", 22)
OTHER = (b"\xc6\x33\x64\x01", 2, b"\xc0\0\2\1", 22)


def test_the_first_end_is_told_once() -> None:
    told: list[Trace] = []
    one = Traces(told.append)
    one.begin(FLOW, 5, 100)
    one.end(OTHER, "fin", 150)
    one.end(FLOW, "rst_by_client", 200)
    one.end(FLOW, "fin", 300)
    one.tick(now_ns=100 + SILENT_NS)
    assert told == [Trace(FLOW, 5, 100, "rst_by_client", 200)]


def test_silence_is_told_when_the_time_is_over() -> None:
    told: list[Trace] = []
    one = Traces(told.append)
    one.begin(FLOW, 5, 100)
    one.begin(OTHER, 6, 200)
    one.tick(now_ns=99 + SILENT_NS)
    assert told == []
    one.tick(now_ns=100 + SILENT_NS)
    assert told == [Trace(FLOW, 5, 100, "silence", 100 + SILENT_NS)]
    one.tick(now_ns=100 + SILENT_NS, last=True)
    assert (len(told), one.untold) == (1, 1)


def test_there_is_a_limit() -> None:
    one = Traces(lambda _: None)
    for n in range(MOST + 3):
        one.begin((n.to_bytes(4, "big"), 1, b"\xc0\0\2\1", 22), 0, 0)
    assert one.untold == 3
    assert traces.MOST == MOST
