"""What the lab's tests share: who may run the real thing, and a reader for what it has recorded."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SYN, RST, ACK = 0x02, 0x04, 0x10


@dataclass(frozen=True)
class Segment:
    """One TCP segment; an IPv6 one has `ip_id` 0 and the hop limit as `ttl`."""

    time_s: float
    src: str
    dst: str
    src_port: int
    dst_port: int
    seq: int
    ack: int
    flags: int
    window: int
    options: bytes
    ip_id: int
    ttl: int

    @property
    def is_syn(self) -> bool:
        return self.flags & (SYN | RST | ACK) == SYN

    @property
    def is_syn_ack(self) -> bool:
        return self.flags & (SYN | RST | ACK) == SYN | ACK

    @property
    def is_rst(self) -> bool:
        return bool(self.flags & RST)


@pytest.fixture(scope="session")
def read_segments() -> Callable[[Path], list[Segment]]:
    """Reads the TCP segments of an Ethernet pcap file, written for nothing but the lab's own."""
    return lambda path: list(_segments(path.read_bytes()))


def _segments(data: bytes) -> Iterator[Segment]:
    for time_s, frame in _frames(data):
        kind = struct.unpack_from("!H", frame, 12)[0]
        if kind == 0x0800 and frame[23] == socket.IPPROTO_TCP:
            ip_id, ttl = struct.unpack_from("!H", frame, 18)[0], frame[22]
            src, dst = (socket.inet_ntop(socket.AF_INET, frame[i : i + 4]) for i in (26, 30))
            start = 14 + 4 * (frame[14] & 15)
        elif kind == 0x86DD and frame[20] == socket.IPPROTO_TCP:
            ip_id, ttl = 0, frame[21]
            src, dst = (socket.inet_ntop(socket.AF_INET6, frame[i : i + 16]) for i in (22, 38))
            start = 54
        else:
            continue
        src_port, dst_port, seq, ack, offset, flags, window = struct.unpack_from(
            "!HHIIBBH", frame, start
        )
        yield Segment(
            time_s=time_s,
            src=src,
            dst=dst,
            src_port=src_port,
            dst_port=dst_port,
            seq=seq,
            ack=ack,
            flags=flags,
            window=window,
            options=frame[start + 20 : start + 4 * (offset >> 4)],
            ip_id=ip_id,
            ttl=ttl,
        )


def _frames(data: bytes) -> Iterator[tuple[float, bytes]]:
    magic, *_, link_type = struct.unpack_from("<IHHiIII", data)
    assert (magic, link_type) == (0xA1B2C3D4, 1), "not an Ethernet pcap of this machine's order"
    offset = 24
    while offset < len(data):
        seconds, micros, length, _ = struct.unpack_from("<IIII", data, offset)
        yield seconds + micros / 1e6, data[offset + 16 : offset + 16 + length]
        offset += 16 + length
