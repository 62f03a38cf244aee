"""Supervises a running sensor: signals, state, losses, the mirror check, the live view, the end."""

from __future__ import annotations

import signal
import sys
import time

from darkflow.commands.analyze import STDOUT
from darkflow.commands.mirror import MirrorCheck
from darkflow.commands.service import Service
from darkflow.commands.vitals import Vitals
from darkflow.commands.wake import Wake
from darkflow.commands.worker import SHOWN, Lookout, Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

    from darkflow.commands.log import Log
    from darkflow.commands.view import View
    from darkflow.commands.wiring import Wiring
    from darkflow.pipeline import Pipeline
    from darkflow.sources.live import Live

TICK_S = 1.0
VIEW_S = 0.5
# Losses are said at once, and then not more often than this.
QUIET_S = 60.0
LOGGED = ("attempts", "answered", "refused", "dark", "undecided", "late_answers")
# What workers and store may take to write the last events, within the 2 s of a stop; the store gets
# a little time also where the workers have used up theirs.
PATIENCE_S, LEAST_S = 1.5, 0.3
# As of a program that SIGPIPE ends: who read our only output, standard output, has gone.
EXIT_PIPE = 141


def _wants_view(options: argparse.Namespace) -> bool:
    return (
        not options.no_view
        and STDOUT not in (*(options.events or ()), options.dark_pcap)
        and sys.stderr.isatty()
    )


