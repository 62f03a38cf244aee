"""Syslog messages as a small parser of RFC 5424 reads them, over every kind of socket."""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from darkflow.sinks import syslog
from darkflow.sinks.syslog import Messages, Syslog, parse_address
from outboxes import Listened, lines, wait_for

# RFC 5424, section 6: HEADER SP STRUCTURED-DATA SP MSG, the parts as narrow as we use them.
MESSAGE = re.compile(
    rb"<(?P<pri>\d{1,3})>1 (?P<stamp>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z)"
    rb" (?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48}) (?P<pid>[!-~]{1,128}) (?P<id>[!-~]{1,32})"
    rb" - (?P<text>[^\n]*)"
)


def number_in(message: bytes) -> int:
    """The line's number; everything of the message must be well formed."""
    found = MESSAGE.fullmatch(message)
    assert found is not None, message
    event = json.loads(found["text"])
    assert (found["pri"], found["app"]) == (b"134", b"darkflow")
    assert (found["pid"], found["id"]) == (b"%d" % os.getpid(), event["event_type"].encode())
    assert found["stamp"].decode() == event["timestamp"][:26] + "Z"
    number: int = event["n"]
    return number


def split_by_length(data: bytes) -> tuple[list[bytes], bytes]:
    """The messages of a TCP stream (RFC 6587, 3.4.1), and the beginning of one at its end."""
    found: list[bytes] = []
    at = 0
    while True:
        head = re.compile(rb"([1-9]\d*) ").match(data, at)
        if head is None or head.end() + int(head[1]) > len(data):
            return found, data[at:]
        found.append(data[head.end() : head.end() + int(head[1])])
        at = head.end() + int(head[1])


def target(text: str) -> Syslog:
    """A target by its address."""
    address = parse_address(text)
    assert address is not None
    return Syslog(text, address)


class Server:
    """A TCP server that keeps what it reads, and reads only while it shall."""

    def __init__(self, port: int = 0, reads: bool = True, family: int = socket.AF_INET) -> None:
        host = "127.0.0.1" if family == socket.AF_INET else "::1"
        self.received: list[bytes] = []
        self.reads = reads
        self._listening = socket.create_server((host, port), family=family)
        self.port = self._listening.getsockname()[1]
        shown = host if family == socket.AF_INET else f"[{host}]"
        self.text = f"tcp://{shown}:{self.port}"
        self._peers: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        try:
            while True:
                peer, _ = self._listening.accept()
                self._peers.append(peer)
                self.received.append(b"")
                threading.Thread(target=self._read, args=(peer, len(self.received) - 1)).start()
        except OSError:
            return

    def _read(self, peer: socket.socket, index: int) -> None:
        try:
            while True:
                while not self.reads:
                    time.sleep(0.01)
                data = peer.recv(1 << 16)
                if not data:
                    return
                self.received[index] += data
        except OSError:
            return

    @property
    def numbers(self) -> list[int]:
        """Of all whole messages, of all connections."""
        return [
            number_in(message) for data in self.received for message in split_by_length(data)[0]
        ]

    def die(self, politely: bool = False) -> None:
        """As a killed process does: with a reset of its connections, or an end (FIN)."""
        self.reads = True
        # Without shutdown the thread in accept() would keep the port.
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for peer in self._peers:
            if not politely:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            peer.shutdown(socket.SHUT_RDWR)
            peer.close()
        self._thread.join(5)


# ---- addresses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("syslog:/dev/log", ("syslog", "/dev/log", 0)),
        ("udp://192.0.2.1:514", ("udp", "192.0.2.1", 514)),
        ("tcp://logs.example.org:6514", ("tcp", "logs.example.org", 6514)),
        ("tcp://[2001:db8::1]:514", ("tcp", "2001:db8::1", 514)),
    ],
)
def test_addresses_are_understood(text: str, expected: tuple[str, str, int]) -> None:
    address = parse_address(text)
    assert address is not None
    assert (address.kind, address.host, address.port) == expected


