"""Several workers' events make the scans of one, and their ends come with the last of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from darkflow.config import SETTINGS
from darkflow.flow.networks import Networks
from darkflow.sinks.alerts import AlertLimits, Alerts
from darkflow.sinks.detections import Detections, limits_of
from darkflow.sinks.labels import Labels
from darkflow.sinks.outbox import Outbox
from darkflow.sinks.scan_records import ScanRecords
from darkflow.units import parse_networks
from flow.test_scans import SECOND_NS, SOURCES4, batches, sweep, v6
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
        "scans": 1, "backscatter": 0, "alerts_sent": 0, "alerts_repeated": 0,
        "alerts_suppressed": 0, "dropped_scans": 0, "dropped_resets": 0, "dropped_targets": 0,
        "dropped_digest": 0,
        "dropped_labels": 0,
    }  # fmt: skip


def alerting(box: Box, labels: Labels, **changed: Any) -> Detections:
    """With alerts to a box."""
    settings = settings_of(**changed)
    limits = AlertLimits(settings["alert_rate"], settings["alert_window"], settings["digest"] or 0)
    return Detections(
        Networks.everything(), settings, bytes(16), labels, ScanRecords([], None),
        Alerts([cast(Outbox, box)], limits),
    )  # fmt: skip


def test_who_is_known_by_one_address_does_not_silence_its_prefix(tmp_path: Path) -> None:
    (tmp_path / "known").write_text("2001:db8:7::/128 our own scanner\n")
    box = Box()
    detections = alerting(box, Labels(str(tmp_path / "known")))
    sink = detections.sink()
    attempts = [
        {"t_ns": (1 + n) * SECOND_NS, "src": v6(f"2001:db8:7::{n % 10:x}"), "port": 22,
         "dst": v6(f"2001:db8:1::{n:x}"), "back": ""}
        for n in range(150)
    ]  # fmt: skip
    for events in batches(attempts, 50):
        sink.write(events)
    sink.close()
    (alert,) = [json.loads(line) for line in box.data.splitlines()]
    assert alert["text"].startswith("2001:db8:7::/64: ")
    assert alert["event"]["scan"]["known"] is None
    counters = detections.counters()
    assert (counters["scans"], counters["alerts_sent"]) == (1, 1)


def test_a_clock_that_was_ahead_holds_no_alert_back() -> None:
    box = Box()
    detections = alerting(box, Labels())
    sink = detections.sink()
    for t_ns in (10**6 * SECOND_NS, SECOND_NS):
        # Without the batches that only tell the time: the verdicts bring it.
        for events in filter(len, batches(sweep(SOURCES4[1], 30, t_ns), 60)):
            sink.write(events)
    times = [json.loads(line)["timestamp"][:10] for line in box.data.splitlines()]
    assert times == ["1970-01-12", "1970-01-01"]
    assert detections.counters()["alerts_sent"] == 2


def test_a_scan_after_a_pause_is_in_the_digest_of_its_own_hour() -> None:
    box = Box()
    hour_ns = 3600 * SECOND_NS
    detections = alerting(box, Labels(), digest=hour_ns, alert_rate=1)
    sink = detections.sink()
    attempts = [*sweep(SOURCES4[1], 30), *sweep(SOURCES4[2], 30)]
    attempts += sweep(bytes([192, 0, 2, 11]), 30)
    for attempt in attempts[30:]:
        attempt["t_ns"] += 5 * hour_ns
    for events in batches(attempts, 30):
        sink.write(events)
    sink.close()
    digests = [d for d in map(json.loads, box.data.splitlines()) if d["kind"] == "digest"]
    told = [(d["from"][:13], d["scans"]["address_scan"], d["alerts"]["sent"]) for d in digests]
    assert told == [("1970-01-01T00", 1, 1), ("1970-01-01T05", 2, 1)]
    counters = detections.counters()
    assert (counters["alerts_sent"], counters["alerts_suppressed"]) == (2, 1)


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
