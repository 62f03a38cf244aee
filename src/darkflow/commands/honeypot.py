"""`darkflow honeypot`: the sensor, and dark flows answered in their destination's name."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import deque
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from darkflow.commands.adapting import misfit
from darkflow.commands.analyze import EXIT_USAGE, complain
from darkflow.commands.control import Control
from darkflow.commands.cut_reader import CutReader
from darkflow.commands.figures import Figures
from darkflow.commands.joiner import Joiner
from darkflow.commands.log import Log
from darkflow.commands.mirror import Gate
from darkflow.commands.place import RESPONDER, Place
from darkflow.commands.requests import Requests, allowed_of
from darkflow.commands.sensor import endpoint_of, open_sources, reason_of, watch_of
from darkflow.commands.supervisor import Supervisor
from darkflow.commands.tap import Tap
from darkflow.commands.traces import Traces
from darkflow.commands.wiring import Wiring, conflict
from darkflow.divert.cuts import ACK, ENDS, SYN_ACK
from darkflow.divert.dispatcher import Dispatcher, Diverted, Flow, Limits
from darkflow.divert.frames import send_all
from darkflow.divert.own import own_addresses
from darkflow.divert.plane import Plane
from darkflow.divert.replay import reset_frame
from darkflow.flow.answers import Answers
from darkflow.flow.echoes import Echoes
from darkflow.honeypot.sessions import Session, Tracker
from darkflow.sinks.records import Cut
from darkflow.sinks.told import Told

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from darkflow.flow.batch import Frames
    from darkflow.pipeline import Pipeline
    from darkflow.sources.live import Live

# Until the tap has read what passed before a cut.
SEEN_S = 0.3


def honeypot_command(options: argparse.Namespace, settings: dict[str, Any]) -> int:
    """Run until a signal ends it, or do what `action` says; the exit status."""
    log = Log()
    try:
        if options.action == "exec":
            return _exec(options.argv)
        place = Place(options, settings)
        if options.dry_run:
            place.describe()
            return 0
        problem = conflict(options) or misfit(settings)
        if problem:
            raise ValueError(problem)
        allowed_of(*_allowed(options))
    except (OSError, ValueError, LookupError) as error:
        complain(reason_of(error))
        return EXIT_USAGE
    # What is written holds passwords and what clients said: as UMask= of the unit.
    os.umask(os.umask(0o027) | 0o027)
    # What is being set up is set up to its end, so that it can be taken down again.
    signals: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: signals.append(number))
    with ExitStack() as stack:
        try:
            honeypot = Honeypot(options, settings, log, stack, place)
            honeypot.start()
            honeypot.supervisor.heed_signals()
            for came in set(signals):
                signal.raise_signal(came)
        except (OSError, MemoryError, ValueError) as error:
            complain(reason_of(error))
            return EXIT_USAGE
        return honeypot.supervisor.run()


def _exec(argv: list[str]) -> int:
    if not argv:
        raise ValueError("exec needs a command: darkflow honeypot exec -- ss -tn")
    from darkflow.divert.inside import exec_inside

    return exec_inside(argv)


def _allowed(options: argparse.Namespace) -> tuple[Sequence[str], ...]:
    return (
        options.allow_address or (), options.allow_source or (), options.allow_port or (),
    )  # fmt: skip


def limits_of(settings: dict[str, Any]) -> Limits:
    """The dispatcher's limits from the settings of the same names."""
    return Limits(**{
        name: settings[name]
        for name in ("flows", "prefix_flows", "source_flows", "rate", "prefix_rate", "source_rate")
    })  # fmt: skip


