"""The sensor's web page for Prometheus: /metrics and /healthz, from one thread that cannot stall.

Not http.server, whose threads are as many as its clients and which waits for slow ones. Here all
clients are served in turn, without waiting; each has a number of bytes and of seconds, and who
comes when there is no room takes the place of whoever has been there longest. A page is made at
most twice a second, however often it is asked for.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from darkflow.sinks.prometheus import CONTENT_TYPE, render

MOST_CLIENTS = 16
MOST_REQUEST_BYTES = 8192
CLIENT_S = 5.0
PAGE_S = 0.5
# After each round: some hundred requests a second are answered, and no CPU is burnt on more.
REST_S = 0.02
PLAIN = "text/plain; charset=utf-8"
INDEX = "darkflow: /metrics for Prometheus, /healthz for who watches the watchman\n"
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed",
           431: "Request Header Fields Too Large", 500: "Internal Server Error",
           503: "Service Unavailable"}  # fmt: skip


class _Client:
    """One connection: what it asks, then what it is still to be sent."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.socket = connection
        self.until_s = time.monotonic() + CLIENT_S
        self.asked = b""
        self.answer = memoryview(b"")


class Endpoint:
    """Listens at `address` from the moment it is made; `start` begins to answer.

    OSError, with the address in it, when it cannot be had.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self._values: Callable[[], dict[str, Any]] = dict
        self._trouble: Callable[[], str] = str
        self._page = (-PAGE_S, "")
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        try:
            self._listener = socket.create_server(address, family=family, backlog=64)
        except OSError as error:
            host = f"[{address[0]}]" if family == socket.AF_INET6 else address[0]
            why = os.strerror(error.errno or errno.EADDRINUSE)
            raise OSError(error.errno, why, f"--metrics {host}:{address[1]}") from None
        self._listener.setblocking(False)
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._clients: dict[int, _Client] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="darkflow metrics", daemon=True)
        self._closing = False

    def start(self, values: Callable[[], dict[str, Any]], trouble: Callable[[], str]) -> None:
        """Answer from now on, in a thread that ends with the program and calls both of these.

        `values`: the metrics by name (see Metric); `trouble`: why the sensor is not well, or "".
        """
        self._values = values
        self._trouble = trouble
        self._thread.start()

    def close(self) -> None:
        """Stop answering and give the address back."""
        self._closing = True
        if self._thread.is_alive():
            self._thread.join()
        for client in list(self._clients.values()):
            self._leave(client)
        self._selector.close()
        self._listener.close()

    def _run(self) -> None:
        while not self._closing:
            ready = self._selector.select(0.5)
            for key, _ in ready:
                if key.fileobj is self._listener:
                    self._accept()
                elif (client := self._clients.get(key.fd)) is not None:
                    self._serve(client)
            now_s = time.monotonic()
            for client in [one for one in self._clients.values() if one.until_s < now_s]:
                self._leave(client)
            if ready:
                time.sleep(REST_S)

    def _accept(self) -> None:
        for _ in range(MOST_CLIENTS // 2):
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return  # nobody there any more, or no file descriptor free
            if len(self._clients) == MOST_CLIENTS:
                self._leave(next(iter(self._clients.values())))
            client = _Client(connection)
            self._clients[connection.fileno()] = client
            self._selector.register(connection, selectors.EVENT_READ)

    def _leave(self, client: _Client) -> None:
        del self._clients[client.socket.fileno()]
        self._selector.unregister(client.socket)
        client.socket.close()

    def _serve(self, client: _Client) -> None:
        try:
            if not client.answer:
                got = client.socket.recv(MOST_REQUEST_BYTES)
                client.asked += got
                whole = b"\r\n\r\n" in client.asked or b"\n\n" in client.asked
                if len(client.asked) > MOST_REQUEST_BYTES:
                    client.answer = memoryview(_answer(431, "too long\n"))
                elif whole:
                    client.answer = memoryview(self._answer(client.asked))
                elif not got:
                    self._leave(client)
                    return
                else:
                    return
                self._selector.modify(client.socket, selectors.EVENT_WRITE)
            client.answer = client.answer[client.socket.send(client.answer) :]
            if not client.answer:
                client.socket.shutdown(socket.SHUT_WR)
                self._leave(client)
        except BlockingIOError:
            return
        except OSError:
            self._leave(client)

    def _answer(self, asked: bytes) -> bytes:
        words = asked.split(b"\n", 1)[0].split()
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            return _answer(400, "what is this?\n")
        if words[0] not in (b"GET", b"HEAD"):
            return _answer(405, "only GET and HEAD\n")
        try:
            answer = self._resource(words[1].partition(b"?")[0])
        except Exception as error:
            # Whatever it is, this thread goes on; who asks is told.
            answer = _answer(500, f"{type(error).__name__}: {error}\n")
        return answer if words[0] == b"GET" else answer[: answer.index(b"\r\n\r\n") + 4]

    def _resource(self, path: bytes) -> bytes:
        if path == b"/metrics":
            made_s, page = self._page
            if time.monotonic() - made_s >= PAGE_S:
                page = render(self._values())
                self._page = (time.monotonic(), page)
            return _answer(200, page, CONTENT_TYPE)
        if path == b"/healthz":
            trouble = self._trouble()
            return _answer(503, f"{trouble}\n") if trouble else _answer(200, "ok\n")
        return _answer(200, INDEX) if path == b"/" else _answer(404, INDEX)


def _answer(status: int, text: str, kind: str = PLAIN) -> bytes:
    body = text.encode()
    head = (
        f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
