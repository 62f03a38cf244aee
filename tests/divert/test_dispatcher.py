"""Which dark flows the honeypot gets: from outside, not allowed, within the limits."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from darkflow.divert.dispatcher import DIVERT, REFUSALS, Allowed, Buckets, Dispatcher, Flow, Limits

SECOND_NS = 1_000_000_000


def packed(text: str) -> bytes:
    """An address as the wire has it."""
    return ipaddress.ip_address(text).packed


def flow(orig: str = "198.51.100.1", port: int = 1, resp: str = "192.0.2.1", to: int = 22) -> Flow:
    """A flow, by text."""
    return (packed(orig), port, packed(resp), to)


def inbound(orig: bytes, resp: bytes) -> bool:
    """192.0.2.0/24 and 2001:db8::/32 are watched."""
    watched = [a.startswith((b"\xc0\0\2", b"\x20\x01\x0d\xb8")) for a in (orig, resp)]
    return watched == [False, True]


def test_only_what_comes_from_outside() -> None:
    given = Dispatcher(inbound)
    assert given.dark(flow(), 0) == DIVERT
    assert given.dark(flow("2001:db9::1", 1, "2001:db8::1"), 0) == DIVERT
    assert given.dark(flow("192.0.2.9", 1, "198.51.100.1"), 0) == "not_inbound"
    assert given.dark(flow("192.0.2.9", 1, "192.0.2.1"), 0) == "not_inbound"
    assert given.dark(flow("198.51.100.1", 1, "203.0.113.1"), 0) == "not_inbound"
    assert given.refused["not_inbound"] == 3
    assert given.diverted == len(given.flows) == 2


def test_a_flow_is_diverted_once_until_it_ends() -> None:
    given = Dispatcher(inbound)
    assert given.dark(flow(), 5, 3) == DIVERT
    assert given.dark(flow(), 6) == "known"
    ended = given.end(flow())
    assert ended is not None
    assert (ended.flow, ended.t0_ns, ended.since_ns) == (flow(), 3, 5)
    assert given.end(flow()) is None
    assert given.dark(flow(), 7) == DIVERT


def test_what_is_allowed_is_left_alone() -> None:
    one = (packed("192.0.2.7"), packed("192.0.2.8"))
    given = Dispatcher(inbound)
    assert given.dark(flow(resp="192.0.2.7"), 0) == DIVERT
    given.allowed = Allowed((one,), ((packed("198.51.100.9"),) * 2,), frozenset({443}))
    assert list(given.now_allowed()) == [flow(resp="192.0.2.7")]
    assert given.dark(flow(resp="192.0.2.8"), 0) == "allowed"
    assert given.dark(flow(orig="198.51.100.9"), 0) == "allowed"
    assert given.dark(flow(to=443), 0) == "allowed"
    assert given.dark(flow(resp="192.0.2.9"), 0) == DIVERT
    # An IPv4 range is no range of IPv6 addresses.
    assert given.dark(flow("2001:db9::1", 1, "2001:db8::1"), 0) == DIVERT


def test_the_machines_own_addresses_are_left_alone() -> None:
    given = Dispatcher(inbound, own=frozenset({packed("192.0.2.1"), packed("2001:db8::1")}))
    assert given.dark(flow(resp="192.0.2.1"), 0) == "own_address"
    assert given.dark(flow("2001:db9::1", 1, "2001:db8::1"), 0) == "own_address"
    assert given.refused["own_address"] == 2
    assert given.dark(flow(resp="192.0.2.2"), 0) == DIVERT


def test_flows_at_one_time_are_limited() -> None:
    given = Dispatcher(inbound, Limits(flows=5, prefix_flows=3, source_flows=2))
    far = (
        ["198.51.100.1"] * 3 + ["198.51.100.2"] * 2 + ["203.0.113.1", "203.0.114.1", "203.0.115.1"]
    )
    told = [given.dark(flow(orig, n), 0) for n, orig in enumerate(far)]
    assert told == [
        DIVERT, DIVERT, "flows_source", DIVERT, "flows_prefix", DIVERT, DIVERT, "flows_total",
    ]  # fmt: skip
    given.end(flow("198.51.100.1", 0))
    assert given.dark(flow("198.51.100.1", 9), 0) == DIVERT


def test_new_flows_in_a_second_are_limited() -> None:
    limits = Limits(rate=100, prefix_rate=10, source_rate=3, burst_s=1)
    given = Dispatcher(inbound, limits)

    def tries(orig: str, now_ns: int) -> list[str]:
        found = []
        for n in range(20):
            found.append(given.dark(flow(orig, n, to=1 + len(given.flows)), now_ns))
        return found

    assert tries("198.51.100.1", 0).count(DIVERT) == 3
    assert tries("198.51.100.2", 0).count("rate_source") == 17
    assert tries("198.51.100.1", SECOND_NS).count(DIVERT) == 3
    counts = [given.dark(flow(f"198.51.100.{n}", n), SECOND_NS) for n in range(100, 130)]
    assert counts.count(DIVERT) == 7
    assert counts.count("rate_prefix") == 23


@given(st.lists(st.tuples(st.integers(0, 400_000_000), st.integers(0, 3)), max_size=200))
def test_no_bucket_gives_more_than_its_rate_and_burst(steps: list[tuple[int, int]]) -> None:
    buckets, now_ns, taken = Buckets(10, 20), 0, [0, 0, 0, 0]
    for step_ns, key in steps:
        now_ns += step_ns
        level = buckets.level(bytes([key]), now_ns)
        if level >= 1:
            buckets.take(bytes([key]), level, now_ns)
            taken[key] += 1
    assert all(count <= 20 + now_ns / SECOND_NS * 10 for count in taken)


def test_a_bucket_fills_on_when_the_clock_was_set_back() -> None:
    buckets, late_ns = Buckets(10, 1), 1000 * SECOND_NS
    buckets.take(b"", buckets.level(b"", late_ns), late_ns)
    assert buckets.level(b"", 0) < 1
    assert buckets.level(b"", SECOND_NS) == 1


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans()), max_size=100))
def test_counts_follow_the_flows(steps: list[tuple[int, int, bool]]) -> None:
    dispatcher = Dispatcher(inbound, Limits(flows=20, prefix_flows=9, source_flows=4))
    for source, port, ends in steps:
        one = flow(f"198.51.{source % 3}.{source}", port)
        dispatcher.end(one) if ends else dispatcher.dark(one, 0)
        sources = [f[0] for f in dispatcher.flows]
        assert len(sources) <= 20
        assert all(sources.count(s) == dispatcher._sources[s] <= 4 for s in sources)
        assert (
            sum(dispatcher._prefixes.values()) == sum(dispatcher._sources.values()) == len(sources)
        )
    assert set(dispatcher.refused) == set(REFUSALS)
