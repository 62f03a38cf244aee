"""The evaluation's network: live hosts, clients, scanners and Darkflow by mirror, for minutes."""

from __future__ import annotations

import json
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from darkflow.lab.answering import (
    SLOW_MORE_S,
    START_LIMIT_S,
    Answering,
    Place,
    start_darkflow,
    start_inhabitants,
)
from darkflow.lab.evaluate import clients, wire
from darkflow.lab.evaluate.clients import FULL, MUTE, OUTCOMES, QUICK, Times
from darkflow.lab.namespaces import built, workspace
from darkflow.lab.programs import Program, Programs
from darkflow.lab.run import carry_out, tool_run
from darkflow.lab.topology import GATEWAY, GATEWAY_OUTSIDE, INSIDE, LAN, PATIENT, SLOW, WEB

Report = Callable[[str], None]

QUIET_S = 1.5
END_S = 20.0
NEWS_S = 20.0
_CAPTURE = "evaluate.pcap"
_ANSWER = 1 << 22


class Samples:
    """Reads the honeypot's counters every so often."""

    def __init__(self, darkflow: Answering, every_s: float, report: Report) -> None:
        self.rows: list[dict[str, float]] = []
        self._darkflow = darkflow
        self._every_s = every_s
        self._report = report
        self._began_s = self._next_s = time.monotonic()
        self._news_s = self._began_s

    def turn(self) -> None:
        """Take a sample if it is time for one."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s += self._every_s
        found = status(self._darkflow.place.control)
        if not found:
            return
        engine = found["engine"]
        row = {name: engine[name] for name in ("attempts", "dark", "queue_flows", "table_flows")}
        row |= {"t_s": round(now_s - self._began_s, 1), "diverted": found["flows"]["diverted"]}
        self.rows.append(row)
        if now_s >= self._news_s:
            self._news_s += NEWS_S
            self._report(
                f"{row['t_s']:5.0f} s  {row['attempts']:,.0f} attempts, {row['dark']:,.0f} dark;"
                f" {row['queue_flows']:,.0f} in the queue, {row['table_flows']:,.0f} in the table"
            )


def status(control: Path) -> dict[str, Any]:
    """What the honeypot says of itself; empty when it does not answer at once."""
    with suppress(OSError, ValueError), socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5.0)
        sock.connect(str(control))
        sock.sendall(b'{"command": "status"}\n')
        with sock.makefile("rb") as lines:
            found: dict[str, Any] = json.loads(lines.readline(_ANSWER))
        return found if "engine" in found else {}
    return {}


def run(place: Place, quick: bool, report: Report) -> tuple[dict[str, Any], bool]:
    """The part's numbers, and whether Ctrl-C ended it early; the store stays in `place`.

    Needs root. RuntimeError or OSError when there are no numbers at all.
    """
    times = QUICK if quick else FULL
    interrupted = False
    with ExitStack() as stack:
        stack.enter_context(place.prepared())
        names = stack.enter_context(built(clients.network()))
        directory = stack.enter_context(workspace())
        programs = stack.enter_context(Programs(directory, place.programs.resolve()))
        start_inhabitants(programs, names, times.hold_s)
        _start_mute(programs, names[INSIDE], times.hold_s)
        capture = _start_capture(programs, names[GATEWAY], times)
        more = ("--idle", f"{times.idle_s:g}s", "--store-answered", "1s")
        darkflow = start_darkflow(programs, names, "mirror", times.hold_s, place, more)
        darkflow.wait()
        steps = clients.steps(times, directory, sys.executable)
        samples = Samples(darkflow, times.sample_s, report)
        report(f"{len(steps)} programs begin, T = {times.hold_s:g} s, {times.active_s:g} s in all")
        began_s = time.monotonic()
        running = []
        try:
            running = carry_out(
                steps, times.active_s, programs, names, _only_scans(report), samples.turn
            )
            _wait(times.hold_s + QUIET_S, samples)
        except KeyboardInterrupt:
            interrupted = True
        watched_s = time.monotonic() - began_s
        last = status(place.control)
        darkflow.program.stop(signal.SIGTERM, END_S)
        capture.stop(signal.SIGINT)
        seen = wire.captured(directory / _CAPTURE)
        gave_up = {step.tool: limit_s for step, program in running
                   if step.tool in clients.SCHEDULES
                   and (limit_s := gave_up_after(program.output())) is not None}  # fmt: skip
        failures = [
            failure for step, program in running if (failure := tool_run(step, program).failure)
        ]
    found = {
        "hold_s": times.hold_s, "idle_s": times.idle_s, "sample_s": times.sample_s,
        "watched_s": round(watched_s, 1), "samples": samples.rows, "status": last,
        "scans": [[step.at_s, step.tool] for step in clients.scans_of(steps)],
        "schedules": {name: wire.schedule(seen, to) for name, to in clients.SCHEDULES.items()},
        "gave_up": gave_up, "sequences": sequences(seen),
        "expected": {str(port): name for name, port in OUTCOMES.items()},
        "clients_each": times.outcomes, "failures": failures,
    }  # fmt: skip
    return found, interrupted


def gave_up_after(output: str) -> float | None:
    """What a client of `clients.py` says when it had enough: seconds; None if it did not."""
    words = output.split()
    return round(float(words[2]), 1) if words[:2] == ["gave", "up"] else None


def sequences(seen: list[wire.Seen]) -> dict[str, list[dict[str, Any]]]:
    """The paper's Fig. 1, as captured."""
    mine = [(t_s, one) for t_s, one in seen
            if socket.inet_aton(PATIENT.ipv4) in (one.src, one.dst)]  # fmt: skip
    return {
        "normal": wire.sequence(mine, WEB.ipv4, 80, absent=False),
        "delayed": wire.sequence(mine, clients.ABSENT, 80, absent=True),
        "duplicate": wire.sequence(mine, SLOW.ipv4, OUTCOMES["rst_by_server"], absent=False),
    }


def _wait(seconds: float, samples: Samples) -> None:
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        samples.turn()
        time.sleep(0.1)


def _only_scans(report: Report) -> Report:
    """The programs' own lines, those of scanners alone."""
    return lambda line: report(line) if any(f" {tool}:" in line for tool in clients.TOOLS) else None


def _start_mute(programs: Programs, namespace: str, hold_s: float) -> None:
    argv = [sys.executable, "-m", "darkflow.lab.slow", LAN, f"{hold_s + SLOW_MORE_S:g}", MUTE]
    mute = programs.start("mute host", namespace, [*argv, "--mute"], float("inf"))
    mute.wait_for_error_line("listening", START_LIMIT_S)


def _start_capture(programs: Programs, namespace: str, times: Times) -> Program:
    """Of the clients whose packets are looked at one by one, and of those alone."""
    argv = ["tcpdump", "-i", GATEWAY_OUTSIDE, "-n", "-U", "-Z", "root", "--immediate-mode"]
    argv += ["-s", "128", "-w", _CAPTURE, f"tcp and (host {PATIENT.ipv4} or "]
    argv[-1] += " or ".join(f"host {to}" for to in clients.SCHEDULES.values()) + ")"
    capture = programs.start("tcpdump", namespace, argv, times.active_s + 120.0)
    capture.wait_for_error_line("listening on", START_LIMIT_S)
    return capture
