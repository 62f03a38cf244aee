"""A slow and simple twin of RecordWalker, and what walks the real one beside it."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from darkflow.flow.batch import Frames
from darkflow.sources.records import RecordWalker

MAX_CAPLEN = 0x4000000
# The latest and the earliest time: their difference still fits into 64 bits.
FAR_NS, EARLY_NS = 1 << 62, 1 - (1 << 62)
NO_TIME = -(1 << 63)
PCAP_FLAVOURS = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000, 16), b"\xa1\xb2\xc3\xd4": (">", 1000, 16),
    b"\x4d\x3c\xb2\xa1": ("<", 1, 16), b"\xa1\xb2\x3c\x4d": (">", 1, 16),
    b"\x34\xcd\xb2\xa1": ("<", 1000, 24), b"\xa1\xb2\xcd\x34": (">", 1000, 24),
}  # fmt: skip


class Row(NamedTuple):
    """One frame; `t_ns` None: the capture gives no time."""

    t_ns: int | None
    link: int
    caplen: int
    origlen: int
    digits: int
    data: bytes


class FrameStruct(ctypes.Structure):
    """frame_t of layout.pxd."""

    _fields_ = (
        ("t_ns", ctypes.c_int64), ("data", ctypes.c_void_p), ("caplen", ctypes.c_uint32),
        ("origlen", ctypes.c_uint32), ("link", ctypes.c_uint32), ("source", ctypes.c_uint16),
        ("digits", ctypes.c_uint8), ("timed", ctypes.c_uint8),
    )  # fmt: skip


def structs_of(frames: Frames) -> list[FrameStruct]:
    """The structs of a batch, which has no Python view of its own: read where they lie."""
    first = ctypes.c_void_p.from_address(id(frames) + object.__basicsize__).value
    if not len(frames) or first is None:
        return []
    return list((FrameStruct * len(frames)).from_address(first))


def rows_of(frames: Frames) -> list[Row]:
    """The rows of a batch; their bytes are copied."""
    return [
        Row(
            s.t_ns if s.timed else None, s.link, s.caplen, s.origlen, s.digits,
            ctypes.string_at(s.data, s.caplen) if s.caplen else b"",
        )
        for s in structs_of(frames)
    ]  # fmt: skip


@dataclass
class Interface:
    """What an interface description says."""

    link: int
    snaplen: int
    resolution: int = 6
    base2: bool = False
    offset_s: int = 0


@dataclass
class SlowReader:
    """Reads all of a capture at once into `rows`; the other fields are those of RecordWalker."""

    reorder_ns: int = 0
    rows: list[Row] = field(default_factory=list)
    notes: dict[str, bool | int] = field(default_factory=dict)
    fault: str | None = None
    now_ns: int | None = None
    first_ns: int | None = None
    disorder_ns: int = 0
    clamped: int = 0
    far_times: int = 0

    def read(self, data: bytes) -> SlowReader:
        """Read a whole capture."""
        blocks = self._pcapng(data) if data[:4] == b"\x0a\x0d\x0d\x0a" else self._pcap(data)
        for row in blocks:
            self.rows.append(row._replace(t_ns=self._time(row.t_ns)))
        if self.fault:
            self.notes[self.fault] = True
        return self

    def _time(self, t_ns: int | None) -> int | None:
        if t_ns is None:
            return None
        if not EARLY_NS <= t_ns <= FAR_NS:
            self.far_times += 1
            t_ns = FAR_NS if t_ns > 0 else EARLY_NS
        if self.now_ns is None:
            self.first_ns = self.now_ns = t_ns
        late = self.now_ns - t_ns
        self.now_ns = max(self.now_ns, t_ns)
        self.disorder_ns = max(self.disorder_ns, late)
        if late > self.reorder_ns:
            self.clamped += 1
            return self.now_ns - self.reorder_ns
        return t_ns

    def _count(self, word: str) -> None:
        self.notes[word] = self.notes.get(word, 0) + 1

    def _pcap(self, data: bytes) -> Iterator[Row]:
        order, unit, head = PCAP_FLAVOURS[data[:4]]
        link = struct.unpack(order + "I", data[20:24])[0] & 0x03FFFFFF
        rest = data[24:]
        while rest:
            if len(rest) < head:
                self.fault = "truncated"
                return
            second, fraction, caplen, origlen = struct.unpack(order + "IIII", rest[:16])
            if caplen > MAX_CAPLEN or len(rest) < head + caplen:
                self.fault = "bad_record" if caplen > MAX_CAPLEN else "truncated"
                return
            t_ns = second * 1_000_000_000 + fraction * unit
            body, rest = rest[head : head + caplen], rest[head + caplen :]
            yield Row(t_ns, link, caplen, origlen, 9 if unit == 1 else 6, body)

    def _pcapng(self, data: bytes) -> Iterator[Row]:
        order, interfaces = "<", list[Interface]()
        while data:
            if len(data) < 12:
                self.fault = "truncated"
                return
            if data[:4] == b"\x0a\x0d\x0d\x0a":
                found = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}.get(data[8:12])
                if found is None:
                    self.fault = "bad_section"
                    return
                order, interfaces = found, []
                self._count("sections")
            kind, length = struct.unpack(order + "II", data[:8])
            if length < 12 or length % 4 or length > len(data):
                self.fault = "bad_block" if length < 12 or length % 4 else "truncated"
                return
            body, data = data[8 : length - 4], data[length:]
            if kind == 1:
                self._interface(order, body, interfaces)
            elif kind in (2, 3, 6):
                row = self._packet(kind, order, body, interfaces)
                if row is not None:
                    yield row
            if self.fault:
                return

    def _interface(self, order: str, body: bytes, interfaces: list[Interface]) -> None:
        if len(body) < 8:
            self.fault = "bad_block"
            return
        link, _, snaplen = struct.unpack(order + "HHI", body[:8])
        interface = Interface(link, snaplen)
        options = body[8:]
        while len(options) >= 4:
            code, size = struct.unpack(order + "HH", options[:4])
            if code == 0 or size > len(options) - 4:
                break
            value, options = options[4 : 4 + size], options[4 + (size + 3) // 4 * 4 :]
            if code == 9 and size >= 1:
                interface.base2, interface.resolution = bool(value[0] & 128), value[0] & 127
            elif code == 14 and size == 8:
                interface.offset_s = struct.unpack(order + "q", value)[0]
        interfaces.append(interface)
        self._count("interfaces")

    def _packet(
        self, kind: int, order: str, body: bytes, interfaces: list[Interface]
    ) -> Row | None:
        if len(body) < (20 if kind != 3 else 4) and (kind != 3 or interfaces):
            self.fault = "bad_block"
            return None
        number = 0
        if kind == 6:
            number = struct.unpack(order + "I", body[:4])[0]
        elif kind == 2:
            number = struct.unpack(order + "H", body[:2])[0]
        if number >= len(interfaces):
            self.fault = "bad_interface"
            return None
        interface = interfaces[number]
        if kind == 3:
            origlen = struct.unpack(order + "I", body[:4])[0]
            caplen = min(origlen, interface.snaplen or origlen, len(body) - 4)
            self._count("simple_packets")
            return Row(None, interface.link, caplen, origlen, 0, body[4 : 4 + caplen])
        high, low, caplen, origlen = struct.unpack(order + "IIII", body[4:20])
        if caplen > len(body) - 20:
            self.fault = "bad_block"
            return None
        per_second = (2 if interface.base2 else 10) ** interface.resolution
        t_ns = (high << 32 | low) * 1_000_000_000 // per_second
        t_ns += interface.offset_s * 1_000_000_000
        digits = 9 if interface.base2 else min(interface.resolution, 9)
        return Row(t_ns, interface.link, caplen, origlen, digits, body[20 : 20 + caplen])


def walk(
    data: bytes, sizes: Iterable[int] = (), reorder_ns: int = 0, most: int = 1 << 30
) -> tuple[RecordWalker, list[Row]]:
    """Walk a capture that comes in chunks of these sizes (the last takes the rest)."""
    walker = RecordWalker(0, reorder_ns)
    held = bytearray(data)
    begin = end = walker.start(data[:24])
    frames, rows = Frames(), list[Row]()
    for size in (*sizes, len(data)):
        end = min(end + size, len(data))
        while walker.fault is None:
            if walker.skip:
                count = min(walker.skip, end - begin)
                walker.skipped(count)
                begin += count
                if walker.skip or walker.fault:
                    break
            begin += walker.walk(held, begin, end, frames, most)
            rows += rows_of(frames)
            assert walker.need == 0 or walker.need > end - begin
            if not len(frames) and not walker.skip:
                break
    if walker.fault is None:
        walker.finish(data[begin:])
    return walker, rows


def assert_like_twin(walker: RecordWalker, rows: list[Row], twin: SlowReader) -> None:
    """Everything that either can tell is the same."""
    assert rows == twin.rows
    assert walker.notes == twin.notes
    assert (walker.fault, walker.packets) == (twin.fault, len(twin.rows))
    assert walker.now_ns == (NO_TIME if twin.now_ns is None else twin.now_ns)
    assert walker.first_ns == (NO_TIME if twin.first_ns is None else twin.first_ns)
    assert walker.disorder_ns == twin.disorder_ns
    assert (walker.clamped, walker.far_times) == (twin.clamped, twin.far_times)
