"""Event lines as syslog messages (RFC 5424), one a message, to a socket: Unix, UDP or TCP."""

from __future__ import annotations

import errno
import os
import select
import socket
import time

from darkflow.sinks.framing import Lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from darkflow.sinks.outbox import Job

LOCAL0_INFO = 16 * 8 + 6
# RFC 5424 takes no more: 6 digits of a second, and Z.
TIMESTAMP_BYTES = len("2026-03-01T10:00:00.123456Z")
HOSTNAME_BYTES = 255
POLL_MS = 100
CONNECT_S = 3.0
GROUP_BYTES = 1 << 16
# A peer that has vanished without a word is given up after so long without an acknowledgement.
USER_TIMEOUT_MS = 60_000
# Little is under way in the kernel, because that is lost unseen when the peer dies.
SEND_BUFFER_BYTES = 1 << 18
KINDS = ("syslog", "udp", "tcp")


class Address:
    """Where messages go: "syslog" with a path, or "udp" or "tcp" with host and port."""

    __slots__ = ("host", "kind", "port", "text")

    def __init__(self, kind: str, host: str, port: int, text: str) -> None:
        self.kind = kind
        self.host = host
        self.port = port
        self.text = text


def parse_address(text: str) -> Address | None:
    """The address in "syslog:/dev/log", "udp://host:port", "tcp://[::1]:514"; None: it is a file.

    ValueError says what is wrong with it.
    """
    kind, colon, rest = text.partition(":")
    if kind == "syslog" and colon:
        if not rest.startswith("/"):
            raise ValueError(f"{text!r} names no socket: write for example syslog:/dev/log")
        return Address(kind, rest, 0, text)
    if not rest.startswith("//"):
        return None
    if kind not in KINDS[1:]:
        raise ValueError(f"{text!r} is no target: write a file, syslog:/dev/log, udp:// or tcp://")
    host, _, port = rest[2:].rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    inner = host[1:-1] if bracketed else host
    well = inner and not set("[]/ ") & set(inner) and (bracketed or ":" not in inner)
    if not well or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{text!r} needs host and port: for example {kind}://192.0.2.1:514 or"
                         f" {kind}://[2001:db8::1]:514")  # fmt: skip
    return Address(kind, inner, int(port), text)


class Messages:
    """Makes messages of lines: time and type of the event in the header, the line as the text."""

    def __init__(self) -> None:
        name = "".join(c for c in socket.gethostname() if "!" <= c <= "~")[:HOSTNAME_BYTES]
        self._begin = b"<%d>1 " % LOCAL0_INFO
        self._middle = f" {name or '-'} darkflow {os.getpid()} ".encode()

    def of(self, line: bytes) -> bytes:
        """One message of one event line without its newline."""
        words = line.split(b'"', 8)
        stamp = words[3]
        if len(stamp) > TIMESTAMP_BYTES:
            stamp = stamp[: TIMESTAMP_BYTES - 1] + b"Z"
        return b"%b%b%b%b - %b" % (self._begin, stamp, self._middle, words[7], line)


