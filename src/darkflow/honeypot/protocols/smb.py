"""SMB 1 and 2 up to the login: dialect, the client's system, user and tree; nothing is shared.

SMB 1 is MS-CIFS and MS-SMB, SMB 2 is MS-SMB2. Section numbers below are theirs.
"""

from __future__ import annotations

import struct

from darkflow.honeypot.protocols import ntlm
from darkflow.honeypot.protocols.protocol import (
    LIST_LIMIT,
    NOTHING,
    REPLY_LIMIT,
    Context,
    Protocol,
    Reply,
)

PACKET_LIMIT = 17 << 10
UNICODE = 0x8000
NEGOTIATE1, SETUP1, TREE1 = 0x72, 0x73, 0x75
NEGOTIATE2, SETUP2 = 0, 1
SUCCESS, MORE, DENIED, FAILED = 0, 0xC0000016, 0xC0000022, 0xC000006D
# As Windows 7 and later have them, without extended security.
_CAPABILITIES = 0x0001E3FC
_HEAD1 = struct.Struct("<4sBIBHH8sHHHHH")
_HEAD2 = struct.Struct("<4sHHIHHIIQIIQ16s")
_DIALECT_2_0_2, _DIALECT_2_WILDCARD, _DIALECT_3_0_2 = 0x0202, 0x02FF, 0x0302


class Smb(Protocol):
    """A file server of a work group."""

    name = "smb"
    ports = frozenset({139, 445})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._rest = bytearray()

    @classmethod
    def recognises(cls, first: bytes) -> bool:
        """A message of SMB 1 or 2, or NetBIOS's request for a session."""
        if first[:3] == b"\x81\0\0":
            return len(first) > 40
        return first[4:8] in (b"\xffSMB", b"\xfeSMB")

    def received(self, data: bytes) -> Reply:
        """Messages behind NetBIOS's length (RFC 1002 4.3), one after the other."""
        self._rest += data
        out = bytearray()
        while len(self._rest) >= 4:
            kind, length = self._rest[0], int.from_bytes(self._rest[1:4], "big")
            if kind not in (0, 0x81, 0x85) or length > PACKET_LIMIT:
                return Reply(bytes(out), close=True)
            if len(self._rest) < 4 + length:
                break
            message = bytes(self._rest[4 : 4 + length])
            del self._rest[: 4 + length]
            answer = b"\x82\0\0\0" if kind == 0x81 else b""
            if kind == 0:
                answer = self._message(message)
                if not answer:
                    return Reply(bytes(out), close=True)
                answer = len(answer).to_bytes(4, "big") + answer
            out += answer
            if len(out) > REPLY_LIMIT:
                return Reply(bytes(out), close=True)
        return Reply(bytes(out)) if out else NOTHING

    def _message(self, message: bytes) -> bytes:
        """The answer to one message; none ends the connection."""
        if message.startswith(b"\xfeSMB") and len(message) >= 64:
            return self._message2(message)
        if not message.startswith(b"\xffSMB") or len(message) < 33:
            return b""
        head = _HEAD1.unpack_from(message)
        command, words, data = head[1], *_parameters(message)
        self.keep("version", 1)
        if command == NEGOTIATE1:
            return self._negotiate1(head, data)
        if command == SETUP1 and len(words) >= 24:
            return self._setup1(head, words, data)
        if command == TREE1 and len(words) >= 8:
            (length,) = struct.unpack_from("<H", words, 6)
            self.add("trees", _texts(data[length:], head, length)[0])
            return _answer1(head, SUCCESS, b"\xff\0\0\0\x01\0", b"IPC\0\0\0")
        # STATUS_ACCESS_DENIED, as a server says that has been patched.
        return _answer1(head, DENIED, b"", b"")

    def _negotiate1(self, head: tuple[int, ...], data: bytes) -> bytes:
        dialects = data.split(b"\0")[:-1]
        for dialect in dialects:
            self.add("dialects", dialect.lstrip(b"\x02"))
        if b"\x02SMB 2.???" in dialects or b"\x02SMB 2.002" in dialects:
            wildcard = b"\x02SMB 2.???" in dialects
            return self._negotiate2(0, _DIALECT_2_WILDCARD if wildcard else _DIALECT_2_0_2)
        if b"\x02NT LM 0.12" not in dialects:
            return _answer1(head, SUCCESS, b"\xff\xff", b"")
        # Without extended security (2.2.4.52.2): the challenge of 8 bytes, then domain and server.
        words = struct.pack("<HBHH", dialects.index(b"\x02NT LM 0.12"), 3, 10, 1)
        words += struct.pack("<IIII", 4356, 65536, 0, _CAPABILITIES)
        words += struct.pack("<QhB", self._time(), 0, 8)
        names = f"WORKGROUP\0{self.context.host.upper()}\0".encode("utf-16-le")
        return _answer1(head, SUCCESS, words, self.context.nonce[:8] + names)

    def _setup1(self, head: tuple[int, ...], words: bytes, data: bytes) -> bytes:
        """2.2.4.53: without a user it is a guest's session, which scanners ask for."""
        if len(words) == 24:
            user = self._ntlm_user(data)
            return _answer1(head, FAILED if user else DENIED, b"", b"")
        ansi, unicode = struct.unpack_from("<HH", words, 14)
        texts = _texts(data[ansi + unicode :], head, ansi + unicode)
        for key, value in zip(("user", "domain", "system"), texts, strict=False):
            if value:
                self.keep(key, value)
        if texts[0]:
            return _answer1(head, FAILED, b"", b"")
        names = "Windows 10 Pro 17763\0Windows 10 Pro 6.3\0WORKGROUP\0"
        wide = b"\0" + names.encode("utf-16-le") if head[4] & UNICODE else names.encode()
        return _answer1(head, SUCCESS, b"\xff\0\0\0\x01\0", wide)

    def _message2(self, message: bytes) -> bytes:
        head = _HEAD2.unpack_from(message)
        command, number = head[4], head[8]
        if command == NEGOTIATE2:
            self.keep("version", 2)
            count = int.from_bytes(message[66:68], "little")
            places = range(100, min(100 + 2 * count, len(message) - 1), 2)
            dialects = [int.from_bytes(message[at : at + 2], "little") for at in places]
            for dialect in dialects[:LIST_LIMIT]:
                self.add("dialects", f"{dialect:#06x}")
            known = [dialect for dialect in dialects if dialect <= _DIALECT_3_0_2]
            return self._negotiate2(number, max(known, default=_DIALECT_2_0_2))
        if command == SETUP2 and len(message) >= 80:
            offset, length = struct.unpack_from("<HH", message, 76)
            blob = message[offset : offset + length]
            if ntlm.kind(blob) == ntlm.NEGOTIATE:
                token = ntlm.wrapped_challenge(self.context.nonce[:8], self.context.host.upper())
                body = struct.pack("<HHHH", 9, 0, 72, len(token)) + token
                return _answer2(command, MORE, number, body)
            self._ntlm_user(blob)
            return _answer2(command, FAILED, number, b"\x09\0" + bytes(7))
        return _answer2(command, DENIED, number, b"\x09\0" + bytes(7))

    def _negotiate2(self, number: int, dialect: int) -> bytes:
        """2.2.4, with NTLM as the only way in."""
        token = ntlm.OFFER
        body = struct.pack("<HHHH", 65, 1, dialect, 0) + self.context.nonce[:16]
        body += struct.pack("<IIII", 0, 65536, 65536, 65536)
        body += struct.pack("<QQHHI", self._time(), 0, 128, len(token), 0)
        return _answer2(NEGOTIATE2, SUCCESS, number, body + token)

    def _ntlm_user(self, blob: bytes) -> str:
        login = ntlm.login(blob)
        for key, value in login.items():
            self.keep(key, value)
        return login.get("user", "")

    def _time(self) -> int:
        """FILETIME: 100 ns since 1601."""
        return (self.context.began_s + 11_644_473_600) * 10_000_000


