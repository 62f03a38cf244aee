"""Runs the built-in responder as Darkflow does: sockets that listen are handed to it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from darkflow.honeypot.reports import Report, State, read
from darkflow.honeypot.responder import command

SRC = Path(__file__).resolve().parents[1] / "src"
MARKER = "darkmark"
DEFAULTS: dict[str, str | None] = {"responder_marker": MARKER}


def own_address() -> str:
    """An address of the loopback network that no other test process uses."""
    pid = os.getpid()
    return f"127.{77 + (pid >> 16) % 100}.{pid >> 8 & 0xFF}.{1 + pid % 254}"


def listener(address: str, port: int) -> socket.socket:
    """A socket that listens there."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((address, port))
    sock.listen(4096)
    return sock


class Answering:
    """A running responder, and what it reports."""

    def __init__(self, process: subprocess.Popen[str], ours: socket.socket, address: str) -> None:
        self.process = process
        self.address = address
        self.reports: list[Report] = []
        self.states: list[State] = []
        self._ours = ours
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while line := self._ours.recv(1 << 18):
            with self._changed:
                found = read(line)
                if isinstance(found, Report):
                    self.reports.append(found)
                else:
                    self.states.append(found)
                self._changed.notify_all()

    def wait(self, reports: int, limit_s: float = 10.0) -> list[Report]:
        """The reports, as soon as there are that many."""
        with self._changed:
            enough = self._changed.wait_for(lambda: len(self.reports) >= reports, limit_s)
            assert enough, f"{len(self.reports)} reports, not {reports}"
            return list(self.reports)

    def wait_for_state(self, limit_s: float = 10.0) -> State:
        """The next report on the state."""
        with self._changed:
            had = len(self.states)
            assert self._changed.wait_for(lambda: len(self.states) > had, limit_s)
            return self.states[-1]

    def connect(self, port: int) -> socket.socket:
        """A client's connection."""
        return socket.create_connection((self.address, port), timeout=10)

    def ask(self, port: int, data: bytes) -> bytes:
        """All that a client is told that says this and then nothing more."""
        with self.connect(port) as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            return all_of(client)

    def resident_kib(self) -> int:
        """Memory of the process."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(row for row in status.splitlines() if row.startswith("VmRSS")).split()[1])

    def stop(self) -> tuple[int, str]:
        """End it: its exit status and what it said on stderr."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=10)
        self._reader.join(10)
        return self.process.returncode, errors


def all_of(client: socket.socket) -> bytes:
    """What comes until the other side ends."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)


@contextlib.contextmanager
def answering(
    ports: Sequence[int],
    texts: dict[str, str | None] | None = None,
    listeners: Sequence[socket.socket] = (),
    path: Sequence[Path] = (),
) -> Iterator[Answering]:
    """A responder on an address of our own at these ports, or with listeners that are there."""
    address = own_address()
    socks = [*listeners, *(listener(address, port) for port in ports)]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    fds = [sock.fileno() for sock in socks]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*path, SRC)))}
    process = subprocess.Popen(
        command(fds, str(theirs.fileno()), {**DEFAULTS, **(texts or {})}),
        pass_fds=[*fds, theirs.fileno()],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    theirs.close()
    for sock in socks:
        sock.close()
    running = Answering(process, ours, address)
    try:
        running.wait_for_state()
        yield running
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
        ours.close()
