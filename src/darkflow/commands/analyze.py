"""`darkflow analyze`: captures in, dark flows out."""

from __future__ import annotations

import os
import sys
import time

from darkflow.analysis.result import result
from darkflow.commands.interrupt import Interruptible
from darkflow.commands.wiring import Wiring, conflict
from darkflow.sinks.summary import Summary
from darkflow.sources.captures import Captures

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from darkflow.sinks.labels import Labels
    from darkflow.sources.source import Source

EXIT_OK, EXIT_INCOMPLETE, EXIT_USAGE = 0, 1, 2
STDOUT = "-"
# How long the end of a run waits for alerts that are on their way.
ALERTS_S = 10.0


def complain(message: str) -> None:
    """One line on stderr."""
    sys.stderr.write(f"darkflow: {' '.join(message.split())}\n")


def analyze_command(options: argparse.Namespace, settings: dict[str, Any]) -> int:
    """Analyze captures as the options say; the exit status."""
    problem = _conflict(options)
    if problem:
        complain(problem)
        return EXIT_USAGE
    source = Captures(options.files, settings["reorder"], settings["limit"])
    source.open()
    for line in source.unreadable:
        complain(line)
    if len(source.unreadable) == len(options.files):
        return EXIT_USAGE
    try:
        run = Run(options, settings, source)
    except (OSError, MemoryError, ValueError) as error:
        complain(_reason(error))
        return EXIT_USAGE
    return run.run()


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"cannot write {error.filename}: {error.strerror}"
    return str(error)


def _conflict(options: argparse.Namespace) -> str | None:
    """Why these options cannot go together, or None."""
    problem = conflict(options)
    if problem:
        return problem
    if options.files.count(STDOUT) > 1:
        return "standard input (-) can be read only once"
    outputs = [*(options.events or ()), *([options.dark_pcap] if options.dark_pcap else ())]
    for path in outputs:
        for name in options.files:
            if same_file(path, name):
                return f"{path} is one of the captures: it would be overwritten"
    return None


def same_file(one: str, other: str) -> bool:
    """Whether two paths lead to one file."""
    try:
        return os.path.samefile(one, other)  # noqa: PTH121 (pathlib is slow to import)
    except OSError:
        return False


class Run:
    """One run: the stages wired from the settings, then what came of it."""

    def __init__(
        self, options: argparse.Namespace, settings: dict[str, Any], source: Captures
    ) -> None:
        self.options = options
        self.settings = settings
        self.source = source
        self.wired = wired = Wiring(options, settings, source.live, can_wait=True)
        self.dark_pcap = wired.dark_pcap
        self.takes_stdout = STDOUT in (*(options.events or ()), options.dark_pcap)
        self.store = wired.store
        if self.store is not None:
            self.store.at_close = self._add_stats
        # Alerts that nobody has taken.
        self.undelivered: list[str] = []
        self.labels: Labels | None = None
        if wired.detecting is not None and (settings["known"] or settings["geoip"]):
            self.labels = wired.detecting.labels
        elif settings["known"] or settings["geoip"]:
            from darkflow.commands.detecting import labels_of

            self.labels = labels_of(settings)
        self.summary = Summary(wired.networks, wired.seed, settings["summary_size"])
        self.pipeline = wired.pipeline(self.summary, settings["reorder"])

    def _add_stats(self) -> None:
        """One row of `stats`, when the engine has judged everything."""
        from darkflow.analysis.stats import stats

        if self.store is not None and self.pipeline.decoder.counters["packets"]:
            values = stats(self.pipeline) | {
                "disorder_ns": self.source.disorder_ns,
                "clamped": self.source.clamped + self.pipeline.order.clamped,
                "dropped_summary": self.summary.dropped,
                "dropped_store": self.store.dropped,
                **self.wired.measures(),
            }
            self.store.add_stats(values, self.source.now_ns)

    def judge(self) -> tuple[dict[str, Any], int | None]:
        """Read and judge everything: the result, and the signal that ended it early, if any."""
        began = time.perf_counter()
        shown: Source = self.source
        if sys.stderr.isatty() and not self.takes_stdout:
            from darkflow.commands.progress import WithProgress

            shown = WithProgress(self.source)
        stoppable = Interruptible(shown)
        try:
            self.pipeline.run(stoppable)
            self.pipeline.finish(self.source.now_ns)
        finally:
            if self.store is not None:
                self.store.close()
        if self.wired.detecting is not None:
            self.undelivered = self.wired.detecting.close_within(ALERTS_S)
        document = result(
            self.pipeline,
            self.source,
            self.summary,
            time.perf_counter() - began,
            self.settings["top"],
            self.labels,
        )
        if self.store is not None:
            document["dropped"]["store"] = self.store.dropped
        return document, stoppable.signal

    def run(self) -> int:
        """Read, judge, print; the exit status."""
        document, signal = self.judge()
        self._print(document)
        troubles = self.troubles(document)
        remarks = [*self.source.remarks]
        if self.store is not None:
            remarks += [
                f"{self.store.name}: removed {what} (--store-days, --store-bytes)"
                for what in self.store.housekeeping.removed
            ]
        for line in (*remarks, *troubles):
            complain(line)
        if signal is not None:
            return 128 + signal
        return EXIT_INCOMPLETE if troubles or self.source.unreadable else EXIT_OK

    def _print(self, document: dict[str, Any]) -> None:
        if self.options.json:
            import json

            sys.stdout.write(json.dumps(document, indent=1) + "\n")
            return
        from darkflow.analysis.tables import show

        # Where events go to standard output, the tables must not come between them.
        out = sys.stderr if self.takes_stdout else sys.stdout
        show(document, out, out.isatty())

    def troubles(self, document: dict[str, Any]) -> list[str]:
        """One line for each thing that could not be read or written."""
        lines = [*self.source.troubles, *self.pipeline.troubles, *self.undelivered]
        if self.labels is not None:
            lines += self.labels.troubles
        unknown = {
            name.removeprefix("link_type_"): count
            for name, count in document["undecoded"].items()
            if name.startswith("link_type_")
        }
        if unknown and sum(unknown.values()) == document["packets"]:
            lines.append(
                f"nothing could be decoded: link type {', '.join(unknown)} is not known"
                f" ({document['packets']} packets)"
            )
        if self.dark_pcap is not None and self.dark_pcap.not_written:
            lines.append(
                f"{self.dark_pcap.not_written} SYN frames of another link type or precision were"
                " not written: standard output can carry only one"
            )
        if self.store is not None and self.store.dropped:
            lines.append(
                f"{self.store.dropped} rows could not be written to the {self.store.name}:"
                f" {self.store.trouble or 'it was too slow'}"
            )
        return lines
