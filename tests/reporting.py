"""Tables as a store has them, for tests of the report: plain rows, their frames, hostile texts."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import polars as pl

from darkflow.sinks.delta import STATS_SCHEMA
from darkflow.sinks.fields import columns_of

SECOND_NS = 1_000_000_000
NOON_NS = 1_772_366_400 * SECOND_NS  # 2026-03-01T12:00:00Z
HOLD_NS, IDLE_NS = 5 * SECOND_NS, 60 * SECOND_NS
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</style><style>body{display:none}</style>",
    "{{ 7*7 }}{% raw %}",
    "\u202egnp.exe\x00\x1b[31m",
    "javascript:alert(3)//",
    "x" * 5000,
)
_TYPES: dict[str, Any] = {
    "integer": pl.Int64, "string": pl.String, "boolean": pl.Boolean, "base64": pl.String,
    "timestamp": pl.Datetime("us", "UTC"), "date": pl.Date,
}  # fmt: skip


def moment(t_ns: int) -> datetime:
    """A time of the store."""
    return datetime.fromtimestamp(t_ns // SECOND_NS, UTC)


def stamped(t_ns: int) -> dict[str, Any]:
    """What every row has: timestamp and day."""
    return {"timestamp": moment(t_ns), "day": moment(t_ns).date()}


def frame(table: str, rows: list[dict[str, Any]], **more: Any) -> pl.LazyFrame:
    """Rows of a table with its columns, and `more` columns by their types; what lacks is null."""
    if table == "stats":
        return pl.LazyFrame(rows, STATS_SCHEMA, orient="row")
    schema = {column.name: _TYPES[column.type] for column in columns_of(table)} | more
    return pl.LazyFrame(rows, schema, orient="row")


def dark_rows(count: int, seed: int, spread_s: int = 600) -> list[dict[str, Any]]:
    """Dark flows as a sensor stores them: at the verdict, and some once more at their end."""
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        t0_ns = NOON_NS + chance.randrange(spread_s * SECOND_NS)
        outbound = chance.random() < 0.1
        resent = chance.choice((0, 0, 0, 1, 3, 5))
        inside, outside = f"192.0.2.{chance.randrange(99)}", f"198.51.100.{chance.randrange(9)}"
        row = {
            **stamped(t0_ns), "event_type": "darkflow", "flow_id": number,
            "src_ip": inside if outbound else outside, "dest_ip": outside if outbound else inside,
            "dest_port": chance.choice((22, 23, 23, 80, 445, 8080)),
            "direction": "outbound" if outbound else "inbound",
            "t0_ns": t0_ns, "verdict_ns": t0_ns + HOLD_NS, "syn_count": 1, "duplicate_count": 0,
            "last_syn_ns": t0_ns, "icmp_type": chance.choice((None, 3)),
            "tool": chance.choice((None, "masscan", "zmap")),
        }  # fmt: skip
        if chance.random() < 0.1:
            row |= {"syn_count": 2, "duplicate_count": 1}
        rows.append(row)
        if resent:
            last_ns = t0_ns + chance.randrange(1, 70) * SECOND_NS // 2
            more = {"syn_count": row["syn_count"] + resent, "last_syn_ns": last_ns}
            rows.append(row | {"event_type": "darkflow_end"} | more)
    chance.shuffle(rows)
    return rows


def final(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last that was told of each flow, the slow way."""
    last: dict[int, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: str(row["event_type"])):
        last[row["flow_id"]] = row
    return list(last.values())


def dark_frame(rows: list[dict[str, Any]], tool: bool = True) -> pl.LazyFrame:
    """The table `darkflows`, with the tools or, as an older store has it, without."""
    made = frame("darkflows", rows)
    return made if tool else made.drop("tool", "tool_confidence")


def stats_row(run: str, t_s: float, **values: Any) -> dict[str, Any]:
    """A row of `stats` so many seconds after noon."""
    return {**stamped(NOON_NS + int(t_s * SECOND_NS)), "run": run, **values}


