"""The responder's reports: a JSON line for each connection, and on its state; writer and reader.

The writer never waits for the reader: lines wait in a buffer with a limit, and what finds no room
there is counted. The reader trusts nothing: the writer speaks with anybody.
"""

from __future__ import annotations

import base64
import binascii
import errno
import ipaddress
import json
import os
import socket
import stat
from collections import deque
from typing import Any, NamedTuple

# Longer lines go without what the client said of itself.
LINE_LIMIT = 128 << 10
BUFFER_BYTES = 8 << 20
ENDS = ("client", "reset", "served", "idle", "time", "limit", "stop", "error")

Flow = tuple[bytes, int, bytes, int]


class Report(NamedTuple):
    """One connection, as the parent reads it.

    began_ns and ended_ns since 1970. service: what was spoken, or "". end: one of `ENDS`. payload:
    the first bytes of the client (sha256 is theirs, in hex), decrypted: its first bytes inside TLS.
    fields: what was learnt, by protocol.
    """

    flow: Flow
    began_ns: int
    ended_ns: int
    service: str
    end: str
    bytes_in: int
    bytes_out: int
    payload: bytes
    sha256: str
    decrypted: bytes
    fields: dict[str, dict[str, Any]]


class State(NamedTuple):
    """How the responder is: open connections, and counters since its start.

    refused: connections beyond the limit; tls_refused: TLS sessions beyond theirs; errors: talks
    that a plugin's fault ended; dropped_reports: lines that nobody took.
    """

    open: int
    accepted: int
    refused: int
    tls_open: int
    tls_refused: int
    errors: int
    dropped_reports: int


def encode(values: dict[str, Any]) -> bytes:
    """One line; ASCII, whatever the client has said."""
    try:
        line = json.dumps(values, separators=(",", ":")).encode() + b"\n"
    except (TypeError, ValueError):
        line = b""
    if not line or len(line) > LINE_LIMIT:
        values = {**values, "fields": {}, "fields_dropped": True}
        line = json.dumps(values, separators=(",", ":")).encode() + b"\n"
    return line


def read(line: bytes) -> Report | State:
    """A line's content. ValueError when it is none of the responder's."""
    if len(line) > LINE_LIMIT + 1:
        raise ValueError(f"a report of {len(line)} bytes")
    try:
        values = json.loads(line)
        if values["type"] == "state":
            return State(*(_count(values[name]) for name in State._fields))
        if values["type"] != "connection":
            raise ValueError(f"no such type: {str(values['type'])[:64]!r}")
        flow = (
            ipaddress.ip_address(str(values["orig_addr"])).packed,
            _count(values["orig_port"], 65535),
            ipaddress.ip_address(str(values["resp_addr"])).packed,
            _count(values["resp_port"], 65535),
        )
        fields = values["fields"]
        if not isinstance(fields, dict) or not all(isinstance(f, dict) for f in fields.values()):
            raise ValueError("fields are no objects")
        if values["end"] not in ENDS or len(flow[0]) != len(flow[2]):
            raise ValueError("no such end, or two families")
        return Report(
            flow,
            _count(values["began_ns"]),
            _count(values["ended_ns"]),
            str(values["service"] or "")[:64],
            values["end"],
            _count(values["bytes_in"]),
            _count(values["bytes_out"]),
            base64.b64decode(values["payload"], validate=True),
            str(values["sha256"])[:64],
            base64.b64decode(values["decrypted"], validate=True),
            fields,
        )
    except (KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise ValueError(f"not a report: {error!r}") from None


def _count(value: object, most: int = (1 << 63) - 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError(f"{value!r} is no number from 0 to {most}")
    return value


class Reports:
    """Hands lines to whoever reads them: a pipe, a Unix socket, a file, or standard output.

    `dropped` counts those that found no room. `is_over` says that the reader has gone for good.
    """

    def __init__(self, target: str) -> None:
        """`target`: the number of an open file, a Unix socket's path, or - (standard output)."""
        self.dropped = 0
        self.is_over = False
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._socket: socket.socket | None = None
        self._fd = -1
        if target == "-":
            self._fd = 1
        elif target.isascii() and target.isdigit():
            self._take(int(target))
        else:
            self._connect(target)

    @property
    def fileno(self) -> int:
        """What becomes writable when more can be handed over."""
        return self._fd

    @property
    def is_waiting(self) -> bool:
        """Whether lines wait."""
        return bool(self._waiting)

    def write(self, line: bytes) -> None:
        """Hand one over, now or when there is room."""
        if self.is_over or self._waiting_bytes + len(line) > BUFFER_BYTES:
            self.dropped += 1
            return
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        self.flush()

    def flush(self) -> None:
        """Hand over what the reader has room for."""
        while self._waiting:
            line = self._waiting[0]
            try:
                sent = self._send(line)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self._gone()
                return
            self._waiting.popleft()
            self._waiting_bytes -= len(line)
            if sent < len(line):
                # A stream that took a part; the rest comes first.
                self._waiting.appendleft(line[sent:])
                self._waiting_bytes += len(line) - sent

    def _send(self, line: bytes) -> int:
        if self._socket is not None:
            return self._socket.send(line)
        return os.write(self._fd, line)

    def _gone(self) -> None:
        self.is_over = True
        self.dropped += len(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0

    def _take(self, fd: int) -> None:
        mode = os.fstat(fd).st_mode
        os.set_blocking(fd, stat.S_ISREG(mode))
        self._fd = fd
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=fd)

    def _connect(self, path: str) -> None:
        for kind in (socket.SOCK_SEQPACKET, socket.SOCK_DGRAM, socket.SOCK_STREAM):
            sock = socket.socket(socket.AF_UNIX, kind)
            sock.setblocking(False)
            try:
                sock.connect(path)
            except OSError as error:
                sock.close()
                if error.errno != errno.EPROTOTYPE or kind == socket.SOCK_STREAM:
                    raise
            else:
                self._socket, self._fd = sock, sock.fileno()
                return
