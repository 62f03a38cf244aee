"""The held SYN as a frame: as captured, with right checksums."""

from __future__ import annotations

import struct
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from darkflow.divert.replay import checksum, frame_of, reset_frame
from darkflow.flow.batch import Frames
from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from darkflow.flow.kept import KeptFrames
from writers import (
    LINUX_OPTIONS,
    PLAIN_IP,
    SECOND_NS,
    SYN,
    Flow,
    Ip,
    Tcp,
    ethernet,
    extension,
    fragment,
)

MIB = 1 << 20

MACS = bytes.fromhex("020000000001020000000002")
FLOWS = (Flow(orig_port=1234), Flow("2001:db8::1", 1234, "2001:db8:1::2", 22))


def held(
    *packets: bytes, limit_bytes: int = MIB, vlans: int = 0
) -> tuple[bytes, int, bytes, bytes]:
    """What is held of a SYN at its verdict, as `frame_of` takes it, and of its later SYNs."""
    kept = KeptFrames(limit_bytes, only_larger=True)
    engine = Engine(SECOND_NS, 60 * SECOND_NS, (64, 64), bytes(16), kept)
    tags = [(0x8100, 5)] * vlans
    frames = [(at, 1, ethernet(packet, tags)) for at, packet in enumerate(packets)]
    rows = Decoder((), kept).decode(Frames.of(frames, 2 * SECOND_NS))
    ((late, t_ns, t0_ns, _, head, tcp_bytes, whole),) = [
        v for e in engine.observe(rows) for v in e.verdicts()
    ]
    assert (late, t_ns, t0_ns) == (False, SECOND_NS, 0)
    kept.take()
    assert kept.bytes_held == 0
    return head, tcp_bytes, MACS, whole


def slow_sum(data: bytes) -> int:
    """RFC 1071, one byte after the other; 0 when a checksum within is right."""
    total = sum(byte << (8 if at % 2 == 0 else 0) for at, byte in enumerate(data))
    while total > 0xFFFF:
        total = total // 0x10000 + total % 0x10000
    return 0xFFFF - total


def test_a_whole_syn_comes_back_as_it_was() -> None:
    for flow in FLOWS:
        packet = flow.syn(options=LINUX_OPTIONS)
        frame = frame_of(*held(packet))
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
        assert frame_of(*held(bytes(packet)))[14:] == right


@given(st.binary(max_size=80))
def test_checksum(data: bytes) -> None:
    assert checksum(data) == slow_sum(data)
    if len(data) % 2 == 0:
        assert slow_sum(data + struct.pack("!H", checksum(data))) == 0


# Record route, timestamps, a security label, router alert, padding.
OPTIONS4 = st.sampled_from([
    b"", b"\x01\x01\x01\x01", b"\x07\x07\x04\0\0\0\0\0", b"\x44\x08\x05\0\0\0\0\0", b"\x94\x04\0\0",
    b"\x86\x06\0\0\0\x01\0\0",
])  # fmt: skip
EXTENSIONS = st.lists(
    st.builds(extension, st.sampled_from([0, 43, 60, 51, 135]), st.integers(0, 3)), max_size=3
)
SEGMENTS = st.builds(
    Tcp, flags=st.sampled_from([SYN, SYN | 0xC0, SYN | 8]), seq=st.integers(0, (1 << 32) - 1),
    window=st.integers(0, 0xFFFF), options=st.sampled_from([b"", LINUX_OPTIONS]),
    payload=st.binary(max_size=1460),
)  # fmt: skip


def slow_whole(packet: bytes) -> bytes:
    """What is to come out: IPv4 options are padding and the header's checksum goes with it."""
    if packet[0] >> 4 == 6:
        return packet
    size = (packet[0] & 15) * 4
    head = bytearray(packet[:20] + b"\1" * (size - 20))
    head[10:12] = b"\0\0"
    head[10:12] = struct.pack("!H", slow_sum(bytes(head)))
    return bytes(head) + packet[size:]


