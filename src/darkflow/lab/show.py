"""A run of the honeypot's lab: real scanners from outside, Darkflow answers, what came of it."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from darkflow.lab.answering import Place, start_darkflow, start_inhabitants
from darkflow.lab.attack import Asked, steps
from darkflow.lab.namespaces import built, workspace
from darkflow.lab.programs import Programs
from darkflow.lab.run import ToolRun, carry_out, terminated_like_interrupted, tool_run
from darkflow.lab.topology import (
    HOSTS,
    SLOW,
    WATCHED_NETWORKS,
    WEB,
    contains,
    honeypot_internet,
)

# Visitors come for so long; every other program has ended before, whatever T is.
MORE_ACTIVE_S = 17.0
# After the last SYN: T, and a little more for the last verdict and the last session.
QUIET_S = 1.5
_NEWS_S = 3.0
_MOST_TOLD = 12
_END_S = 20.0


@dataclass
class Found:
    """What the event lines have told so far; bounded by what the lab sends."""

    dark: Counter[str] = field(default_factory=Counter)
    sessions: Counter[str] = field(default_factory=Counter)
    spoke: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    cuts: list[dict[str, Any]] = field(default_factory=list)
    traces: Counter[str] = field(default_factory=Counter)
    answered_live: int = 0

    def take(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """Count an event; a session that is the first of its kind comes back."""
        kind = event["event_type"]
        if kind == "darkflow":
            self.dark[event["src_ip"]] += 1
            self.answered_live += _is_live(event)
        elif kind == "cut":
            self.cuts.append(event)
        elif kind == "cut_trace":
            self.traces[event["cut_trace"]["trace"]] += 1
        elif kind == "session":
            proto = event["app_proto"] or "no protocol"
            self.sessions[proto if event["session"]["handshake"] else "half open"] += 1
            self.answered_live += _is_live(event)
            key = (event["src_ip"], proto)
            if event["session"]["payload_bytes"] and key not in self.spoke:
                self.spoke[key] = event
                return event
        return None


def _is_live(event: dict[str, Any]) -> bool:
    return event["dest_ip"] in WEB.addresses and event["dest_port"] in WEB.open_ports


class Watch:
    """Reads the event lines as they are written, and reports."""

    def __init__(self, events: Path, report: Callable[[str], None]) -> None:
        self.found = Found()
        self._events = events
        self._report = report
        self._at = 0
        self._told = 0
        self._news_s = self._began_s = time.monotonic()
        self._before = (0, 0)

    def turn(self, last: bool = False) -> None:
        """Take what is new; a line on it now and then."""
        if not self._events.exists():
            return
        with self._events.open("rb") as lines:
            lines.seek(self._at)
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                self._at += len(line)
                spoken = self.found.take(json.loads(line))
                if spoken is not None and self._told < _MOST_TOLD:
                    self._told += 1
                    self._report(said(spoken))
        if last or time.monotonic() - self._news_s >= _NEWS_S:
            self._news_s = time.monotonic()
            self._tell_news()

    def _tell_news(self) -> None:
        now = (self.found.dark.total(), self.found.sessions.total())
        if now != self._before:
            self._before = now
            passed_s = time.monotonic() - self._began_s
            cuts = f", {len(self.found.cuts)} cut by late answers" if self.found.cuts else ""
            self._report(f"{passed_s:4.1f} s  {now[0]:,} dark flows, {now[1]:,} sessions{cuts}")


def said(session: dict[str, Any]) -> str:
    """A session in a line: who, to whom, and the beginning of what the client said."""
    words = session["session"]["payload_printable"][:48]
    ends = f"{session['src_ip']} to {session['dest_ip']} port {session['dest_port']}"
    return f"        {session['app_proto'] or 'no protocol'}: {ends} said {words!r}"


@dataclass(frozen=True)
class Shown:
    """A finished run."""

    place: Place
    mode: str
    status: dict[str, Any]
    found: Found
    runs: tuple[ToolRun, ...]
    banners: dict[str, str]
    live_banners: dict[str, str]
    pages: dict[str, str]
    pages_asked: int
    pages_answered: int
    troubles: tuple[str, ...]

    @property
    def failures(self) -> list[str]:
        """One line for each thing that is not as it should be."""
        lines = [run.failure for run in self.runs if run.failure is not None]
        lines += self.troubles
        if self.pages_answered != self.pages_asked:
            lines.append(f"the web server answered {self.pages_answered} of {self.pages_asked}")
        if self.found.answered_live:
            lines.append(f"{self.found.answered_live} flows to the live server were not left alone")
        lost = {name: count for name, count in self.status.get("losses", {}).items() if count}
        if lost:
            lines.append(f"lost: {lost}")
        late = {cut["dest_ip"] for cut in self.found.cuts if cut["cut"]["answer"]}
        lines += [f"the late answer of {a} cut nothing" for a in SLOW.addresses if a not in late]
        lines += [f"{a}: {got}" for a, got in self.pages.items() if got.endswith("nothing")]
        if not self.banners:
            lines.append("masscan got no banner from an absent address")
        return lines


def run_show(
    mode: str, hold_s: float, place: Place, report: Callable[[str], None] = lambda _: None
) -> Shown:
    """Build the lab, let everybody loose, take it down; needs root, ask `can_run` first.

    What was found stays in `place`. RuntimeError or OSError when it cannot be.
    """
    active_s = hold_s + MORE_ACTIVE_S
    with (
        terminated_like_interrupted(),
        place.prepared(),
        built(honeypot_internet(mode)) as names,
        workspace() as directory,
        Programs(directory, place.programs.resolve()) as programs,
    ):
        report(f"built {', '.join(names)}")
        start_inhabitants(programs, names, hold_s)
        darkflow = start_darkflow(programs, names, mode, hold_s, place)
        darkflow.wait()
        report(f"darkflow honeypot watches {' and '.join(WATCHED_NETWORKS)}, T = {hold_s:g} s")
        watch = Watch(place.events, report)
        asked = Asked(mode, hold_s, active_s, programs.directory, sys.executable)
        running = carry_out(steps(asked), active_s, programs, names, report, watch.turn)
        until_s = time.monotonic() + hold_s + QUIET_S
        while time.monotonic() < until_s:
            watch.turn()
            time.sleep(0.1)
        status = darkflow.status()
        troubles = [] if status else ["darkflow status did not answer"]
        darkflow.program.stop(signal.SIGTERM, _END_S)
        if darkflow.program.exit_code != 0:
            troubles.append(darkflow.program.failure())
        watch.turn(last=True)
    runs = tuple(tool_run(step, program) for step, program in running)
    pages = [c for run in runs if run.step.tool == "visitor" for c in run.output.split()]
    seen = banners_of([run.output for run in runs if run.step.tool == "masscan"])
    at_home = [a for host in HOSTS for a in host.addresses]
    live = {a: seen.pop(a) for a in at_home if a in seen}
    return Shown(
        place=place, mode=mode, status=status, found=watch.found, runs=runs, banners=seen,
        live_banners=live, pages=pages_of(runs), pages_asked=len(pages),
        pages_answered=pages.count("200"), troubles=tuple(troubles),
    )  # fmt: skip


def pages_of(runs: tuple[ToolRun, ...]) -> dict[str, str]:
    """What curl got from each host that is not there: the beginning of the page, and when."""
    found = {}
    for run in runs:
        if run.step.tool == "curl":
            page, _, when = run.output.rpartition("connected after ")
            words = " ".join(page.split())[:40] or "nothing"
            found[run.step.targets[0]] = f"connected after {float(when or 0):.3f} s, got {words}"
    return found


def banners_of(outputs: list[str]) -> dict[str, str]:
    """The first banner that masscan got from each watched address, from its JSON."""
    found: dict[str, str] = {}
    for line in "\n".join(outputs).splitlines():
        if '"banner"' not in line:
            continue
        one = json.loads(line.rstrip(","))
        for port in one["ports"]:
            if "service" in port and contains(WATCHED_NETWORKS, one["ip"]):
                found.setdefault(one["ip"], str(port["service"].get("banner", "")))
    return found
