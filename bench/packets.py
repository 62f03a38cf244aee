"""Packet rows to capture bytes: Ethernet, IPv4 and IPv6, TCP and UDP, as pcap or pcapng.

A row says what a packet is; here it becomes the bytes that a wire would have carried, cut at 96.
Payloads are zeros, so that a checksum needs only the headers, whatever the length.
"""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.void]
Bytes = npt.NDArray[np.uint8]
Array = npt.NDArray[Any]

SNAPLEN = 96
US = 1_000_000
EPOCH_S = 1_750_000_000
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
TCP, UDP = 6, 17
CHUNK_ROWS = 1 << 18

ROW = np.dtype(
    [
        ("t", "i8"),  # microseconds from the beginning
        ("flow", "i8"),  # number of the TCP flow, or -1
        ("src", "u4"),  # an IPv4 address, or the last 32 bits of an IPv6 address
        ("dst", "u4"),
        ("seq", "u4"),
        ("ack", "u4"),
        ("sport", "u2"),
        ("dport", "u2"),
        ("payload", "u2"),
        ("ip_id", "u2"),
        ("v6", "?"),
        ("proto", "u1"),
        ("flags", "u1"),
        ("header", "u1"),  # bytes of the TCP or UDP header
    ]
)

_ETHERNET = [("eth_dst", "u1", (6,)), ("eth_src", "u1", (6,)), ("ethertype", ">u2")]
_IPV4 = [
    ("version", ">u2"), ("length", ">u2"), ("ip_id", ">u2"), ("fragment", ">u2"), ("ttl", "u1"),
    ("protocol", "u1"), ("ip_sum", ">u2"), ("src", ">u4"), ("dst", ">u4"),
]  # fmt: skip
_IPV6 = [
    ("version", ">u4"), ("length", ">u2"), ("protocol", "u1"), ("ttl", "u1"),
    ("src_net", ">u4", (3,)), ("src", ">u4"), ("dst_net", ">u4", (3,)), ("dst", ">u4"),
]  # fmt: skip
_TCP = [
    ("sport", ">u2"), ("dport", ">u2"), ("seq", ">u4"), ("ack", ">u4"), ("offset", "u1"),
    ("flags", "u1"), ("window", ">u2"), ("sum", ">u2"), ("urgent", ">u2"), ("options", "u1", (20,)),
]  # fmt: skip
_UDP = [("sport", ">u2"), ("dport", ">u2"), ("udp_length", ">u2"), ("sum", ">u2")]

_MSS = "020405b4"
_TIMESTAMP = "0101080a0000000200000001"
# TCP options by header length: a scanner's SYN, data with time stamps, an operating system's SYN.
OPTIONS = {
    20: "",
    24: _MSS,
    32: _TIMESTAMP,
    40: _MSS + "0402080a0000000100000000" + "01030307",
}


def empty(count: int) -> Rows:
    """Rows of zeros."""
    return np.zeros(count, ROW)


def _padded(fields: list[Any]) -> np.dtype[np.void]:
    """A struct of these fields, SNAPLEN bytes long."""
    size = np.dtype(fields).itemsize
    return np.dtype([*fields, ("rest", "u1", (SNAPLEN - size,))])


def _fold(total: Array) -> Array:
    """The Internet checksum of a sum of 16-bit words (RFC 1071)."""
    for _ in range(3):
        total = (total & 0xFFFF) + (total >> 16)
    folded: Array = ~total & 0xFFFF
    return folded


def _words(frames: Bytes, begin: int, end: int) -> Array:
    """Sum of the big-endian 16-bit words of each frame's bytes [begin:end]."""
    part = np.ascontiguousarray(frames[:, begin:end])
    total: Array = part.view(">u2").sum(axis=1, dtype=np.int64)
    return total


