"""`darkflow sensor`: live dark flows from interfaces, for as long as it runs."""

from __future__ import annotations

import signal
import sys
import time

from darkflow.commands.analyze import EXIT_USAGE, complain
from darkflow.commands.interrupt import Interruptible
from darkflow.commands.wiring import Wiring
from darkflow.sources.interface import RingSize
from darkflow.sources.live import Live

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from types import FrameType
    from typing import Any

    from darkflow.flow.batch import Events

# Attempts that a mirror must have shown before its silence means something.
ENOUGH_ATTEMPTS = 100


def log(level: str, message: str, **values: object) -> None:
    """One structured line on stderr: time, level, message, then key=value."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    told = "".join(f" {name}={value}" for name, value in values.items())
    sys.stderr.write(f"{now} {level} {message}{told}\n")
    sys.stderr.flush()


def sensor_command(options: argparse.Namespace, settings: dict[str, Any]) -> int:
    """Watch interfaces until a signal ends it; the exit status."""
    blocks = max(2, settings["ring_size"] // (1 << 20))
    try:
        source = Live(
            options.interface,
            lambda line: log("warning", line),
            RingSize(blocks=blocks),
            bool(settings["decap"]),
            {"auto": None, "yes": True, "no": False}[options.outgoing],
        )
        wired = Wiring(options, settings, live=True)
    except (OSError, MemoryError) as error:
        complain(_reason(error))
        return EXIT_USAGE
    return Sensor(source, wired, settings).run()


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


class Sensor:
    """The pipeline over live interfaces, with a line on its state from time to time.

    It is its own first sink: events come with every batch, and so does its chance to look around.
    """

    name = "the log"

    def __init__(self, source: Live, wired: Wiring, settings: dict[str, Any]) -> None:
        self.source = source
        self.wired = wired
        self.pipeline = wired.pipeline(self, 0)
        if wired.store is not None:
            wired.store.say = lambda line: log("warning", line)
            wired.store.at_close = self._add_stats
        self._every_ns = settings["stats"]
        self._next_ns = time.monotonic_ns() + self._every_ns
        self._ring_dropped = 0
        self._one_sided = False
        self._reopen = False
        self._told = 0

    def run(self) -> int:
        """Run until SIGINT or SIGTERM; 0, or 1 when an output had to be given up."""
        signal.signal(signal.SIGHUP, self._on_hangup)
        log("info", "watching", interfaces=",".join(self.source.names))
        stoppable = Interruptible(self.source)
        self.pipeline.run(stoppable)
        self.pipeline.finish(self.source.now_ns)
        for line in self.pipeline.troubles[self._told :]:
            log("error", line)
        self._report("stopped")
        return 1 if self.pipeline.troubles else 0

    def write(self, events: Events) -> None:
        """Called with every batch, also with an empty one."""
        del events
        if self._reopen:
            self._reopen = False
            self._reopen_events()
        for line in self.pipeline.troubles[self._told :]:
            log("error", line)
        self._told = len(self.pipeline.troubles)
        if time.monotonic_ns() >= self._next_ns:
            self._next_ns += self._every_ns
            self._report("state")
            self._add_stats()
            self._look_at_mirror()

    def close(self) -> None:
        """Nothing is left to do."""

    def _add_stats(self) -> None:
        """One row of the store's table `stats`."""
        from darkflow.analysis.stats import stats

        if self.wired.store is not None:
            values = stats(self.pipeline)
            values["dropped_ring"] = sum(self.source.dropped_ring.values())
            values["dropped_store"] = self.wired.store.dropped
            # Before the first packet the network has no time.
            t_ns = self.source.now_ns if self.source.now_ns > 0 else time.time_ns()
            self.wired.store.add_stats(values, t_ns)

    def _reopen_events(self) -> None:
        if self.wired.event_file is None:
            return
        try:
            self.wired.event_file.reopen()
        except OSError as error:
            # The old file stays in use, under whatever name it has now.
            log("error", f"cannot reopen {self.wired.event_file.name}: {error.strerror}")
        else:
            log("info", "reopened the event file")

    def _on_hangup(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._reopen = True

    def _report(self, message: str) -> None:
        engine = self.pipeline.engine
        counts = engine.counters
        queue, table = engine.sizes
        dropped = self.source.dropped_ring
        log(
            "info",
            message,
            packets=self.pipeline.decoder.counters["packets"],
            **{name: counts[name] for name in ("attempts", "answered", "refused", "dark")},
            undecided=counts["undecided"],
            late_answers=counts["late_answers"],
            queue=queue,
            table=table,
            dropped_ring=sum(dropped.values()),
            dropped_queue=counts["dropped_queue"],
            dropped_table=counts["dropped_table"],
            clamped=self.pipeline.order.clamped,
            dropped_store=self.wired.store.dropped if self.wired.store is not None else 0,
        )
        if sum(dropped.values()) > self._ring_dropped:
            log("warning", "packets were lost in the ring: raise --ring-size", **dropped)
        self._ring_dropped = sum(dropped.values())

    def _look_at_mirror(self) -> None:
        """A mirror that carries one direction makes every live host look dark."""
        counts = self.pipeline.engine.counters
        silent = counts["answered"] == counts["refused"] == counts["late_answers"] == 0
        one_sided = counts["attempts"] >= ENOUGH_ATTEMPTS and silent
        if one_sided and not self._one_sided:
            log(
                "warning",
                "SYNs come but not one answer: does the mirror carry only one direction? Until it"
                " carries both, every live host looks dark",
            )
        self._one_sided = one_sided
