"""One connection: real sockets, and a loop whose clock the test turns."""

from __future__ import annotations

import base64
import hashlib
import select
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from darkflow.honeypot.connection import (
    LINGER_S,
    Connection,
    Surroundings,
    destination,
    host_name,
    plain_address,
)
from darkflow.honeypot.protocols.http import Http
from darkflow.honeypot.protocols.protocol import Protocol, Reply
from darkflow.honeypot.protocols.table import BUILT_IN, Protocols
from darkflow.honeypot.settings import Limits

GET = b"GET / HTTP/1.1\r\n\r\n"
LAST = b"GET / HTTP/1.0\r\n\r\n"


class Loop:
    """Calls whoever waits, whenever the test wants it to."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.readers: dict[int, Callable[[], None]] = {}
        self.writers: dict[int, Callable[[], None]] = {}

    def time(self) -> float:
        """Seconds."""
        return self.now_s

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        """As asyncio's."""
        self.readers[fd] = callback

    def remove_reader(self, fd: int) -> bool:
        """As asyncio's."""
        return self.readers.pop(fd, None) is not None

    def add_writer(self, fd: int, callback: Callable[[], None]) -> None:
        """As asyncio's."""
        self.writers[fd] = callback

    def remove_writer(self, fd: int) -> bool:
        """As asyncio's."""
        return self.writers.pop(fd, None) is not None

    def turn(self) -> None:
        """Serve everybody until nobody has anything to do."""
        while True:
            readable, writable, _ = select.select(list(self.readers), list(self.writers), [], 0)
            if not readable and not writable:
                return
            for fd in readable:
                if fd in self.readers:
                    self.readers[fd]()
            for fd in writable:
                if fd in self.writers:
                    self.writers[fd]()


class Around(Surroundings):
    """Remembers what it is told."""

    def __init__(self, limits: Limits, kinds: tuple[type[Protocol], ...]) -> None:
        self.own = Loop()
        super().__init__(self.own, limits, Protocols(kinds), None)
        self.records: list[dict[str, Any]] = []
        self.faults: list[str] = []

    def closed(self, connection: Connection) -> None:
        """One more record."""
        self.records.append(connection.record())

    def failed(self, service: str, error: Exception) -> None:
        """One more fault."""
        self.faults.append(f"{service}: {error}")


class Pair:
    """A connection of the responder's and its client."""

    def __init__(
        self, port: int, limits: Limits | None = None, kinds: tuple[type[Protocol], ...] = BUILT_IN
    ) -> None:
        server = socket.create_server(("127.0.0.1", 0))
        self.client = socket.create_connection(server.getsockname())
        sock, peer = server.accept()
        server.close()
        sock.setblocking(False)
        self.client.settimeout(5)
        self.around = Around(limits or Limits(), kinds)
        self.connection = Connection(self.around, sock, plain_address(peer), ("203.0.113.9", port))
        self.connection.open()

    def say(self, data: bytes) -> bytes:
        """What is said to that at once."""
        self.client.sendall(data)
        return self.hear()

    def hear(self, seconds: float = 0) -> bytes:
        """Let the responder work; what it has said by then."""
        self.around.own.turn()
        readable, _, _ = select.select([self.client], [], [], seconds)
        return self.client.recv(1 << 20) if readable else b""

    def pass_time(self, seconds: float) -> None:
        """Turn the clock, and look after the connection."""
        self.around.own.now_s += seconds
        self.connection.check(self.around.own.now_s)

    @property
    def record(self) -> dict[str, Any]:
        """Of the connection, which has ended."""
        (record,) = self.around.records
        return record


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    """Closes the clients that a test makes."""
    made: list[Pair] = []
    yield made
    for pair in made:
        pair.client.close()
        pair.connection.close("stop")
        assert not pair.around.own.readers
        assert not pair.around.own.writers


