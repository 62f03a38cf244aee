"""Tunnels: every encapsulation alone, nested, cut off and damaged."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkflow.flow.tunnels import TUNNELS, tunnel_mask
from darkflow.units import TUNNEL_NAMES
from flow import packets as p
from flow.encapsulations import (
    ENCAPSULATIONS,
    INNER4,
    INNER6,
    PORTS,
    carried,
    decode,
    inner_packet,
    nested,
    wrapped,
)
from flow.mutations import damaged

MAX_DEPTH = 8


def assert_inner(row: dict[str, Any], family: int) -> None:
    """The row is of the inner packet."""
    assert (row["kind"], row["family"]) == ("syn", family)
    assert (row["src"], row["dst"]) == (INNER4 if family == 4 else INNER6)
    assert (row["sport"], row["dport"]) == PORTS


families = pytest.mark.parametrize("family", [4, 6])
outers = pytest.mark.parametrize("outer", [4, 6])
every = pytest.mark.parametrize("name", list(ENCAPSULATIONS))


def test_names() -> None:
    """One fact in two places that may not import each other: the setting and the kernel."""
    assert tuple(TUNNELS) == TUNNEL_NAMES
    assert tunnel_mask(["all"]) == sum(TUNNELS.values()) == tunnel_mask(TUNNEL_NAMES)
    assert tunnel_mask(["gtp", "gtp"]) == TUNNELS["gtp"]
    assert tunnel_mask([]) == 0
    with pytest.raises(ValueError, match=r"unknown tunnel 'l2tp': choose from vxlan, gre"):
        tunnel_mask(["l2tp"])


def test_every_name_has_an_encapsulation() -> None:
    assert {name for e in ENCAPSULATIONS.values() for name in e.names} == set(TUNNEL_NAMES)


@every
@families
@outers
def test_enters(name: str, family: int, outer: int) -> None:
    """With the names it needs, and with all of them."""
    frame = wrapped(name, inner_packet(family), outer)
    for tunnels in (sorted(ENCAPSULATIONS[name].names), TUNNEL_NAMES, ["all"]):
        (row,), lost = decode([frame], tunnels)
        assert_inner(row, family)
        assert lost == {}


@every
@outers
def test_each_name_enters_only_its_own(name: str, outer: int) -> None:
    """Every set of names without one that is needed leaves the packet as it is without tunnels."""
    encapsulation = ENCAPSULATIONS[name]
    frame = wrapped(name, inner_packet(4), outer)
    plain = decode([frame], [])
    assert plain == ([], {"not_ip" if encapsulation.makes_frame else "not_tcp": 1})
    for missing in encapsulation.names:
        assert decode([frame], [other for other in TUNNEL_NAMES if other != missing]) == plain
        assert decode([frame], sorted(encapsulation.names - {missing})) == plain


@every
@families
@outers
def test_cut_off_at_every_byte(name: str, family: int, outer: int) -> None:
    """A row from the inner flags on; before them `short`, unless nothing told of a tunnel yet."""
    frame = wrapped(name, inner_packet(family), outer)
    needed = len(frame) - len(p.tcp()) + 14
    rows, lost = decode([frame[:length] for length in range(len(frame) + 1)])
    assert [row["t_ns"] for row in rows] == list(range(needed, len(frame) + 1))
    for row in rows:
        assert_inner(row, family)
    # Before a UDP port is there, nothing tells of a tunnel: 0 to 3 bytes of its header.
    assert set(lost) <= {"short", "not_tcp"}
    assert lost.get("not_tcp", 0) in (0, 4)


@every
def test_raw_ip_and_cooked_links(name: str) -> None:
    """Tunnels in IP are entered on every link type; those in frames where an EtherType is told."""
    encapsulation = ENCAPSULATIONS[name]
    whole = encapsulation.wrap(inner_packet(4), 4)
    if encapsulation.makes_frame:
        cooked = bytes(14) + whole[12:]
        assert_inner(decode([cooked], link=p.SLL)[0][0], 4)
        return
    for link in (p.RAW, p.NULL, p.LOOP, p.IPV4, p.SLL, p.SLL2):
        assert_inner(decode([p.linked(whole, link)], link=link)[0][0], 4)
    assert_inner(decode([p.framed(whole, [p.TYPE_QINQ, p.TYPE_VLAN])])[0][0], 4)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(ENCAPSULATIONS)), min_size=1, max_size=MAX_DEPTH),
    st.lists(st.sampled_from([4, 6]), min_size=1, max_size=4),
    st.sampled_from([4, 6]),
)
def test_nested(names: list[str], outer: list[int], family: int) -> None:
    """Any tunnel in any other, up to the depth bound; a tunnel in a frame needs one more."""
    frame = nested(names, inner_packet(family), outer)
    rows, lost = decode([frame])
    if tunnels_in(names) <= MAX_DEPTH:
        assert_inner(rows[0], family)
    else:
        assert rows == []
        assert set(lost) <= {"not_tcp", "not_ip"}


def tunnels_in(names: list[str]) -> int:
    """How many tunnels `nested` makes of these."""
    bridged = sum(ENCAPSULATIONS[name].makes_frame for name in names[:-1])
    return len(names) + bridged + sum(len(ENCAPSULATIONS[name].names) - 1 for name in names)


@pytest.mark.parametrize("name", ["ipip", "gre", "vxlan", "geneve_frame", "gtp", "mpls_in_ip"])
@outers
def test_depth_bound(name: str, outer: int) -> None:
    """One tunnel more than the bound is not entered; the last IP header reached counts."""
    allowed = nested([name] * MAX_DEPTH, inner_packet(4), [outer])
    assert_inner(decode([allowed])[0][0], 4)
    too_deep = nested([name] * (MAX_DEPTH + 1), inner_packet(4), [outer])
    assert decode([too_deep]) == ([], {"not_tcp": 1})


def test_depth_bound_without_ip() -> None:
    """Pseudowires in pseudowires."""
    for depth, expected in ((MAX_DEPTH, {}), (MAX_DEPTH + 1, {"not_ip": 1})):
        frame = p.framed(inner_packet(4))
        for _ in range(depth):
            frame = p.ethernet(p.mpls(frame), p.TYPE_MPLS)
        rows, lost = decode([frame])
        assert (len(rows), lost) == (not expected, expected)


def test_long_stacks_end_in_time() -> None:
    """The longest frame of labels, tags or headers is walked once."""
    assert decode([p.ethernet(p.mpls(b"", 60000), p.TYPE_MPLS)]) == ([], {"short": 1})
    tags = p.ethernet(b"\0\5\x81\0" * 60000, p.TYPE_VLAN)
    assert decode([tags]) == ([], {"short": 1})


@pytest.mark.parametrize("kind", ["syn_ack", "rst", "icmp"])
@families
def test_answers_and_errors_inside(kind: str, family: int) -> None:
    """What is inside counts as it would outside."""
    if kind == "icmp":
        quote = inner_packet(family)
        segment = p.icmp_error(quote, 3 if family == 4 else 1)
        ip = p.ipv4 if family == 4 else p.ipv6
        packet = ip(segment, 1 if family == 4 else 58)
    else:
        flags = p.SYN | p.ACK if kind == "syn_ack" else p.RST
        packet = inner_packet(family, p.tcp(flags, PORTS))
    (row,), lost = decode([wrapped("vxlan", packet)])
    assert (row["kind"], row["sport"]) == (kind, PORTS[0])
    assert lost == ({"not_tcp": 1} if kind == "icmp" else {})


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (p.ipv4(p.tcp(), fragment=1, ends=INNER4), "fragment"),
        (p.ipv6(p.fragment(p.tcp(), 6, 1), 44), "fragment"),
        (b"\x44" + inner_packet(4)[1:], "malformed"),
        (inner_packet(4, p.tcp()[:12] + b"\x40" + p.tcp()[13:]), "malformed"),
        (p.ipv4(p.udp(b"", 53), 17), "not_tcp"),
        (inner_packet(4)[:33], "short"),
    ],
)
@pytest.mark.parametrize("name", ["vxlan", "gre", "erspan_2", "geneve_ip", "pppoe", "ipip", "gtp"])
def test_broken_inside(name: str, packet: bytes, why: str) -> None:
    """The innermost IP header that was reached says what is wrong."""
    assert decode([wrapped(name, packet)]) == ([], {why: 1})


ARP = p.ethernet(bytes(28), 0x0806)
GOOD_IP = inner_packet(4)
GOOD = p.framed(GOOD_IP)


@pytest.mark.parametrize(
    ("proto", "body"),
    [
        (17, p.vxlan(GOOD, flags=0)),
        (17, p.vxlan(ARP)),
        (17, p.vxlan(p.ethernet(bytes(46), 46))),
        (17, p.udp(p.vxlan(GOOD)[8:], 4790)),
        (17, p.udp(p.vxlan(GOOD)[8:], 5000, source=4789)),
        (17, p.geneve(GOOD_IP, 0x0800)[:8] + b"\x40" + p.geneve(GOOD_IP, 0x0800)[9:]),
        (17, p.geneve(GOOD_IP, 0x0800, second=0x80)),
        (17, p.geneve(bytes(28), 0x0806)),
        (17, p.gtp(GOOD_IP)[:9] + b"\x01" + p.gtp(GOOD_IP)[10:]),
        (17, p.udp(b"\x50" + p.gtp(GOOD_IP)[9:], 2152)),
        (17, p.udp(b"\x20" + p.gtp(GOOD_IP)[9:], 2152)),
        (17, p.gtp(GOOD)),
        (17, p.udp(b"\x34\xff" + bytes(6) + bytes(3) + b"\x85" + bytes(40), 2152)),
        (47, p.gre(ARP, p.TYPE_BRIDGED)),
        (47, p.gre(GOOD_IP, 0x0800, 4)),
        (47, p.gre(GOOD_IP, 0x0801)),
        (47, b"\0\2" + p.gre(GOOD_IP, 0x0800)[2:]),
        (47, b"\x30\1" + p.gre(GOOD_IP, 0x0800)[2:]),
        (47, p.pptp(bytes(20), head=b"\xff\x03\xc0\x21")),
        (47, b"\x20\x81\x88\x0b" + bytes(8) + b"\xff\x03\0\x21" + GOOD_IP),
        (47, p.gre(bytes([0x30, 0, 0, 0, 0, 0, 0, 0]) + GOOD, 0x88BE, 1)),
        (47, p.erspan(GOOD_IP, 3, kind=1)),
        (47, p.erspan(ARP, 2)),
        (137, p.mpls(ARP)),
        (137, p.mpls(b"\x10\0\0\x21" + GOOD_IP)),
    ],
)
@outers
def test_no_tunnel(proto: int, body: bytes, outer: int) -> None:
    """Wrong versions, control messages and what is not IP: as if no tunnel were entered."""
    frame = p.framed(carried(body, proto, outer))
    assert decode([frame]) == decode([frame], []) == ([], {"not_tcp": 1})


@pytest.mark.parametrize(
    "frame",
    [
        p.ethernet(b"\x11\xa7" + p.pppoe(GOOD_IP)[2:], p.TYPE_PPPOE),
        p.ethernet(b"\x21\0" + p.pppoe(GOOD_IP)[2:], p.TYPE_PPPOE),
        p.ethernet(p.pppoe(GOOD_IP), 0x8863),
        p.ethernet(p.pppoe(GOOD_IP)[:6] + b"\xc0\x21" + bytes(40), p.TYPE_PPPOE),
        p.ethernet(p.mpls(ARP), p.TYPE_MPLS),
        # A bridged frame without a tunnel around it is no tunnel that has a name.
        p.ethernet(GOOD, p.TYPE_BRIDGED),
    ],
)
def test_no_tunnel_and_no_ip(frame: bytes) -> None:
    assert decode([frame]) == ([], {"not_ip": 1})


def test_outer_tcp_counts() -> None:
    """The first TCP header from outside is the one, whatever it carries."""
    frame = p.framed(p.ipv4(p.tcp(ports=(5, 6), rest=inner_packet(4))))
    (row,), _ = decode([frame])
    assert row["sport"] == 5


def test_quoted_tunnels_are_not_entered() -> None:
    """An error about a tunnel's packet says nothing of a flow within it."""
    quoted = p.ipv4(p.gre(inner_packet(4), 0x0800), 47)
    assert decode([p.framed(p.ipv4(p.icmp_error(quoted, 3), 1))]) == ([], {"not_tcp": 1})


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(ENCAPSULATIONS)), min_size=1, max_size=4),
    st.sampled_from([4, 6]), st.randoms(use_true_random=False),
)  # fmt: skip
def test_damaged(names: list[str], outer: int, random: Any) -> None:
    """Each packet is counted once, and frames that carry IP are never `not_ip`."""
    frame = nested(names, inner_packet(4), [outer])
    frames = [damaged(frame, random, frame[14:]) for _ in range(50)]
    decode(frames)
    if not ENCAPSULATIONS[names[-1]].makes_frame:
        _, lost = decode([frame[:20] + data[20:] for data in frames])
        assert "not_ip" not in lost
