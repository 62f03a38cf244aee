"""The decoder against its slow twin, the reader that truth.json was made with, and by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from darkflow.flow.batch import Frames
from darkflow.flow.decode import LOST_NAMES, Decoder
from darkflow.flow.kept import KeptFrames
from darkflow.sources.records import RecordWalker
from flow import packets as p
from flow.mutations import mutated
from flow.truth_reader import truth_reader
from slow_decode import Slow

Sample = tuple[int | None, int, bytes]
LINKS = (1, 0, 108, 12, 14, 101, 228, 229, 113, 276)
VLANS = (0x8100, 0x88A8, 0x9100, 0x9200, 0x9300)
FAMILIES = (2, 10, 24, 28, 30)

ports = st.tuples(st.integers(0, 65535), st.integers(0, 65535))
segments = st.one_of(
    st.builds(
        p.tcp, st.integers(0, 255), ports, st.integers(0, 2**32 - 1), st.binary(max_size=8)
    ),
    st.builds(
        p.tcp_options, st.binary(max_size=40).map(lambda b: b + bytes(-len(b) % 4)),
        st.sampled_from([2, 4, 16, 18, 20, 22, 194]), st.binary(max_size=8),
    ),
    st.binary(max_size=24),
)  # fmt: skip


@st.composite
def ip_packets(draw: st.DrawFn, inner: st.SearchStrategy[bytes], protos: Sequence[int]) -> bytes:
    """IPv4 with options and fragments, IPv6 with a chain of extension headers."""
    body, proto = draw(inner), draw(st.sampled_from(protos))
    if draw(st.booleans()):
        flags = draw(st.sampled_from([0, 0, 0, 0x4000, 0x2000, 1, 0x2001]))
        packet = p.ipv4(body, proto, draw(st.binary(max_size=40)), flags)
    else:
        for _ in range(draw(st.integers(0, 4))):
            kind = draw(st.sampled_from([0, 43, 60, 135, 44, 51]))
            if kind == 44:
                body = p.fragment(body, proto, draw(st.sampled_from([0, 0, 0, 1, 32])))
            elif kind == 51:
                body = p.authentication(body, proto, draw(st.integers(0, 5)))
            else:
                body = p.extension(body, proto, draw(st.integers(0, 2)))
            proto = kind
        packet = p.ipv6(body, proto)
    changes = draw(st.lists(st.tuples(st.integers(0, 47), st.integers(0, 255)), max_size=2))
    for at, value in changes if draw(st.integers(0, 3)) == 0 else ():
        packet = packet[:at] + bytes([value]) + packet[at + 1 :] if at < len(packet) else packet
    return packet


segments_in_ip = ip_packets(segments, (6, 6, 6, 6, 17, 1, 58))
errors = st.builds(
    p.icmp_error, segments_in_ip, st.integers(0, 14), st.integers(0, 3)
).flatmap(lambda body: ip_packets(st.just(body), (1, 58)))  # fmt: skip
packets = st.one_of(segments_in_ip, errors)


@st.composite
def frames(draw: st.DrawFn) -> Sample:
    """A packet in a frame of any link type, cut off anywhere or not at all; or random bytes."""
    t_ns = draw(st.one_of(st.integers(-5, 10**18), st.integers(0, 9).map(lambda x: x or None)))
    if draw(st.integers(0, 9)) == 0:
        return (
            t_ns,
            draw(st.one_of(st.sampled_from(LINKS), st.integers(0, 300))),
            draw(st.binary(max_size=80)),
        )
    packet, link = draw(packets), draw(st.sampled_from(LINKS))
    if link == p.ETHERNET:
        data = p.framed(packet, draw(st.lists(st.sampled_from(VLANS), max_size=5)))
    elif link in (p.NULL, p.LOOP):
        order = draw(st.sampled_from(["little", "big"]))
        family = draw(st.sampled_from([*FAMILIES, 7, 0x0202]))
        data = family.to_bytes(4, "little" if order == "little" else "big") + packet
    else:
        data = p.linked(packet, link)
    if draw(st.booleans()):
        data = data[: draw(st.integers(0, len(data)))]
    return t_ns, link, data


def decode(
    samples: Sequence[Sample], tunnels: Sequence[str] = ()
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows and counters of the decoder."""
    decoder = Decoder(tunnels)
    return decoder.decode(Frames.of(samples)).to_list(), decoder.counters


