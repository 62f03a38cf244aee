"""Which sources are forgotten first, what is told of sources inside, and what both events share."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest

from darkflow.flow.detection import Scan, ScanLimits
from darkflow.flow.networks import Networks
from darkflow.flow.scans import Scans
from flow.test_scans import INSIDE, SECOND_NS, SOURCES4, batches, networks_of, scans_of, sweep


def test_a_flood_of_forged_sources_evicts_itself_and_not_a_scanner() -> None:
    limits = ScanLimits(sources=64)
    scanner = sweep(SOURCES4[1], 40)
    flood = [
        {"t_ns": SECOND_NS + n * 40_000, "src": bytes([100, 64, n >> 8, n & 255]), "port": 80,
         "dst": bytes([198, 18, 0, 1]), "back": ""}
        for n in range(5000)
    ]  # fmt: skip
    kernel = Scans(Networks.everything(), limits)
    told, most = [], 0
    for events in batches([*scanner, *flood], 300):
        told += kernel.observe(events)
        most = max(most, kernel.sources)
    told += kernel.finish()
    assert most == 64
    assert kernel.evicted > 4500
    assert [(s.source, s.state, s.dark_targets) for s in told] == [
        (SOURCES4[1], "begin", 25), (SOURCES4[1], "end", 40),
    ]  # fmt: skip


def in_time(*attempts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All of them in order."""
    return sorted(chain.from_iterable(attempts), key=lambda a: a["t_ns"])


def answered_clients(count: int, each_ns: int) -> list[dict[str, Any]]:
    """Ever other sources that get an answer."""
    return [
        {"t_ns": SECOND_NS + n * each_ns, "src": bytes([100, 64, n >> 8, n & 255]), "port": 443,
         "dst": bytes([198, 18, 9, 1]), "back": "syn_ack"}
        for n in range(count)
    ]  # fmt: skip


def test_who_is_only_answered_pushes_out_no_slow_scanner_and_is_not_counted() -> None:
    slow = [a | {"t_ns": SECOND_NS + n * 60 * SECOND_NS}
            for n, a in enumerate(sweep(SOURCES4[1], 30))]  # fmt: skip
    kernel = Scans(Networks.everything(), ScanLimits(sources=16))
    told, most = [], 0
    for events in batches(in_time(slow, answered_clients(900, 2 * SECOND_NS)), 50):
        told += kernel.observe(events)
        most = max(most, kernel.sources)
    told += kernel.finish()
    assert [(s.state, s.dark_targets) for s in told] == [("begin", 25), ("end", 30)]
    assert (most, kernel.evicted) == (16, 0)


def test_sources_with_dark_flows_that_fill_all_places_keep_them_from_who_is_answered() -> None:
    """Sixteen with one dark flow each; then one of them, and a new one, go on."""
    dark = [a | {"src": bytes([10, 0, 0, n])} for n, a in enumerate(sweep(SOURCES4[1], 16))]
    late = sweep(bytes([10, 0, 0, 0]), 25, 20 * SECOND_NS)
    kernel = Scans(Networks.everything(), ScanLimits(sources=16))
    tried = in_time(dark, answered_clients(99, 100_000_000), late)
    told = [s for events in batches(tried, 20) for s in kernel.observe(events)]
    assert [(s.state, s.source) for s in told] == [("begin", bytes([10, 0, 0, 0]))]
    assert (kernel.sources, kernel.evicted) == (16, 0)
    other = [s for events in batches(sweep(SOURCES4[1], 1, 50 * SECOND_NS))
             for s in kernel.observe(events)]  # fmt: skip
    assert (other, kernel.sources, kernel.evicted) == ([], 16, 1)


def of_ours(outside: int, near: int, first: str) -> list[Scan]:
    """What is told of a host of ours that tries so many addresses outside and of ours."""
    ours = bytes([10, 0, 0, 7])
    out = sweep(ours, outside, (1 if first == "outside" else 2) * SECOND_NS)
    own = [a | {"dst": bytes([10, 0, 0, 100 + n])}
           for n, a in enumerate(sweep(ours, near, SECOND_NS + 500_000_000))]  # fmt: skip
    return scans_of(batches(in_time(out, own)), networks_of(INSIDE), ScanLimits())


@pytest.mark.parametrize("first", ["outside", "near"])
def test_a_source_inside_is_told_by_what_it_tries_outside(first: str) -> None:
    assert of_ours(1, 9, first) == of_ours(9, 9, first) == []
    (inside,) = of_ours(10, 1, first)
    assert (inside.state, inside.direction, inside.dark_targets) == ("inside", "outbound", 10)
    told = {s.state: (s.direction, s.dark_targets) for s in of_ours(10, 30, first)}
    assert told == {
        "begin": ("internal" if first == "near" else told["begin"][0], 25),
        "inside": ("outbound", 10), "end": ("internal", 40),
    }  # fmt: skip
    assert {s.direction for s in of_ours(30, 4, first)} == {"outbound"}


def test_both_events_of_a_scan_have_one_start_whatever_comes_late() -> None:
    """Shorter holds, or several workers: a flow that began before is judged after."""
    kernel = Scans(Networks.everything(), ScanLimits())
    first = sweep(SOURCES4[1], 30, 9 * SECOND_NS)
    told = [s for events in batches(first) for s in kernel.observe(events)]
    before = sweep(SOURCES4[1], 1, 8 * SECOND_NS, port=99)
    told += [s for events in batches(before) for s in kernel.observe(events)]
    begin, end = told + kernel.finish()
    assert (begin.state, end.state) == ("begin", "end")
    assert begin.start_ns == end.start_ns == 9 * SECOND_NS
    assert (end.ports, end.flows) == (2, 31)


@pytest.mark.parametrize(("live", "states"), [(99, ["begin", "end"]), (100, []), (101, [])])
def test_four_live_hosts_for_each_dark_one_are_enough_for_no_scan(
    live: int, states: list[str]
) -> None:
    found = [a | {"dst": bytes([198, 19, 0, n]), "back": "syn_ack"}
             for n, a in enumerate(sweep(SOURCES4[1], live))]  # fmt: skip
    tried = in_time(found, sweep(SOURCES4[1], 25, 2 * SECOND_NS))
    told = scans_of(batches(tried), Networks.everything(), ScanLimits())
    assert [s.state for s in told] == states


def test_hosts_outside_are_told_by_sketches_when_too_much_else_was_tried() -> None:
    ours = bytes([10, 0, 0, 7])
    near = [a | {"dst": bytes([10, 0, 0, 8 + n % 240]), "port": 1000 + n}
            for n, a in enumerate(sweep(ours, 600))]  # fmt: skip
    tried = [*near, *sweep(ours, 12, 3 * SECOND_NS), *sweep(ours, 12, 4 * SECOND_NS)]
    told = scans_of(batches(tried), networks_of(INSIDE), ScanLimits())
    assert [(s.state, s.direction) for s in told] == [
        ("begin", "internal"), ("inside", "outbound"), ("end", "internal"),
    ]  # fmt: skip
    assert told[1].dark_targets == 10
