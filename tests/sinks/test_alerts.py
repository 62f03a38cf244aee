"""Which findings are alerts: once for a source, not too many, none for who is known; the digest."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, cast

from darkflow.flow.detection import Backscatter, Scan
from darkflow.sinks.alerts import MINUTE_NS, AlertLimits, Alerts
from darkflow.sinks.labels import NOBODY, Label
from darkflow.sinks.outbox import Outbox
from darkflow.sinks.scan_records import ScanRecords
from darkflow.sinks.syslog import Messages
from sinks.test_scan_records import BACK, SCAN, T0_NS, Box

SECOND_NS = 1_000_000_000


class Sent:
    """Alerts with a box that keeps them."""

    def __init__(self, **limits: int) -> None:
        self.box = Box()
        self.records = ScanRecords([], None)
        self.alerts = Alerts([cast(Outbox, self.box)], AlertLimits(**limits))

    def scan(self, scan: Scan, label: Label = NOBODY) -> None:
        """A scan was told of."""
        self.alerts.scan(scan, label, self.records.scan(scan, label))

    def backscatter(self, found: Backscatter) -> None:
        """Backscatter was told of."""
        self.alerts.backscatter(found, NOBODY, self.records.backscatter(found, NOBODY))

    @property
    def documents(self) -> list[dict[str, Any]]:
        """What was sent."""
        return [json.loads(line) for line in self.box.data.splitlines()]


def from_source(number: int, after_ns: int = 0, state: str = "begin") -> Scan:
    """A scan of one of many sources."""
    source = bytes([198, 51, number >> 8, number & 255])
    return replace(SCAN, source=source, end_ns=T0_NS + after_ns, state=state)


def test_what_an_alert_says() -> None:
    sent = Sent()
    sent.scan(SCAN)
    sent.scan(replace(SCAN, state="inside", source=b"\xcb\0\x71\x42", direction="outbound"))
    sent.backscatter(BACK)
    kinds = [(d["event_type"], d["kind"]) for d in sent.documents]
    assert kinds == [("alert", "scan"), ("alert", "inside"), ("alert", "backscatter")]
    assert [d["text"] for d in sent.documents] == [
        "198.51.100.30: address scan (inbound), 40 dark targets, ports 23,2323",
        "203.0.113.66 of ours tries 40 addresses outside that do not answer, ports 23,2323",
        "198.51.100.60 is attacked with forged addresses of ours: 99 answers to 40 of them, from"
        " port 80",
    ]
    assert sent.documents[0]["event"]["scan"]["dark_targets"] == 40
    assert sent.documents[2]["event"]["backscatter"]["answer"] == "both"


def test_ends_are_no_alerts() -> None:
    sent = Sent()
    sent.scan(replace(SCAN, state="end"))
    sent.backscatter(replace(BACK, state="end"))
    assert sent.documents == []


def test_one_for_a_source_and_kind_within_the_window() -> None:
    sent = Sent(window_ns=60 * SECOND_NS)
    for after_s in (0, 59, 60, 119, 121):
        sent.scan(from_source(1, after_s * SECOND_NS))
    sent.scan(from_source(2, 121 * SECOND_NS))
    sent.scan(from_source(1, 121 * SECOND_NS, "inside"))
    assert [d["timestamp"][17:19] for d in sent.documents] == ["00", "00", "01", "01", "01"]
    assert (sent.alerts.sent, sent.alerts.repeated) == (5, 2)


def test_not_more_than_the_rate_and_those_beyond_are_counted() -> None:
    sent = Sent(rate=5, digest_ns=60 * MINUTE_NS)
    sent.alerts.pass_time(T0_NS)
    for number in range(100):
        sent.scan(from_source(number))
    assert (sent.alerts.sent, sent.alerts.suppressed) == (5, 95)
    sent.scan(from_source(200, 12 * SECOND_NS))  # a fifth of a minute: one more
    sent.scan(from_source(201, 12 * SECOND_NS))
    assert (sent.alerts.sent, sent.alerts.suppressed) == (6, 96)
    # One that was held back may be sent when there is room.
    sent.scan(from_source(99, 120 * SECOND_NS))
    assert sent.alerts.sent == 7
    sent.alerts.finish()
    assert sent.documents[-1]["alerts"] == {"sent": 7, "repeated": 0, "suppressed": 96}


def test_who_is_known_raises_none() -> None:
    sent = Sent(digest_ns=60 * MINUTE_NS)
    sent.alerts.pass_time(T0_NS)
    sent.scan(SCAN, Label("Example Research"))
    assert sent.documents == []
    sent.alerts.finish()
    (digest,) = sent.documents
    assert (digest["known"], digest["scans"]["address_scan"]) == (1, 1)


def test_the_digest_of_each_period() -> None:
    sent = Sent(rate=0, digest_ns=60 * MINUTE_NS)
    sent.alerts.pass_time(T0_NS)
    sent.scan(SCAN)
    sent.scan(replace(SCAN, kind="port_scan", source=b"\1\2\3\4"))
    sent.scan(replace(SCAN, state="end"))
    sent.backscatter(BACK)
    sent.alerts.pass_time(T0_NS + 60 * MINUTE_NS - 1)
    assert sent.documents == []
    sent.alerts.pass_time(T0_NS + 60 * MINUTE_NS)
    sent.alerts.pass_time(T0_NS + 61 * MINUTE_NS)
    (digest,) = sent.documents
    assert digest["event_type"] == digest["kind"] == "digest"
    assert digest["from"] == "2026-03-01T10:00:00.123456789Z"
    assert digest["timestamp"] == "2026-03-01T11:00:00.123456789Z"
    assert digest["scans"] == {"address_scan": 1, "port_scan": 1, "random_scan": 0}
    assert (digest["scans_ended"], digest["backscatter"], digest["inside"]) == (1, 1, 0)
    assert digest["top_sources"] == [{"src_ip": "198.51.100.30", "dark_targets": 40}]
    assert digest["text"] == "2 scans, 0 sources of ours, 1 attacked"
    sent.alerts.finish()
    assert sent.documents[1]["scans"]["address_scan"] == 0


def test_syslog_finds_time_and_type_in_the_line() -> None:
    sent = Sent()
    sent.scan(SCAN)
    message = Messages().of(sent.box.data.rstrip())
    assert b" alert - {" in message
    assert b" 2026-03-01T10:00:02.623456Z " in message
