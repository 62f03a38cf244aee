"""Runs captures through the stages in this process, and keeps what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from darkflow.flow.batch import Events
from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from darkflow.flow.kept import KeptFrames
from darkflow.flow.order import Reorder
from darkflow.pipeline import Pipeline
from darkflow.sinks.sink import Sink
from darkflow.sources.captures import Captures
from slow_reader import Row, rows_of
from writers import SECOND_NS

HOLD_NS, IDLE_NS = 5 * SECOND_NS, 60 * SECOND_NS


@dataclass
class Collector:
    """A sink that keeps every event as a dict."""

    name: str = "the test"
    events: list[dict[str, Any]] = field(default_factory=list)

    def write(self, events: Events) -> None:
        """Copy the rows."""
        self.events += events.to_list()

    def close(self) -> None:
        """Nothing is left to do."""


def frames_of(
    names: Sequence[str | Path], reorder_ns: int = 0, limit: int | None = None
) -> tuple[Captures, list[Row]]:
    """Every frame that a source brings, in the order in which it brings them."""
    source = Captures([str(name) for name in names], reorder_ns, limit)
    source.open()
    return source, [row for frames in source for row in rows_of(frames)]


def rows_in_order(names: Sequence[str | Path], reorder_ns: int) -> list[dict[str, Any]]:
    """Packet rows as the engine would get them."""
    source = Captures([str(name) for name in names], reorder_ns)
    source.open()
    decoder, order = Decoder(), Reorder(reorder_ns)
    rows: list[dict[str, Any]] = []
    for frames in source:
        rows += order.put(decoder.decode(frames)).to_list()
    return rows + order.rest().to_list()


def judge(
    names: Sequence[str | Path],
    sinks: Sequence[Sink] = (),
    kept: KeptFrames | None = None,
    sizes: tuple[int, int] = (1 << 10, 1 << 10),
    hold_ns: int = HOLD_NS,
) -> tuple[Pipeline, list[dict[str, Any]]]:
    """Judge captures with the default settings; the pipeline after its end, and every event."""
    source = Captures([str(name) for name in names], SECOND_NS)
    source.open()
    collector = Collector()
    engine = Engine(hold_ns, IDLE_NS, sizes, kept=kept)
    pipeline = Pipeline(Decoder(kept=kept), Reorder(SECOND_NS), engine, [collector, *sinks])
    pipeline.run(source)
    pipeline.finish(source.now_ns)
    return pipeline, collector.events
