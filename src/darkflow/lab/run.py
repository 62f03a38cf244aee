"""One run of the lab: build it, capture at its gateway, let the programs loose, take it down."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from darkflow.lab.namespaces import built, entered, workspace
from darkflow.lab.programs import Program, Programs, missing_programs
from darkflow.lab.topology import (
    GATEWAY,
    GATEWAY_OUTSIDE,
    INSIDE,
    OUTSIDE,
    WATCHED_NETWORKS,
    internet,
)
from darkflow.lab.traffic import Step, scenario, servers, write_files

# A flow is judged T = 5 s after its SYN; the capture goes on for a little longer than that.
QUIET_S = 6.5
# Less than this leaves the scanners too little time to send anything worth looking at.
MIN_SECONDS = QUIET_S + 5.0
SNAPLEN_BYTES = 128

_START_LIMIT_S = 10.0
_TURN_S = 0.05
_DISCARD_PORT = 9
# In the directory that every program of the lab runs in.
_CAPTURE = "lab.pcap"


@dataclass(frozen=True)
class ToolRun:
    """What one program was told to send, and how it ended.

    `failure` is one line, None when it did what it should. `was_stopped`: its time ran out first.
    """

    step: Step
    exit_code: int | None
    was_stopped: bool
    output: str
    failure: str | None


@dataclass(frozen=True)
class LabResult:
    """A finished run. What a SYN to any address became is `topology.outcome(address, port)`."""

    capture: Path
    networks: tuple[str, ...]
    runs: tuple[ToolRun, ...]
    requests_sent: int
    requests_answered: int
    packets_captured: int
    packets_dropped: int
    elapsed_s: float

    @property
    def failures(self) -> list[str]:
        """One line for each program that did not do its part."""
        return [run.failure for run in self.runs if run.failure is not None]


def can_run() -> str | None:
    """Why the lab cannot run here, in one sentence; None when it can (it was built to find out)."""
    if os.geteuid() != 0:
        return "the lab needs root, to make network namespaces"
    if find_spec("pyroute2") is None:
        return "the lab needs pyroute2: pip install 'darkflow[lab]'"
    missing = missing_programs()
    if missing:
        return f"the lab needs more programs: apt-get install {' '.join(missing)}"
    try:
        with built(internet()):
            return None
    except OSError as error:
        return f"the lab needs CAP_SYS_ADMIN and CAP_NET_ADMIN, is this a container? {error}"


def run_lab(
    out_capture: Path, seconds: float = 20.0, report: Callable[[str], None] = lambda _: None
) -> LabResult:
    """Records `seconds` of the lab's life to `out_capture` (pcap, 128 bytes of each packet).

    Needs root; ask `can_run` first. `report` gets a line when something happens. A scanner that
    fails is recorded in the result; RuntimeError or OSError when there would be no capture.
    """
    if seconds < MIN_SECONDS:
        raise ValueError(f"a run of the lab takes at least {MIN_SECONDS:g} s, not {seconds:g}")
    started_s = time.monotonic()
    with (
        terminated_like_interrupted(),
        built(internet()) as names,
        workspace() as directory,
    ):
        write_files(directory)
        with Programs(directory) as programs:
            report(f"built {', '.join(names)}; watched: {' and '.join(WATCHED_NETWORKS)}")
            start_servers(programs, names[INSIDE], directory)
            capture = _start_capture(programs, names[GATEWAY], seconds)
            steps = scenario(seconds - QUIET_S, directory)
            running = carry_out(steps, seconds - QUIET_S, programs, names, report)
            report(f"all have been sent; {QUIET_S:g} s of silence, for the last verdicts")
            time.sleep(QUIET_S)
            _send_last_packet(names[OUTSIDE])
            captured, dropped = _stop_capture(capture)
        shutil.copyfile(directory / _CAPTURE, out_capture)
        runs = tuple(tool_run(step, program) for step, program in running)
    elapsed_s = time.monotonic() - started_s
    codes = [c for run in runs if run.step.tool == "curl" for c in run.output.split()]
    answered = codes.count("200")
    report(f"{captured} packets captured, {dropped} lost, {answered} of {len(codes)} pages served")
    return LabResult(
        capture=out_capture,
        networks=WATCHED_NETWORKS,
        runs=runs,
        requests_sent=len(codes),
        requests_answered=answered,
        packets_captured=captured,
        packets_dropped=dropped,
        elapsed_s=elapsed_s,
    )


@contextlib.contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM takes the lab down too, and does not just end the process that should do it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def start_servers(programs: Programs, namespace: str, directory: Path) -> None:
    """The real servers of the inside; returns when all answer."""
    waiting = []
    for address, port, argv in servers(directory, sys.executable):
        program = programs.start(f"server-{port}", namespace, argv, limit_s=float("inf"))
        waiting.append((program, address, port))
    for program, address, port in waiting:
        _wait_for_server(program, namespace, address, port)


def _wait_for_server(program: Program, namespace: str, address: str, port: int) -> None:
    """Knocks from inside the server's own namespace, where nothing passes the captured wire."""
    deadline_s = time.monotonic() + _START_LIMIT_S
    while True:
        try:
            with entered(namespace), socket.create_connection((address, port), timeout=1.0):
                return
        except OSError:
            if program.exit_code is not None:
                raise RuntimeError(program.failure()) from None
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"no server came up on {address} port {port}") from None
        time.sleep(_TURN_S)


