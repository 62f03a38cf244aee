"""Scans against a slow twin that keeps everything; their limits; what the lab's scanners did."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkflow.flow.batch import Events, Frames
from darkflow.flow.decode import Decoder
from darkflow.flow.detection import Scan, ScanLimits, scaled_scans
from darkflow.flow.engine import Engine
from darkflow.flow.networks import Networks
from darkflow.flow.order import Reorder
from darkflow.flow.scans import Scans
from darkflow.sinks.signature import tool_words
from darkflow.sources.captures import Captures
from darkflow.units import parse_networks
from flow.test_engine import HOLD_NS, IDLE_NS, packets_of
from scanners import TOOLS, a_run
from slow_scans import SlowScans
from writers import RAW, Flow

SECOND_NS = 1_000_000_000
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "lab.pcap"
LAB = "203.0.113.0/24,2001:db8:b::/64"
INSIDE = "10.0.0.0/24,2001:db8:1::/64"
SMALL = ScanLimits((4, 5), (3, 4), (10 * SECOND_NS, 20 * SECOND_NS), 2, 1000)


def networks_of(text: str) -> Networks:
    """Watched networks."""
    cidrs, v4, v6 = parse_networks(text)
    return Networks(v4, v6, cidrs)


def batches(attempts: Iterable[dict[str, Any]], each: int = 7) -> Iterator[Events]:
    """Event batches of attempts: t_ns, src, dst, port, and what came back: "", "syn_ack", "rst"."""
    packets: list[dict[str, Any]] = []
    for number, attempt in enumerate(attempts):
        flow = (attempt["src"], 1024 + number % 60_000, attempt["dst"], attempt["port"])
        syn = {"t_ns": attempt["t_ns"], "flow": flow, "kind": "syn", "isn": number, "ip_id": 0}
        packets.append(syn)
        if attempt["back"]:
            packets.append(syn | {"t_ns": attempt["t_ns"] + 1, "kind": attempt["back"]})
    packets.sort(key=lambda p: p["t_ns"])
    decoder, engine = Decoder(), Engine(HOLD_NS, IDLE_NS, (1 << 16, 1 << 16), tells=True)
    now_ns = 0
    for first in range(0, len(packets), each):
        some = packets[first : first + each]
        now_ns = some[-1]["t_ns"]
        yield from engine.observe(packets_of(decoder, some, now_ns))
    yield from engine.finish(now_ns + HOLD_NS + 1)


def scans_of(
    events: Iterable[Events], networks: Networks, limits: ScanLimits, seed: bytes = bytes(16)
) -> list[Scan]:
    """All that a kernel tells."""
    kernel = Scans(networks, limits, seed)
    return [*chain.from_iterable(kernel.observe(batch) for batch in events), *kernel.finish()]


def order(scans: Iterable[Scan]) -> list[str]:
    """In an order that does not depend on the kernel's lists."""
    return sorted(map(repr, scans))


def v6(text: str) -> bytes:
    """A packed address."""
    return socket.inet_pton(socket.AF_INET6, text)


FOUR = [(bytes([10, 0, 0, n]), bytes([10, 0, 0, 9])) for n in (1, 2)]
HOSTS4 = [bytes([10, 0, 0, n]) for n in range(20, 25)] + [bytes([192, 0, 2, n]) for n in (1, 2, 3)]
SOURCES4 = [bytes([10, 0, 0, 1]), bytes([192, 0, 2, 9]), bytes([192, 0, 2, 10])]
HOSTS6 = [v6(f"2001:db8:1::{n}") for n in range(1, 6)] + [v6(f"2001:db8:9::{n}") for n in (1, 2)]
SOURCES6 = [v6(f"2001:db8:7:{net}::{n}") for net in (0, 1) for n in range(1, 8)]
steps = st.sampled_from([0, 1, SECOND_NS, 3 * SECOND_NS, 10 * SECOND_NS, 10 * SECOND_NS + 1,
                         20 * SECOND_NS, 26 * SECOND_NS])  # fmt: skip


