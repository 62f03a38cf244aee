"""A worker's thread: from its source to the end, across a clock that is set, and when it fails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

from darkflow.commands.worker import SHOWN, Lookout, Worker
from darkflow.flow.batch import Events, Frames
from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from darkflow.flow.order import Reorder
from darkflow.pipeline import Pipeline
from darkflow.sources.live import Live
from writers import SECOND_NS, Flow, ethernet

MS = 1_000_000
HOUR_NS = 3600 * SECOND_NS


class Scripted:
    """A source that brings what it is told; between two parts the clock is set."""

    def __init__(self, *parts: list[tuple[int, bytes]], steps: tuple[int, ...] = ()) -> None:
        self.parts = list(parts)
        self.steps = list(steps)
        self.stepped_ns = 0
        self.now_ns = -(1 << 63)
        self.closed = False
        self.deadline_ns: Callable[[], int] = lambda: 0

    def __iter__(self) -> Iterator[Frames]:
        if self.stepped_ns:
            self.now_ns = -(1 << 63)
        self.stepped_ns = 0
        for t_ns, packet in self.parts.pop(0):
            self.now_ns = t_ns
            yield Frames.of([(t_ns, 1, ethernet(packet))], t_ns + 1)
        if self.steps:
            self.stepped_ns = self.steps.pop(0)

    def close(self) -> None:
        self.closed = True


class Kept:
    """A sink that keeps events as dicts."""

    name = "kept"

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def write(self, events: Events) -> None:
        self.events += events.to_list()

    def close(self) -> None:
        pass


def run(source: Scripted) -> tuple[Worker, Kept, list[str]]:
    """A worker's whole life."""
    kept, lookout, said, ended = Kept(), Lookout(), list[str](), threading.Event()
    lookout.wants_recent = True
    engine = Engine(SECOND_NS, 60 * SECOND_NS)
    pipeline = Pipeline(Decoder(), Reorder(0), engine, [lookout, kept])
    worker = Worker(
        cast(Live, source), pipeline, lookout, lambda level, line: said.append(f"{level} {line}"),
        ended.set,
    )  # fmt: skip
    worker.start()
    assert ended.wait(10)
    assert worker.join(10)
    return worker, kept, said


def test_it_runs_to_the_end_and_closes_its_source() -> None:
    flows = [Flow(orig_port=n + 1) for n in range(SHOWN + 5)]
    packets = [(n * MS, flow.syn()) for n, flow in enumerate(flows)]
    source = Scripted([*packets, (3 * SECOND_NS, Flow(orig_port=99).syn())])
    worker, kept, said = run(source)
    assert (worker.failed, source.closed, said) == (None, True, [])
    assert [e["event"] for e in kept.events].count("dark") == len(flows)
    assert [e["sport"] for e in worker.lookout.recent] == [n + 1 for n in range(5, SHOWN + 5)]
    # The source wakes for the engine's next deadline: the last SYN's.
    assert source.deadline_ns() == 4 * SECOND_NS + 1


def test_no_flow_lasts_across_a_clock_that_is_set() -> None:
    for step_ns in (HOUR_NS, -HOUR_NS):
        t_ns, flow = 10_000 * SECOND_NS, Flow()
        later_ns = t_ns + step_ns
        source = Scripted(
            [(t_ns, flow.syn())],
            [(later_ns, flow.answer()), (later_ns + MS, Flow(orig_port=7).syn()),
             (later_ns + 2 * MS, Flow(orig_port=7).answer())],
            steps=(step_ns,),
        )  # fmt: skip
        worker, kept, said = run(source)
        assert worker.failed is None
        assert said == [
            f"warning the clock was set by {step_ns / 1e9:+.3f} s: 1 flows are undecided"
        ]
        counts = worker.pipeline.engine.counters
        assert (counts["attempts"], counts["undecided"], counts["answered"]) == (2, 1, 1)
        assert (counts["dark"], counts["late_answers"], worker.pipeline.order.clamped) == (0, 0, 0)
        assert "dark" not in [e["event"] for e in kept.events]
        # Months of answers must not fill the memory: only the histogram is kept.
        assert not worker.pipeline.engine.reply_delays.exact


def test_what_ends_it_otherwise_is_kept() -> None:
    source = Scripted()
    worker, _, _ = run(source)
    assert isinstance(worker.failed, IndexError)
    assert source.closed
