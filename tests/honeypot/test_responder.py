"""The responder as a process: its command line, its limits, its reports, its end."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest

from answering import MARKER, SRC, Answering, all_of, answering, own_address
from darkflow.honeypot.certificate import self_signed
from darkflow.honeypot.reports import State
from darkflow.honeypot.responder import carries_marker, command

HTTP, SSH, FTP, ODD = 8080, 2222, 2121, 40404
GET = b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: t\r\n\r\n"


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """A command line that does not last."""
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-m", "darkflow.honeypot.responder", *arguments],
        env={**os.environ, "PYTHONPATH": str(SRC)},
        **{"capture_output": True, "text": True, "check": False, "timeout": 30, **options},
    )


def cpu_s(pid: int) -> float:
    """CPU time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---- talking --------------------------------------------------------------------------------


def test_clients_are_answered_and_reported() -> None:
    with answering([HTTP, FTP, ODD]) as responder:
        page = responder.ask(HTTP, GET)
        assert page.startswith(b"HTTP/1.1 200 OK\r\n")
        assert carries_marker(page, MARKER)
        (report,) = responder.wait(1)
        assert report.service == "http"
        assert report.end == "client"
        assert report.payload == GET
        assert report.fields["http"]["user_agent"] == "t"
        assert socket.inet_ntoa(report.flow[2]) == responder.address
        assert report.flow[3] == HTTP
        assert 0 <= report.ended_ns - report.began_ns < 5_000_000_000
        assert abs(report.began_ns - time.time_ns()) < 60_000_000_000

        assert carries_marker(responder.ask(FTP, b"USER root\r\nPASS x\r\n"), MARKER)
        assert responder.wait(2)[1].fields["ftp"]["logins"] == [["root", "x"]]
        assert responder.ask(ODD, b"nobody knows this") == b""
        assert responder.wait(3)[2].service == ""
        assert responder.ask(ODD, GET).startswith(b"HTTP/1.1 200")
        assert responder.stop() == (0, "")
    assert responder.states[-1] == State(0, 4, 0, 0, 0, 0, 0)


def test_a_reply_without_the_marker_is_not_ours() -> None:
    assert not carries_marker(b"HTTP/1.1 200 OK", MARKER)
    assert not carries_marker(b"anything", "")