def histogram(*bins: tuple[int | None, int]) -> list[dict[str, Any]]:
    """As the store keeps them."""
    return [{"le": edge, "count": count} for edge, count in bins]


def scan_row(source: str, state: str, start_s: int, **values: Any) -> dict[str, Any]:
    """A row of the table `scans`."""
    start_ns = NOON_NS + start_s * SECOND_NS
    return {
        **stamped(start_ns), "src_ip": source, "prefix_length": 32, "state": state,
        "kind": "address_scan", "start_ns": start_ns, "end_ns": start_ns + 9 * SECOND_NS,
        "flows": 10, "packets": 12, "dark_targets": 9, "live_targets": 1, "ports": 1,
        "top_ports": "23", "rate": 1.5, "tool": "zmap", "tool_confidence": "high", "trw": 1e9,
        "direction": "inbound",
        "known": None, "country": "JP", "asn": 64500, **values,
    }  # fmt: skip


def backscatter_row(victim: str, state: str, start_s: int, **values: Any) -> dict[str, Any]:
    """A row of the table `backscatter`."""
    start_ns = NOON_NS + start_s * SECOND_NS
    return {
        **stamped(start_ns), "victim_ip": victim, "state": state, "start_ns": start_ns,
        "end_ns": start_ns + 90 * SECOND_NS, "packets": 500, "targets": 40, "ports": 3,
        "peak_pps": 7.5, "answer": "syn_ack", "known": None, "country": "US", "asn": 64501,
        **values,
    }  # fmt: skip


def session_row(number: int, **values: Any) -> dict[str, Any]:
    """A row of the table `sessions`."""
    return {
        **stamped(NOON_NS + number * SECOND_NS), "event_type": "session", "flow_id": number,
        "src_ip": f"198.51.100.{number % 7}", "dest_port": 80, "app_proto": "http",
        "service": "responder", "handshake": True, "payload_bytes": 40,
        "payload_printable": "GET / HTTP/1.1..Host: x", "http_http_method": None, **values,
    }  # fmt: skip


def everything(count: int = 500) -> dict[str, pl.LazyFrame]:
    """A store with rows in every table, clients as hostile as they can be."""
    names = {column.name for column in columns_of("sessions")}
    sessions = [
        session_row(at, payload_printable=text, http_url=text, http_method=text, login_user=text,
                    login_password=text, app_proto=text[:40], service=text[:40])
        for at, text in enumerate(HOSTILE)
    ]  # fmt: skip
    traced = ("rst_by_client", "silence", "silence", "fin")
    late = [
        {**stamped(NOON_NS), "dest_ip": "192.0.2.9", "dest_port": 443, "answer": "syn_ack",
         "delay_ns": 6 * SECOND_NS + at}
        for at in range(3)
    ]  # fmt: skip
    stats = [
        stats_row(
            "live", 60 * at, packets=1000 * at, tcp=900 * at, attempts=500 * at, answered=400 * at,
            dark=100 * at, queue_flows=40 + at, table_flows=700 + 9 * at, uptime_ns=at,
            dropped_queue=at, reply_delay_ns=histogram((1_000_000, 300 * at), (None, 100 * at)),
        )
        for at in range(1, 11)
    ]  # fmt: skip
    scans = [scan_row("198.51.100.1", "begin", 0), scan_row("198.51.100.1", "end", 0, flows=99)]
    scans.append(scan_row(HOSTILE[0], "begin", 5, known=HOSTILE[1], top_ports=HOSTILE[2]))
    return {
        "darkflows": dark_frame(dark_rows(count, 1)),
        "late_answers": frame("late_answers", late),
        "cut_traces": frame("cut_traces", [{**stamped(NOON_NS), "trace": how} for how in traced]),
        "sessions": frame(
            "sessions", [{k: v for k, v in row.items() if k in names} for row in sessions]
        ),
        "stats": frame("stats", stats),
        "scans": pl.LazyFrame(scans),
        "backscatter": pl.LazyFrame([backscatter_row("203.0.113.80", "end", 0)]),
    }