class Syslog:
    """A target for event lines; it connects again by itself.

    Over TCP each message has its length before it (RFC 6587), in a Unix stream a newline behind it.
    """

    framing = Lines()

    def __init__(self, name: str, address: Address) -> None:
        self.name = name
        self._address = address
        self._messages = Messages()
        self._socket: socket.socket | None = None
        self._poll = select.poll()
        self._unsure = True  # whether anybody listens to the datagrams
        self._clear()

    def _clear(self) -> None:
        self._bytes = b""  # the group on its way, and
        self._sent = 0  # how much of it has been sent
        self._ends: list[tuple[int, int]] = []  # of its messages: (in _bytes, in the job)

    def open(self) -> None:
        """Connect, if that has not been done; OSError when nobody is there."""
        if self._socket is None:
            self._socket = _connected(self._address)
            self._poll = select.poll()
            self._poll.register(self._socket, select.POLLOUT)
            self._clear()
            self._unsure = True

    def write(self, job: Job) -> None:
        """As in Target."""
        self.open()
        assert self._socket is not None
        try:
            if self._socket.type == socket.SOCK_DGRAM:
                self._send_datagrams(job, self._socket)
            else:
                self._send_stream(job, self._socket)
        except OSError:
            job.sent = job.done
            self.close()
            raise

    def look_after(self) -> float | None:
        """As in Target: nothing is ever due."""
        return None

    def begin(self, header: bytes) -> None:
        """As in Target: there is none."""

    def reopen(self) -> None:
        """As in Target: a socket goes on."""

    def close(self) -> None:
        """As in Target."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # ---- datagrams -------------------------------------------------------------------------

    def _send_datagrams(self, job: Job, to: socket.socket) -> None:
        until_s = time.monotonic() + POLL_MS / 1000
        while job.done < len(job.data) and time.monotonic() < until_s:
            end = job.data.index(b"\n", job.done)
            try:
                to.send(self._messages.of(job.data[job.done : end]))
            except BlockingIOError:
                self._poll.poll(POLL_MS)
                return
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    time.sleep(POLL_MS / 1000)
                    return
                if error.errno != errno.EMSGSIZE:
                    raise
                job.lost += 1
            if self._unsure:
                self._ask(to)
            job.done = job.sent = end + 1

    def _ask(self, to: socket.socket) -> None:
        """That nobody listens is told a moment after a datagram was sent, and only once."""
        poll = select.poll()
        poll.register(to, 0)
        if poll.poll(POLL_MS) and (number := to.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
            raise OSError(number, os.strerror(number))
        self._unsure = False

    # ---- streams ---------------------------------------------------------------------------

    def _send_stream(self, job: Job, to: socket.socket) -> None:
        _look_for_end(to)
        while job.done < len(job.data):
            if not self._ends:
                self._gather(job, to.family == socket.AF_UNIX)
            if not self._poll.poll(POLL_MS):
                return
            try:
                count = to.send(memoryview(self._bytes)[self._sent :])
            except BlockingIOError:
                return
            self._sent += count
            given = 0
            while given < len(self._ends) and self._ends[given][0] <= self._sent:
                job.done = self._ends[given][1]
                given += 1
            del self._ends[:given]
            job.sent += count  # of what goes over the wire: it only tells that something went

    def _gather(self, job: Job, by_newline: bool) -> None:
        """The next messages in one piece."""
        self._clear()
        parts, at, size = [], job.done, 0
        while at < len(job.data) and size < GROUP_BYTES:
            end = job.data.index(b"\n", at)
            message = self._messages.of(job.data[at:end])
            parts.append(message + b"\n" if by_newline else b"%d %b" % (len(message), message))
            size += len(parts[-1])
            at = end + 1
            self._ends.append((size, at))
        self._bytes = b"".join(parts)


def _look_for_end(peer: socket.socket) -> None:
    """Nobody is expected to say anything here; an end is seen before more is sent into it."""
    try:
        if not peer.recv(4096):
            raise ConnectionResetError(errno.ECONNRESET, "the peer has closed the connection")
    except BlockingIOError:
        pass


def _connected(address: Address) -> socket.socket:
    """A non-blocking socket; OSError says why there is none."""
    if address.kind == "syslog":
        try:
            return _to_unix(address.host, socket.SOCK_DGRAM)
        except OSError as error:
            if error.errno != errno.EPROTOTYPE:
                raise
        return _to_unix(address.host, socket.SOCK_STREAM)
    kind = socket.SOCK_DGRAM if address.kind == "udp" else socket.SOCK_STREAM
    failed: OSError | None = None
    for family, _, _, _, where in socket.getaddrinfo(address.host, address.port, type=kind):
        try:
            return _to(family, kind, where)
        except OSError as error:
            failed = error
    raise failed or OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))


def _to_unix(path: str, kind: socket.SocketKind) -> socket.socket:
    return _to(socket.AF_UNIX, kind, path)


def _to(family: int, kind: socket.SocketKind, where: Any) -> socket.socket:
    made = socket.socket(family, kind)
    try:
        made.settimeout(CONNECT_S)
        if kind == socket.SOCK_STREAM and family != socket.AF_UNIX:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
        made.connect(where)
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made