@given(
    st.sampled_from(FLOWS), SEGMENTS, OPTIONS4, EXTENSIONS, st.integers(0, 2), st.booleans(),
    st.integers(0, 20),
)  # fmt: skip
def test_byte_for_byte(
    flow: Flow,
    segment: Tcp,
    options: bytes,
    extensions: list[tuple[int, bytes]],
    vlans: int,
    finished: bool,
    trailer: int,
) -> None:
    """Whatever a SYN carries, from the IP header on; a trailer of the link is no part of it."""
    packet = flow.packet(segment, Ip(options=options, extensions=tuple(extensions)))
    captured = bytearray(packet + bytes(trailer))
    if not finished:
        at = len(packet) - len(flow.packet(segment)) + (20 if packet[0] >> 4 == 4 else 40)
        captured[at + 16 : at + 18] = b"\x12\x34"
    frame = frame_of(*held(bytes(captured), vlans=vlans))
    assert frame[:12] == MACS
    assert frame[12:14] == (b"\x08\0" if packet[0] >> 4 == 4 else b"\x86\xdd")
    assert frame[14:] == slow_whole(packet)


@given(st.sampled_from(FLOWS), st.binary(min_size=1, max_size=60), st.integers(1, 60))
def test_what_was_not_captured_to_its_end_goes_without_payload(
    flow: Flow, payload: bytes, missing: int
) -> None:
    packet = flow.packet(Tcp(SYN, payload=payload))
    missing = min(missing, len(payload))
    assert frame_of(*held(packet[:-missing]))[14:] == flow.packet(Tcp(SYN))


def test_a_first_fragment_becomes_whole() -> None:
    four, six = FLOWS
    parts = (
        four.packet(Tcp(SYN, payload=b"abc"), Ip(df=False, more_fragments=True)),
        six.packet(Tcp(SYN, payload=b"abc"), Ip(extensions=(fragment(0),))),
    )
    for packet, flow in zip(parts, FLOWS, strict=True):
        assert frame_of(*held(packet))[14:] == flow.packet(Tcp(SYN), Ip(df=False))


def test_the_first_syn_counts() -> None:
    """A later SYN of the flow with more in it is not taken for the first."""
    for flow in FLOWS:
        plain, larger = flow.syn(), flow.packet(Tcp(SYN, payload=b"later"))
        assert frame_of(*held(plain, larger))[14:] == plain
        assert frame_of(*held(larger, plain))[14:] == larger
        assert frame_of(*held(larger, larger[:-1] + b"!"))[14:] == larger


def test_without_room_it_goes_without_payload() -> None:
    for flow in FLOWS:
        larger = flow.packet(Tcp(SYN, payload=b"abc"))
        assert frame_of(*held(larger, limit_bytes=100))[14:] == flow.packet(Tcp(SYN), PLAIN_IP)


@given(st.binary(max_size=120), st.binary(min_size=40, max_size=120))
def test_nonsense_is_no_error(whole: bytes, head: bytes) -> None:
    """The kernels hand on only what was decoded; still, nothing here may raise."""
    for version in (0x45, 0x4F, 0x60):
        frame_of(bytes([version]) + head, 20, MACS, bytes([version]) + whole)


def test_a_reset_in_the_clients_name() -> None:
    for flow in FLOWS:
        ends = (
            ip_address(flow.orig).packed, flow.orig_port,
            ip_address(flow.resp).packed, flow.resp_port,
        )  # fmt: skip
        frame = reset_frame(ends, 0xFFFFFFFF, MACS)
        (row,) = Decoder().decode(Frames.of([(1, 1, frame)])).to_list()
        assert (row["kind"], row["sport"], row["dport"]) == ("rst", flow.orig_port, flow.resp_port)
        assert (frame[:12], len(frame)) == (MACS, 54 if len(ends[0]) == 4 else 74)
        tcp, addresses = frame[-20:], frame[-20 - 2 * len(ends[0]) : -20]
        assert addresses == ends[0] + ends[2]
        assert (tcp[4:8], tcp[8:14]) == (b"\xff" * 4, b"\0\0\0\0\x50\4")
        assert slow_sum(addresses + b"\0\6\0\x14" + tcp) == 0
        assert len(ends[0]) == 16 or slow_sum(frame[14:34]) == 0
