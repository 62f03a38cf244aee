"""The held SYN as a frame: as captured, with right checksums."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from darkflow.divert.replay import checksum, frame_of
from darkflow.flow.batch import Frames
from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from writers import LINUX_OPTIONS, SECOND_NS, Flow, ethernet

MACS = bytes.fromhex("020000000001020000000002")
FLOWS = (Flow(orig_port=1234), Flow("2001:db8::1", 1234, "2001:db8:1::2", 22))


def held(packet: bytes) -> tuple[bytes, int]:
    """What the engine holds of a SYN when its verdict falls: (headers, TCP header's bytes)."""
    engine = Engine(SECOND_NS, 60 * SECOND_NS)
    rows = Decoder().decode(Frames.of([(0, 1, ethernet(packet))], 2 * SECOND_NS))
    ((late, t_ns, t0_ns, _, head, tcp_bytes),) = [
        v for e in engine.observe(rows) for v in e.verdicts()
    ]
    assert (late, t_ns, t0_ns) == (False, SECOND_NS, 0)
    return head, tcp_bytes


def slow_sum(data: bytes) -> int:
    """RFC 1071, one byte after the other; 0 when a checksum within is right."""
    total = sum(byte << (8 if at % 2 == 0 else 0) for at, byte in enumerate(data))
    while total > 0xFFFF:
        total = total // 0x10000 + total % 0x10000
    return 0xFFFF - total


def test_a_whole_syn_comes_back_as_it_was() -> None:
    for flow in FLOWS:
        packet = flow.syn(options=LINUX_OPTIONS)
        frame = frame_of(*held(packet), MACS)
        assert frame[:12] == MACS
        assert frame[14:] == packet


def test_unfinished_checksums_are_finished() -> None:
    for flow in FLOWS:
        packet = bytearray(flow.syn(options=LINUX_OPTIONS))
        at = 20 if packet[0] >> 4 == 4 else 40
        right = bytes(packet)
        packet[at + 16 : at + 18] = b"\x12\x34"
        if at == 20:
            packet[10:12] = b"\0\0"
        assert frame_of(*held(bytes(packet)), MACS)[14:] == right


@given(st.binary(max_size=80))
def test_checksum(data: bytes) -> None:
    assert checksum(data) == slow_sum(data)
    if len(data) % 2 == 0:
        assert slow_sum(data + struct.pack("!H", checksum(data))) == 0