def _parameters(message: bytes) -> tuple[bytes, bytes]:
    """Words and bytes of a message of SMB 1 (2.2.3), as far as they are there."""
    end = 33 + 2 * message[32]
    (length,) = struct.unpack_from("<H", message[end : end + 2].ljust(2, b"\0"))
    return message[33:end], message[end + 2 : end + 2 + length]


def _texts(data: bytes, head: tuple[int, ...], before: int) -> list[str]:
    """The texts in a message's bytes: UTF-16, from an even place on, or one byte a character."""
    if head[4] & UNICODE:
        # What is before the bytes is odd in length, so the text's place depends on `before`.
        data = data[1 - before % 2 :] if data[:1] == b"\0" else data
        return data.decode("utf-16-le", "replace").split("\0")
    return data.decode("latin-1").split("\0")


def _answer1(head: tuple[int, ...], status: int, words: bytes, data: bytes) -> bytes:
    flags2 = (head[4] & UNICODE) | 0x4001
    tree = 2048 if head[1] == TREE1 else head[8]
    user = 2048 if head[1] == SETUP1 and status == SUCCESS else head[10]
    top = _HEAD1.pack(b"\xffSMB", head[1], status, 0x88, flags2, head[5], bytes(8), 0, tree,
                      head[9], user, head[11])  # fmt: skip
    return top + bytes((len(words) // 2,)) + words + struct.pack("<H", len(data)) + data


def _answer2(command: int, status: int, number: int, body: bytes) -> bytes:
    return _HEAD2.pack(b"\xfeSMB", 64, 0, status, command, 1, 1, 0, number, 0, 0,
                       1 if command == SETUP2 else 0, bytes(16)) + body  # fmt: skip
