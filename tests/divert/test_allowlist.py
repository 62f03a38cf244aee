"""What is never diverted, as elements of nft's sets."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from darkflow.divert.allowlist import replaced, sets
from darkflow.divert.dispatcher import Allowed

NETWORKS = st.lists(
    st.builds(
        lambda last, length: ip_network((bytes((192, 0, 2, last)), length), strict=False),
        st.integers(0, 255),
        st.integers(24, 32),
    )
)


@given(NETWORKS)
def test_ranges_do_not_overlap_and_cover_the_same(networks: list[object]) -> None:
    ends = [(net.network_address.packed, net.broadcast_address.packed) for net in networks]  # type: ignore[attr-defined]
    allowed = Allowed(addresses=tuple(ends))
    elements = {name: text for name, _, text in sets(allowed)}
    assert elements["allowed_to6"] == elements["allowed_from4"] == ""
    ranges = [word.partition("-") for word in filter(None, elements["allowed_to4"].split(", "))]
    listed = [
        number
        for first, _, last in ranges
        for number in range(int(ip_address(first)), int(ip_address(last or first)) + 1)
    ]
    assert len(listed) == len(set(listed))
    covered = {n for n in range(256) if allowed.covers((b"", 1, bytes((192, 0, 2, n)), 1))}
    assert {number & 255 for number in listed} == covered


def test_a_loaded_table_gets_all_of_it() -> None:
    six = ip_address("2001:db8::1").packed
    text = replaced(Allowed(sources=((six, six),), ports=frozenset((443, 22))), "t")
    assert "add element netdev t allowed_from6 { 2001:db8::1 }\n" in text
    assert "add element netdev t allowed_ports { 22, 443 }\n" in text
    assert text.count("flush set") == 5
    assert text.count("add element") == 2
