"""ADB over TCP: an unlocked Android device that takes every command and runs none."""

from __future__ import annotations

import struct

from darkflow.honeypot.protocols.protocol import REPLY_LIMIT, Context, Protocol, Reply, marked

PAYLOAD_LIMIT = 16 << 10
VERSION, MAX_DATA = 0x01000000, 4096
_HEAD = struct.Struct("<4sIIIII")


class Adb(Protocol):
    """The device's side."""

    name = "adb"
    ports = frozenset({5555})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._rest = bytearray()

    @classmethod
    def recognises(cls, first: bytes) -> bool:
        """A connect message."""
        return first.startswith(b"CNXN")

    def received(self, data: bytes) -> Reply:
        """Messages, one behind the other."""
        self._rest += data
        out = bytearray()
        while len(self._rest) >= _HEAD.size:
            command, first, second, length, _, magic = _HEAD.unpack_from(self._rest)
            if magic != int.from_bytes(command, "little") ^ 0xFFFFFFFF or length > PAYLOAD_LIMIT:
                return Reply(bytes(out), close=True)
            if len(self._rest) < _HEAD.size + length:
                break
            payload = bytes(self._rest[_HEAD.size : _HEAD.size + length])
            del self._rest[: _HEAD.size + length]
            out += self._message(command, first, second, payload)
            if len(out) > REPLY_LIMIT:
                return Reply(bytes(out), close=True)
        return Reply(bytes(out))

    def _message(self, command: bytes, first: int, second: int, payload: bytes) -> bytes:
        if command == b"CNXN":
            self.keep("client", payload.rstrip(b"\0"))
            model = b"ro.product.model=" + marked("H96", self.context)
            device = b";ro.product.device=rk3328;features=cmd,shell_v2"
            banner = b"device::ro.product.name=h96max;" + model + device
            return _message(b"CNXN", VERSION, MAX_DATA, banner)
        if command == b"OPEN":
            self.add("commands", payload.rstrip(b"\0"))
            opened = _message(b"OKAY", 1, first)
            # A file that is pushed is taken; a command has run at once, without a word.
            return opened if payload.startswith(b"sync:") else opened + _message(b"CLSE", 1, first)
        if command == b"WRTE":
            return _message(b"OKAY", second, first)
        return b""


def _message(command: bytes, first: int, second: int, payload: bytes = b"") -> bytes:
    magic = int.from_bytes(command, "little") ^ 0xFFFFFFFF
    return _HEAD.pack(command, first, second, len(payload), sum(payload), magic) + payload