class Supervisor:
    """Supervises the workers: starts and stops them, and tells what they find and lose.

    It wakes once a second and at a signal; the packets are none of its business.
    """

    def __init__(
        self,
        sources: list[Live],
        wired: Wiring,
        settings: dict[str, Any],
        log: Log,
        options: argparse.Namespace,
        extend: Callable[[Pipeline], None] | None = None,
    ) -> None:
        """`extend` adds to each worker's pipeline, before anything runs."""
        self.wired = wired
        self.log = log
        self.names = sources[0].names
        self._extend = extend
        # Asked at every tick: lines to log, each with its level.
        self.also: list[Callable[[], list[tuple[str, str]]]] = []
        # Called when the workers have ended, while the outputs still take what comes.
        self.before_close: list[Callable[[], None]] = []
        # Something without which there is no use in going on has failed: it ends, with status 1.
        self.given_up = False
        self.workers = [self._worker(source) for source in sources]
        if wired.store is not None:
            wired.store.say = lambda line: log("warning", line)
            wired.store.at_close = self._add_stats
        self.vitals = Vitals(self.names, self.workers, wired.store, wired.measures)
        self.service = Service(options, settings, log, self._turns)
        self._every_s = settings["stats"] / 1e9
        self._state_s = 0.0
        self.mirror = MirrorCheck()
        self._wake = Wake()
        self._ended: int | None = None
        self._reopen = False
        self._told = [0] * len(self.workers)
        self._lost: dict[str, int] = {}
        self._lost_said_s = float("-inf")
        self._view: View | None = None
        if _wants_view(options):
            from darkflow.commands.view import View

            self._view = View(self.names)

    def _worker(self, source: Live) -> Worker:
        lookout = Lookout()
        pipeline = self.wired.pipeline(lookout, 0)
        if self._extend is not None:
            self._extend(pipeline)
        pipeline.stages.append(lookout.senders.note)
        return Worker(source, pipeline, lookout, self.log, lambda: self._wake.set())

    def _turns(self) -> list[int]:
        return [worker.source.turns for worker in self.workers]

    def heed_signals(self) -> None:
        """From now on; one that comes before `run` ends that at once."""
        signal.signal(signal.SIGHUP, self._on_hangup)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_end)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    def run(self) -> int:
        """Run until SIGINT or SIGTERM; 0, or 1 when something had to be given up."""
        if self._ended is None:
            self.heed_signals()
        self.log("info", "watching", interfaces=",".join(self.names), workers=len(self.workers))
        for worker in self.workers:
            worker.start()
        self.service.ready(self._status())
        if self._view is not None:
            self._start_view(self._view)
        try:
            self._supervise()
        finally:
            self._end_view()
        return self._finish()

    def _start_view(self, view: View) -> None:
        for worker in self.workers:
            worker.lookout.wants_recent = True
        self.log.write = view.add_log
        view.start()

    def _end_view(self) -> None:
        view, self._view = self._view, None
        if view is not None:
            self.log.write = self.log.to_stderr
            view.stop()

    def _supervise(self) -> None:
        self._state_s = time.monotonic() + self._every_s
        tick_s = min(TICK_S if self._view is None else VIEW_S, self.service.every_s)
        while self._ended is None and not self.given_up and self._workers_work():
            if self.wired.reader_gone:
                break
            self._wake.wait(min(tick_s, self._every_s))
            self.service.beat()
            self.vitals.look()
            self.wired.look()
            if self._reopen:
                self._reopen = False
                self._reload()
            self._say_troubles()
            self._say_losses()
            for look in self.also:
                for level, line in look():
                    self.log(level, line)
            if self._view is not None:
                self._show(self._view)
            if time.monotonic() >= self._state_s:
                self._state_s += self._every_s
                self._tell_state()

    def _workers_work(self) -> bool:
        return all(worker.failed is None for worker in self.workers)

    def _tell_state(self) -> None:
        if self._view is None:
            self._report("state")
        self._add_stats()
        self.service.status(self._status())
        self.look_at_mirror()

    def look_at_mirror(self) -> None:
        """Whether it carries both directions, said when that is news."""
        line = self.mirror.look(self.counts(), [one.lookout.senders for one in self.workers])
        if line:
            self.log("warning", line)

    def _finish(self) -> int:
        self.service.stopping()
        for worker in self.workers:
            worker.source.stop()
        failed = self.given_up
        until_s = time.monotonic() + PATIENCE_S
        for worker in self.workers:
            if not worker.join(max(0.0, until_s - time.monotonic())):
                self.log("error", "a worker does not end; what it still held is lost")
                failed = True
            elif worker.failed is not None:
                self.log("error", f"a worker has failed: {worker.failed!r}")
                failed = True
        self._say_troubles()
        for last in self.before_close:
            last()
        self.wired.begin_close()
        lost = 0
        if self.wired.store is not None:
            self.wired.store.close(max(LEAST_S, until_s - time.monotonic()))
            lost = self.wired.store.dropped
        for line in self.wired.close(max(until_s, time.monotonic() + LEAST_S)):
            self.log("error", line)
            failed = True
        self._report("stopped")
        if self.wired.reader_gone:
            return EXIT_PIPE
        lost += sum(self.wired.counters().values())
        return 1 if failed or lost or any(self._told) else 0

    def _say_troubles(self) -> None:
        for number, worker in enumerate(self.workers):
            for line in worker.pipeline.troubles[self._told[number] :]:
                self.log("error", line)
            self._told[number] = len(worker.pipeline.troubles)

    def _say_losses(self) -> None:
        """Packets that were lost before Darkflow saw them, once a minute at most."""
        lost = {f"ring_{name}": count for name, count in self.vitals.dropped_ring().items()}
        lost |= {f"card_{name}": n for name, n in self.vitals.dropped_card().items()}
        grown = {name: n for name, n in lost.items() if n > self._lost.get(name, 0)}
        if not grown or time.monotonic() - self._lost_said_s < QUIET_S:
            return
        self._lost_said_s = time.monotonic()
        self._lost = lost
        advice = (
            "raise --ring-size"
            if any(name.startswith("ring_") for name in grown)
            else ("the network card or its driver was too slow (ethtool -S, ethtool -g)")
        )
        self.log("warning", f"packets were lost: {advice}", **grown)

    def counts(self) -> dict[str, int]:
        """The engines' counters, added up."""
        total: dict[str, int] = {}
        for worker in self.workers:
            for name, count in worker.pipeline.engine.counters.items():
                total[name] = total.get(name, 0) + count
        return total

    def _add_stats(self) -> None:
        """One row of the store's table `stats`."""
        if self.wired.store is not None:
            # Before the first packet the network has no time.
            now_ns = max(worker.source.now_ns for worker in self.workers)
            t_ns = now_ns if now_ns > 0 else time.time_ns()
            self.wired.store.add_stats(self.vitals.stats(), t_ns)

    def _show(self, view: View) -> None:
        recent = [event for worker in self.workers for event in list(worker.lookout.recent)]
        recent.sort(key=lambda event: int(event["t_ns"]))
        try:
            view.show(self.vitals.stats(), recent[-SHOWN:])
        except OSError:
            # The terminal was closed, which also sends SIGHUP. The capture goes on.
            view.abandon()
            self._end_view()

    def _status(self) -> str:
        counts = self.counts()
        return (
            f"watching {', '.join(self.names)}: {counts['attempts']} attempts,"
            f" {counts['dark']} dark, {sum(self.vitals.dropped_ring().values())} packets lost"
        )

    def _reload(self) -> None:
        """SIGHUP: the file of --config, then new output files."""
        new = self.service.reload()
        self.wired.change(new)
        if "stats" in new:
            self._every_s = new["stats"] / 1e9
            self._state_s = time.monotonic() + self._every_s
        self._reopen_files()
        self.service.ready(self._status())

    def _reopen_files(self) -> None:
        problems = self.wired.reopen()
        for line in problems:
            self.log("error", line)
        if not problems:
            self.log("info", "reopened the output files")

    def _on_hangup(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._reopen = True
        self._wake.set()

    def _on_end(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._ended = number
        # A second signal gets its usual effect.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._wake.set()

    def _report(self, message: str) -> None:
        values = self.vitals.stats()
        self.log(
            "info",
            message,
            packets=values["packets"],
            **{name: values[name] for name in LOGGED},
            queue=values["queue_flows"],
            table=values["table_flows"],
            **{
                name: values.get(name, 0)
                for name in ("dropped_ring", "dropped_queue", "dropped_table", "clamped")
            },
            dropped_store=values.get("dropped_store", 0),
            dropped_events=values["dropped_events"],
            dropped_pcap=values["dropped_pcap"],
        )