@st.composite
def attempts(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Some sources' attempts; often dark, in few batches of time."""
    t_ns, found = SECOND_NS, []
    sources, hosts = draw(st.sampled_from([(SOURCES4, HOSTS4), (SOURCES6, HOSTS6)]))
    some = draw(st.lists(st.sampled_from(sources), min_size=1, max_size=8))
    for _ in range(draw(st.integers(1, 45))):
        t_ns += draw(st.sampled_from([0, 1, 1, SECOND_NS]) if draw(st.booleans()) else steps)
        found.append({
            "t_ns": t_ns, "src": draw(st.sampled_from(some)), "dst": draw(st.sampled_from(hosts)),
            "port": draw(st.sampled_from([22, 23, 80, 443, 445, 3389, 8080])),
            "back": draw(st.sampled_from(["", "", "", "syn_ack", "rst"])),
        })  # fmt: skip
    return found


@settings(max_examples=80, deadline=None)
@given(attempts(), st.integers(1, 9), st.binary(min_size=16, max_size=16))
def test_the_kernel_tells_what_the_twin_tells(
    tried: list[dict[str, Any]], each: int, seed: bytes
) -> None:
    networks = networks_of(INSIDE)
    twin, kernel, told = SlowScans(networks, SMALL), Scans(networks, SMALL, seed), []
    for events in batches(tried, each):
        told += kernel.observe(events)
        twin.observe(events.to_list(), events.now_ns)
    told += kernel.finish()
    twin.finish()
    assert order(told) == order(twin.scans)
    assert kernel.evicted == kernel.lost == kernel.sources == 0
    assert kernel.begun == sum(scan.state == "begin" for scan in told)


def sweep(source: bytes, count: int, t_ns: int = SECOND_NS, **more: Any) -> list[dict[str, Any]]:
    """One source, so many hosts, a millisecond apart."""
    return [
        {"t_ns": t_ns + n * 1_000_000, "src": source, "port": 23, "back": "",
         "dst": bytes([198, 18, n >> 8, n & 255])} | more
        for n in range(count)
    ]  # fmt: skip


def spread(sources: list[bytes], hosts: range, t_ns: int) -> list[dict[str, Any]]:
    """Each source asks for these hosts of an IPv6 network, in turn."""
    return [
        {"t_ns": t_ns + n * 1000, "src": source, "dst": v6(f"2001:db8:1::{host}"), "port": 23,
         "back": ""}
        for n, (host, source) in enumerate((h, s) for h in hosts for s in sources)
    ]  # fmt: skip


def test_a_prefix_whose_addresses_share_a_scan_is_told_once() -> None:
    sources = [v6(f"2001:db8:7::{n}") for n in range(1, 21)]
    limits = ScanLimits(targets=(5, 30), hosts=(5, 30))
    apart = [
        attempt
        for n, source in enumerate(sources)
        for attempt in spread([source], range(5 * n, 5 * n + 5), SECOND_NS + n * 1_000_000)
    ]
    begin, end = scans_of(batches(apart, 50), Networks.everything(), limits)
    assert (begin.prefix_length, begin.source, begin.dark_targets) == (64, v6("2001:db8:7::"), 30)
    assert (end.state, end.dark_targets, end.flows) == ("end", 100, 100)


def test_what_an_address_did_alone_is_not_its_prefix_s() -> None:
    """Seven others with few flows make no scan of the /64, though one of it has scanned."""
    others = [v6(f"2001:db8:7::{n}") for n in range(2, 9)]
    one = spread([v6("2001:db8:7::1")], range(60), 2 * SECOND_NS)
    more = spread(others, range(91, 95), 3 * SECOND_NS)
    limits = ScanLimits(targets=(5, 40), hosts=(5, 40))
    networks = Networks.everything()
    tried = [*one, *more]
    twin = SlowScans(networks, limits)
    for events in batches(tried, 50):
        twin.observe(events.to_list(), events.now_ns)
    twin.finish()
    told = scans_of(batches(tried, 50), networks, limits)
    assert order(told) == order(twin.scans)
    assert {s.prefix_length for s in told} == {128}


def test_many_targets_are_counted_by_sketches() -> None:
    told = scans_of(batches(sweep(SOURCES4[1], 20_000), 4000), Networks.everything(), ScanLimits())
    begin, end = told
    assert (begin.state, begin.dark_targets, begin.ports) == ("begin", 25, 1)
    assert end.flows == 20_000
    assert 0.93 * 20_000 < end.dark_targets < 1.07 * 20_000  # three standard errors
    assert (end.kind, end.trw, end.top_ports) == ("address_scan", "scanner", "23")


def test_without_the_library_counts_are_lower_bounds_and_that_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "datasketches", None)
    kernel = Scans(Networks.everything(), ScanLimits())
    told = [s for e in batches(sweep(SOURCES4[1], 2000), 500) for s in kernel.observe(e)]
    told += kernel.finish()
    assert told[-1].dark_targets < 512
    assert told[-1].dark_targets + kernel.lost + 1 + 25 >= 2000