def assert_twins_agree(samples: Sequence[Sample]) -> None:
    """Every row and every counter; every packet is in exactly one of them."""
    slow = Slow()
    expected = [row for sample in samples if (row := slow.decode(*sample)) is not None]
    rows, counters = decode(samples)
    assert rows == expected
    undecoded = counters.pop("undecoded")
    assert counters == slow.counters
    assert {why: count for why, count in undecoded.items() if count} == slow.undecoded
    assert counters["packets"] == counters["tcp"] + sum(undecoded.values())


@settings(max_examples=400, deadline=None)
@given(st.lists(frames(), min_size=1, max_size=12))
@example([(0, 101, b"")])
def test_twin(samples: list[Sample]) -> None:
    assert_twins_agree(samples)


@settings(max_examples=60, deadline=None)
@given(packets, st.sampled_from(LINKS), st.lists(st.sampled_from(VLANS), max_size=3))
def test_cut_off_at_every_byte(packet: bytes, link: int, tags: list[int]) -> None:
    data = p.framed(packet, tags) if link == p.ETHERNET else p.linked(packet, link)
    assert_twins_agree([(1, link, data[:length]) for length in range(len(data) + 1)])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(max_size=120), min_size=1, max_size=20), st.data())
def test_random_bytes(blobs: list[bytes], data: st.DataObject) -> None:
    assert_twins_agree([(1, data.draw(st.sampled_from([*LINKS, 9, 105])), blob) for blob in blobs])


def frames_of(path: Path, most: int) -> list[Sample]:
    """The first frames of a capture, as the slow reader reads them; numbered instead of timed."""
    read = truth_reader().read_capture(str(path))
    return [
        (None if t_ns is None else number, link, data)
        for number, (t_ns, link, _, _, data, _) in zip(range(most), read, strict=False)
    ]


@pytest.fixture(scope="module")
def real(captures: Path) -> list[Sample]:
    """Frames of every real capture, some of each."""
    return [frame for path in sorted(captures.iterdir()) for frame in frames_of(path, 150)]


def chunks(samples: list[Sample], size: int = 4096) -> Iterator[list[Sample]]:
    """Samples in batches."""
    for at in range(0, len(samples), size):
        yield samples[at : at + size]


def test_real_captures(real: list[Sample]) -> None:
    assert len(real) > 5000
    for batch in chunks(real):
        assert_twins_agree(batch)


@pytest.mark.parametrize("seed", range(5))
def test_mutated_real_captures(real: list[Sample], seed: int) -> None:
    assert_twins_agree(mutated(real, seed, 4096))


def test_truth_reader_finds_the_same(real: list[Sample]) -> None:
    """Twice independent: the reader knows only TCP or not, and flags."""
    reader = truth_reader()
    for batch in chunks(real + mutated(real, 1, 3000)):
        found = [
            (t_ns, tcp)
            for t_ns, link, data in batch
            if t_ns is not None and (tcp := reader.tcp_of(link, data)) is not None
        ]
        rows, counters = decode(batch)
        assert counters["tcp"] == len(found)
        told = [(t_ns, tcp[:4]) for t_ns, tcp in found if tcp[4] & 4 or tcp[4] & 2]
        assert told == [
            (row["t_ns"], (row["src"], row["dst"], row["sport"], row["dport"]))
            for row in rows
            if row["kind"] != "icmp"
        ]


