"""The loop with real stages: what every sink is given, and what a failing sink costs."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import pytest

from darkflow.flow.batch import Events, Frames
from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from darkflow.flow.order import Reorder
from darkflow.pipeline import Pipeline
from flow.test_engine import RAW, frame, syn

SECOND_NS = 1_000_000_000


class Batches:
    """A source of given batches."""

    def __init__(self, batches: list[list[dict[str, Any]]]) -> None:
        self.batches = batches
        self.now_ns = -(1 << 63)

    def __iter__(self) -> Iterator[Frames]:
        for batch in self.batches:
            self.now_ns = max([self.now_ns] + [p["t_ns"] for p in batch])
            yield Frames.of([(p["t_ns"], RAW, frame(p)) for p in batch], self.now_ns)


class Collector:
    """A sink that keeps everything, and fails from the given call on."""

    name = "to nowhere"

    def __init__(self, fail_at: int = 1 << 30, error: OSError | None = None) -> None:
        self.events: list[dict[str, Any]] = []
        self.calls = 0
        self.closed = False
        self.fail_at = fail_at
        self.error = error or OSError(errno.ENOSPC, "No space left on device")

    def write(self, events: Events) -> None:
        self.calls += 1
        if self.calls >= self.fail_at:
            raise self.error
        self.events += events.to_list()

    def close(self) -> None:
        self.closed = True


def run(*sinks: Collector) -> Pipeline:
    """Two SYNs, the second late enough that the first is dark; then the end."""
    source = Batches([[syn(0)], [syn(7 * SECOND_NS, 4)], [syn(13 * SECOND_NS, 4)]])
    engine = Engine(5 * SECOND_NS, 60 * SECOND_NS)
    pipeline = Pipeline(Decoder(), Reorder(SECOND_NS), engine, sinks)
    pipeline.run(source)
    pipeline.finish(source.now_ns)
    return pipeline


def test_every_sink_is_given_every_event_and_closed() -> None:
    one, other = Collector(), Collector()
    pipeline = run(one, other)
    assert [event["event"] for event in one.events] == ["dark", "dark", "end", "end"]
    assert one.events == other.events
    assert one.closed
    assert other.closed
    assert pipeline.troubles == []


def test_a_sink_that_fails_costs_the_others_nothing() -> None:
    broken, whole = Collector(fail_at=2), Collector()
    pipeline = run(broken, whole)
    assert broken.calls == 2
    assert len(whole.events) == 4
    assert pipeline.troubles == ["cannot write to nowhere: No space left on device"]


def test_a_reader_that_has_gone_ends_the_run() -> None:
    with pytest.raises(BrokenPipeError):
        run(Collector(fail_at=1, error=BrokenPipeError(errno.EPIPE, "Broken pipe")))
