"""Where one line or pcap record ends and the next begins: nothing is written or lost by halves."""

from __future__ import annotations

import struct
from typing import Protocol

RECORD_HEAD_BYTES = 16
_CAPLEN = struct.Struct("<8xI")


class Framing(Protocol):
    """What the bytes for a target are made of; `unit` is its name in messages."""

    unit: str

    def whole(self, data: bytes, begin: int, end: int) -> int:
        """Where the last whole unit of data[begin:end] ends; `begin` if there is none."""

    def count(self, data: bytes, begin: int, end: int) -> int:
        """How many whole units data[begin:end] holds; one begins at `begin`."""


class Lines:
    """Lines, each ended by a newline."""

    unit = "lines"

    def whole(self, data: bytes, begin: int, end: int) -> int:
        """As in Framing."""
        return max(begin, data.rfind(b"\n", begin, end) + 1)

    def count(self, data: bytes, begin: int, end: int) -> int:
        """As in Framing."""
        return data.count(b"\n", begin, end)


class Records:
    """Records of a pcap file in little-endian order, without its file header."""

    unit = "frames"

    def whole(self, data: bytes, begin: int, end: int) -> int:
        """As in Framing."""
        return self._walk(data, begin, end)[0]

    def count(self, data: bytes, begin: int, end: int) -> int:
        """As in Framing."""
        return self._walk(data, begin, end)[1]

    @staticmethod
    def _walk(data: bytes, begin: int, end: int) -> tuple[int, int]:
        at, count = begin, 0
        while at + RECORD_HEAD_BYTES <= end:
            after: int = at + RECORD_HEAD_BYTES + _CAPLEN.unpack_from(data, at)[0]
            if after > end:
                break
            at, count = after, count + 1
        return at, count
