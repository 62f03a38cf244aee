"""Sessions and cuts in the store: as their lines, in SQL, with every payload, for their days."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkflow.sinks.columns import Columns
from darkflow.sinks.delta import Table
from darkflow.sinks.fields import TABLES
from darkflow.sinks.records import USUAL_BYTES, Cut, Records, Trace
from darkflow.sinks.store import Limits, Store
from darkflow.sinks.stored import between, json_lines, scan
from darkflow.sinks.told import Told
from honeypot.test_sessions import key
from recording import (
    FLOW4,
    FLOW6,
    OBJECTS,
    REPORTED,
    REQUEST,
    T0_NS,
    TOLD,
    Kept,
    answered,
    of_session,
    scanned,
    talk,
)
from running import darkflow
from sinks.test_lines import watched
from writers import SECOND_NS


def opened(folder: Path, **limits: Any) -> Store:
    """A store that keeps captures of any day."""
    return Store(str(folder), None, Limits(days=36_500, **limits))


def lines_of(folder: Path, table: str) -> list[dict[str, Any]]:
    """What `darkflow export --format jsonl` writes."""
    done = darkflow("export", "--store", str(folder), "--format", "jsonl", "--table", table)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_goes_into_the_store_comes_out_as_the_lines(tmp_path: Path) -> None:
    box, store = Kept(), opened(tmp_path)
    records = Records(watched(), [box], store)
    for at, flow in enumerate((FLOW4, FLOW6)):
        records.session(talk(flow), T0_NS, TOLD)
        records.session(scanned(flow), T0_NS)
        records.session(answered(flow), T0_NS, Told("cowrie", "ssh"))
        t_ns = T0_NS + 7 * SECOND_NS + at
        records.cut(Cut(key(flow), T0_NS, t_ns, "engine", "rst", t_ns - 999))
        records.cut(Cut(key(flow), T0_NS, t_ns + 5, "command"))
        records.trace(Trace(key(flow), T0_NS, t_ns, "fin", t_ns + 9))
    store.close()
    assert (store.written, store.dropped) == (12, 0)

    def by_time(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return sorted(documents, key=lambda d: (d["timestamp"], d["src_ip"]))

    for table, event in TABLES.items():
        if event in ("session", "cut", "cut_trace"):
            expected = [d for d in box.documents if d["event_type"] == event]
            assert by_time(lines_of(tmp_path, table)) == by_time(expected)
            assert expected
    frame = scan(str(tmp_path))["sessions"].collect()
    day = datetime(2026, 3, 1, 12, tzinfo=UTC)
    (row,) = frame.filter(src_ip=FLOW6.orig, app_proto="http").to_dicts()
    assert row["day"] == day.date()
    assert row["timestamp"] == day
    assert {name: row[name] for name in REPORTED} == REPORTED
    assert json.loads(row["fields"]) == OBJECTS
    assert frame.filter(pl.col("app_proto") == "ssh")["fields"].to_list() == [None, None]


@given(st.binary(max_size=5000) | st.integers(0, 255).map(lambda byte: bytes([byte]) * 300))
@settings(max_examples=60, deadline=None)
def test_every_payload_comes_through(payload: bytes) -> None:
    class Rows:
        """Stands where a store is, and keeps the rows."""

        def __init__(self) -> None:
            self.kept: list[tuple[str, tuple[Any, ...], int]] = []

        def rows(self) -> Rows:
            """As Store."""
            return self

        def add(self, table: str, values: tuple[Any, ...], text_bytes: int) -> None:
            """As StoreRows."""
            self.kept.append((table, values, text_bytes))

    box, rows = Kept(), Rows()
    session = talk(FLOW4, payload)
    Records(watched(), [box], rows).session(session, T0_NS)  # type: ignore[arg-type]
    (document,) = box.documents
    assert document == of_session(FLOW4, session, Told())
    assert base64.b64decode(document["session"]["payload"]) == payload[:4096]
    assert document["session"]["payload_total"] == len(payload)
    ((table, values, text_bytes),) = rows.kept
    made = Columns.empty(table)
    made.append(values)
    frame = pl.DataFrame(made)
    (line,) = json_lines(frame.lazy(), "sessions").collect()["line"]
    assert json.loads(line) == document
    assert text_bytes > 2 * len(session.payload) - USUAL_BYTES


def test_questions_in_sql(tmp_path: Path) -> None:
    store = opened(tmp_path)
    records = Records(watched(), [], store)
    records.session(talk(FLOW4), T0_NS, TOLD)
    records.session(scanned(FLOW4), T0_NS)
    records.session(answered(FLOW6), T0_NS)
    records.cut(Cut(key(FLOW6), T0_NS, T0_NS + 7, "kernel", "syn_ack", T0_NS))
    for trace in ("silence", "rst_by_client", "silence"):
        records.trace(Trace(key(FLOW6), T0_NS, T0_NS, trace, T0_NS))
    store.close()

    def ask(sql: str) -> Any:
        done = darkflow("query", "--store", str(tmp_path), "--format", "json", sql)
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    grouped = "SELECT end_reason, COUNT(*) AS n FROM sessions GROUP BY end_reason ORDER BY 1"
    assert ask(grouped) == [
        {"end_reason": "fin", "n": 1}, {"end_reason": "late_answer", "n": 1},
        {"end_reason": "rst_resp", "n": 1},
    ]  # fmt: skip
    assert ask("SELECT http_url, payload_bytes FROM sessions WHERE http_hostname LIKE 'shop%'") == [
        {"http_url": '/"\\', "payload_bytes": len(REQUEST)}
    ]
    assert ask("SELECT payload_printable AS p FROM sessions WHERE payload_total > 0") == [
        {"p": 'GET /"\\ HTTP/1.1..Host: shop.example......'}
    ]
    assert ask(
        "SELECT login_user AS u, login_password AS p FROM sessions WHERE login_user != ''"
    ) == [{"u": "root", "p": "toor"}]
    assert ask("SELECT cut_by, latency_ns FROM cuts") == [{"cut_by": "kernel", "latency_ns": 7}]
    assert ask("SELECT trace, COUNT(*) AS n FROM cut_traces GROUP BY trace ORDER BY n") == [
        {"trace": "rst_by_client", "n": 1}, {"trace": "silence", "n": 2},
    ]  # fmt: skip
    joined = "SELECT s.end_reason FROM cuts c JOIN sessions s ON s.flow_id = c.flow_id"
    assert ask(joined) == [{"end_reason": "late_answer"}]


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_other_formats_have_every_row(tmp_path: Path, form: str) -> None:
    store = opened(tmp_path)
    records = Records(watched(), [], store)
    for _ in range(5):
        records.session(talk(FLOW4), T0_NS, TOLD)
    store.close()
    out = tmp_path / "out"
    words = ("--format", form, "--table", "sessions", "-o", str(out))
    assert darkflow("export", "--store", str(tmp_path), *words).returncode == 0
    frame = pl.read_csv(out) if form == "csv" else pl.read_parquet(out)
    assert frame.height == 5
    assert frame["payload"].to_list() == [base64.b64encode(REQUEST).decode()] * 5
    zeek = ("--format", "zeek", "--table", "sessions")
    done = darkflow("export", "--store", str(tmp_path), *zeek)
    assert (done.returncode, "sessions holds no attempts" in done.stderr) == (2, True)


def test_a_store_from_before_opens_and_takes_them(tmp_path: Path) -> None:
    for name in ("darkflows", "late_answers", "undecided", "stats"):
        Table(tmp_path, name, "before")
    assert "sessions" not in scan(str(tmp_path))
    done = darkflow("export", "--store", str(tmp_path), "--format", "csv", "--table", "sessions")
    assert (done.returncode, done.stderr) == (2, f"darkflow: no table sessions in {tmp_path}\n")
    store = opened(tmp_path)
    Records(watched(), [], store).session(talk(FLOW4), T0_NS)
    store.close()
    assert scan(str(tmp_path))["sessions"].collect().height == 1


def test_old_sessions_go_as_old_dark_flows_do(tmp_path: Path) -> None:
    store = Store(str(tmp_path), None, Limits(days=3))
    records = Records(watched(), [], store)
    now_ns = time.time_ns()
    day_ns = 86_400 * SECOND_NS
    for age in (0, 1, 5, 6):
        records.cut(Cut(key(FLOW4), 0, now_ns - age * day_ns, "command"))
    store.close()
    store.housekeeping.round()
    left = scan(str(tmp_path))["cuts"].collect()["timestamp"].to_list()
    assert len(left) == 2
    assert min(left) > datetime.now(UTC) - timedelta(days=3)
    assert sum(p.collect().height for p in between(str(tmp_path), "cuts", None, None)) == 2
