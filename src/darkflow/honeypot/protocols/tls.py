"""TLS as the client offers it: the ClientHello (RFC 8446 4.1.2) and its fingerprints JA3 and JA4.

JA3: https://github.com/salesforce/ja3 (BSD 3-Clause). JA4 of TLS clients:
https://github.com/FoxIO-LLC/ja4/blob/main/technical_details/JA4.md (BSD 3-Clause; the others of
JA4+ are not, and are not here).
"""

from __future__ import annotations

import hashlib
import struct

from darkflow.honeypot.protocols.protocol import LIST_LIMIT, Value, text

RECORD_LIMIT = 16 << 10
HELLO_LIMIT = 16 << 10
HANDSHAKE, CLIENT_HELLO = 22, 1
SERVER_NAME, GROUPS, POINT_FORMATS, SIGNATURES, ALPN, VERSIONS = 0, 10, 11, 13, 16, 43
# A fatal alert, "handshake failure": the answer of a server that can do nothing for this client.
REFUSAL = b"\x15\x03\x01\x00\x02\x02\x28"

_JA4_VERSIONS = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 2: "s2"}
_NAMES = {
    0x0304: "TLS 1.3",
    0x0303: "TLS 1.2",
    0x0302: "TLS 1.1",
    0x0301: "TLS 1.0",
    0x0300: "SSL 3",
}


def recognises(first: bytes) -> bool:
    """A handshake record that begins with a ClientHello."""
    return first[:2] == b"\x16\x03" and len(first) > 5 and first[5] == CLIENT_HELLO


def may_begin(first: bytes) -> bool:
    """Whether more bytes are needed to tell."""
    return len(first) < 6 and (b"\x16\x03".startswith(first[:2]))


class HelloReader:
    """Puts a ClientHello together from the client's first bytes, however they are cut."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._message = bytearray()
        self.is_done = False

    def feed(self, data: bytes) -> Hello | None:
        """The ClientHello, once, when it is whole; `is_done` too when there will be none."""
        if self.is_done:
            return None
        self._rest += data
        while len(self._rest) >= 5:
            kind, _, length = struct.unpack_from("!BHH", self._rest)
            if kind != HANDSHAKE or not 0 < length <= RECORD_LIMIT + 256:
                return self._end(None)
            if len(self._rest) < 5 + length:
                break
            self._message += self._rest[5 : 5 + length]
            del self._rest[: 5 + length]
            if len(self._message) >= 4:
                size = int.from_bytes(self._message[1:4], "big")
                if self._message[0] != CLIENT_HELLO or size > HELLO_LIMIT:
                    return self._end(None)
                if len(self._message) >= 4 + size:
                    return self._end(parse(bytes(self._message[4 : 4 + size])))
        return None

    def _end(self, hello: Hello | None) -> Hello | None:
        self.is_done = True
        self._rest.clear()
        self._message.clear()
        return hello


class Hello:
    """What a ClientHello says, in its order, GREASE (RFC 8701) included.

    version is the one in its body; server_name and alpn are as they came.
    """

    def __init__(self, version: int, ciphers: tuple[int, ...]) -> None:
        self.version = version
        self.ciphers = ciphers
        self.extensions: list[int] = []
        self.groups: tuple[int, ...] = ()
        self.point_formats: tuple[int, ...] = ()
        self.signatures: tuple[int, ...] = ()
        self.versions: tuple[int, ...] = ()
        self.alpn: list[bytes] = []
        self.server_name: bytes | None = None

    def ja3_string(self) -> str:
        """Version, ciphers, extensions, groups, point formats, as numbers."""
        lists = (self.ciphers, self.extensions, self.groups)
        numbers = ["-".join(map(str, _plain(values))) for values in lists]
        return ",".join([str(self.version), *numbers, "-".join(map(str, self.point_formats))])

    def ja3(self) -> str:
        """The MD5 of the above."""
        return hashlib.md5(self.ja3_string().encode(), usedforsecurity=False).hexdigest()

    def ja4(self) -> str:
        """What it can, its ciphers, its extensions."""
        ciphers, extensions = _plain(self.ciphers), _plain(self.extensions)
        version = max(_plain(self.versions), default=self.version)
        first = (
            f"t{_JA4_VERSIONS.get(version, '00')}{'d' if SERVER_NAME in extensions else 'i'}"
            f"{min(len(ciphers), 99):02}{min(len(extensions), 99):02}{_alpn_letters(self.alpn)}"
        )
        rest = sorted(kind for kind in extensions if kind not in (SERVER_NAME, ALPN))
        listed = _hex(rest)
        signatures = _plain(self.signatures)
        if signatures and listed:
            listed += "_" + _hex(signatures)
        return f"{first}_{_hash12(_hex(sorted(ciphers)))}_{_hash12(listed)}"

    def fields(self) -> dict[str, Value]:
        """What a session's record shows of it."""
        version = max(_plain(self.versions), default=self.version)
        fields: dict[str, Value] = {
            "version": _NAMES.get(version, f"{version:#06x}"),
            "ja3": self.ja3(),
            "ja4": self.ja4(),
        }
        if self.server_name is not None:
            fields["sni"] = text(self.server_name)
        if self.alpn:
            fields["alpn"] = [text(name) for name in self.alpn[:LIST_LIMIT]]
        return fields