def tls_names(responder: Answering, port: int) -> tuple[str, bytes]:
    """Version and certificate that a client gets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with responder.connect(port) as sock, context.wrap_socket(sock, server_hostname="x") as client:
        client.sendall(GET)
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        return client.version() or "", client.getpeercert(True) or b""


def test_tls_with_the_own_certificate_and_with_a_given_one(tmp_path: Path) -> None:
    with answering([ODD]) as responder:
        version, first = tls_names(responder, ODD)
        assert version == "TLSv1.3"
        (report,) = responder.wait(1)
        assert report.decrypted == GET
        assert report.fields["tls"]["sni"] == "x"
        assert report.service == "http"
    pem = self_signed("given.example")
    (tmp_path / "both.pem").write_text(pem)
    with answering([ODD], {"responder_certificate": str(tmp_path / "both.pem")}) as responder:
        _, second = tls_names(responder, ODD)
        assert second == ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERT") :])
        assert second != first


def test_tls_may_be_refused() -> None:
    with answering([ODD], {"responder_tls": "0"}) as responder:
        with pytest.raises(ssl.SSLError, match="ALERT_HANDSHAKE_FAILURE"):
            tls_names(responder, ODD)
        (report,) = responder.wait(1)
        assert str(report.fields["tls"]["ja4"]).startswith("t13d")
        assert (report.service, report.end) == ("tls", "served")


# ---- limits ---------------------------------------------------------------------------------


def test_beyond_its_connections_clients_are_let_in_and_out() -> None:
    texts: dict[str, str | None] = {"responder_connections": "10"}
    with answering([SSH], texts) as responder, contextlib.ExitStack() as clients:
        for _ in range(10):
            client = clients.enter_context(responder.connect(SSH))
            assert client.recv(100).startswith(b"SSH-2.0-")
        for _ in range(5):
            with responder.connect(SSH) as client:
                assert all_of(client) == b""
        state = responder.wait_for_state()
        assert (state.open, state.accepted, state.refused) == (10, 15, 5)
        clients.close()
        responder.wait(10)
        with responder.connect(SSH) as client:
            assert client.recv(100).startswith(b"SSH-2.0-")


def test_silent_and_slow_clients_are_ended() -> None:
    texts: dict[str, str | None] = {"responder_idle": "300ms", "responder_time": "2s"}
    with answering([SSH, HTTP], texts) as responder:
        with responder.connect(SSH) as silent:
            assert all_of(silent).startswith(b"SSH-2.0-")
        assert responder.wait(1)[0].end == "idle"
        with responder.connect(HTTP) as slow, contextlib.suppress(ConnectionError):
            for _ in range(60):
                slow.sendall(b"G")
                time.sleep(0.05)
        assert responder.wait(2)[1].end == "time"


def test_so_many_files_as_the_process_may_open() -> None:
    lower = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))  # noqa: E731
    address = own_address()
    process = subprocess.Popen(
        [sys.executable, "-m", "darkflow.honeypot.responder", f"--listen={address}:{SSH}"],
        env={**os.environ, "PYTHONPATH": str(SRC)},
        preexec_fn=lower,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert '"type":"state"' in process.stdout.readline()
    with contextlib.ExitStack() as clients:
        heard = []
        for _ in range(50):
            client = clients.enter_context(socket.create_connection((address, SSH), 5))
            heard.append(client.recv(100))
        assert sum(bool(banner) for banner in heard) == 36
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=10)
    assert "the limit of open files leaves room for 36 connections, not 8192" in errors
    assert '"refused":14' in out.splitlines()[-1]


# ---- reports and the end --------------------------------------------------------------------


def test_at_its_end_open_connections_are_reported() -> None:
    with answering([SSH]) as responder:
        clients = [responder.connect(SSH) for _ in range(20)]
        for client in clients:
            assert client.recv(100)
        assert responder.stop()[0] == 0
        assert [report.end for report in responder.wait(20)] == ["stop"] * 20
        assert all(all_of(client) == b"" for client in clients)


def test_without_a_reader_it_ends() -> None:
    with answering([SSH]) as responder:
        responder._ours.shutdown(socket.SHUT_RDWR)
        responder.connect(SSH).close()
        assert responder.process.wait(10) == 1


def test_a_reader_that_sleeps_stops_nobody() -> None:
    """Reports wait and are dropped in the end; clients are answered all the while."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    address = own_address()
    process = subprocess.Popen(
        [*command([], str(theirs.fileno()), {"payload": "64KiB"}), f"--listen={address}:{ODD}"],
        env={**os.environ, "PYTHONPATH": str(SRC)},
        pass_fds=[theirs.fileno()],
    )
    try:
        assert b'"state"' in ours.recv(1 << 16)
        for _ in range(120):
            with socket.create_connection((address, ODD), 5) as client:
                client.sendall(b"\x01" * (64 << 10))
                client.shutdown(socket.SHUT_WR)
                assert all_of(client) == b""
        with socket.create_connection((address, ODD), 5) as client:
            client.sendall(GET)
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        process.send_signal(signal.SIGTERM)
        heard = [ours.recv(1 << 18)]
        theirs.close()
        while line := ours.recv(1 << 18):
            heard.append(line)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
    lost = int(heard[-1].partition(b'"dropped_reports":')[2].rstrip(b"}\n"))
    assert lost > 10
    assert sum(b'"connection"' in line for line in heard) == 121 - lost


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to listen on: give --listen-fd or --listen"),
        (("--listen", "x"), "'x' has no port from 1 to 65535: write for example 127.0.0.1:9465"),
        (("--listen", "192.0.2.1:80"), "cannot listen on 192.0.2.1 port 80: Cannot assign"),
        (("--listen-fd", "77"), "--listen-fd 77: Bad file descriptor"),
        (("--listen-fd", "0"), "--listen-fd 0: Socket operation on non-socket"),
        (("--responder-idle", "x"), "--responder-idle: 'x' is not understood"),
        (("--responder-marker", "a b"), "--responder-marker: 'a b' is no word of at most 32"),
        (("--listen", ":40405", "--report", "/none/x"), "--report /none/x: No such file or dir"),
        (("--listen", ":40405", "--responder-certificate", "/none.pem"),
         "--responder-certificate /none.pem: No such file or directory"),
        (("--listen", ":40405", "--responder-certificate", "/etc/hostname"),
         "--responder-certificate /etc/hostname: no key and certificate of it"),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line(arguments: tuple[str, ...], message: str) -> None:
    done = run(*arguments, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert done.stderr.startswith(f"darkflow responder: {message}")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_help_names_every_setting() -> None:
    shown = run("--help").stdout
    for word in ("--listen-fd", "--report", "--responder-idle", "--payload", "--responder-marker"):
        assert word in shown


def test_a_plugin_is_spoken_and_a_faulty_one_said(tmp_path: Path) -> None:
    """Installed as pip does it: a module, and metadata with an entry point."""
    (tmp_path / "shout_for_tests.py").write_text(
        "from darkflow.honeypot.protocols.protocol import LineProtocol, Reply\n"
        "class Shout(LineProtocol):\n"
        "    name = 'shout'\n"
        f"    ports = frozenset({{{ODD}}})\n"
        "    def greeting(self):\n"
        "        return b'shout at me\\n'\n"
        "    def line(self, line):\n"
        "        if line == b'fail':\n"
        "            raise RuntimeError('as it was told')\n"
        "        self.keep('first', line)\n"
        "        return Reply(line.upper() + b'\\n')\n"
    )
    metadata = tmp_path / "shout_for_tests-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: shout-for-tests\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(
        "[darkflow.protocols]\nshout = shout_for_tests:Shout\nmissing = none_for_tests:X\n"
    )
    with answering([ODD], path=[tmp_path]) as responder:
        assert responder.ask(ODD, b"hello\n") == b"shout at me\nHELLO\n"
        for _ in range(3):
            responder.ask(ODD, b"fail\n")
        reports = responder.wait(4)
        assert reports[0].service == "shout"
        assert reports[0].fields == {"shout": {"first": "hello"}}
        assert [report.end for report in reports[1:]] == ["error"] * 3
        status, errors = responder.stop()
        assert status == 0
        assert responder.states[-1].errors == 3
    assert errors.splitlines() == [
        "darkflow responder: plugin missing (none_for_tests:X) is left out:"
        " No module named 'none_for_tests'",
        "darkflow responder: shout failed: RuntimeError: as it was told",
    ]


