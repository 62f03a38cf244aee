"""One connection of the responder: a socket on one side, a conversation on the other."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import time
import zlib
from typing import TYPE_CHECKING, Any, Protocol

from darkflow.honeypot.conversation import Conversation
from darkflow.honeypot.protocols.protocol import Context, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from darkflow.honeypot.encryption import Encryption
    from darkflow.honeypot.protocols.table import Protocols
    from darkflow.honeypot.settings import Limits

    class Loop(Protocol):
        """What is needed of asyncio's loop."""

        def time(self) -> float:
            """Seconds."""

        def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
            """Call when there is something to read."""

        def remove_reader(self, fd: int) -> bool:
            """No more."""

        def add_writer(self, fd: int, callback: Callable[[], None]) -> None:
            """Call when there is room to write."""

        def remove_writer(self, fd: int) -> bool:
            """No more."""


READ_BYTES = 16 << 10
# So long a client has to end a connection that we have ended: its last words cause no reset.
LINGER_S = 2.0
# linux/netfilter_ipv4.h, linux/netfilter_ipv6/ip6_tables.h: the same number on two levels.
_SO_ORIGINAL_DST = 80

Address = tuple[str, int]


class Surroundings:
    """What all connections share."""

    def __init__(
        self, loop: Loop, limits: Limits, protocols: Protocols, encryption: Encryption | None
    ) -> None:
        self.loop = loop
        self.limits = limits
        self.protocols = protocols
        self.encryption = encryption

    def closed(self, connection: Connection) -> None:
        """A connection has ended."""

    def failed(self, service: str, error: Exception) -> None:
        """A protocol's machine raised something."""