def _start_capture(programs: Programs, namespace: str, seconds: float) -> Program:
    # It stays root: the user that Debian's tcpdump changes to may not write here. Without immediate
    # mode the packets of the last second are still in the ring when it is told to stop.
    argv = ["tcpdump", "-i", GATEWAY_OUTSIDE, "-n", "-U", "-Z", "root", "--immediate-mode"]
    argv += ["-s", str(SNAPLEN_BYTES), "-w", _CAPTURE]
    capture = programs.start("tcpdump", namespace, argv, limit_s=seconds + 60.0)
    capture.wait_for_error_line("listening on", _START_LIMIT_S)
    return capture


def carry_out(
    steps: list[Step],
    active_s: float,
    programs: Programs,
    names: dict[str, str],
    report: Callable[[str], None],
    turn: Callable[[], None] = lambda: None,
) -> list[tuple[Step, Program]]:
    """Starts each step at its time; returns when the last program has ended or was stopped.

    `turn` is called again and again meanwhile.
    """
    running: list[tuple[Step, Program]] = []
    pending = list(steps)
    start_s = time.monotonic()
    while pending or any(program.exit_code is None for _, program in running):
        now_s = time.monotonic() - start_s
        while pending and pending[0].at_s <= now_s:
            step = pending.pop(0)
            namespace = names[step.namespace]
            program = programs.start(step.tool, namespace, step.argv, active_s - now_s)
            running.append((step, program))
            report(f"{now_s:4.1f} s  {step.tool}: {step.source} to {_said(step)}")
        programs.stop_expired()
        turn()
        time.sleep(_TURN_S)
    return running


def _said(step: Step) -> str:
    targets = " ".join(step.targets[:2]) + (" ..." if len(step.targets) > 2 else "")
    return f"{targets} port {', '.join(str(port) for port in step.ports)}"


def _send_last_packet(namespace: str) -> None:
    """Network time stands still without packets: the last verdict needs one that comes after it."""
    with entered(namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"end", ("203.0.113.1", _DISCARD_PORT))
    time.sleep(4 * _TURN_S)


def _stop_capture(capture: Program) -> tuple[int, int]:
    """The packets that tcpdump has written, and those that it has lost."""
    if capture.exit_code is not None:
        raise RuntimeError(capture.failure())
    capture.stop(signal.SIGINT)
    said = capture.errors()
    counts = [re.search(rf"(\d+) packets? {what}", said) for what in ("captured", "dropped")]
    if counts[0] is None or counts[1] is None:
        raise RuntimeError(capture.failure())
    return int(counts[0][1]), int(counts[1][1])


def tool_run(step: Step, program: Program) -> ToolRun:
    """How a step's program ended."""
    is_good = program.was_stopped or program.exit_code in step.good_exit_codes
    failure = None if is_good else program.failure()
    return ToolRun(step, program.exit_code, program.was_stopped, program.output(), failure)