def test_a_clients_visit(pairs: list[Pair]) -> None:
    pairs.append(pair := Pair(80))
    page = pair.say(GET)
    assert page.startswith(b"HTTP/1.1 200 OK\r\n")
    assert pair.around.records == []
    name = pair.client.getsockname()
    pair.client.close()
    pair.around.own.turn()
    record = pair.record
    assert record["end"] == "client"
    assert (record["orig_addr"], record["orig_port"]) == name
    assert (record["resp_addr"], record["resp_port"]) == ("203.0.113.9", 80)
    assert (record["bytes_in"], record["bytes_out"]) == (len(GET), len(page))
    assert base64.b64decode(record["payload"]) == GET
    assert record["sha256"] == hashlib.sha256(GET).hexdigest()
    assert record["service"] == "http"
    assert record["fields"]["http"]["path"] == "/"
    assert record["began_ns"] <= record["ended_ns"]


def test_servers_that_speak_first_do_so(pairs: list[Pair]) -> None:
    pairs.append(pair := Pair(21))
    assert pair.hear().startswith(b"220 ")
    pairs.append(silent := Pair(40404))
    assert silent.hear() == b""
    silent.connection.close("stop")
    assert silent.record["service"] is None
    assert silent.record["sha256"] == silent.record["payload"] == ""


def test_after_our_end_the_clients_last_words_are_heard(pairs: list[Pair]) -> None:
    pairs.append(pair := Pair(80))
    assert pair.say(LAST).startswith(b"HTTP/1.1 200")
    assert pair.client.recv(100) == b""
    pair.say(b"more that nobody answers")
    assert pair.around.records == []
    pair.pass_time(LINGER_S - 0.1)
    assert pair.around.records == []
    pair.client.close()
    pair.around.own.turn()
    assert pair.record["end"] == "served"
    assert pair.record["bytes_in"] == len(LAST) + 24
    assert base64.b64decode(pair.record["payload"]) == LAST


def test_a_client_that_does_not_end_is_ended(pairs: list[Pair]) -> None:
    pairs.append(pair := Pair(80))
    pair.say(LAST)
    pair.pass_time(LINGER_S + 0.1)
    assert pair.record["end"] == "served"


def test_silence_and_length_end_it(pairs: list[Pair]) -> None:
    pairs.append(pair := Pair(80, Limits(idle_s=15, time_s=60)))
    pair.pass_time(14.9)
    pair.say(b"G")
    pair.pass_time(14.9)
    assert pair.around.records == []
    pair.pass_time(0.2)
    assert pair.record["end"] == "idle"
    assert pair.client.recv(100) == b""
    pairs.append(pair := Pair(80, Limits(idle_s=15, time_s=60)))
    for _ in range(6):
        pair.say(b"G")
        pair.pass_time(10)
    assert pair.around.records == []
    pair.say(b"G")
    pair.pass_time(0.1)
    assert pair.record["end"] == "time"


def test_a_reset_is_told_from_an_end(pairs: list[Pair]) -> None:
    pairs.append(pair := Pair(80))
    pair.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    pair.client.close()
    pair.around.own.turn()
    assert pair.record["end"] == "reset"


def test_so_much_and_no_more_is_kept_and_heard(pairs: list[Pair]) -> None:
    pairs.append(pair := Pair(40404, Limits(kept=10, bytes=1000)))
    pair.say(b"?" * 6)
    pair.say(b"!" * 994)
    assert pair.connection.end == ""
    pair.say(b"!")
    assert pair.connection.end == "limit"
    pair.client.close()
    pair.around.own.turn()
    assert base64.b64decode(pair.record["payload"]) == b"?" * 6 + b"!" * 4
    assert pair.record["bytes_in"] == 1001
    pairs.append(pair := Pair(40404, Limits(kept=0)))
    pair.say(GET)
    pair.connection.close("stop")
    assert pair.record["payload"] == pair.record["sha256"] == ""


