"""Several workers' events make the scans of one, and their ends come with the last of them."""

from __future__ import annotations

import json
from typing import Any

from darkflow.config import SETTINGS
from darkflow.flow.networks import Networks
from darkflow.sinks.detections import Detections, limits_of
from darkflow.sinks.labels import Labels
from darkflow.sinks.scan_records import ScanRecords
from darkflow.units import parse_networks
from flow.test_scans import SECOND_NS, SOURCES4, batches, sweep
from sinks.test_scan_records import Box


def settings_of(**changed: Any) -> dict[str, Any]:
    """The defaults."""
    values = {s.name: s.parse(s.default) if s.default is not None else None for s in SETTINGS}
    return values | changed


def test_a_source_whose_flows_are_dealt_out_is_one_scan() -> None:
    box = Box()
    detections = Detections(
        Networks.everything(), settings_of(), bytes(16), Labels(), ScanRecords([box], None), None
    )
    attempts = sweep(SOURCES4[1], 60)
    sinks = [detections.sink(), detections.sink()]
    for events in zip(batches(attempts[::2], 5), batches(attempts[1::2], 5), strict=True):
        for sink, batch in zip(sinks, events, strict=True):
            sink.write(batch)
    sinks[0].close()
    assert box.data.count(b"\n") == 1
    sinks[1].close()
    begin, end = map(json.loads, box.data.splitlines())
    assert (begin["scan"]["state"], begin["scan"]["dark_targets"]) == ("begin", 25)
    assert (end["scan"]["state"], end["scan"]["dark_targets"]) == ("end", 60)
    assert detections.counters() == {
        "scans": 1, "backscatter": 0, "dropped_scans": 0, "dropped_resets": 0,
        "dropped_targets": 0,
    }  # fmt: skip


def test_limits_follow_the_settings_and_the_networks() -> None:
    small = parse_networks("192.0.2.0/28")
    scans, victims = limits_of(settings_of(networks=small, scan_targets=9, scan_gap=SECOND_NS))
    assert (scans.targets, scans.hosts) == ((9, 100), (5, 5))
    assert (scans.gap_ns, victims.gap_ns) == ((SECOND_NS, 3600 * SECOND_NS), SECOND_NS)
    assert (victims.packets, victims.rate, victims.targets) == (10, 6, 3)
    scans, victims = limits_of(settings_of(networks=small, scan_scale=False))
    assert (scans.hosts, victims.packets) == ((25, 100), 25)


def test_a_reload_of_networks_changes_the_limits() -> None:
    box = Box()
    detections = Detections(
        Networks.everything(), settings_of(), bytes(16), Labels(), ScanRecords([box], None), None
    )
    detections.limit(settings_of(networks=parse_networks("198.18.0.0/28")))
    sink = detections.sink()
    for events in batches(sweep(SOURCES4[1], 6)):
        sink.write(events)
    sink.close()
    assert box.data.count(b'"begin"') == 1