def parse(body: bytes) -> Hello | None:
    """A ClientHello's body; None when a length in it is wrong."""
    reader = _Reader(body)
    version = reader.number(2)
    reader.take(32)
    reader.take(reader.number(1))
    hello = Hello(version, _numbers(reader.take(reader.number(2))))
    reader.take(reader.number(1))
    extensions = _Reader(reader.take(reader.number(2)) if reader.left else b"")
    while extensions.left >= 4 and not extensions.is_broken:
        kind = extensions.number(2)
        hello.extensions.append(kind)
        _extension(hello, kind, extensions.take(extensions.number(2)))
    return None if reader.is_broken or extensions.is_broken else hello


def _extension(hello: Hello, kind: int, data: bytes) -> None:
    if kind == GROUPS:
        hello.groups = _numbers(data[2:])
    elif kind == POINT_FORMATS:
        hello.point_formats = tuple(data[1:])
    elif kind == SIGNATURES:
        hello.signatures = _numbers(data[2:])
    elif kind == VERSIONS:
        hello.versions = _numbers(data[1:])
    elif kind == ALPN:
        names = _Reader(data[2:])
        while names.left and len(hello.alpn) < 64:
            hello.alpn.append(names.take(names.number(1)))
    elif kind == SERVER_NAME:
        # RFC 6066 3: a list of names, of which each has a kind; 0 is a host's.
        hello.server_name = data[5 : 5 + int.from_bytes(data[3:5], "big")]


class _Reader:
    """Reads from front to back; what is asked for beyond the end makes it `is_broken`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self.is_broken = False

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, length: int) -> bytes:
        taken = self._data[self._at : self._at + length]
        self._at += len(taken)
        self.is_broken = self.is_broken or len(taken) < length
        return taken

    def number(self, length: int) -> int:
        return int.from_bytes(self.take(length), "big")


def _numbers(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"!{len(data) // 2}H", data[: len(data) & ~1])


def _plain(values: tuple[int, ...] | list[int]) -> list[int]:
    """Without GREASE: 0x0a0a, 0x1a1a ... 0xfafa."""
    return [value for value in values if value & 0x0F0F != 0x0A0A or value >> 8 != value & 0xFF]


def _hex(values: list[int]) -> str:
    return ",".join(f"{value:04x}" for value in values)


def _hash12(listed: str) -> str:
    return hashlib.sha256(listed.encode()).hexdigest()[:12] if listed else "0" * 12


def _alpn_letters(alpn: list[bytes]) -> str:
    first = alpn[0] if alpn else b""
    if not first:
        return "00"
    ends = bytes((first[0], first[-1]))
    return ends.decode() if ends.isalnum() else first.hex()[0] + first.hex()[-1]