def test_events_do_not_depend_on_the_seed() -> None:
    tried = [*sweep(SOURCES4[1], 3000), *sweep(SOURCES4[2], 60, port=22)]
    one, other = (
        scans_of(batches(tried, 500), Networks.everything(), ScanLimits(), seed)
        for seed in (bytes(16), bytes(range(16)))
    )
    assert one == other
    assert len(one) == 4


def test_a_clock_that_is_set_back_ends_what_was_known() -> None:
    kernel = Scans(Networks.everything(), ScanLimits())
    told = [s for e in batches(sweep(SOURCES4[1], 30, 9000 * SECOND_NS)) for s in kernel.observe(e)]
    told += [s for e in batches(sweep(SOURCES4[1], 30)) for s in kernel.observe(e)]
    told += kernel.finish()
    assert [s.state for s in told] == ["begin", "end"] * 2


def test_who_finds_most_of_what_it_asks_for_is_no_scanner() -> None:
    live = sweep(SOURCES4[1], 200, back="syn_ack")
    dark = sweep(SOURCES4[1], 30, SECOND_NS + 1, dst=None)
    for n, attempt in enumerate(dark):
        attempt["dst"] = bytes([198, 19, 0, n])
    told = scans_of(batches([*live, *dark]), Networks.everything(), ScanLimits())
    assert told == []


MIXED = {
    "masscan": ({"masscan": 30}, (2, 3)), "nmap": ({"nmap": 30}, (5, 3)),
    "hping3": ({"hping3": 30}, (6, 3)), "zmap, new": ({"zmap, new": 30}, (1, 1)),
    "two": ({"masscan": 30, "nmap": 20}, (2, 3)), "few": ({"masscan": 9, "": 30}, (0, 0)),
}  # fmt: skip


@pytest.mark.parametrize("name", MIXED)
def test_a_scan_has_the_tool_of_most_of_its_dark_flows(name: str) -> None:
    runs, expected = MIXED[name]
    packets = [packet for n, tool in enumerate(runs) for packet in (
        a_run(TOOLS[tool][0], runs[tool], n) if tool
        else [(SECOND_NS, Flow("198.51.100.7", 1024 + i, f"203.0.113.{1 + i}", 22).syn(i))
              for i in range(runs[tool])]
    )]  # fmt: skip
    frames = [(SECOND_NS + n, RAW, packet) for n, (_, packet) in enumerate(packets)]
    rows = Decoder().decode(Frames.of(frames))
    engine = Engine(HOLD_NS, IDLE_NS, (1 << 12, 1 << 12), tells=True)
    networks = networks_of(INSIDE)
    twin, kernel, told = SlowScans(networks, SMALL), Scans(networks, SMALL), []
    for events in chain(engine.observe(rows), engine.finish(99 * SECOND_NS)):
        told += kernel.observe(events)
        twin.observe(events.to_list(), events.now_ns)
    told += kernel.finish()
    twin.finish()
    assert order(told) == order(twin.scans)
    assert [(s.tool, s.sureness) for s in told if s.state == "end"] == [expected]