def _alike(rows: Rows, v6: bool, proto: int) -> Bytes:
    """Frames of rows that all have the same family and protocol."""
    ip = _IPV6 if v6 else _IPV4
    f = np.zeros(len(rows), _padded([*_ETHERNET, *ip, *(_TCP if proto == TCP else _UDP)]))
    frames = f.view(np.uint8).reshape(len(rows), SNAPLEN)
    ip_at, l4_at = 14, 54 if v6 else 34
    l4_bytes = rows["header"].astype(np.int64) + rows["payload"]
    f["eth_dst"], f["eth_src"] = (2, 0, 0, 0, 0, 1), (2, 0, 0, 0, 0, 2)
    f["ethertype"] = 0x86DD if v6 else 0x0800
    f["ttl"], f["protocol"] = 57, proto
    f["length"] = l4_bytes if v6 else l4_bytes + 20
    f["version"] = 0x60000000 if v6 else 0x4500
    if v6:
        f["src_net"] = f["dst_net"] = (0x20010DB8, 0, 0)
    else:
        f["ip_id"], f["fragment"] = rows["ip_id"], 0x4000
    for name in ("src", "dst", "sport", "dport"):
        f[name] = rows[name]
    if proto == TCP:
        f["seq"], f["ack"], f["flags"] = rows["seq"], rows["ack"], rows["flags"]
        f["offset"], f["window"] = rows["header"] << 2, 64_240
        for size, text in OPTIONS.items():
            options = np.frombuffer(bytes.fromhex(text).ljust(20, b"\0"), np.uint8)
            f["options"][rows["header"] == size] = options
    else:
        f["udp_length"] = l4_bytes
    if not v6:
        f["ip_sum"] = _fold(_words(frames, ip_at, l4_at))
    addresses = _words(frames, 22, 54) if v6 else _words(frames, 26, 34)
    total = addresses + proto + l4_bytes + _words(frames, l4_at, SNAPLEN)
    check = _fold(total)
    # In UDP a zero means that there is no checksum (RFC 768).
    f["sum"] = check if proto == TCP else np.where(check, check, 0xFFFF)
    return frames


def frames_of(rows: Rows) -> tuple[Bytes, Array, Array]:
    """(frames as a matrix, captured length, original length) of the rows."""
    frames = np.empty((len(rows), SNAPLEN), np.uint8)
    for v6 in (False, True):
        for proto in (TCP, UDP):
            at = np.flatnonzero((rows["v6"] == v6) & (rows["proto"] == proto))
            frames[at] = _alike(rows[at], v6, proto)
    wire = 14 + np.where(rows["v6"], 40, 20) + rows["header"] + rows["payload"].astype(np.int64)
    wire = np.maximum(wire, 60)  # Ethernet's shortest frame
    return frames, np.minimum(wire, SNAPLEN), wire


class CaptureWriter:
    """Writes rows, in the order they come, as a pcap or (by the file's name) a pcapng."""

    def __init__(self, out: BinaryIO, pcapng: bool) -> None:
        self.out = out
        self.pcapng = pcapng
        if pcapng:
            section = np.array([0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0xFFFFFFFF, 0xFFFFFFFF, 28], "<u4")
            interface = np.array([1, 20, 1, SNAPLEN, 20], "<u4")
            out.write(section.tobytes() + interface.tobytes())
        else:
            out.write(np.array([0xA1B2C3D4, 2 | 4 << 16, 0, 0, SNAPLEN, 1], "<u4").tobytes())

    def write(self, rows: Rows) -> None:
        """Append the rows."""
        for begin in range(0, len(rows), CHUNK_ROWS):
            part = rows[begin : begin + CHUNK_ROWS]
            record = self._pcapng(part) if self.pcapng else self._pcap(part)
            self.out.write(record.tobytes())

    def _pcap(self, rows: Rows) -> Bytes:
        frames, captured, wire = frames_of(rows)
        head = np.empty((len(rows), 4), "<u4")
        head[:, 0], head[:, 1] = EPOCH_S + rows["t"] // US, rows["t"] % US
        head[:, 2], head[:, 3] = captured, wire
        record = np.concatenate([head.view(np.uint8), frames], axis=1)
        return record[np.arange(record.shape[1]) < (16 + captured)[:, None]]

    def _pcapng(self, rows: Rows) -> Bytes:
        """Enhanced packet blocks (draft-ietf-opsawg-pcapng)."""
        frames, captured, wire = frames_of(rows)
        padded = (captured + 3) // 4 * 4
        frames[np.arange(SNAPLEN) >= captured[:, None]] = 0
        ticks = EPOCH_S * US + rows["t"]
        head = np.zeros((len(rows), 7), "<u4")
        head[:, 0], head[:, 1] = 6, padded + 32
        head[:, 3], head[:, 4] = ticks >> 32, ticks & 0xFFFFFFFF
        head[:, 5], head[:, 6] = captured, wire
        tail = np.zeros((len(rows), 4), np.uint8)
        record = np.concatenate([head.view(np.uint8), frames, tail], axis=1)
        length = head[:, 1:2].copy().view(np.uint8)
        for i in range(4):
            record[np.arange(len(rows)), 28 + padded + i] = length[:, i]
        return record[np.arange(record.shape[1]) < (32 + padded)[:, None]]