class Honeypot:
    """Everything beside the sensor's own parts; what `stack` ends is ended in reverse order.

    It is the plane's watcher, and hears of sessions and of cuts by the kernel.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        settings: dict[str, Any],
        log: Log,
        stack: ExitStack,
        place: Place,
    ) -> None:
        self.place = place
        self.log = log
        self.cuts = dict.fromkeys(("kernel", "engine", "command", "allow_list", "no_table"), 0)
        self.sessions = 0
        self._trouble = ""
        self._sources: list[Live] = []
        stack.callback(self._close_sources)
        stack.callback(place.remove)
        place.plan = replace(place.plan, allowed=allowed_of(*_allowed(options)))
        place.claim()
        # Of this there can be one only, whatever it is called, so it comes before the table.
        self.reader = CutReader(place.plan.group, self.kernel_cut)
        stack.callback(self.reader.close)
        place.make()
        self.wired = Wiring(options, settings, live=True, say=lambda line: log("warning", line))
        self.wired.keep_larger = True
        self.dispatcher = Dispatcher(
            lambda orig, resp: self.wired.networks.direction_of(orig, resp) == "inbound",
            limits_of(settings),
            place.plan.allowed,
            own_addresses(),
        )
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        stack.callback(self._socket.close)
        self._socket.bind((place.plan.hp0, 0))
        self.joiner = Joiner(self._write_session, self._is_reported, settings["idle"])
        self.plane = Plane(
            self.dispatcher, place.nft, self._send, place.macs, self, settings["jitter"]
        )
        self.plane.say = lambda line: log("warning", line)
        self.plane.missed_ns = self._missed_ns
        tracker = Tracker(
            place.macs[:6] if place.answers else b"",
            *(settings[name] for name in ("idle", "payload", "payload_buffer")),
        )
        self.records = self.wired.records()
        self.tap = Tap(
            place.plan.hp0, tracker, self.session_ended, self.idle, self._frame_sinks(options)
        )
        self._idle_s = settings["idle"] / 1e9
        self.traces = Traces(self.records.trace)
        self.echoes: list[Echoes] = []
        self._answers: list[Answers] = []
        # As many as there are sessions, at most.
        self._closing: deque[tuple[float, tuple[Session, int, int, str, int]]] = deque()
        watch = watch_of(options, settings)
        open_sources(self._sources, place.watched, watch, settings, log)
        endpoint = endpoint_of(settings)
        self.supervisor = Supervisor(
            self._sources, self.wired, settings, log, options, self._extend
        )
        self.gate = self._gate(options)
        self.supervisor.also.append(self._look)
        self.supervisor.before_close.append(self._end_sessions)
        figures = Figures(self)
        self.supervisor.vitals.more = figures.metrics
        if endpoint is not None:
            endpoint.start(self.supervisor.vitals.metrics, self.supervisor.vitals.pulse.trouble)
        requests = Requests(figures, self.dispatcher, self.plane, self.tap, place.allow)
        control = Control(options.control, options.control_group, requests.handlers())
        stack.callback(control.close)

    @property
    def trouble(self) -> str:
        """Why nothing is diverted now, or ""."""
        return self._trouble or (self.gate.trouble if self.gate is not None else "")

    def _extend(self, pipeline: Pipeline) -> None:
        """What the honeypot sends is taken out of what the engine sees; verdicts are acted on."""
        echoes = Echoes(len(self.place.watched) - 1, os.urandom(16))
        self.echoes.append(echoes)
        pipeline.stages.append(echoes.filter)
        answers = Answers(self.wired.networks)
        self._answers.append(answers)
        pipeline.stages.append(answers.note)
        pipeline.sinks.insert(0, self.plane)

    def _gate(self, options: argparse.Namespace) -> Gate | None:
        # Inline both directions pass by construction, and a sensor answers nobody.
        if self.place.plan.mode != "mirror" or options.no_answers_expected:
            return None
        gate = Gate(self.supervisor.mirror, self._answers)
        self.plane.one_sided_ns = lambda: gate.since_ns
        return gate

    def start(self) -> None:
        """Start what works beside the supervisor; OSError says which service's log cannot be."""
        # First who answers, then who is sent there.
        self.place.start_services(self.log, self.joiner.report)
        self.plane.start()
        self.tap.start()
        self.reader.start()

    def _close_sources(self) -> None:
        for source in self._sources:
            source.close()

    def _send(self, frames: Sequence[bytes]) -> Sequence[int]:
        return send_all(self._socket.fileno(), frames)

    def _missed_ns(self) -> int:
        """The honeypot's own interface, the last, shows no real host's answers."""
        real = len(self.place.watched) - 1
        return max(source.missed_ns(real) for source in self._sources)

    def diverted(self, diverted: Sequence[Diverted], t_ns: int) -> None:
        """The plane has registered flows."""
        self.tap.begin([one.flow for one in diverted], t_ns)

    def ended(self, diverted: Diverted, t_ns: int, why: str) -> None:
        """The plane has cut a flow that somebody asked for."""
        late = why == "late_answer"
        self._cut(diverted, "engine" if late else why, None, t_ns if late else 0, time.time_ns())

    def kernel_cut(self, flow: Flow, t_ns: int, answer: str) -> None:
        """The kernel has cut a flow, as the real host's answer passed, or tells what followed."""
        if answer in ENDS:
            self.traces.end(flow, answer, t_ns)
            return
        spoken = answer == ACK
        diverted = self.plane.alive(flow, t_ns) if spoken else self.plane.gone(flow)
        if diverted is not None:
            self._cut(diverted, "kernel", answer, t_ns, t_ns)
            if answer == SYN_ACK:
                self.traces.begin(flow, diverted.t0_ns, t_ns)

    def _cut(
        self, diverted: Diverted, by: str, answer: str | None, answered_ns: int, now_ns: int
    ) -> None:
        self.cuts[by] += 1
        why = "late_answer" if answered_ns else by
        self._end_session(diverted, now_ns, why, answered_ns)
        self.records.cut(Cut(diverted.flow, diverted.t0_ns, now_ns, by, answer, answered_ns))

    def overtaken(self, diverted: Diverted) -> None:
        """The kernel had cut the flow before its session began."""
        now_ns = time.time_ns()
        self._end_session(diverted, now_ns, "late_answer", now_ns)

    def _end_session(self, diverted: Diverted, now_ns: int, why: str, answered_ns: int) -> None:
        session = self.tap.close_session(diverted.flow, now_ns)
        if session is not None:
            cut = (session, diverted.t0_ns, now_ns, why, answered_ns)
            self._closing.append((time.monotonic(), cut))

    def _close_sessions(self, until_s: float) -> None:
        """End sessions that were cut, also in the honeypot: its client is heard of no more."""
        frames = []
        while self._closing and self._closing[0][0] <= until_s:
            _, (closed, t0_ns, now_ns, why, answered_ns) = self._closing.popleft()
            session = self.tap.cut(closed, now_ns, why, answered_ns)
            if session is not None:
                self.joiner.session(session, t0_ns)
                if self.place.answers:
                    macs = self.place.macs
                    frames += [reset_frame(session.flow, n, macs) for n in session.expected]
        self._send(frames)

    def session_ended(self, session: Session) -> None:
        """The tap has seen the end of a session."""
        diverted = self.dispatcher.flows.get(session.flow)
        self.joiner.session(session, diverted.t0_ns if diverted else session.diverted_ns)

    def idle(self, flow: Flow) -> None:
        """The tap has seen nothing of a flow for so long that the kernel lets it go, too."""
        # Or the kernel has seen what the tap has lost, and goes on.
        missed = time.monotonic() - self.tap.missed_s < 2 * self._idle_s
        self.plane.gone(flow, unsure=missed)

    def _is_reported(self, flow: Flow) -> bool:
        return self.place.service_of(flow) == RESPONDER

    def _write_session(self, session: Session, t0_ns: int, said: dict[str, Any] | None) -> None:
        if not self.place.answers:
            return  # a third party's sensor has none
        self.sessions += 1
        told = Told(self.place.service_of(session.flow), **(said or {}))
        self.records.session(session, t0_ns, told)

    def _frame_sinks(self, options: argparse.Namespace) -> list[Callable[[Frames], None]]:
        if not options.honeypot_pcap:
            return []
        return [self.wired.frame_pcap(options.honeypot_pcap).write]

    def _look(self) -> list[tuple[str, str]]:
        """Called about once a second: what is wrong."""
        self.joiner.tick()
        self.traces.tick()
        self._close_sessions(time.monotonic() - SEEN_S)
        # Each time: with one that is new, after a failover, flows look dark once T has passed.
        with suppress(OSError):
            self.dispatcher.own = own_addresses()
        return self._mended() + self._failed() + self._looked_at_mirror()

    def _looked_at_mirror(self) -> list[tuple[str, str]]:
        """What is news of the mirror."""
        if self.gate is None:
            return []
        if self.supervisor.mirror.finding:
            # Not only at every --stats: nothing is diverted until it is over.
            self.supervisor.look_at_mirror()
        return self.gate.look(self.supervisor.counts(), time.monotonic())

    def _mended(self) -> list[tuple[str, str]]:
        """The kernel's table is there, or comes back; a line when that is news."""
        try:
            why = self.place.mend()
        except OSError as error:
            trouble = f"nothing is diverted: {reason_of(error)}"
            before, self._trouble = self._trouble, trouble
            self.plane.paused = True
            # What of the table is left would divert on, and might not see the real host's answer.
            self.plane.cut(list(self.dispatcher.flows), time.time_ns(), "no_table")
            return [] if trouble == before else [("error", trouble)]
        before, self._trouble = self._trouble, ""
        self.plane.paused = False
        if why:
            self.plane.divert_again()
            return [("warning", f"{why}: it was loaded anew")]
        return [("info", "flows are diverted again")] if before else []

    def _failed(self) -> list[tuple[str, str]]:
        """A thread has ended that must not: better a new start than a honeypot that does half."""
        found = {
            "what diverts flows": self.plane.failed,
            "what watches sessions": self.tap.failed,
            "what hears of cuts": self.reader.failed,
            "what keeps services running": self.place.failed,
        }
        dead = {what: why for what, why in found.items() if why is not None}
        lines = [f"{what} has failed, so the honeypot ends: {why!r}" for what, why in dead.items()]
        if self.place.hp0_has_gone:
            lines.append(f"{self.place.plan.hp0} has gone, so the honeypot ends")
        self.supervisor.given_up = bool(lines)
        return [("error", line) for line in lines]

    def _end_sessions(self) -> None:
        """The workers have ended: divert nothing more, and write what is open."""
        self.reader.close()
        self.plane.close()
        self.place.stop_diverting()
        self._close_sessions(time.monotonic())
        self.tap.close()
        self.joiner.tick(last=True)
        self.traces.tick(last=True)
