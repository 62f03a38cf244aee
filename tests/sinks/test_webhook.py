"""The webhook against a real HTTP server on this machine: taken, refused, slow, gone and back."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from darkflow.sinks.outbox import Outbox
from darkflow.sinks.webhook import Webhook, parse_url
from outboxes import wait_for


class Server:
    """Takes documents; answers with the statuses it is given, then 200."""

    def __init__(self, port: int = 0) -> None:
        self.documents: list[Any] = []
        self.heads: list[tuple[str, str]] = []
        self.statuses: list[int] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = server.statuses.pop(0) if server.statuses else 200
                if status == 200:
                    server.documents.append(json.loads(body))
                server.heads.append((self.path, self.headers["Content-Type"]))
                self.send_response(status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = HTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def serving(port: int = 0) -> Iterator[Server]:
    """For a while."""
    server = Server(port)
    try:
        yield server
    finally:
        server.stop()


def box_to(port: int, said: list[str], limit_bytes: int = 1 << 20) -> Outbox:
    """An outbox whose target is there."""
    return Outbox(Webhook(parse_url(f"http://127.0.0.1:{port}/a?b=c")), limit_bytes, said.append)


def line(number: int) -> bytes:
    """A document."""
    return b'{"n":%d}\n' % number


def test_each_line_is_a_document() -> None:
    said: list[str] = []
    with serving() as server:
        box = box_to(server.port, said)
        for number in range(20):
            box.put(line(number), 1)
        assert box.close(time.monotonic() + 10) is None
    assert server.documents == [{"n": number} for number in range(20)]
    assert set(server.heads) == {("/a?b=c", "application/json")}
    assert (box.written, box.dropped, said) == (20, 0, [])


def test_what_fails_is_tried_again_and_what_is_refused_for_ever_is_lost() -> None:
    said: list[str] = []
    with serving() as server:
        server.statuses = [503, 429, 200, 400, 404]
        box = box_to(server.port, said)
        for number in range(4):
            box.put(line(number), 1)
        wait_for(lambda: box.written + box.dropped == 4)
        assert box.close(time.monotonic() + 5) is None
    # 0 is tried three times, 1 is refused for what it is, 2 twice.
    assert [document["n"] for document in server.documents] == [0, 2, 3]
    assert (box.written, box.dropped) == (3, 1)
    assert "HTTP status 503" in said[0]
    assert all("/a?b=c" not in one for one in said), "the path may be a secret"


def test_a_server_that_is_gone_gets_all_when_it_is_back() -> None:
    said: list[str] = []
    with serving() as server:
        port = server.port
    box = box_to(port, said)
    box.put(line(1), 1)
    wait_for(lambda: bool(said))
    assert "Connection refused; trying again" in said[0]
    with serving(port) as server:
        wait_for(lambda: box.written == 1)
        box.put(line(2), 1)
        wait_for(lambda: box.written == 2)
        assert box.close(time.monotonic() + 5) is None
    assert server.documents == [{"n": 1}, {"n": 2}]
    assert "written again" in said[-1]


def test_the_queue_is_bounded_and_the_end_does_not_wait_for_ever() -> None:
    said: list[str] = []
    with serving() as server:
        port = server.port
    box = box_to(port, said, 2000)
    for number in range(100):
        box.put(line(number), 1)
    began_s = time.monotonic()
    lost = box.close(time.monotonic() + 0.5)
    assert time.monotonic() - began_s < 2
    assert lost is not None
    assert "could not be written" in lost
    assert (box.written, box.dropped) == (0, 100)


@pytest.mark.parametrize(
    "text",
    ["http://", "https:///x", "http://h:99999/", "http://a b/", "http://u:p@h/", "http://[::1/"],
)
def test_what_is_no_address_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=r"no address|leave them out"):
        parse_url(text)


def test_ports_and_paths() -> None:
    secure = parse_url("https://hooks.example.net")
    assert (secure.secure, secure.port, secure.path) == (True, 443, "/")
    assert secure.name == "https://hooks.example.net:443"
    assert parse_url("http://[::1]:8080/x").host == "::1"