def test_who_does_not_listen_is_not_listened_to(pairs: list[Pair]) -> None:
    class Loud(Http):
        """Says a megabyte."""

        def received(self, data: bytes) -> Reply:
            """Whatever it is told."""
            del data
            return Reply(b"x" * (1 << 20))

    pairs.append(pair := Pair(80, Limits(bytes=1 << 30), (Loud,)))
    own = pair.around.own
    for _ in range(100):
        pair.client.sendall(b"y" * 1000)
        own.turn()
    # Most of that stays in the kernel, and no more than one answer waits here.
    assert not own.readers
    assert len(own.writers) == 1
    heard = 0
    while part := pair.hear(0.3):
        heard += len(part)
    # As it listened again, both directions went on.
    assert own.readers
    assert not own.writers
    assert heard >= 2 << 20
    assert heard % (1 << 20) == 0
    pair.client.close()
    own.turn()
    assert pair.record["end"] == "client"
    assert pair.record["bytes_out"] == heard


def test_what_waits_is_sent_before_our_end(pairs: list[Pair]) -> None:
    class Loud(Http):
        """Says much, then ends."""

        def received(self, data: bytes) -> Reply:
            """Whatever it is told."""
            del data
            return Reply(b"x" * (8 << 20), close=True)

    pairs.append(pair := Pair(80, Limits(bytes=1 << 30), (Loud,)))
    pair.client.sendall(b"y")
    total = 0
    while part := pair.client.recv(1 << 20) if total else pair.hear():
        total += len(part)
        pair.around.own.turn()
    assert total == 8 << 20
    pair.client.close()
    pair.around.own.turn()
    assert pair.record["end"] == "served"
    assert pair.record["bytes_out"] == 8 << 20


def test_a_fault_of_a_plugin_ends_its_connection_alone(pairs: list[Pair]) -> None:
    class Faulty(Http):
        """Fails."""

        def received(self, data: bytes) -> Reply:
            """Never answers."""
            raise RuntimeError(f"broken by {len(data)} bytes")

    class Unborn(Http):
        """Cannot even be made."""

        def greeting(self) -> bytes:
            """Never greets."""
            raise RuntimeError("unborn")

    class Wrong(Http):
        """Answers with something else."""

        def received(self, data: bytes) -> Reply:
            """Not bytes."""
            del data
            return Reply("text")  # type: ignore[arg-type]

    for kind, fault in (
        (Faulty, "http: broken by 18 bytes"),
        (Wrong, "http: "),
        (Unborn, ": unborn"),
    ):
        pairs.append(pair := Pair(80, kinds=(kind,)))
        pair.say(GET)
        assert pair.record["end"] == "error"
        assert pair.around.faults[0].startswith(fault)


def test_the_first_reason_counts(pairs: list[Pair]) -> None:
    pairs.append(pair := Pair(80))
    pair.connection.close("idle")
    pair.connection.close("stop")
    assert pair.record["end"] == "idle"


# ---- addresses ------------------------------------------------------------------------------


def test_without_redirection_the_sockets_own_address_is_the_destination() -> None:
    for address in ("127.0.0.1", "::1"):
        with socket.create_server(
            (address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET
        ) as server:
            port = server.getsockname()[1]
            with socket.create_connection((address, port)) as client:
                sock, peer = server.accept()
                with sock:
                    assert destination(sock, port) == (address, port)
                    assert destination(sock, 1) == (address, port)
                    assert plain_address(peer) == client.getsockname()[:2]


def test_names_of_sockets() -> None:
    assert plain_address(("192.0.2.1", 80)) == ("192.0.2.1", 80)
    assert plain_address(("::ffff:192.0.2.1", 80, 0, 0)) == ("192.0.2.1", 80)
    assert plain_address(("fe80::1%eth0", 80, 0, 2)) == ("fe80::1", 80)
    assert plain_address(("2001:db8::ffff:1", 80, 0, 0)) == ("2001:db8::ffff:1", 80)


def test_each_address_has_a_name_of_its_own_that_stays() -> None:
    assert host_name("203.0.113.9") == host_name("203.0.113.9") == "srv-5871"
    names = {host_name(f"203.0.113.{last}") for last in range(256)}
    assert len(names) > 250
