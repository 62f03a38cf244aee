"""The responder as it is started by root: in the honeypot's namespace, as nobody, for good."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from answering import listener
from conftest import skip
from darkflow.commands.answering import Answering
from darkflow.divert import launch
from darkflow.divert.namespace import entered
from darkflow.honeypot.certificate import self_signed
from darkflow.honeypot.protocols.smb import Smb
from talks import TALKS

NOBODY = 65534
HTTP, SMB = 8080, 445
ADDRESS = "127.0.0.1"
ASK = b"GET / HTTP/1.0\r\n\r\n"
# Darkflow, as far as it keeps a responder; prints the process that it waits for.
KEEPS = """
import socket, sys, time
from darkflow.commands.answering import Answering
listener = socket.socket(fileno=int(sys.argv[1]))
one = Answering([listener], (), lambda *_: None, lambda *_, **__: None)
one.start()
while one.state is None:
    time.sleep(0.01)
print(one._process.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def elsewhere() -> Iterator[int]:
    """A file of a network namespace that is not ours, with its loopback."""
    if os.geteuid() != 0:
        skip("only root can become somebody else")
    made: list[int] = []

    def make() -> None:
        launch.unshare(launch.CLONE_NEWNET)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        made.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    yield made[0]
    os.close(made[0])


def connected(space: int, port: int) -> socket.socket:
    """A client in that namespace."""
    with entered(space):
        client = socket.create_connection((ADDRESS, port), 10)
    client.settimeout(20)
    return client


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def test_it_serves_as_nobody_where_its_sockets_are(elsewhere: int, tmp_path: Path) -> None:
    # What only root can read is read before.
    certificate = tmp_path / "both.pem"
    certificate.write_text(self_signed("given.example"))
    certificate.chmod(0o400)
    with entered(elsewhere):
        listeners = [listener(ADDRESS, port) for port in (HTTP, SMB)]
    said: list[str] = []
    words = [f"--responder-certificate={certificate}"]
    reports: list[object] = []
    one = Answering(
        listeners,
        words,
        lambda *told: reports.append(told),
        lambda _, line, **__: said.append(line),
    )
    one.start()
    try:
        with connected(elsewhere, HTTP) as client:
            client.sendall(ASK)
            assert client.recv(100).startswith(b"HTTP/1."), said
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(certificate)
        with context.wrap_socket(
            connected(elsewhere, HTTP), server_hostname="given.example"
        ) as client:
            assert client.version() == "TLSv1.3"
        # Text in UTF-16 needs a module of Python's that nobody may read.
        with connected(elsewhere, SMB) as client:
            for message in TALKS[Smb]:
                client.sendall(message)
                assert client.recv(1000)
        assert one._process is not None
        pid = one._process.pid
        assert Path(f"/proc/{pid}/ns/net").stat().st_ino == os.fstat(elsewhere).st_ino
        status = status_of(pid)
        assert status["Uid"].split() == status["Gid"].split() == [str(NOBODY)] * 4
        assert status["Groups"].strip() == ""
        assert {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {0}
        assert status["NoNewPrivs"] == "1"
        if os.uname().machine in launch.SOCKET_CALLS:
            assert status["Seccomp"] == "2"
        # No file of the namespace, or of another, is left in its hands.
        links = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
        assert not [link for link in links if link.startswith("net:")]
    finally:
        one.close()
    assert len(reports) >= 1
    assert said == []


def test_it_ends_when_who_keeps_it_is_killed(elsewhere: int) -> None:
    """Even one that is stuck, and would not see that nobody reads its reports."""
    with entered(elsewhere):
        listening = listener(ADDRESS, HTTP)
    with (
        listening,
        subprocess.Popen(
            [sys.executable, "-c", KEEPS, str(listening.fileno())],
            pass_fds=[listening.fileno()], stdout=subprocess.PIPE,
        ) as keeper,
    ):  # fmt: skip
        assert keeper.stdout is not None
        pid = int(keeper.stdout.readline())
        responder = os.pidfd_open(pid)
        try:
            os.kill(pid, signal.SIGSTOP)
            keeper.kill()
            keeper.wait(10)
            end = time.monotonic() + 5
            while Path(f"/proc/{pid}").exists() and status_of(pid)["State"][0] != "Z":
                assert time.monotonic() < end, "it lives on"
                time.sleep(0.01)
        finally:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(responder, signal.SIGKILL)
            os.close(responder)


def test_sockets_of_two_namespaces_are_refused(elsewhere: int) -> None:
    with entered(elsewhere):
        theirs = listener(ADDRESS, HTTP)
    with theirs, socket.create_server((ADDRESS, 0)) as ours:
        fds = [theirs.fileno(), ours.fileno()]
        argv = [sys.executable, "-m", "darkflow.commands.unprivileged", str(NOBODY)]
        argv += [str(os.getpid()), *(f"--listen-fd={fd}" for fd in fds)]
        done = subprocess.run(argv, pass_fds=fds, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        "darkflow responder: the listening sockets are not all in one network namespace\n"
    )
