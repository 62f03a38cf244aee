"""The page over HTTP, and clients that mean harm or are merely slow."""

from __future__ import annotations

import http.client
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from darkflow.sinks import endpoint
from darkflow.sinks.endpoint import CLIENT_S, MOST_CLIENTS, MOST_REQUEST_BYTES, Endpoint


class Served:
    """An endpoint on a free port, and what it is asked of."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.trouble = ""
        self.values: dict[str, Any] | None = {"packets": 5}
        self.asked = 0
        self.endpoint = Endpoint((host, 0))
        self.endpoint.start(self._values, lambda: self.trouble)

    def _values(self) -> dict[str, Any]:
        self.asked += 1
        if self.values is None:
            raise RuntimeError("no values")
        return self.values

    def ask(self, path: str, method: str = "GET") -> tuple[int, str, dict[str, str]]:
        """Status, body, headers."""
        connection = http.client.HTTPConnection(*self.endpoint.address, timeout=4)
        connection.request(method, path)
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body, dict(answer.getheaders())

    def raw(self, *pieces: bytes) -> bytes:
        """Send bytes; all that comes back."""
        with socket.create_connection(self.endpoint.address, timeout=8) as connection:
            for piece in pieces:
                connection.sendall(piece)
            got = b""
            while piece := connection.recv(65536):
                got += piece
        return got


@pytest.fixture
def served() -> Iterator[Served]:
    """An endpoint for one test."""
    made = Served()
    yield made
    made.endpoint.close()


def test_metrics_over_http(served: Served) -> None:
    status, body, headers = served.ask("/metrics?x=1")
    assert status == 200
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = {family.name: family for family in text_string_to_metric_families(body)}
    assert found["darkflow_packets"].samples[0].value == 5


def test_health(served: Served) -> None:
    assert served.ask("/healthz")[:2] == (200, "ok\n")
    served.trouble = "worker 0 has not moved for 5 s"
    assert served.ask("/healthz")[:2] == (503, "worker 0 has not moved for 5 s\n")


def test_other_questions(served: Served) -> None:
    assert served.ask("/")[0] == 200
    assert served.ask("/other")[0] == 404
    assert served.ask("/metrics", "POST")[0] == 405
    status, body, headers = served.ask("/metrics", "HEAD")
    assert (status, body) == (200, "")
    assert int(headers["Content-Length"]) > 0
    assert served.raw(b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert served.raw(b"\x16\x03\x01\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert served.raw(b"GET / HTTP/1.1\n\n").startswith(b"HTTP/1.1 200 ")
    assert served.raw(b"GET / HT", b"TP/1.1\r\nA: b\r", b"\n\r\n").startswith(b"HTTP/1.1 200 ")


def test_ipv6() -> None:
    made = Served("::1")
    try:
        assert made.ask("/healthz")[0] == 200
    finally:
        made.endpoint.close()


def test_a_request_has_a_limit(served: Served) -> None:
    long = b"GET / HTTP/1.1\r\nX: " + b"x" * (MOST_REQUEST_BYTES - 19)
    assert served.raw(long, b"x").startswith(b"HTTP/1.1 431 ")


def test_an_error_is_told_and_the_thread_goes_on(served: Served) -> None:
    served.values = None
    assert served.ask("/metrics")[:2] == (500, "RuntimeError: no values\n")
    served.values = {"packets": 6}
    assert "darkflow_packets_total 6" in served.ask("/metrics")[1]


def test_a_page_is_made_twice_a_second_at_most(served: Served) -> None:
    until = time.monotonic() + endpoint.PAGE_S * 0.6
    asked = 0
    while time.monotonic() < until:
        served.ask("/metrics")
        asked += 1
    assert asked > 3
    assert served.asked == 1
    time.sleep(endpoint.PAGE_S)
    served.ask("/metrics")
    assert served.asked == 2


def test_slow_clients_hold_up_nobody(served: Served) -> None:
    slow = [socket.create_connection(served.endpoint.address) for _ in range(5 * MOST_CLIENTS)]
    try:
        for connection in slow:
            connection.send(b"GET /met")
        for _ in range(5):
            began = time.monotonic()
            assert served.ask("/metrics")[0] == 200
            assert time.monotonic() - began < 1
        assert len(served.endpoint._clients) <= MOST_CLIENTS
    finally:
        for connection in slow:
            connection.close()


def test_a_client_has_so_many_seconds_however_it_drips(served: Served) -> None:
    with socket.create_connection(served.endpoint.address) as connection:
        connection.settimeout(0.2)
        began, ended = time.monotonic(), False
        while not ended and time.monotonic() - began < 3 * CLIENT_S:
            try:
                connection.send(b"x")
                ended = connection.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                ended = True
        assert ended
        assert CLIENT_S - 0.5 < time.monotonic() - began < CLIENT_S + 2
    assert not served.endpoint._clients


def test_who_does_not_read_is_left(served: Served) -> None:
    served.values = {"dropped_ring": {f"eth{n}": n for n in range(400_000)}}
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(served.endpoint.address)
        connection.send(b"GET /metrics HTTP/1.1\r\n\r\n")
        time.sleep(1)
        assert served.ask("/healthz")[0] == 200
        time.sleep(CLIENT_S)
        assert not served.endpoint._clients


def test_many_clients_cost_little(served: Served) -> None:
    """Asked as fast as eight threads can, it answers and takes a fraction of a core."""

    def hammer() -> None:
        while time.monotonic() < until:
            try:
                served.ask("/metrics")
            except OSError:
                continue

    until = time.monotonic() + 1.5
    threads = [threading.Thread(target=hammer) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    before = cpu_s(served)
    time.sleep(1)
    used = cpu_s(served) - before
    for thread in threads:
        thread.join()
    assert used < 0.25


def cpu_s(served: Served) -> float:
    """CPU time of the endpoint's thread."""
    number = served.endpoint._thread.native_id
    words = Path(f"/proc/self/task/{number}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def test_an_address_that_is_taken_is_an_error(served: Served) -> None:
    with pytest.raises(OSError, match="in use") as caught:
        Endpoint(served.endpoint.address)
    assert caught.value.filename == f"--metrics 127.0.0.1:{served.endpoint.address[1]}"