@pytest.mark.parametrize(
    ("flags", "kind", "counter"),
    [
        (p.SYN, "syn", "syn"),
        (p.SYN | p.FIN, "syn", "syn"),
        (p.SYN | 0xC8, "syn", "syn"),
        (p.SYN | p.ACK, "syn_ack", "synack"),
        (p.RST, "rst", "rst"),
        (p.RST | p.ACK, "rst", "rst"),
        (p.RST | p.SYN, "rst", "rst"),
        (p.RST | p.SYN | p.ACK, "rst", "rst"),
        (p.ACK, None, None),
        (p.FIN | p.ACK, None, None),
        (0, None, None),
    ],
)
def test_flags(flags: int, kind: str | None, counter: str | None) -> None:
    rows, counters = decode([(1, 101, p.ipv4(p.tcp(flags)))])
    assert [row["kind"] for row in rows] == ([kind] if kind else [])
    assert counters["tcp"] == 1
    counted = {name: counters[name] for name in ("syn", "synack", "rst") if counters[name]}
    assert counted == ({counter: 1} if counter else {})


@pytest.mark.parametrize(
    ("sample", "why"),
    [
        ((None, 1, p.framed(p.ipv4(p.tcp()))), "no_time"),
        ((1, 1, p.ethernet(b"", 0x0806)), "not_ip"),
        ((1, 1, p.ethernet(bytes(46), 0)), "not_ip"),
        ((1, 0, b"\7\0\0\0" + p.ipv4(p.tcp())), "not_ip"),
        ((1, 1, p.framed(p.ipv4(p.udp(b"", 53), 17))), "not_tcp"),
        ((1, 1, p.framed(p.ipv4(p.tcp(), fragment=1))), "fragment"),
        ((1, 1, p.framed(p.ipv6(p.fragment(p.tcp(), 6, 1), 44))), "fragment"),
        ((1, 1, p.framed(p.ipv4(p.tcp()))[:47]), "short"),
        ((1, 1, b""), "short"),
        ((1, 101, b"\x50" + bytes(40)), "malformed"),
        ((1, 101, b"\x44" + p.ipv4(p.tcp())[1:]), "malformed"),
        ((1, 101, p.ipv4(p.tcp()[:12] + b"\x40" + p.tcp()[13:])), "malformed"),
    ],
)
def test_why_undecoded(sample: Sample, why: str) -> None:
    rows, counters = decode([sample])
    assert rows == []
    assert {name: count for name, count in counters["undecoded"].items() if count} == {why: 1}
    assert why in LOST_NAMES


def test_last_flag_byte_is_enough() -> None:
    """Flags are the last byte that must be there, whatever the data offset says of options."""
    packet = p.ipv4(p.tcp_options(bytes(8)))
    for length in range(34, len(packet) + 1):
        (row,), _ = decode([(1, 101, packet[:length])])
        assert row["tcp_len"] == length - 20 if length < 48 else 28


@pytest.mark.parametrize(
    ("packet", "payload"),
    [
        (p.ipv4(p.tcp(rest=b"abc")), 3),
        (p.ipv4(p.tcp_options(bytes(4), rest=b"abc"), options=bytes(8)), 3),
        (p.ipv6(p.tcp(rest=b"abcd")), 4),
        (p.ipv6(p.extension(p.tcp(rest=b"abcd"), 6, 1), 60), 4),
        # A length of 0: segmentation is left to the network card, or a jumbogram.
        (p.ipv4(p.tcp(rest=b"abc"))[:2] + b"\0\0" + p.ipv4(p.tcp(rest=b"abc"))[4:], 0),
        (p.ipv6(p.tcp(rest=b"abcd"))[:4] + b"\0\0" + p.ipv6(p.tcp(rest=b"abcd"))[6:], 0),
    ],
)
def test_payload_bytes(packet: bytes, payload: int) -> None:
    """Padding to Ethernet's shortest frame is no payload."""
    (row,), _ = decode([(1, 1, p.framed(packet) + bytes(20))])
    assert row["payload_bytes"] == payload