# ---- how good -------------------------------------------------------------------------------


def test_five_thousand_sessions_at_a_time_in_little_memory() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 5200
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"this process may open {hard} files, not {wanted}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    with answering([SSH, HTTP]) as responder, contextlib.ExitStack() as clients:
        before_kib = responder.resident_kib()
        for _ in range(5000):
            client = clients.enter_context(responder.connect(SSH))
            client.sendall(b"SSH-2.0-scanner\r\n")
        began_s = time.monotonic()
        assert responder.ask(HTTP, GET).startswith(b"HTTP/1.1 200")
        assert time.monotonic() - began_s < 2
        state = responder.wait_for_state()
        assert (state.open, state.refused) == (5000, 0)
        assert responder.resident_kib() - before_kib < 5000 * 12
        clients.close()
        assert {report.service for report in responder.wait(5001)} == {"ssh", "http"}


def is_open(address: str, port: int) -> bool:
    """Whether somebody listens there."""
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=1):
        return True
    return False


def test_a_connection_costs_less_than_with_the_standard_library(tmp_path: Path) -> None:
    """CPU time of as many connections to `python -m http.server`, in the same minute."""
    count = 1500
    (tmp_path / "index.html").write_text("<p>It works!</p>")
    with answering([HTTP]) as responder:
        address = responder.address
        argv = [sys.executable, "-I", "-m", "http.server", "--bind", address, "8000"]
        with subprocess.Popen(argv, cwd=tmp_path, stderr=subprocess.DEVNULL) as other:
            try:
                until_s = time.monotonic() + 20
                while not is_open(address, 8000):
                    assert time.monotonic() < until_s
                used = {HTTP: cpu_s(responder.process.pid), 8000: cpu_s(other.pid)}
                began_s = time.monotonic()
                for _ in range(count // 100):
                    for port in used:
                        for _ in range(100):
                            assert b" 200 OK" in responder.ask(port, GET)[:16]
                ours = cpu_s(responder.process.pid) - used[HTTP]
                theirs = cpu_s(other.pid) - used[8000]
            finally:
                other.kill()
        responder.wait(count)
        assert ours < 0.8 * theirs
        assert time.monotonic() - began_s < 60
