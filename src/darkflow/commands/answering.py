"""The built-in responder as a child: started, its reports heard, started again when it ends."""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from darkflow.divert.dispatcher import Flow
from darkflow.honeypot.reports import LINE_LIMIT, Report, State, read

NOBODY = 65534
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
GRACE_S = 2.0
CHUNK = 1 << 18
CANNOT_START = 127
# It tells of itself every two seconds; at its start it imports, and makes a certificate.
SILENCE_S, START_S = 10.0, 60.0
LOOK_S = 1.0
# Of what it tells of itself, this is how it is; the others are counters.
NOW = ("open", "tls_open")

Heard = Callable[[Flow, dict[str, Any]], None]
Say = Callable[..., None]


class Answering:
    """Keeps the responder running on sockets that listen already; `heard` gets each report.

    Started by root, it enters their network namespace and becomes an unprivileged user before it
    serves anybody.
    """

    def __init__(
        self, sockets: Sequence[socket.socket], words: Sequence[str], heard: Heard, say: Say
    ) -> None:
        self.restarts = 0
        self.unreadable = 0
        self.state: State | None = None
        # Of responders that have ended: their counters.
        self._before = dict.fromkeys(State._fields, 0)
        self._sockets = list(sockets)
        self._words = list(words)
        self._heard = heard
        self._say = say
        self._closing = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._work, name="darkflow responder", daemon=True)

    def start(self) -> None:
        """Start it, and see to it that it stays."""
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._closing.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
        if self._thread.is_alive():
            self._thread.join(GRACE_S)
        if process is not None and process.poll() is None:
            process.kill()
            process.wait(GRACE_S)
        for one in self._sockets:
            one.close()

    def describe(self) -> str:
        """How it is, in a few words."""
        process = self._process
        if process is None or process.poll() is not None:
            return f"not running, {self.restarts} restarts"
        state = self.state
        told = "" if state is None else f", {state.open} open, {state.accepted} accepted"
        return f"running, process {process.pid}, {self.restarts} restarts{told}"

    @property
    def is_running(self) -> bool:
        """Whether there is a process."""
        process = self._process
        return process is not None and process.poll() is None

    @property
    def totals(self) -> dict[str, int]:
        """What it tells of itself; counters go on where the one before it has ended."""
        state = self.state
        now = {} if state is None else state._asdict()
        return {name: count + now.get(name, 0) for name, count in self._before.items()}

    def _work(self) -> None:
        wait_s = FIRST_WAIT_S
        while not self._closing.is_set():
            began_s = time.monotonic()
            try:
                status = self._run()
            except Exception as error:  # whatever it is: who answers must go on
                self._say("error", f"the responder cannot be kept: {error!r}")
                status = self._give_up()
            self._count_ended()
            if self._closing.is_set():
                return
            if time.monotonic() - began_s > LONGEST_WAIT_S:
                wait_s = FIRST_WAIT_S
            self._say("error", "the responder has ended; it is started again", status=status)
            self.restarts += 1
            self._closing.wait(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _give_up(self) -> int:
        """End a process that nobody listens to: its exit status."""
        process = self._process
        if process is None:
            return CANNOT_START
        process.kill()
        return process.wait()

    def _count_ended(self) -> None:
        state, self.state = self.state, None
        for name, count in state._asdict().items() if state is not None else ():
            self._before[name] += 0 if name in NOW else count

    def _run(self) -> int:
        """One life of the responder: its exit status."""
        fds = [one.fileno() for one in self._sockets]
        with ExitStack() as ours, ExitStack() as theirs:
            (reports, told), (errors, said) = (_pipe(ours, theirs) for _ in range(2))
            self._process = process = subprocess.Popen(
                self._argv(fds, told), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=said, pass_fds=[*fds, told], start_new_session=True,
            )  # fmt: skip
            theirs.close()
            if self._closing.is_set():  # since it was looked at last
                process.terminate()
            self._listen(reports, errors, process)
        return process.wait()

    def _argv(self, fds: list[int], report: int) -> list[str]:
        argv = [sys.executable, "-m", "darkflow.honeypot.responder"]
        if os.geteuid() == 0:
            ids = [str(NOBODY), str(os.getpid())]
            argv = [sys.executable, "-m", "darkflow.commands.unprivileged", *ids]
        for fd in fds:
            argv += ["--listen-fd", str(fd)]
        return [*argv, "--report", str(report), *self._words]

    def _listen(self, reports: int, errors: int, process: subprocess.Popen[bytes]) -> None:
        """Until the responder has closed both; one that says nothing any more is killed."""
        rests = {reports: b"", errors: b""}
        patience_s, quiet_s, looked_s = START_S, 0.0, time.monotonic()
        with selectors.DefaultSelector() as selector:
            for fd in rests:
                os.set_blocking(fd, False)
                selector.register(fd, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(LOOK_S)
                now_s = time.monotonic()
                # What we were held up ourselves does not count.
                quiet_s += min(now_s - looked_s, 2 * LOOK_S)
                looked_s = now_s
                if any(key.fd == reports for key, _ in ready):
                    patience_s, quiet_s = SILENCE_S, 0.0
                elif quiet_s > patience_s and process.poll() is None:
                    said = f"the responder has said nothing for {patience_s:.0f} s and is ended"
                    self._say("error", said)
                    process.kill()
                for key, _ in ready:
                    data = os.read(key.fd, CHUNK)
                    if not data:
                        selector.unregister(key.fd)
                        continue
                    *lines, rest = (rests[key.fd] + data).split(b"\n")
                    # A line without end would fill the memory.
                    rests[key.fd] = rest if len(rest) <= LINE_LIMIT else b""
                    for line in lines:
                        self._line(line, key.fd == reports)

    def _line(self, line: bytes, is_report: bool) -> None:
        if not is_report:
            text = line.decode("utf-8", "replace")
            self._say("warning", "".join(c if c.isprintable() else "." for c in text))
            return
        try:
            said = read(line)
        except ValueError:
            self.unreadable += 1
            return
        if isinstance(said, Report):
            self._heard(said.flow, {
                "protocol": said.service, "fields": said.fields, "decrypted": said.decrypted,
            })  # fmt: skip
        else:
            self.state = said


def _pipe(ours: ExitStack, theirs: ExitStack) -> tuple[int, int]:
    """Both ends of a pipe, each closed with its stack."""
    reads, writes = os.pipe2(os.O_CLOEXEC)
    ours.callback(os.close, reads)
    theirs.callback(os.close, writes)
    return reads, writes
