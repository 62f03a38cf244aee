"""The summary against plain sets and dicts; its limits; its order, whatever the hash's key."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from ipaddress import ip_address
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkflow.flow.batch import Frames
from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from darkflow.flow.networks import Networks
from darkflow.sinks.summary import Summary
from darkflow.units import parse_networks
from judging import HOLD_NS, IDLE_NS
from writers import RAW, SECOND_NS, SYN, Flow, Tcp

ENOUGH = 4_000_000


class Dark(NamedTuple):
    """A dark flow: who, to what, and how many SYNs."""

    orig: str
    resp: str
    port: int
    syns: int


def summary_of(
    flows: list[Dark],
    seed: bytes = bytes(16),
    limit: int = ENOUGH,
    networks: Networks | None = None,
) -> Summary:
    """What a summary says of these dark flows."""
    summary = Summary(networks or Networks.everything(), seed, limit)
    decoder = Decoder()
    engine = Engine(HOLD_NS, IDLE_NS, (1 << 15, 1 << 15))
    packets = [
        (number * 1000 + again, RAW, Flow(flow.orig, number, flow.resp, flow.port).syn())
        for number, flow in enumerate(flows)
        for again in range(flow.syns)
    ]
    for begin in range(0, len(packets), 16_000):
        frames = Frames.of(packets[begin : begin + 16_000])
        for events in engine.observe(decoder.decode(frames)):
            summary.write(events)
    for events in engine.finish(90 * SECOND_NS):
        summary.write(events)
    assert engine.counters["dark"] == len(flows)
    return summary


class Twin:
    """The same with dicts of sets."""

    def __init__(self, flows: list[Dark]) -> None:
        self.flows = flows
        self.sources = {flow.orig for flow in flows}
        self.destinations = {flow.resp for flow in flows}

    def ports(self) -> list[tuple[int, int, int, int]]:
        """Sorted by packets, flows, sources, then from the lowest port."""
        packets, flows = defaultdict[int, int](int), defaultdict[int, int](int)
        sources = defaultdict[int, set[str]](set)
        for flow in self.flows:
            packets[flow.port] += flow.syns
            flows[flow.port] += 1
            sources[flow.port].add(flow.orig)
        rows = [(port, packets[port], flows[port], len(sources[port])) for port in packets]
        return sorted(rows, key=lambda row: (-row[1], -row[2], -row[3], row[0]))

    def by_source(self) -> list[tuple[str, int, int, int, int]]:
        """Sorted by flows, packets, then IPv4 first, from the lowest address."""
        rows = []
        for source in self.sources:
            own = [flow for flow in self.flows if flow.orig == source]
            ports, targets = {flow.port for flow in own}, {flow.resp for flow in own}
            packets = sum(flow.syns for flow in own)
            rows.append((source, len(own), packets, len(ports), len(targets)))
        address = ipaddress.ip_address
        return sorted(
            rows, key=lambda r: (-r[1], -r[2], address(r[0]).version, address(r[0]).packed)
        )


sources4 = st.sampled_from(["10.0.0.1", "10.0.0.2", "9.255.0.1", "203.0.113.1"])
targets4 = st.sampled_from(["192.0.2.1", "192.0.2.2", "192.0.3.1"])
sources6 = st.sampled_from(["2001:db8::1", "2001:db8::2", "900::1", "a00:1::"])
targets6 = st.sampled_from(["2001:db8:1::1", "2001:db8:1::2"])
ports = st.sampled_from([0, 22, 23, 445, 65535])
syns = st.integers(1, 3)
dark_flows = st.lists(
    st.builds(Dark, sources4, targets4, ports, syns)
    | st.builds(Dark, sources6, targets6, ports, syns),
    max_size=40,
)


@given(dark_flows, st.integers(1, 6), st.binary(min_size=16, max_size=16))
@settings(max_examples=200, deadline=None)
def test_counts_and_top_lists_are_those_of_plain_sets(
    flows: list[Dark], top: int, seed: bytes
) -> None:
    summary, twin = summary_of(flows, seed), Twin(flows)
    assert summary.source_total == len(twin.sources)
    assert summary.destinations == len(twin.destinations)
    assert summary.top_ports(top) == twin.ports()[:top]
    assert summary.top_sources(top) == twin.by_source()[:top]
    assert summary.by_direction == {
        "inbound": 0, "outbound": 0, "internal": len(flows), "transit": 0,
    }  # fmt: skip
    assert summary.dropped == 0


def _spread(count: int) -> list[Dark]:
    """Every flow from another source to another destination and port."""
    return [
        Dark(
            str(ipaddress.IPv4Address(0x0A000000 + 7 * i)),
            str(ipaddress.IPv4Address(0xC0000200 + 3 * i)),
            i,
            1 + i % 3,
        )
        for i in range(count)
    ]


def test_the_tables_grow() -> None:
    flows = [*_spread(3000), *_spread(1500)]
    summary, twin = summary_of(flows), Twin(flows)
    assert (summary.source_total, summary.destinations, summary.dropped) == (3000, 3000, 0)
    assert summary.top_ports(50) == twin.ports()[:50]
    assert summary.top_sources(50) == twin.by_source()[:50]
    assert len(summary.top_sources(10_000)) == 3000
    assert len(summary.top_ports(10_000)) == 3000


@pytest.mark.parametrize("limit", [1, 10, 1000])
def test_beyond_the_limit_counts_are_lower_bounds_and_what_is_left_out_is_counted(
    limit: int,
) -> None:
    flows = _spread(2500)
    summary = summary_of(flows, limit=limit)
    assert summary.source_total == limit
    assert summary.destinations <= len(flows)
    assert summary.dropped > 0
    # One per source and one per combination that did not fit, and each is counted.
    combinations = 3 * limit
    asked = sum(2 + (number < limit) for number in range(len(flows)))
    assert summary.dropped == (len(flows) - limit) + (asked - combinations)
    # What needs no table is exact all the same.
    assert sum(row[2] for row in summary.top_ports(65536)) == len(flows)
    assert summary.by_direction["internal"] == len(flows)
    assert summary.top_sources(1) == [("10.0.0.0", 1, 1, 1, 1)] or limit > 1


def test_a_source_that_was_there_before_the_limit_is_counted_on() -> None:
    flows = [Dark("10.0.0.1", "192.0.2.1", 22, 1), Dark("10.0.0.2", "192.0.2.1", 22, 1)] * 3
    summary = summary_of(flows, limit=1)
    assert summary.top_sources(5) == [("10.0.0.1", 3, 3, 1, 1)]
    assert summary.source_total == 1
    # The one source's port, target and the destination fill the set; source 2 is asked for thrice.
    assert summary.dropped == 3 + 3


@pytest.mark.parametrize("seed", [bytes(16), bytes(range(16)), b"\xff" * 16])
def test_ties_go_to_the_lowest_address_and_port(seed: bytes) -> None:
    flows = [
        Dark(f"10.0.{third}.{fourth}", "192.0.2.1", port, 1)
        for port in (9, 7, 8)
        for third in (2, 0, 1)
        for fourth in (9, 10, 1)
    ]
    summary = summary_of(flows, seed)
    assert summary.top_ports(2) == [(7, 9, 9, 9), (8, 9, 9, 9)]
    assert [row[0] for row in summary.top_sources(4)] == [
        "10.0.0.1", "10.0.0.9", "10.0.0.10", "10.0.1.1",
    ]  # fmt: skip


def test_tools_are_counted_by_flow_and_source() -> None:
    flows = [Flow(f"10.0.0.{n % 3}", 40_000 + n, f"192.0.2.{n}", 23) for n in range(9)]
    syns = [
        (n, RAW, flow.packet(Tcp(SYN, int.from_bytes(ip_address(flow.resp).packed))))
        for n, flow in enumerate(flows)
    ]
    again = (9, RAW, syns[0][2])
    summary, engine = Summary(Networks.everything()), Engine(HOLD_NS, IDLE_NS)
    for events in engine.observe(Decoder().decode(Frames.of([*syns, again]))):
        summary.write(events)
    for events in engine.finish(90 * SECOND_NS):
        summary.write(events)
    assert summary.by_tool == [("mirai", 10, 9, 0, 3)]


def test_direction_is_by_the_networks() -> None:
    _, v4, v6 = parse_networks("192.0.2.0/24,2001:db8:1::/48")
    flows = [
        Dark("10.0.0.1", "192.0.2.1", 1, 1), Dark("2001:db8::1", "2001:db8:1::1", 1, 1),
        Dark("192.0.2.1", "10.0.0.1", 1, 2), Dark("192.0.2.1", "192.0.2.2", 1, 1),
        Dark("10.0.0.1", "10.0.0.2", 1, 1), Dark("2001:db8::1", "2001:db8::2", 1, 1),
        Dark("192.0.3.0", "192.0.1.255", 1, 1),
    ]  # fmt: skip
    summary = summary_of(flows, networks=Networks(v4, v6))
    assert summary.by_direction == {"inbound": 2, "outbound": 1, "internal": 1, "transit": 3}


def test_an_empty_summary() -> None:
    summary = summary_of([])
    assert (summary.source_total, summary.destinations, summary.dropped) == (0, 0, 0)
    assert (summary.top_ports(3), summary.top_sources(3)) == ([], [])


def test_addresses_of_both_families_with_the_same_bytes_are_two_sources() -> None:
    flows = [Dark("10.0.0.1", "192.0.2.1", 1, 1), Dark("a00:1::", "c000:201::", 1, 1)]
    summary = summary_of(flows)
    assert (summary.source_total, summary.destinations) == (2, 2)
    assert summary.top_ports(1) == [(1, 2, 2, 2)]


def test_sources_inside_are_those_that_reach_outside_with_their_times() -> None:
    _, v4, v6 = parse_networks("192.0.2.0/24")
    flows = [
        Dark("10.0.0.1", "192.0.2.1", 1, 1), Dark("192.0.2.7", "192.0.2.1", 1, 1),
        Dark("192.0.2.8", "10.0.0.1", 1, 2), Dark("192.0.2.8", "192.0.2.9", 2, 1),
        Dark("192.0.2.8", "10.0.0.2", 1, 3),
    ]  # fmt: skip
    summary = summary_of(flows, networks=Networks(v4, v6))
    # First SYN of its first flow (the third), last SYN of its last (the fifth).
    assert summary.inside_sources(9) == [("192.0.2.8", 3, 6, 2, 3, 2000, 4002)]
    assert summary.inside_sources(0) == []
