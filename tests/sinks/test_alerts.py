"""Which findings are alerts: once for a source, not too many, none for who is known; the digest."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkflow.flow.detection import Backscatter, Scan
from darkflow.sinks import alerts as alerts_module
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
        sent.scan(from_source(number, number * SECOND_NS // 2))
    assert (sent.alerts.sent, sent.alerts.suppressed) == (5, 95)
    # A minute after the first of them there is room for one, also for one that was held back.
    sent.scan(from_source(98, MINUTE_NS - 1))
    assert sent.alerts.sent == 5
    sent.scan(from_source(99, MINUTE_NS))
    sent.scan(from_source(200, MINUTE_NS))
    assert (sent.alerts.sent, sent.alerts.suppressed) == (6, 97)
    sent.alerts.finish()
    assert sent.documents[-1]["alerts"] == {"sent": 6, "repeated": 0, "suppressed": 97}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 4), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 40)), max_size=60))
def test_no_minute_has_more_than_the_rate(rate: int, found: list[tuple[int, int]]) -> None:
    """The twin looks at all that was sent, each time."""
    sent, after_s = Sent(rate=rate, window_ns=90 * SECOND_NS), 0
    times: list[int] = []
    told: dict[int, int] = {}
    for source, pause_s in found:
        after_s += pause_s
        sent.scan(from_source(source, after_s * SECOND_NS))
        recent = [t for t in times if after_s - t < 60]
        if len(recent) < rate and after_s - told.get(source, -90) >= 90:
            times.append(after_s)
            told[source] = after_s
    assert [d["event"]["scan"]["end_ns"] for d in sent.documents] == [
        T0_NS + t * SECOND_NS for t in times
    ]
    alerts = sent.alerts
    assert alerts.sent + alerts.repeated + alerts.suppressed == len(found)


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
    assert digest["top_sources"] == [
        {"src_ip": "198.51.100.30", "prefix_length": 32, "dark_targets": 40}
    ]
    assert digest["sources_forgotten"] == 0
    assert digest["text"] == "2 scans, 0 sources of ours, 1 attacked"
    # Nothing was found since: there is nothing to send.
    sent.alerts.finish()
    assert len(sent.documents) == 1


def test_a_pause_belongs_to_no_digest() -> None:
    sent = Sent(rate=0, digest_ns=60 * MINUTE_NS)
    sent.alerts.pass_time(T0_NS)
    sent.scan(from_source(1, MINUTE_NS))
    # As captures have it: the next packets come five hours later, or only what they tell.
    sent.alerts.pass_time(T0_NS + 300 * MINUTE_NS)
    sent.scan(from_source(2, 300 * MINUTE_NS))
    sent.scan(from_source(3, 361 * MINUTE_NS))
    sent.alerts.pass_time(T0_NS + 400 * MINUTE_NS)
    sent.alerts.finish()
    told = [(d["from"][11:16], d["timestamp"][11:16], d["scans"]) for d in sent.documents]
    one = {"address_scan": 1, "port_scan": 0, "random_scan": 0}
    assert told == [("10:00", "11:00", one), ("15:00", "16:00", one), ("16:00", "16:40", one)]


def test_a_clock_that_is_set_back_begins_anew() -> None:
    sent = Sent(rate=2, digest_ns=60 * MINUTE_NS)
    ahead_ns = 10**6 * SECOND_NS
    sent.alerts.pass_time(T0_NS + ahead_ns)
    for number in range(3):
        sent.scan(from_source(number, ahead_ns))
    assert (sent.alerts.sent, sent.alerts.suppressed) == (2, 1)
    # So little is a worker that is late.
    sent.alerts.pass_time(T0_NS + ahead_ns - 10 * SECOND_NS)
    sent.scan(from_source(3, ahead_ns - 10 * SECOND_NS))
    assert (sent.alerts.sent, sent.alerts.suppressed) == (2, 2)
    sent.alerts.pass_time(T0_NS)
    sent.scan(from_source(0))
    sent.scan(from_source(1))
    sent.alerts.pass_time(T0_NS + 60 * MINUTE_NS)
    kinds = [d["kind"] for d in sent.documents]
    assert kinds == ["scan", "scan", "digest", "scan", "scan", "digest"]
    before, after = (d for d in sent.documents if d["kind"] == "digest")
    assert before["alerts"] == {"sent": 2, "repeated": 0, "suppressed": 2}
    assert after["from"] == "2026-03-01T10:00:00.123456789Z"
    assert after["alerts"] == {"sent": 2, "repeated": 0, "suppressed": 0}


def test_verdicts_long_after_their_syns_are_no_clock_set_back() -> None:
    sent = Sent(window_ns=60 * MINUTE_NS)
    for after_s in (60, 90):
        sent.alerts.pass_time(T0_NS + after_s * SECOND_NS)
        sent.scan(from_source(1, (after_s - 30) * SECOND_NS))
    assert (sent.alerts.sent, sent.alerts.repeated) == (1, 1)


def test_a_prefix_is_not_the_prefix_within() -> None:
    sent = Sent(digest_ns=60 * MINUTE_NS)
    base = bytes.fromhex("20010db8000a") + bytes(10)
    for length in (128, 64, 48, 64):
        scan = replace(SCAN, source=base, prefix_length=length, dark_targets=length)
        sent.scan(scan)
        sent.scan(replace(scan, state="end"))
    assert [d["text"].partition(": ")[0] for d in sent.documents] == [
        "2001:db8:a::", "2001:db8:a::/64", "2001:db8:a::/48",
    ]  # fmt: skip
    assert sent.alerts.repeated == 1
    sent.alerts.finish()
    top = [(s["src_ip"], s["prefix_length"], s["dark_targets"])
           for s in sent.documents[-1]["top_sources"]]  # fmt: skip
    assert top == [("2001:db8:a::", 128, 128), ("2001:db8:a::", 64, 128), ("2001:db8:a::", 48, 48)]


def test_a_digest_counts_so_many_sources_and_says_which_it_forgot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alerts_module, "COUNTED", 12)
    sent = Sent(digest_ns=60 * MINUTE_NS)
    sent.alerts.pass_time(T0_NS)
    for number in range(100):
        sent.scan(replace(from_source(number, 0, "end"), dark_targets=1000 - number))
    sent.alerts.finish()
    (digest,) = sent.documents
    assert [s["dark_targets"] for s in digest["top_sources"]] == [1000, 999, 998, 997, 996]
    # Twelve of them at most; each time that there is one more, all but six go.
    assert digest["sources_forgotten"] == sent.alerts.forgotten == 91
    assert digest["scans_ended"] == 100


def test_nothing_is_kept_for_a_digest_that_nobody_wants() -> None:
    sent = Sent()
    tracemalloc.start()
    for number in range(2000):
        sent.scan(from_source(number, 0, "end"))
    held = sum(
        size.size
        for size in tracemalloc.take_snapshot().statistics("filename")
        if size.traceback[0].filename == alerts_module.__file__
    )
    tracemalloc.stop()
    assert held < 10_000


def test_syslog_finds_time_and_type_in_the_line() -> None:
    sent = Sent()
    sent.scan(SCAN)
    message = Messages().of(sent.box.data.rstrip())
    assert b" alert - {" in message
    assert b" 2026-03-01T10:00:02.623456Z " in message