def judged(path: Path, text: str | None) -> list[Scan]:
    """The scans of a capture with the default limits."""
    watched = parse_networks(text) if text else None
    networks = networks_of(text) if text else Networks.everything()
    source = Captures([str(path)], SECOND_NS)
    source.open()
    decoder, reorder = Decoder(), Reorder(SECOND_NS)
    engine = Engine(HOLD_NS, IDLE_NS, tells=True)
    kernel = Scans(networks, scaled_scans(ScanLimits(), watched))
    told: list[Scan] = []
    for frames in source:
        for events in engine.observe(reorder.put(decoder.decode(frames))):
            told += kernel.observe(events)
    for events in chain(engine.observe(reorder.rest()), engine.finish(source.now_ns)):
        told += kernel.observe(events)
    return told + kernel.finish()


def test_the_lab_s_scanners_are_one_scan_each_with_all_they_sent() -> None:
    told = judged(EXAMPLE, LAB)
    ends = {
        socket.inet_ntop(2 if len(s.source) == 4 else 10, s.source): (
            s.prefix_length, s.kind, s.flows, s.dark_targets, s.top_ports, s.trw, s.direction,
            *tool_words(s.tool, s.sureness))
        for s in told if s.state == "end"
    }  # fmt: skip
    assert ends == {
        "198.51.100.20": (32, "address_scan", 500, 92, "22,80,443,3389", "scanner", "inbound",
                          "nmap", "high"),
        "198.51.100.30": (32, "address_scan", 512, 251, "23,80", "scanner", "inbound",
                          "masscan", "high"),
        "198.51.100.40": (32, "address_scan", 256, 251, "8080", "scanner", "inbound",
                          "zmap", "high"),
        "198.51.100.50": (32, "address_scan", 150, 91, "445", "scanner", "inbound",
                          "hping3", "high"),
        "203.0.113.66": (32, "address_scan", 30, 30, "445", "scanner", "outbound", None, None),
        "2001:db8:a::20": (128, "address_scan", 280, 68, "22,80", "scanner", "inbound",
                           "nmap", "high"),
        "2001:db8:a::30": (128, "address_scan", 128, 60, "80,8080", "scanner", "inbound",
                           "masscan", "low"),
    }  # fmt: skip
    assert sum(s.state == "begin" for s in told) == len(ends)
    assert [s.source for s in told if s.state == "inside"] == [bytes([203, 0, 113, 66])]


# Who scans in the real captures, by what others have written of them; and file sharing, whose
# clients try addresses of peers that have gone: it cannot be told from a scan by what it sends.
SCANNED = {
    "chappell_nmap_ack_scan.pcapng", "chappell_nmap_osdetect_late_replies.pcapng",
    "chrissanders_synscan.pcapng", "composite_real_A.pcap", "digitalbond_winxp_cip.pcap",
    "elcabezzonn_misc_mixed_scan.pcapng", "esnet_masscan_vlan.pcap",
    "esnet_two_way_all_flags.pcap", "evidence04_nmap.pcap", "hackeire2011_c2_scan_both_dirs.pcap",
    "pcaphunt_tcp_syn_scan.pcap", "probing_hping3.pcapng", "probing_nmap_outbound_only.pcapng",
    "probing_unicornscan_xmas.pcapng", "stratosphere_test7_malware_scan.pcap",
}  # fmt: skip
FILE_SHARING = {"ndpi_gnutella_p2p.pcap", "ppa_gnutella_syn_after_rst.pcap"}


def test_ordinary_clients_of_real_captures_do_not_scan(captures: Path) -> None:
    names = sorted(path.name for path in captures.iterdir() if ".pcap" in path.name)
    assert len(names) == 117
    found = {name for name in names if judged(captures / name, None)}
    assert found == SCANNED | FILE_SHARING
