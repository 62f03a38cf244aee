"""The description is sound: nothing leads out, everybody has a place, the truth is unambiguous."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network

import pytest

from darkflow.lab import topology
from darkflow.lab.topology import GATEWAY, HOSTS, INSIDE, OUTSIDE, internet, outcome

DOCUMENTATION = ("198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
PARTS = (
    topology.ON_LINK_NETWORKS
    + topology.SILENT_NETWORKS
    + topology.OUTSIDE_NETWORKS
    + topology.FAR_NETWORKS
)


def test_every_address_is_a_documentation_address() -> None:
    for interface in internet().interfaces():
        for address in interface.addresses:
            assert topology.contains(DOCUMENTATION, address.split("/")[0])
    for route in internet().routes:
        assert topology.contains(DOCUMENTATION, route.destination.split("/")[0])


def test_links_join_the_labs_own_namespaces_only() -> None:
    described = internet()
    assert {end.namespace for end in described.interfaces()} == {OUTSIDE, GATEWAY, INSIDE}
    assert set(described.namespaces) == {OUTSIDE, GATEWAY, INSIDE}
    assert described.forwarding == (GATEWAY,)


def test_no_default_route() -> None:
    assert all(ip_network(route.destination).prefixlen >= 24 for route in internet().routes)


def test_next_hops_are_on_a_wire_of_their_namespace() -> None:
    described = internet()
    for route in described.routes:
        if route.via is None:
            continue
        own = [
            ip_interface(address).network
            for interface in described.interfaces()
            if interface.namespace == route.namespace
            for address in interface.addresses
        ]
        assert any(ip_address(route.via) in network for network in own), route
        held = [a.split("/")[0] for end in described.interfaces() for a in end.addresses]
        assert route.via in held, route


def test_names_macs_and_addresses_are_unique_and_fit() -> None:
    ends = internet().interfaces()
    assert len({(end.namespace, end.name) for end in ends}) == len(ends)
    assert len({end.mac for end in ends}) == len(ends)
    addresses = [address for end in ends for address in end.addresses]
    assert len(set(addresses)) == len(addresses)
    assert all(len(end.name) < 16 for end in ends), "the kernel's limit for interface names"


def test_nobody_owns_the_address_of_masscans_own_stack() -> None:
    held = {a.split("/")[0] for end in internet().interfaces() for a in end.addresses}
    assert not held & {topology.MASSCAN.ipv4, topology.MASSCAN.ipv6}


def test_the_parts_do_not_overlap_and_cover_what_is_watched() -> None:
    networks = [ip_network(part) for part in PARTS]
    for one in networks:
        for other in networks:
            assert one is other or one.version != other.version or not one.overlaps(other)
    for watched in topology.WATCHED_NETWORKS:
        parts = topology.ON_LINK_NETWORKS + topology.SILENT_NETWORKS
        covered = sum(
            ip_network(part).num_addresses
            for part in parts
            if topology.contains((watched,), part.split("/")[0])
        )
        assert covered == ip_network(watched).num_addresses


@pytest.mark.parametrize(
    ("address", "port", "expected"),
    [
        ("203.0.113.10", 80, "answered"),
        ("2001:db8:b::10", 80, "answered"),
        ("2001:0db8:000b::0010", 80, "answered"),
        ("203.0.113.10", 8080, "refused"),
        ("203.0.113.20", 8080, "answered"),
        ("203.0.113.30", 80, "refused"),
        ("203.0.113.1", 80, "refused"),
        ("203.0.113.77", 80, "unreachable"),
        ("203.0.113.127", 80, "unreachable"),
        ("203.0.113.128", 80, "silent"),
        ("2001:db8:b::77", 80, "unreachable"),
        ("2001:db8:b:0:8000::77", 80, "silent"),
        ("198.51.100.160", 445, "silent"),
        ("198.51.100.10", 80, "refused"),
        ("198.51.100.99", 80, "unreachable"),
    ],
)
def test_outcome(address: str, port: int, expected: str) -> None:
    assert outcome(address, port) == expected


@pytest.mark.parametrize("address", ["192.0.2.1", "8.8.8.8", "::1", "2001:db8:c::1"])
def test_outcome_knows_no_foreign_address(address: str) -> None:
    with pytest.raises(ValueError, match="no network of the lab"):
        outcome(address, 80)


def test_settings_forward_at_the_gateway_alone() -> None:
    described = internet()
    forwards = {
        role: described.settings(role)["ipv6/conf/all/forwarding"] for role in described.namespaces
    }
    assert forwards == {OUTSIDE: "0", GATEWAY: "1", INSIDE: "0"}


def test_live_hosts_have_both_families_at_home() -> None:
    lan = next(end for end in internet().interfaces() if end.namespace == INSIDE)
    held = {address.split("/")[0] for address in lan.addresses}
    assert held == {address for host in HOSTS for address in host.addresses}
