"""Membership in the watched networks, against the ipaddress module."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from darkflow.flow.networks import DIRECTIONS, Networks
from darkflow.units import parse_networks

OUTSIDE4, OUTSIDE6 = bytes([10, 0, 0, 1]), bytes([0x20, 1]) + bytes(14)


def watch(text: str) -> Networks:
    """Networks as the command line gets them."""
    cidrs, v4, v6 = parse_networks(text)
    return Networks(v4, v6, cidrs)


def _networks(bits: int, base: int) -> st.SearchStrategy[tuple[int, int]]:
    # Few distinct high bits, so that networks overlap, touch and contain each other.
    return st.tuples(
        st.integers(0, 63).map(lambda n: base | n << (bits - 32)), st.integers(bits - 40, bits)
    ).map(lambda pair: (pair[0] >> (bits - pair[1]) << (bits - pair[1]), max(pair[1], 0)))


networks4 = _networks(32, 0xC0000200).map(lambda n: ipaddress.IPv4Network((n[0], max(n[1], 0))))
networks6 = _networks(128, 0x20010DB8 << 96).map(lambda n: ipaddress.IPv6Network(n))
anything = st.lists(
    st.one_of(networks4, networks6), min_size=1, max_size=12
)  # fmt: skip


def _near(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> list[bytes]:
    """The ends of a network and their neighbours outside."""
    size = network.network_address.max_prefixlen // 8
    first, last = int(network.network_address), int(network.broadcast_address)
    limit = 1 << (8 * size)
    return [
        (n % limit).to_bytes(size, "big")
        for n in (first - 1, first, first + 1, last - 1, last, last + 1)
    ]


@given(anything, st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16))
@settings(max_examples=200, deadline=None)
@example([ipaddress.ip_network("0.0.0.0/0")], bytes(4), bytes(16))
@example([ipaddress.ip_network("::/0")], b"\xff" * 4, b"\xff" * 16)
def test_membership_is_that_of_ipaddress(
    cidrs: list[ipaddress.IPv4Network | ipaddress.IPv6Network], four: bytes, six: bytes
) -> None:
    watched = watch(",".join(str(cidr) for cidr in cidrs))
    for packed in (four, six, *(packed for cidr in cidrs for packed in _near(cidr))):
        address = ipaddress.ip_address(packed)
        inside = any(address in cidr for cidr in cidrs)
        assert watched.direction_of(packed, packed) == ("internal" if inside else "transit")


@pytest.mark.parametrize(
    ("orig", "resp", "expected"),
    [
        ("198.51.100.1", "192.0.2.9", "inbound"),
        ("192.0.2.9", "198.51.100.1", "outbound"),
        ("192.0.2.0", "192.0.2.255", "internal"),
        ("192.0.1.255", "192.0.3.0", "transit"),
        ("2001:db9::1", "2001:db8::1", "inbound"),
        ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::", "outbound"),
        ("2001:db8::", "2001:db8::1", "internal"),
        ("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "::", "transit"),
    ],
)
def test_direction_is_from_and_to_the_watched_networks(orig: str, resp: str, expected: str) -> None:
    watched = watch("192.0.2.0/24,2001:db8::/32")
    ends = [ipaddress.ip_address(text).packed for text in (orig, resp)]
    assert watched.direction_of(ends[0], ends[1]) == expected


def test_one_family_alone_leaves_the_other_outside() -> None:
    assert watch("0.0.0.0/0").direction_of(OUTSIDE6, OUTSIDE6) == "transit"
    assert watch("::/0").direction_of(OUTSIDE4, OUTSIDE4) == "transit"


def test_everything_is_internal_unless_something_else_is_said() -> None:
    everything = Networks.everything()
    assert everything.cidrs == ("0.0.0.0/0", "::/0")
    for packed in (bytes(4), b"\xff" * 4, bytes(16), b"\xff" * 16, OUTSIDE4, OUTSIDE6):
        assert everything.direction_of(packed, packed) == "internal"
    assert DIRECTIONS == ("inbound", "outbound", "internal", "transit")


def test_many_networks_are_all_found() -> None:
    cidrs = [f"10.{i >> 8}.{i & 255}.0/25" for i in range(5000)]
    watched = watch(",".join(reversed(cidrs)))
    assert len(watched.cidrs) == 5000
    for i in (0, 1, 2500, 4998, 4999):
        inside, outside = bytes([10, i >> 8, i & 255, 127]), bytes([10, i >> 8, i & 255, 128])
        assert watched.direction_of(outside, inside) == "inbound"


@pytest.mark.parametrize(
    ("v4", "v6"),
    [
        ([(bytes(4), bytes(3))], []),
        ([], [(bytes(4), bytes(4))]),
        ([(b"\2" * 4, b"\3" * 4), (b"\1" * 4, b"\1" * 4)], []),
        ([(b"\1" * 4, b"\3" * 4), (b"\2" * 4, b"\4" * 4)], []),
        ([(b"\3" * 4, b"\1" * 4)], []),
    ],
)
def test_ranges_that_are_not_sorted_and_disjoint_are_refused(
    v4: list[tuple[bytes, bytes]], v6: list[tuple[bytes, bytes]]
) -> None:
    with pytest.raises(ValueError, match="sorted and disjoint"):
        Networks(v4, v6)


def test_networks_may_be_replaced() -> None:
    watched = watch("192.0.2.0/24,2001:db8::/32")
    inside = bytes([192, 0, 2, 1])
    for _ in range(40):
        for text, direction in (("10.0.0.0/8", "transit"), ("192.0.2.0/25,::/0", "internal")):
            watched.replace(*parse_networks(text)[1:], parse_networks(text)[0])
            assert watched.direction_of(inside, inside) == direction
            assert watched.direction_of(OUTSIDE6, OUTSIDE6) == direction
            assert watched.cidrs == parse_networks(text)[0]
    with pytest.raises(ValueError, match="sorted and disjoint"):
        watched.replace([(b"\3" * 4, b"\1" * 4)], [])
    assert watched.direction_of(inside, inside) == "internal"
