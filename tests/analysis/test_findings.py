"""All questions to one store: periods, tables that are not there, what is asked first."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from darkflow.analysis.findings import Question, find
from reporting import NOON_NS, dark_frame, dark_rows, everything, final, frame, moment, stats_row

NOON = moment(NOON_NS)


def test_a_full_store() -> None:
    said: list[str] = []
    found = find(everything(), Question(top=3, say=said.append))
    rows = final(dark_rows(500, 1))
    assert found.totals is not None
    assert found.totals.flows == len(rows) == 500
    outbound = [row for row in rows if row["direction"] == "outbound"]
    assert found.inside_number == len({row["src_ip"] for row in outbound})
    assert len(found.inside) == 3
    assert found.outside_number == len(
        {row["src_ip"] for row in rows if row["direction"] == "inbound"}
    )
    assert all(row["address"].startswith("192.0.2.") for row in found.inside)
    assert all(row["address"].startswith("198.51.100.") for row in found.sources)
    assert found.per_target.keys == len({row["dest_ip"] for row in rows})
    assert found.tools is not None
    assert found.rates is not None
    assert (found.scans or [[]])[0][0]["flows"] == 99
    assert found.late_syn_acks == 3
    assert len(said) > 5


def test_a_period_holds_for_every_table() -> None:
    since, until = NOON + timedelta(seconds=100), NOON + timedelta(seconds=400)
    found = find(everything(), Question(since=since, until=until))
    inside = [row for row in final(dark_rows(500, 1)) if since <= row["timestamp"] < until]
    assert found.totals is not None
    assert found.totals.flows == len(inside)
    # Rows of the second to the sixth minute, less that of the first.
    assert found.counted.counters["packets"] == 5000
    assert found.late_hosts == []
    assert found.scans == ([], 0)
    assert found.rates is not None
    assert found.rates.moments_ns[0] >= NOON_NS + 60 * 10**9


def test_a_sensor_whose_first_rows_lie_before_the_period() -> None:
    rows = [stats_row("a", 60 * at, attempts=10 * at, uptime_ns=1) for at in range(10)]
    tables = {"stats": frame("stats", rows)}
    found = find(tables, Question(since=NOON + timedelta(seconds=290)))
    assert found.rates is not None
    assert sum(found.rates.added) * found.rates.step_ns / 1e9 == pytest.approx(50)


def test_nothing_at_all() -> None:
    for tables in ({}, {"darkflows": dark_frame([])}, {"stats": frame("stats", [])}):
        found = find(tables, Question())
        assert (found.totals, found.counted.runs, found.scans) == (None, 0, None)


def test_an_older_store_knows_no_tools() -> None:
    rows = dark_rows(20, 3)
    found = find({"darkflows": dark_frame(rows, tool=False)}, Question())
    assert found.tools is None
    assert "most_tool" not in found.sources[0]
    known = find({"darkflows": dark_frame(rows)}, Question())
    assert "most_tool" in known.sources[0]


def test_tables_of_others_are_left_alone() -> None:
    assert find({"other": pl.LazyFrame({"x": [1]})}, Question()).totals is None