@pytest.mark.parametrize("text", ["dark.jsonl", "-", "a:b", "/var/log/udp:x", "tcp:x"])
def test_everything_else_is_a_file(text: str) -> None:
    assert parse_address(text) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("syslog:", "for example syslog:/dev/log"), ("syslog:log", "for example syslog:/dev/log"),
        ("http://x:1", "is no target"), ("udp://x", "needs host and port"),
        ("udp://:514", "needs host and port"), ("udp://x:0", "needs host and port"),
        ("tcp://x:65536", "needs host and port"), ("tcp://2001:db8::1:514", "needs host and port"),
        ("tcp://[::1]", "needs host and port"), ("tcp://x:514/y", "needs host and port"),
    ],
)  # fmt: skip
def test_what_is_no_address_is_said(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)) as error:
        parse_address(text)
    assert said in str(error.value)


def test_times_keep_no_more_digits_than_the_rfc_has() -> None:
    for digits in range(10):
        fraction = "." + "123456789"[:digits] if digits else ""
        line = b'{"timestamp":"2026-03-01T10:00:00%bZ","event_type":"late_answer"}'
        message = Messages().of(line % fraction.encode())
        found = MESSAGE.fullmatch(message)
        assert found is not None
        assert found["stamp"].decode() == f"2026-03-01T10:00:00{fraction[:7]}Z"
        assert found["id"] == b"late_answer"


# ---- datagrams ------------------------------------------------------------------------------


@contextmanager
def datagrams(family: int, where: tuple[str, int] | str) -> Iterator[socket.socket]:
    """A bound socket."""
    with socket.socket(family, socket.SOCK_DGRAM) as bound:
        bound.bind(where)
        bound.settimeout(20)
        yield bound


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_udp(family: int, host: str) -> None:
    with datagrams(family, (host, 0)) as bound:
        shown = f"[{host}]" if ":" in host else host
        out = Listened(target(f"udp://{shown}:{bound.getsockname()[1]}"))
        out.put(0, 20)
        assert [number_in(bound.recv(65536)) for _ in range(20)] == list(range(20))
        assert (out.close(), out.box.dropped, out.said) == (None, 0, [])


