"""RecordWalker against its slow twin: every format, every chunking, every way to be broken."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from darkflow.flow.batch import Frames
from darkflow.sources.records import RecordWalker
from random_captures import PCAP_FLAVOURS, chunkings, damaged, pcapngs, pcaps, reorders
from slow_reader import (
    EARLY_NS,
    FAR_NS,
    MAX_CAPLEN,
    NO_TIME,
    Row,
    SlowReader,
    assert_like_twin,
    rows_of,
    structs_of,
    walk,
)
from writers import (
    BASE2,
    ENHANCED_PACKET_BLOCK,
    ETHERNET,
    OLD_PACKET_BLOCK,
    SECOND_NS,
    SIMPLE_PACKET_BLOCK,
    SLL,
    Pcap,
    Pcapng,
)

# ---- random captures ------------------------------------------------------------------------


@given(pcaps() | pcapngs(), chunkings, reorders, st.sampled_from([1, 2, 1 << 30]))
@settings(max_examples=200, deadline=None)
def test_any_capture_in_any_chunks_is_read_as_its_twin_reads_it(
    data: bytes, sizes: list[int], reorder_ns: int, most: int
) -> None:
    walker, rows = walk(data, sizes, reorder_ns, most)
    assert_like_twin(walker, rows, SlowReader(reorder_ns).read(data))


@given(damaged(pcaps() | pcapngs()), chunkings, reorders)
@settings(max_examples=200, deadline=None)
@example(Pcapng().section() + Pcapng().interface()[:-1], [], 0)
def test_a_damaged_capture_is_read_as_far_as_its_twin_reads_it(
    data: bytes, sizes: list[int], reorder_ns: int
) -> None:
    walker, rows = walk(data, sizes, reorder_ns)
    assert_like_twin(walker, rows, SlowReader(reorder_ns).read(data))


# ---- pcap, value by value -------------------------------------------------------------------


@pytest.mark.parametrize("form", PCAP_FLAVOURS, ids=repr)
def test_each_flavour_of_pcap_gives_its_packets(form: Pcap) -> None:
    packets = [(3_000_000_001 if form.nano else 3_000_001_000, b"abc"), (4 * SECOND_NS, b"")]
    _, rows = walk(form.header() + form.record(*packets[0], 1500) + form.record(*packets[1]))
    digits = 9 if form.nano else 6
    assert rows == [
        Row(packets[0][0], ETHERNET, 3, 1500, digits, b"abc"),
        Row(packets[1][0], ETHERNET, 0, 0, digits, b""),
    ]


@pytest.mark.parametrize("bits", [0, 16, 32, 240])
def test_a_frame_check_sequence_is_not_part_of_the_link_type(bits: int) -> None:
    _, rows = walk(Pcap(link=SLL, fcs_bits=bits).file([(0, b"x")]))
    assert [row.link for row in rows] == [SLL]


def test_microseconds_beyond_a_second_carry_over() -> None:
    data = Pcap().header() + struct.pack("<IIII", 5, 0xFFFFFFFF, 0, 0)
    _, rows = walk(data)
    assert [row.t_ns for row in rows] == [5 * SECOND_NS + 0xFFFFFFFF * 1000]


def test_the_longest_record_is_waited_for_and_a_longer_one_is_a_fault() -> None:
    longest = Pcap().header() + Pcap().record(0, b"some", caplen=MAX_CAPLEN)
    walker = RecordWalker()
    assert walker.walk(bytearray(longest), walker.start(longest), len(longest), Frames(), 9) == 0
    assert (walker.need, walker.fault) == (16 + MAX_CAPLEN, None)

    whole = bytearray(longest) + bytearray(MAX_CAPLEN - 4)
    frames = Frames()
    assert walker.walk(whole, 24, len(whole), frames, 9) == 16 + MAX_CAPLEN
    assert (len(frames), walker.packets, walker.need) == (1, 1, 0)

    walker, rows = walk(Pcap().header() + Pcap().record(0, b"some", caplen=MAX_CAPLEN + 1))
    assert (rows, walker.fault, walker.notes) == ([], "bad_record", {"bad_record": True})


def test_at_most_as_many_frames_as_asked_for() -> None:
    data = bytearray(Pcap().file([(i, b"") for i in range(5)]))
    walker, frames = RecordWalker(), Frames()
    walker.start(bytes(data))
    assert walker.walk(data, 24, len(data), frames, 2) == 32
    assert (len(frames), walker.packets) == (2, 2)
    assert walker.walk(data, 56, len(data), frames, 0) == 0
    assert len(frames) == 0


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b"", "not a capture"),
        (b"\xa1\xb2", "not a capture"),
        (b"hello, world, this is text", "not a capture"),
        (Pcap().header()[:23], "ends within its file header"),
        (Pcap().header()[:4], "ends within its file header"),
        (b"\xa1\xb2\xc3\xd5" + bytes(20), "not a capture"),
    ],
)
def test_what_is_no_capture_is_said_to_be_none(head: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RecordWalker().start(head)


def test_walking_beyond_the_bytes_is_refused() -> None:
    walker = RecordWalker()
    walker.start(Pcap().header())
    with pytest.raises(ValueError, match="beyond the bytes"):
        walker.walk(bytearray(10), 0, 11, Frames(), 1)
    with pytest.raises(ValueError, match="beyond the bytes"):
        walker.walk(bytearray(10), 6, 5, Frames(), 1)


# ---- cut off --------------------------------------------------------------------------------


def _two_of_each() -> dict[str, bytes]:
    little, big = Pcapng(), Pcapng(big=True)
    return {
        "pcap": Pcap().file([(1000, b"one"), (2000, b"second")]),
        "modified pcap": Pcap(modified=True, big=True).file([(1000, b"one"), (2000, b"second")]),
        "pcapng": little.section() + little.interface(SLL, 9, 3) + little.enhanced(7, b"one")
        + little.simple(b"two") + big.section(big.option(4, b"x")) + big.interface()
        + big.old(8, b"three") + big.block(0xBAD, b"what"),
    }  # fmt: skip


@pytest.mark.parametrize("name", _two_of_each())
def test_a_capture_cut_off_at_any_byte_keeps_what_came_before(name: str) -> None:
    data = _two_of_each()[name]
    whole = SlowReader().read(data)
    assert len(whole.rows) >= 2
    assert whole.fault is None
    first = 24 if "pcap" in name and name != "pcapng" else 4
    for cut in range(first, len(data) + 1):
        walker, rows = walk(data[:cut])
        assert_like_twin(walker, rows, SlowReader().read(data[:cut]))
        assert rows == whole.rows[: len(rows)]
        assert walker.fault in (None, "truncated")


# ---- pcapng, value by value -----------------------------------------------------------------


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    ("resolution", "offset_s", "ticks", "t_ns", "digits"),
    [
        (None, None, 1_700_000_000_123_456, 1_700_000_000_123_456_000, 6),
        (0, None, 1_700_000_000, 1_700_000_000_000_000_000, 0),
        (3, None, 1_700_000_000_123, 1_700_000_000_123_000_000, 3),
        (9, None, 1_700_000_000_123_456_789, 1_700_000_000_123_456_789, 9),
        (12, None, 1_700_000_123_456_789, 1_700_000_123_456, 9),
        (10, None, 19, 1, 9),
        (BASE2 | 0, None, 1_700_000_000, 1_700_000_000_000_000_000, 9),
        (BASE2 | 10, None, 1_700_000_000 << 10 | 512, 1_700_000_000_500_000_000, 9),
        (BASE2 | 32, None, 1_700_000_000 << 32 | 1 << 31, 1_700_000_000_500_000_000, 9),
        (BASE2 | 63, None, 3 << 62, 1_500_000_000, 9),
        (BASE2 | 127, None, (1 << 64) - 1, 0, 9),
        (127, None, (1 << 64) - 1, 0, 9),
        (9, 1_700_000_000, 5, 1_700_000_000_000_000_005, 9),
        (6, -3600, 1_700_000_000_000_000, 1_699_996_400_000_000_000, 6),
        (6, -1, 0, -1_000_000_000, 6),
    ],
)
def test_every_resolution_and_offset_gives_its_time(
    big: bool, resolution: int | None, offset_s: int | None, ticks: int, t_ns: int, digits: int
) -> None:
    form = Pcapng(big)
    data = form.section() + form.interface(SLL, resolution, offset_s) + form.enhanced(ticks, b"x")
    walker, rows = walk(data)
    assert rows == [Row(t_ns, SLL, 1, 1, digits, b"x")]
    assert walker.far_times == 0


@pytest.mark.parametrize(
    ("resolution", "offset_s", "ticks", "t_ns", "far"),
    [
        (0, None, (1 << 64) - 1, FAR_NS, 1),
        (0, -(1 << 63), 0, EARLY_NS, 1),
        (9, None, FAR_NS, FAR_NS, 0),
        (9, None, FAR_NS + 1, FAR_NS, 1),
        (9, (1 << 63) - 1, (1 << 64) - 1, FAR_NS, 1),
        (0, None, 4_611_686_019, FAR_NS, 1),
    ],
)
def test_an_absurd_time_is_clamped_and_counted(
    resolution: int, offset_s: int | None, ticks: int, t_ns: int, far: int
) -> None:
    form = Pcapng()
    data = form.section() + form.interface(1, resolution, offset_s) + form.enhanced(ticks, b"")
    walker, rows = walk(data)
    assert [row.t_ns for row in rows] == [t_ns]
    assert (walker.far_times, walker.clamped) == (far, 0)


def test_the_earliest_time_behind_the_latest_is_disorder_all_the_same() -> None:
    form = Pcapng()
    data = (
        form.section() + form.interface(1, 0, (1 << 63) - 1) + form.interface(1, 0, -(1 << 63))
        + form.enhanced(0, b"", 0) + form.enhanced(0, b"", 1)
    )  # fmt: skip
    walker, rows = walk(data, reorder_ns=5)
    assert [row.t_ns for row in rows] == [FAR_NS, FAR_NS - 5]
    assert (walker.disorder_ns, walker.clamped) == (FAR_NS - EARLY_NS, 1)
    assert_like_twin(walker, rows, SlowReader(5).read(data))


def test_each_section_has_its_own_byte_order_and_interfaces() -> None:
    little, big = Pcapng(), Pcapng(big=True)
    data = (
        little.section() + little.interface(1, 9) + little.interface(SLL, 6)
        + little.enhanced(5, b"a", 1) + big.section() + big.interface(101, 0) + big.old(6, b"b", 0)
    )  # fmt: skip
    walker, rows = walk(data)
    assert rows == [
        Row(5000, SLL, 1, 1, 6, b"a"), Row(6 * SECOND_NS, 101, 1, 1, 0, b"b"),
    ]  # fmt: skip
    assert walker.notes == {"sections": 2, "interfaces": 3}


@pytest.mark.parametrize("kind", ["enhanced", "old", "simple"])
def test_a_packet_of_an_interface_that_was_not_described_ends_the_walk(kind: str) -> None:
    form = Pcapng()
    packet = {
        "enhanced": form.enhanced(1, b"lost", 1),
        "old": form.old(1, b"lost", 1),
        "simple": form.section() + form.simple(b"lost"),
    }[kind]
    data = form.section() + form.interface() + form.enhanced(1, b"kept") + packet
    walker, rows = walk(data + form.section() + form.interface() + form.enhanced(2, b"never"))
    assert [row.data for row in rows] == [b"kept"]
    assert walker.fault == "bad_interface"


@pytest.mark.parametrize(
    ("block", "fault"),
    [
        (Pcapng().block(99, b"", 8), "bad_block"),
        (Pcapng().block(99, b"", 0), "bad_block"),
        (Pcapng().block(99, bytes(8), 18), "bad_block"),
        (Pcapng().block(1, bytes(4)), "bad_block"),
        (Pcapng().block(ENHANCED_PACKET_BLOCK, bytes(16)), "bad_block"),
        (Pcapng().block(OLD_PACKET_BLOCK, bytes(16)), "bad_block"),
        (Pcapng().block(SIMPLE_PACKET_BLOCK, b""), "bad_block"),
        (Pcapng().block(ENHANCED_PACKET_BLOCK, struct.pack("<IIIII", 0, 0, 0, 5, 5) + bytes(4)),
         "bad_block"),
        (Pcapng().block(0x0A0D0D0A, b"\x1a\x2b\x3c\x4e" + bytes(12)), "bad_section"),
        (Pcapng().block(99, b"1234", 20), "truncated"),
    ],
)  # fmt: skip
def test_a_block_that_cannot_be_right_ends_the_walk(block: bytes, fault: str) -> None:
    form = Pcapng()
    walker, rows = walk(form.section() + form.interface() + form.enhanced(1, b"kept") + block)
    assert [row.data for row in rows] == [b"kept"]
    assert (walker.fault, walker.notes[fault]) == (fault, True)


def test_options_that_are_cut_off_leave_the_defaults() -> None:
    form = Pcapng()
    lying = form.block(1, struct.pack("<HHI", 1, 0, 0) + struct.pack("<HHI", 9, 200, 9))
    after_end = form.block(
        1, struct.pack("<HHI", 1, 0, 0) + form.option(0, b"") + form.option(9, b"\x09")
    )
    short_offset = form.interface(options=form.option(14, bytes(4)) + form.option(9, b""))
    for described in (lying, after_end, short_offset):
        _, rows = walk(form.section() + described + form.enhanced(3, b""))
        assert [(row.t_ns, row.digits) for row in rows] == [(3000, 6)]


@pytest.mark.parametrize(
    ("snaplen", "origlen", "caplen"),
    [(0, 5, 5), (0, 3, 3), (0, 900, 8), (2, 5, 2), (64, 5, 5), (6, 900, 6)],
)
def test_a_simple_packet_has_no_time_and_as_much_as_the_snap_length_allows(
    snaplen: int, origlen: int, caplen: int
) -> None:
    form = Pcapng()
    data = form.section() + form.interface(SLL, snaplen=snaplen) + form.simple(b"12345678", origlen)
    walker, rows = walk(data)
    assert rows == [Row(None, SLL, caplen, origlen, 0, b"12345678"[:caplen])]
    assert walker.notes == {"sections": 1, "interfaces": 1, "simple_packets": 1}
    assert walker.now_ns == NO_TIME


@pytest.mark.parametrize(
    ("kind", "fault"),
    [(0xBAD, None), (5, None), (2, "bad_block"), (3, "bad_block"), (6, "bad_block")],
)
def test_a_block_too_long_to_hold_is_passed_over(kind: int, fault: str | None) -> None:
    form = Pcapng()
    length = MAX_CAPLEN + 4
    before = form.section() + form.interface()
    head = bytearray(before + form.block(kind, bytes(20), length))
    walker, frames = RecordWalker(), Frames()
    walker.start(bytes(head))
    used = walker.walk(head, 0, len(head), frames, 9)
    assert (used, walker.skip, walker.need, walker.fault) == (len(before), length, 0, None)
    walker.skipped(length - 1)
    assert (walker.skip, walker.fault) == (1, None)
    walker.skipped(1)
    assert (walker.skip, walker.fault) == (0, fault)
    if fault is None:
        after = bytearray(form.enhanced(5, b"after"))
        assert walker.walk(after, 0, len(after), frames, 9) == len(after)
        assert [row.data for row in rows_of(frames)] == [b"after"]


def test_a_capture_that_ends_in_a_block_too_long_to_hold_is_cut_off() -> None:
    form = Pcapng()
    walker, rows = walk(form.section() + form.block(0xBAD, bytes(100), MAX_CAPLEN + 4))
    assert (rows, walker.fault, walker.skip) == ([], "truncated", MAX_CAPLEN + 4 - 112)


def test_the_longest_block_that_is_held_is_waited_for() -> None:
    data = bytearray(Pcapng().section() + Pcapng().block(0xBAD, b"", MAX_CAPLEN))
    walker = RecordWalker()
    walker.start(bytes(data))
    assert walker.walk(data, 0, len(data), Frames(), 9) == 28
    assert (walker.need, walker.skip) == (MAX_CAPLEN, 0)


# ---- time within one capture ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("times_s", "reorder_s", "expected_s", "disorder_s", "clamped"),
    [
        ([1, 2, 3], 0, [1, 2, 3], 0, 0),
        ([1, 1], 0, [1, 1], 0, 0),
        ([5, 4, 6], 1, [5, 4, 6], 1, 0),
        ([5, 3, 6], 1, [5, 4, 6], 2, 1),
        ([5, 3, 6], 0, [5, 5, 6], 2, 1),
        ([9, 2, 1, 10, 9], 2, [9, 7, 7, 10, 9], 8, 2),
    ],
)
def test_disorder_is_measured_and_clamped_beyond_the_limit(
    times_s: list[int], reorder_s: int, expected_s: list[int], disorder_s: int, clamped: int
) -> None:
    data = Pcap().file([(t * SECOND_NS, b"") for t in times_s])
    walker, rows = walk(data, reorder_ns=reorder_s * SECOND_NS)
    assert [row.t_ns for row in rows] == [t * SECOND_NS for t in expected_s]
    assert (walker.disorder_ns, walker.clamped) == (disorder_s * SECOND_NS, clamped)
    assert walker.first_ns == times_s[0] * SECOND_NS
    assert walker.now_ns == max(times_s) * SECOND_NS


def test_the_capture_s_number_is_in_every_frame() -> None:
    data = bytearray(Pcap().file([(1, b"x")]))
    walker, frames = RecordWalker(4711), Frames()
    walker.start(bytes(data))
    walker.walk(data, 24, len(data), frames, 1)
    assert [(frame.source, frame.timed) for frame in structs_of(frames)] == [(4711, 1)]


def test_the_twin_s_view_of_a_batch_is_what_was_put_in() -> None:
    frames = Frames.of([(5, 1, b"abc"), (None, SLL, b"xy", 99), (-1, 7, b"")])
    assert rows_of(frames) == [
        Row(5, 1, 3, 3, 9, b"abc"), Row(None, SLL, 2, 99, 9, b"xy"), Row(-1, 7, 0, 0, 9, b""),
    ]  # fmt: skip
