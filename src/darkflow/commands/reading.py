"""Captures read for one thing to be learnt from them: the stages with a single sink behind them."""

from __future__ import annotations

import os
import sys

from darkflow.analysis.lost import lost
from darkflow.commands.analyze import EXIT_INCOMPLETE, EXIT_OK, complain
from darkflow.commands.interrupt import Interruptible
from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from darkflow.flow.networks import Networks
from darkflow.flow.order import Reorder
from darkflow.pipeline import Pipeline
from darkflow.sources.captures import Captures

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any

    from darkflow.flow.batch import Packets
    from darkflow.sinks.sink import Sink
    from darkflow.sources.source import Source


def conflict(options: argparse.Namespace) -> str | None:
    """Why there is nothing to read, or too much; None if all is well."""
    if options.files and options.store:
        return "give captures or --store DIR, not both"
    if not options.files and not options.store:
        return (
            "nothing to read: give captures, or a store with --store DIR"
            f" (see: darkflow {options.command} --help)"
        )
    if options.files.count("-") > 1:
        return "standard input (-) can be read only once"
    return None


def need_store_packages() -> str | None:
    """What is wrong if what reads a store is not installed."""
    from importlib.util import find_spec

    if find_spec("deltalake") and find_spec("polars"):
        return None
    return "the store needs deltalake and polars: pip install 'darkflow[store]'"


def watched(settings: dict[str, Any]) -> Networks:
    """The watched networks; without any, every address is."""
    if settings["networks"] is None:
        return Networks.everything()
    cidrs, ranges4, ranges6 = settings["networks"]
    return Networks(ranges4, ranges6, cidrs)


class Reading:
    """One run over captures; `begin_ns` and `end_ns` are the first and last time in them.

    ValueError if none of them can be read.
    """

    def __init__(self, files: list[str], settings: dict[str, Any], hold_ns: int) -> None:
        self.settings = settings
        self.hold_ns = hold_ns
        self.source = Captures(files, settings["reorder"], settings["limit"])
        self.source.open()
        for line in self.source.unreadable:
            complain(line)
        if len(self.source.unreadable) == len(files):
            raise ValueError("none of the captures could be read")
        self.status = EXIT_OK

    def run(self, sink: Sink, stage: Callable[[Packets], Packets] | None = None) -> Engine:
        """Give `sink` every event, answers in time included; the engine that told them.

        stage: sees all packets before that engine does.
        """
        settings = self.settings
        sizes = (settings["queue_size"], settings["flow_table_size"])
        engine = Engine(self.hold_ns, settings["idle"], sizes, os.urandom(16), tells=True)
        order = Reorder(settings["reorder"], settings["reorder_size"])
        pipeline = Pipeline(Decoder(settings["decap"]), order, engine, [sink])
        if stage is not None:
            pipeline.stages.append(stage)
        shown: Source = self.source
        if sys.stderr.isatty():
            from darkflow.commands.progress import WithProgress

            shown = WithProgress(self.source)
        stoppable = Interruptible(shown)
        pipeline.run(stoppable)
        pipeline.finish(self.source.now_ns)
        for line in (*self.source.remarks, *self.source.troubles, *lost(engine.counters)):
            complain(line)
        if stoppable.signal is not None:
            self.status = 128 + stoppable.signal
        elif self.source.troubles or self.source.unreadable:
            self.status = EXIT_INCOMPLETE
        return engine

    @property
    def end_ns(self) -> int:
        """The time of the last packet."""
        return self.source.now_ns