def test_udp_to_nobody_is_said_once_and_loses_nothing_while_that_is_known() -> None:
    with datagrams(socket.AF_INET, ("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
    out = Listened(target(f"udp://127.0.0.1:{port}"))
    out.put(0, 5)
    wait_for(lambda: out.said)
    time.sleep(1)
    with datagrams(socket.AF_INET, ("127.0.0.1", port)) as bound:
        assert [number_in(bound.recv(65536)) for _ in range(5)] == list(range(5))
        wait_for(lambda: len(out.said) == 2)
        assert out.said == [
            f"cannot write udp://127.0.0.1:{port}: Connection refused; trying again",
            f"udp://127.0.0.1:{port} written again; 0 lines were lost",
        ]
        out.close()


def test_a_unix_socket_of_datagrams_that_is_slow_goes_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with datagrams(socket.AF_UNIX, str(path)) as bound:
        out = Listened(target(f"syslog:{path}"))
        out.put(0, 2000)  # many more than the kernel queues
        found = [number_in(bound.recv(65536)) for _ in range(2000)]
        assert found == list(range(2000))
    path.unlink()
    out.put(2000, 5)
    wait_for(lambda: out.said)
    with datagrams(socket.AF_UNIX, str(path)) as bound:
        assert [number_in(bound.recv(65536)) for _ in range(5)] == list(range(2000, 2005))
    wait_for(lambda: len(out.said) == 2)
    assert out.said[1].endswith("written again; 0 lines were lost")
    out.close()


def test_a_line_that_is_too_long_for_a_datagram_is_lost_alone() -> None:
    with datagrams(socket.AF_INET, ("127.0.0.1", 0)) as bound:
        out = Listened(target(f"udp://127.0.0.1:{bound.getsockname()[1]}"))
        long = lines(1, 1).replace(b'"filling":"', b'"filling":"' + b"x" * 66_000)
        out.box.put(lines(0, 1) + long + lines(2, 1), 3)
        out.offered = 3
        assert [number_in(bound.recv(65536)) for _ in range(2)] == [0, 2]
        out.wait_until_written()
        assert (out.box.written, out.box.dropped) == (2, 1)
        assert out.close() is None


# ---- streams --------------------------------------------------------------------------------


def test_a_unix_socket_of_streams_gets_a_message_a_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        listening.settimeout(20)
        out = Listened(target(f"syslog:{path}"))
        out.put(0, 500)
        peer, _ = listening.accept()
        with peer, peer.makefile("rb") as file:
            assert [number_in(next(file)[:-1]) for _ in range(500)] == list(range(500))
        out.close()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_tcp(family: int) -> None:
    server = Server(family=family)
    out = Listened(target(server.text))
    for first in range(0, 3000, 50):
        out.put(first, 50)
    wait_for(lambda: len(server.numbers) == 3000)
    assert server.numbers == list(range(3000))
    assert (out.close(), out.said) == (None, [])
    server.die()


def test_a_tcp_server_that_is_not_there_yet() -> None:
    server = Server()
    server.die()
    out = Listened(target(server.text))
    out.put(0, 5)
    wait_for(lambda: out.said)
    server = Server(server.port)
    wait_for(lambda: server.numbers == list(range(5)))
    wait_for(lambda: len(out.said) == 2)
    assert out.said == [
        f"cannot write {server.text}: Connection refused; trying again",
        f"{server.text} written again; 0 lines were lost",
    ]
    out.close()
    server.die()


@pytest.mark.parametrize("politely", [True, False])
def test_a_tcp_server_that_dies_and_comes_back_gets_every_line_that_it_can(
    politely: bool,
) -> None:
    first = Server()
    out = Listened(target(first.text))
    out.put(0, 100)
    wait_for(lambda: len(first.numbers) == 100)
    first.die(politely)
    out.put(100, 100)  # the end of the connection is seen before anything is sent into it
    wait_for(lambda: out.said)
    second = Server(first.port)
    wait_for(lambda: second.numbers == list(range(100, 200)))
    wait_for(lambda: len(out.said) == 2)
    assert (out.box.written, out.box.dropped) == (200, 0)
    out.close()
    second.die()


def test_a_tcp_server_that_reads_nothing_costs_counted_lines() -> None:
    server = Server(reads=False)
    out = Listened(target(server.text), limit_bytes=1 << 20)
    for first in range(0, 30_000, 10):
        out.put(first, 10)
        time.sleep(0.0002)
    wait_for(lambda: out.said)
    assert out.box.dropped > 1000
    server.reads = True
    out.wait_until_written()
    wait_for(lambda: len(server.numbers) == out.box.written)
    assert len(server.numbers) + out.box.dropped == 30_000
    assert server.numbers == sorted(set(server.numbers))
    wait_for(lambda: len(out.said) == 2)
    assert f"{out.box.dropped} lines were lost" in out.said[1]
    out.close()
    server.die()


def test_half_a_message_is_sent_anew_on_the_next_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(syslog, "GROUP_BYTES", 1 << 20)  # so large that no kernel takes all of it
    server = Server(reads=False)
    out = Listened(target(server.text))
    out.put(0, 20_000)  # more than both kernels take
    wait_for(lambda: out.said)  # it takes nothing
    server.die()
    again = Server(server.port)
    wait_for(lambda: again.received and len(again.numbers) > 0)
    out.wait_until_written()
    wait_for(lambda: again.numbers[-1] == 19_999)
    found = again.numbers
    assert found == list(range(found[0], 20_000))
    assert not split_by_length(again.received[0])[1]
    out.close()
    again.die()


def test_a_server_that_stalls_does_not_hold_up_the_close() -> None:
    server = Server(reads=False)
    out = Listened(target(server.text))
    out.put(0, 20_000)
    time.sleep(0.5)
    began = time.monotonic()
    lost = out.close(within_s=0.5)
    assert time.monotonic() - began < 1.5
    assert lost is not None
    server.die()