class Connection:
    """Reads, answers, and ends."""

    __slots__ = (
        "_around", "_began_s", "_bytes_in", "_bytes_out", "_fd", "_is_writing", "_kept", "_last_s",
        "_sock", "_talk", "_waiting", "began_ns", "end", "ended_ns", "orig", "resp",
    )  # fmt: skip

    def __init__(
        self, around: Surroundings, sock: socket.socket, orig: Address, resp: Address
    ) -> None:
        self._around = around
        self._sock = sock
        self._fd = sock.fileno()
        self.orig, self.resp = orig, resp
        self.began_ns, self.ended_ns = time.time_ns(), 0
        self._began_s = self._last_s = around.loop.time()
        self._bytes_in = self._bytes_out = 0
        self._kept = b""
        # What the client has not taken yet; nothing is read while there is some.
        self._waiting = b""
        self._is_writing = False
        # Why it ended, one of `reports.ENDS`; "" as long as it has not.
        self.end = ""
        limits = around.limits
        context = Context(
            address=resp[0],
            port=resp[1],
            host=host_name(resp[0]),
            marker=limits.marker,
            nonce=os.urandom(32),
            tls=around.encryption is not None,
            began_s=self.began_ns // 1_000_000_000,
        )
        self._talk = Conversation(around.protocols, context, around.encryption, limits.kept)

    def open(self) -> None:
        """Begin."""
        self._around.loop.add_reader(self._fd, self._readable)
        try:
            self._answer(self._talk.opened())
        except Exception as error:  # a plugin's fault ends its own connection, no other
            self._failed(error)

    def check(self, now_s: float) -> None:
        """End it when its time is over."""
        limits = self._around.limits
        if self.end:
            if now_s - self._last_s > LINGER_S:
                self.close(self.end)
        elif now_s - self._last_s > limits.idle_s:
            self.close("idle")
        elif now_s - self._began_s > limits.time_s:
            self.close("time")

    def close(self, end: str) -> None:
        """End it at once; the first reason counts."""
        if self._fd < 0:
            return
        self._ends(end)
        loop = self._around.loop
        if self._is_writing:
            loop.remove_writer(self._fd)
        loop.remove_reader(self._fd)
        self._sock.close()
        self._fd = -1
        self._around.closed(self)

    def record(self) -> dict[str, Any]:
        """What the reports say of it, once it has ended."""
        return {
            "type": "connection",
            "orig_addr": self.orig[0],
            "orig_port": self.orig[1],
            "resp_addr": self.resp[0],
            "resp_port": self.resp[1],
            "began_ns": self.began_ns,
            "ended_ns": max(self.ended_ns, self.began_ns),
            "service": self._talk.service,
            "end": self.end,
            "bytes_in": self._bytes_in,
            "bytes_out": self._bytes_out,
            "payload": base64.b64encode(self._kept).decode(),
            "sha256": hashlib.sha256(self._kept).hexdigest() if self._kept else "",
            "decrypted": base64.b64encode(self._talk.decrypted).decode(),
            "fields": self._talk.fields(),
        }

    def _ends(self, end: str) -> None:
        if not self.end:
            self.end = end
            self.ended_ns = time.time_ns()
            self._talk.ended()

    def _finish(self, end: str) -> None:
        """End it from our side: what was said goes out, and the client's last words are heard."""
        self._ends(end)
        self._last_s = self._around.loop.time()
        if not self._waiting:
            self._shut()

    def _shut(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close("reset")

    def _readable(self) -> None:
        try:
            data = self._sock.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close("reset")
            return
        if not data:
            self.close("client")
            return
        self._bytes_in += len(data)
        if self.end:
            return
        self._last_s = self._around.loop.time()
        limits = self._around.limits
        if len(self._kept) < limits.kept:
            self._kept += data[: limits.kept - len(self._kept)]
        try:
            self._answer(self._talk.received(data))
        except Exception as error:  # as above
            self._failed(error)
        if not self.end and max(self._bytes_in, self._bytes_out) > limits.bytes:
            self._finish("limit")

    def _failed(self, error: Exception) -> None:
        self._around.failed(self._talk.service or "", error)
        self.close("error")

    def _answer(self, reply: Reply) -> None:
        if reply.data:
            self._waiting += reply.data
            self._writable()
        if reply.close and not self.end:
            self._finish("served")

    def _writable(self) -> None:
        try:
            sent = self._sock.send(self._waiting)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self.close("reset")
            return
        self._bytes_out += sent
        self._waiting = self._waiting[sent:]
        if bool(self._waiting) != self._is_writing:
            self._is_writing = not self._is_writing
            self._turn()

    def _turn(self) -> None:
        """From reading to writing, or back."""
        loop = self._around.loop
        if self._is_writing:
            loop.remove_reader(self._fd)
            loop.add_writer(self._fd, self._writable)
            return
        loop.remove_writer(self._fd)
        loop.add_reader(self._fd, self._readable)
        if self.end:
            self._shut()


def destination(sock: socket.socket, listening_port: int) -> Address:
    """Where the client wanted to go.

    AnyIP and TPROXY keep that as the socket's own address. Redirected connections have the
    listener's port, and the kernel knows what they had before (linux/netfilter_ipv4.h).
    """
    name = sock.getsockname()
    if name[1] == listening_port:
        for level, size in ((socket.IPPROTO_IPV6, 28), (socket.IPPROTO_IP, 16)):
            try:
                found = sock.getsockopt(level, _SO_ORIGINAL_DST, size)
            except OSError:
                continue
            port = int.from_bytes(found[2:4], "big")
            if size == 28:
                return socket.inet_ntop(socket.AF_INET6, found[8:24]), port
            return socket.inet_ntop(socket.AF_INET, found[4:8]), port
    return plain_address(name)


def plain_address(name: Any) -> Address:
    """Address and port of a socket's name; an IPv4 address in IPv6's clothes as IPv4."""
    host = name[0].partition("%")[0]
    return host.removeprefix("::ffff:") if "." in host else host, name[1]


def host_name(address: str) -> str:
    """What the "host" of this address calls itself: always the same, and each another."""
    return f"srv-{zlib.crc32(address.encode()) & 0xFFFF:04x}"
