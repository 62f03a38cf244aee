"""Lists of a report: scans that began and ended, sessions, late answers, tables of other times."""

from __future__ import annotations

import polars as pl

from darkflow.analysis import told
from reporting import (
    HOSTILE,
    SECOND_NS,
    backscatter_row,
    everything,
    frame,
    scan_row,
    session_row,
    stamped,
)


def test_a_scan_is_told_by_its_end() -> None:
    rows = [
        scan_row("198.51.100.1", "end", 0, flows=90),
        scan_row("198.51.100.1", "begin", 0, flows=25),
        scan_row("198.51.100.1", "begin", 700, flows=30),
        scan_row("198.51.100.2", "end", 0, flows=60),
    ]
    found, total = told.scans(pl.LazyFrame(rows), 2)
    assert [(row["src_ip"], row["flows"], row["state"]) for row in found] == [
        ("198.51.100.1", 90, "end"), ("198.51.100.2", 60, "end"),
    ]  # fmt: skip
    assert total == 3


def test_a_table_with_fewer_columns_is_told_as_far_as_it_goes() -> None:
    rows = [scan_row("198.51.100.1", "end", 0), scan_row("198.51.100.2", "begin", 0)]
    some = pl.LazyFrame(rows).drop("known", "asn", "trw", "top_ports")
    found, _ = told.scans(some, 5)
    assert "known" not in found[0]
    assert found[0]["dark_targets"] == 9


def test_backscatter() -> None:
    rows = [backscatter_row("203.0.113.1", "begin", 0, packets=30)]
    rows += [backscatter_row("203.0.113.1", "end", 0), backscatter_row("203.0.113.2", "end", 1)]
    found, total = told.backscatter(pl.LazyFrame(rows), 9)
    assert [(row["victim_ip"], row["packets"]) for row in found] == [
        ("203.0.113.1", 500), ("203.0.113.2", 500),
    ]  # fmt: skip
    assert total == 2


def test_late_answers() -> None:
    rows = [
        {**stamped(0), "dest_ip": ip, "dest_port": port, "answer": answer, "delay_ns": delay}
        for ip, port, answer, delay in (
            ("192.0.2.1", 80, "syn_ack", 6 * SECOND_NS),
            ("192.0.2.1", 80, "syn_ack", 9 * SECOND_NS),
            ("192.0.2.2", 80, "rst", 6 * SECOND_NS), ("192.0.2.2", 22, "syn_ack", 2 * SECOND_NS),
        )
    ]  # fmt: skip
    table = frame("late_answers", rows)
    assert told.late_syn_acks(table) == 2
    assert told.late_hosts(table, 1) == [
        {"dest_ip": "192.0.2.1", "dest_port": 80, "answers": 2, "least_ns": 6 * SECOND_NS,
         "most_ns": 9 * SECOND_NS}
    ]  # fmt: skip


def test_what_followed_a_late_syn_ack() -> None:
    found = told.traces(everything(1)["cut_traces"])
    assert found == {"rst_by_client": 1, "silence": 2, "fin": 1}


def test_sessions() -> None:
    rows = [session_row(at, login_user="root" if at % 2 else None) for at in range(10)]
    rows += [session_row(10, payload_printable="x" * 999, handshake=False)]
    rows += [session_row(11, payload_bytes=0, payload_printable="never shown")]
    known = set(frame("sessions", []).collect_schema())
    table = frame("sessions", [{k: v for k, v in row.items() if k in known} for row in rows])
    found = told.sessions(table, 5)
    assert (found.number, found.handshakes, found.sources) == (12, 11, 7)
    assert found.protocols == [("http", "responder", 11, 7)]
    assert found.payloads == [
        (80, "GET / HTTP/1.1..Host: x", 10, 7), (80, "x" * told.TEXT_CHARACTERS, 1, 1),
    ]  # fmt: skip
    assert found.logins == [("root", None, 5, 5)]
    assert found.requests == []
    assert told.sessions(table.drop("http_url"), 5).requests == []


def test_hostile_texts_are_told_as_they_are_but_short() -> None:
    found = told.sessions(everything(1)["sessions"], 20)
    assert {text for _, text, _, _ in found.payloads} == {
        text[: told.TEXT_CHARACTERS] for text in HOSTILE
    }
