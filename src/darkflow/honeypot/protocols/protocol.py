"""What a protocol machine is: bytes of a client in, a reply out; no socket, no clock, no file.

A machine lives as long as one connection. Whatever the client says, it raises nothing, its state
and its replies are bounded, and what it learnt stands in `fields`.
"""

from __future__ import annotations

import binascii
import codecs
from typing import ClassVar, NamedTuple

# A codec is a file that is read when it is first used, and then the responder may read none.
codecs.lookup("utf-16-le")

# Bounds of what is learnt; the client's exact first bytes are kept elsewhere.
TEXT_LIMIT = 256
LIST_LIMIT = 16
LOGIN_LIMIT = 8
LINE_LIMIT = 2048
REPLY_LIMIT = 16 << 10

Value = str | int | bool | list[str] | list[list[str]]


class Reply(NamedTuple):
    """What to do next: send `data`, then close the connection, or speak TLS from here on.

    With `tls`, `rest` is what came behind the client's wish and is TLS already.
    """

    data: bytes = b""
    close: bool = False
    tls: bool = False
    rest: bytes = b""


NOTHING = Reply()


class Context(NamedTuple):
    """What a machine may know of its connection.

    address: the original destination's, as text; host: the name this "host" gives itself; marker: a
    word that banners and pages carry, or ""; nonce: 32 random bytes; tls: whether `Reply.tls`
    works; began_s: when the connection began, in seconds since 1970.
    """

    address: str
    port: int
    host: str
    marker: str = ""
    nonce: bytes = bytes(32)
    tls: bool = False
    began_s: int = 0


class Protocol:
    """One connection's talk in one protocol.

    name: what the session calls it. ports: where it is spoken from the first byte; tls_ports: where
    it is spoken inside TLS.
    """

    name: ClassVar[str] = ""
    ports: ClassVar[frozenset[int]] = frozenset()
    tls_ports: ClassVar[frozenset[int]] = frozenset()

    def __init__(self, context: Context) -> None:
        self.context = context
        self.fields: dict[str, Value] = {}

    def greeting(self) -> bytes:
        """What is said before the client says anything."""
        return b""

    def received(self, data: bytes) -> Reply:
        """The answer to some more bytes, cut anywhere; never called after a reply that closes."""
        del data
        return NOTHING

    @classmethod
    def recognises(cls, first: bytes) -> bool:
        """Whether a client that begins like this speaks this protocol, whatever the port."""
        del first
        return False

    def keep(self, key: str, value: bytes | str | int) -> None:
        """Note something once: what comes first counts."""
        if key not in self.fields:
            self.fields[key] = value if isinstance(value, int) else text(value)

    def add(self, key: str, value: bytes | str) -> None:
        """Note one more of something; the first 16 count."""
        values = self.fields.setdefault(key, [])
        if isinstance(values, list) and len(values) < LIST_LIMIT:
            values.append(text(value))  # type: ignore[arg-type] # one key has one kind of value

    def tried(self, user: bytes | str, password: bytes | str) -> None:
        """Note a login: the first as `user` and `password`, the first 8 as `logins`."""
        self.keep("user", user)
        self.keep("password", password)
        logins = self.fields.setdefault("logins", [])
        if isinstance(logins, list) and len(logins) < LOGIN_LIMIT:
            logins.append([text(user), text(password)])  # type: ignore[arg-type] # as above


class LineProtocol(Protocol):
    """A protocol of lines: `line` gets one at a time, without its end."""

    too_long: ClassVar[bytes] = b""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._rest = bytearray()

    def line(self, line: bytes) -> Reply:
        """The answer to one line."""
        del line
        return NOTHING

    def received(self, data: bytes) -> Reply:
        """Cut into lines; a line of more than 2 KiB ends the connection, as does babble."""
        rest = self._rest
        rest += data
        out = bytearray()
        start = 0
        while (end := rest.find(b"\n", start)) >= 0 and end - start <= LINE_LIMIT:
            reply = self.line(bytes(rest[start:end]).rstrip(b"\r"))
            out += reply.data
            start = end + 1
            if reply.close or reply.tls or len(out) > REPLY_LIMIT:
                rest.clear()
                return Reply(bytes(out), not reply.tls, reply.tls)
        del rest[:start]
        if len(rest) > LINE_LIMIT:
            rest.clear()
            return Reply(bytes(out) + self.too_long, close=True)
        return Reply(bytes(out))


def text(value: bytes | str) -> str:
    """Anything a client says as text that is safe to show: bounded, everything odd escaped."""
    if isinstance(value, bytes):
        value = value[:TEXT_LIMIT].decode("utf-8", "backslashreplace")
    value = value[:TEXT_LIMIT]
    if value.isprintable():
        return value
    escaped = (c if c.isprintable() else ascii(c)[1:-1] for c in value)
    return "".join(escaped)[:TEXT_LIMIT]


def word(line: bytes) -> tuple[bytes, bytes]:
    """A line's first word in capitals, and the rest."""
    first, _, rest = line.strip().partition(b" ")
    return first.upper(), rest.strip()


def marked(banner: str, context: Context) -> bytes:
    """A banner with the marker word, if there is one, behind it."""
    return (f"{banner} {context.marker}" if context.marker else banner).encode()


def base64_parts(line: bytes) -> list[bytes]:
    """The parts of a SASL message that zero bytes part; nothing when it is no base64."""
    try:
        return binascii.a2b_base64(line).split(b"\0")
    except (binascii.Error, ValueError):
        return []
