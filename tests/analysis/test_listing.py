"""Rows as text."""

from __future__ import annotations

import csv
import io
import json

from darkflow.analysis.listing import as_csv, as_json, as_table, rfc3339

ROWS = [{"name": "a", "count": 12_345, "more": 1}, {"name": "bcd", "count": 6, "more": 2}]


def test_a_table_is_aligned() -> None:
    assert as_table(("name", "count"), ROWS).splitlines() == [
        "name   count",
        "----  ------",
        "a     12,345",
        "bcd        6",
    ]
    assert as_table(("name", "count"), []).splitlines() == ["name  count", "----  -----"]


def test_csv_and_json_hold_the_same() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(("name", "count"), ROWS))))
    assert rows == [{"name": "a", "count": "12345"}, {"name": "bcd", "count": "6"}]
    assert json.loads(as_json({"rows": ROWS})) == {"rows": ROWS}


def test_times() -> None:
    assert rfc3339(None) == "-"
    assert rfc3339(0) == "1970-01-01T00:00:00Z"
    assert rfc3339(1_772_366_400_999_999_999) == "2026-03-01T12:00:00Z"
