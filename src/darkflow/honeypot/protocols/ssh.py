"""SSH (RFC 4253) up to the key exchange: the client's version, its algorithms and their HASSH.

HASSH, https://github.com/salesforce/hassh (BSD 3-Clause): the MD5 of the client's key exchange,
encryption, MAC and compression algorithms, as it names them for its own direction.
"""

from __future__ import annotations

import hashlib
import struct

from darkflow.honeypot.protocols.protocol import NOTHING, Context, Protocol, Reply, marked

BANNER = "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3"
# RFC 4253 4.2: 255 bytes with the line's end; lines before the version are allowed to servers only.
VERSION_LIMIT = 255
PACKET_LIMIT = 16 << 10
KEXINIT = 20
# What OpenSSH 9.2 of Debian 12 offers, in its order; the lists of both directions are the same.
_KEX = (
    "sntrup761x25519-sha512@openssh.com,curve25519-sha256,curve25519-sha256@libssh.org,"
    "ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521,diffie-hellman-group-exchange-sha256,"
    "diffie-hellman-group16-sha512,diffie-hellman-group18-sha512,diffie-hellman-group14-sha256,"
    "kex-strict-s-v00@openssh.com"
)
_KEYS = "rsa-sha2-512,rsa-sha2-256,ecdsa-sha2-nistp256,ssh-ed25519"
_CIPHERS = (
    "chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr,aes128-gcm@openssh.com,"
    "aes256-gcm@openssh.com"
)
_MACS = (
    "umac-64-etm@openssh.com,umac-128-etm@openssh.com,hmac-sha2-256-etm@openssh.com,"
    "hmac-sha2-512-etm@openssh.com,hmac-sha1-etm@openssh.com,umac-64@openssh.com,"
    "umac-128@openssh.com,hmac-sha2-256,hmac-sha2-512,hmac-sha1"
)
_COMPRESSION = "none,zlib@openssh.com"
_LISTS = (_KEX, _KEYS, _CIPHERS, _CIPHERS, _MACS, _MACS, _COMPRESSION, _COMPRESSION, "", "")


class Ssh(Protocol):
    """A server that closes when the keys are to be exchanged."""

    name = "ssh"
    ports = frozenset({22, 2222})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._rest = bytearray()
        self._has_version = False

    def greeting(self) -> bytes:
        """The version line; what is behind the first space is a comment (RFC 4253 4.2)."""
        return marked(BANNER, self.context) + b"\r\n"

    @classmethod
    def recognises(cls, first: bytes) -> bool:
        """A version line."""
        return first.startswith(b"SSH-")

    def received(self, data: bytes) -> Reply:
        """The version, then KEXINIT, then the end."""
        self._rest += data
        answer = b""
        if not self._has_version:
            line, ended, rest = bytes(self._rest).partition(b"\n")
            if len(line) > VERSION_LIMIT or (ended and not line.startswith(b"SSH-")):
                self._rest.clear()
                return Reply(b"Invalid SSH identification string.\r\n", close=True)
            if not ended:
                return NOTHING
            self._has_version = True
            self.keep("client", line.rstrip(b"\r"))
            self._rest[:] = rest
            answer = _packet(kexinit(self.context.nonce[:16]))
        return self._packets(answer)

    def _packets(self, answer: bytes) -> Reply:
        while len(self._rest) >= 6:
            length, padding, kind = struct.unpack_from("!IBB", self._rest)
            if not 2 <= length <= PACKET_LIMIT or padding >= length - 1:
                return Reply(answer, close=True)
            if len(self._rest) < 4 + length:
                break
            payload = bytes(self._rest[5 : 4 + length - padding])
            del self._rest[: 4 + length]
            if kind != KEXINIT:
                return Reply(answer, close=True)
            self._algorithms(payload)
        return Reply(answer)

    def _algorithms(self, payload: bytes) -> None:
        lists = name_lists(payload)
        if len(lists) < 8:
            return
        parts = (lists[0], lists[2], lists[4], lists[6])
        self.keep("hassh", hashlib.md5(b";".join(parts), usedforsecurity=False).hexdigest())


def name_lists(payload: bytes) -> list[bytes]:
    """The name-lists of a KEXINIT (RFC 4253 7.1), as far as they are whole."""
    lists: list[bytes] = []
    at = 17
    while len(lists) < 10 and at + 4 <= len(payload):
        (length,) = struct.unpack_from("!I", payload, at)
        if length > len(payload) - at - 4:
            break
        lists.append(payload[at + 4 : at + 4 + length])
        at += 4 + length
    return lists


def kexinit(cookie: bytes) -> bytes:
    """Our own, without a guess."""
    lists = b"".join(struct.pack("!I", len(names)) + names.encode() for names in _LISTS)
    return bytes((KEXINIT,)) + cookie + lists + bytes(5)


def _packet(payload: bytes) -> bytes:
    """RFC 4253 6: padded to 8 bytes, at least 4 of padding."""
    padding = 8 - (5 + len(payload)) % 8
    padding += 8 if padding < 4 else 0
    head = struct.pack("!IB", 1 + len(payload) + padding, padding)
    return head + payload + bytes(padding)