def test_payload_is_of_this_syn() -> None:
    """A row's place is used again for the next batch: what was in it must not stay."""
    decoder = Decoder()
    first = decoder.decode(Frames.of([(1, 101, p.ipv4(p.tcp(rest=b"abc")))])).to_list()
    second = decoder.decode(Frames.of([(2, 101, p.ipv4(p.tcp(p.SYN | p.ACK)))])).to_list()
    assert (first[0]["payload_bytes"], second[0]["payload_bytes"]) == (3, 0)


@pytest.mark.parametrize("family", [4, 6])
def test_icmp_errors(family: int) -> None:
    """Errors that quote 8 bytes of TCP are rows; other messages, or shorter quotes, are not."""
    ip, proto = (p.ipv4, 1) if family == 4 else (p.ipv6, 58)
    quoted = ip(p.tcp())[: (20 if family == 4 else 40) + 8]
    kinds = {4: {3, 4, 11, 12}, 6: {1, 2, 3, 4}}[family]
    for kind in range(256):
        rows, counters = decode([(1, 101, ip(p.icmp_error(quoted, kind, 3), proto))])
        assert len(rows) == counters["icmp_errors"] == (kind in kinds)
        assert counters["undecoded"]["not_tcp"] == 1
        if rows:
            assert rows[0]["icmp"] == (kind, 3)
            assert (rows[0]["sport"], rows[0]["dport"], rows[0]["seq"]) == (1234, 80, 7)
    short = ip(p.icmp_error(quoted[:-1], 3 if family == 4 else 1), proto)
    assert decode([(1, 101, short)])[0] == []


def test_icmp_of_the_other_family() -> None:
    """ICMP within IPv6 means nothing, and neither does ICMPv6 within IPv4."""
    quoted = p.ipv4(p.tcp())
    for packet in (
        p.ipv6(p.icmp_error(quoted, 3), 1), p.ipv4(p.icmp_error(quoted, 3), 58)
    ):  # fmt: skip
        rows, counters = decode([(1, 101, packet)])
        assert rows == []
        assert counters["undecoded"]["not_tcp"] == 1


def test_unknown_link_types() -> None:
    """Counted by number, and together when there are more than any capture has."""
    _, counters = decode([(1, 300 + at // 2, b"") for at in range(200)])
    undecoded = counters["undecoded"]
    assert undecoded["link_type_300"] == 2
    assert len([name for name in undecoded if name.startswith("link_type_")]) == 65
    assert undecoded["link_type_other"] == 200 - 64 * 2
    assert sum(undecoded.values()) == counters["packets"] == 200


def test_kept_frames() -> None:
    """Whole frames of SYNs are kept up to the limit, and nothing else is."""
    kept = KeptFrames(400)
    frame = p.framed(p.ipv4(p.tcp(rest=bytes(100))))
    samples = [
        (1, 1, frame), (2, 1, p.framed(p.ipv4(p.tcp(p.RST)))), (3, 1, frame), (4, 1, frame)
    ]  # fmt: skip
    assert len(Decoder(kept=kept).decode(Frames.of(samples))) == 4
    assert kept.dropped > 0
    assert kept.bytes_held <= 400


def test_source_and_time_of_rows() -> None:
    """What the source says of a frame goes with its row."""
    capture = p.pcap([(1_500_000_001, p.framed(p.ipv4(p.tcp())))])
    # Frames point into these bytes, which must stay until they are decoded.
    held = bytearray(capture)
    walker, batch = RecordWalker(source=3), Frames()
    walker.walk(held, walker.start(capture), len(held), batch, 10)
    (row,) = Decoder().decode(batch).to_list()
    assert (row["source"], row["t_ns"]) == (3, 1_500_000_001)
    assert Decoder().decode(Frames.of([], now_ns=77)).now_ns == 77
