"""Lines and rows of scans and backscatter say the same, and have the fields that are described."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from darkflow.flow.detection import Backscatter, Scan
from darkflow.sinks.fields import FIELDS, TABLES
from darkflow.sinks.labels import NOBODY, Label
from darkflow.sinks.scan_records import ScanRecords
from darkflow.sinks.store import Limits, Store
from darkflow.sinks.stored import LINE, json_lines, scan

T0_NS = 1_772_359_200_123_456_789
SCAN = Scan(
    b"\xc6\x33\x64\x1e", 32, "begin", "address_scan", T0_NS, T0_NS + 2_500_000_000, 50, 60, 40, 3,
    2, "23,2323", "scanner", "inbound", 2, 3,
)  # fmt: skip
PREFIX = Scan(
    bytes.fromhex("20010db80000000a") + bytes(8), 64, "end", "random_scan", T0_NS, T0_NS, 7, 7, 7,
    0, 7, "1,2,3,4,5", "undecided", "transit",
)  # fmt: skip
BACK = Backscatter(b"\xc6\x33\x64\x3c", "begin", T0_NS, T0_NS + 70, 99, 40, "80", 90, "both")


class Box:
    """Keeps lines."""

    def __init__(self) -> None:
        self.data = b""

    def put(self, data: bytes, units: int) -> None:
        """One line."""
        assert units == data.count(b"\n") == 1
        self.data += data

    def begin(self, header: bytes) -> None:
        """As in Box."""

    def finish(self) -> None:
        """As in Box."""


def test_a_scan_s_line() -> None:
    box = Box()
    line = ScanRecords([box], None).scan(SCAN, Label("Example", "JP", 64500))
    assert box.data == line
    assert json.loads(line) == {
        "timestamp": "2026-03-01T10:00:02.623456789Z", "event_type": "scan",
        "src_ip": "198.51.100.30", "proto": "TCP", "direction": "inbound",
        "scan": {
            "prefix_length": 32, "state": "begin", "kind": "address_scan", "start_ns": T0_NS,
            "end_ns": T0_NS + 2_500_000_000, "flows": 50, "packets": 60, "dark_targets": 40,
            "live_targets": 3, "ports": 2, "top_ports": "23,2323", "rate": 20.0,
            "tool": "masscan", "tool_confidence": "high", "trw": "scanner",
            "known": "Example", "country": "JP", "asn": 64500,
        },
    }  # fmt: skip


def test_a_rate_is_of_a_second_at_least() -> None:
    assert json.loads(ScanRecords([], None).scan(PREFIX, NOBODY))["scan"]["rate"] == 7.0


def test_backscatter_s_line() -> None:
    assert json.loads(ScanRecords([], None).backscatter(BACK, NOBODY)) == {
        "timestamp": "2026-03-01T10:00:00.123456859Z", "event_type": "backscatter", "proto": "TCP",
        "backscatter": {
            "victim_ip": "198.51.100.60", "state": "begin", "start_ns": T0_NS,
            "end_ns": T0_NS + 70, "packets": 99, "targets": 40, "ports": "80", "peak_pps": 1.5,
            "answer": "both", "known": None, "country": None, "asn": None,
        },
    }  # fmt: skip


def paths(document: dict[str, Any], prefix: str = "") -> set[str]:
    """Dotted paths of the leaves."""
    found: set[str] = set()
    for name, value in document.items():
        found |= paths(value, f"{name}.") if isinstance(value, dict) else {prefix + name}
    return found


@pytest.mark.parametrize("event", ["scan", "backscatter"])
def test_the_lines_have_the_fields_that_are_described(event: str) -> None:
    records = ScanRecords([], None)
    line = records.scan(SCAN, NOBODY) if event == "scan" else records.backscatter(BACK, NOBODY)
    assert paths(json.loads(line)) == {field.name for field in FIELDS if event in field.events}


def test_the_store_gives_back_the_lines(tmp_path: Path) -> None:
    box, store = Box(), Store(str(tmp_path), None, Limits(days=36_500))
    records = ScanRecords([box], store)
    for found in (SCAN, PREFIX):
        records.scan(found, Label("Example", "JP", 64500))
    records.scan(replace(SCAN, state="inside"), NOBODY)
    records.backscatter(BACK, NOBODY)
    store.close()
    assert store.written == 3
    frames = scan(str(tmp_path))
    lines = [
        line
        for table in ("scans", "backscatter")
        for line in json_lines(frames[table], table).collect()[LINE]
    ]
    written = [json.loads(line) for line in box.data.splitlines()]
    assert sorted(map(json.loads, lines), key=repr) == sorted(written, key=repr)
    assert len(written) == 3
    columns = frames["scans"].collect_schema()
    assert columns["rate"] == pl.Float64
    for name in ("src_ip", "prefix_length", "state", "kind", "start_ns", "end_ns", "flows",
                 "packets", "dark_targets", "live_targets", "ports", "top_ports", "rate", "tool",
                 "tool_confidence",
                 "trw", "direction", "known", "country", "asn", "day", "timestamp"):  # fmt: skip
        assert name in columns
    assert set(TABLES) >= {"scans", "backscatter"}


class Gone(Box):
    """Whose reader has gone."""

    def put(self, data: bytes, units: int) -> None:
        """Fails."""
        del data, units
        raise BrokenPipeError


def test_an_output_that_fails_does_not_cost_the_others() -> None:
    box = Box()
    records = ScanRecords([Gone(), box], None)
    lines = [records.scan(SCAN, NOBODY), records.backscatter(BACK, NOBODY)]
    assert box.data == b"".join(lines)
