"""conn.log: read back by the rules that zeek-cut follows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from darkflow.sinks import zeek
from judging import judge
from sinks.test_columns import Table, story
from writers import RAW, Pcap

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def tables(tmp_path: Path, at_verdict: bool) -> dict[str, pl.LazyFrame]:
    """The story's rows."""
    path = tmp_path / "story.pcap"
    path.write_bytes(Pcap(RAW, nano=True).file(story()))
    kept = Table(at_verdict)
    kept.close = lambda: None  # type: ignore[method-assign]
    judge([path], [kept])
    return {name: pl.DataFrame(rows).lazy() for name, rows in kept.columns.take().items()}


def fields() -> list[str]:
    """Names of the columns as a reader of the header finds them."""
    (line,) = [line for line in zeek.header(NOW).splitlines() if line.startswith("#fields\t")]
    return line.split("\t")[1:]


def test_the_header_is_zeek_s() -> None:
    lines = zeek.header(NOW).splitlines()
    assert lines[:6] == [
        "#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-",
        "#path\tconn", "#open\t2026-03-01-12-00-00",
    ]  # fmt: skip
    assert len(lines) == 8
    assert len(lines[6].split("\t")) == len(lines[7].split("\t"))
    assert fields()[:6] == ["ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p"]
    assert zeek.footer(NOW) == "#close\t2026-03-01-12-00-00\n"


def test_rows_are_connections(tmp_path: Path) -> None:
    found = tables(tmp_path, at_verdict=False)
    rows = zeek.rows(found["darkflows"]).collect()
    assert rows.columns == fields()
    (retried,) = rows.filter(pl.col("id.orig_p") == 40_000).to_dicts()
    assert (retried["ts"], retried["duration"]) == ("0.000000", "6.000000")
    assert (retried["conn_state"], retried["orig_pkts"], retried["resp_pkts"]) == ("S0", 2, 0)
    assert (retried["local_orig"], retried["local_resp"]) == ("F", "T")
    assert (retried["service"], retried["proto"]) == (None, "tcp")
    late = zeek.rows(found["late_answers"]).collect()
    assert sorted(late["conn_state"]) == ["REJ", "S1"]
    assert late["resp_pkts"].to_list() == [1, 1]


def test_a_flow_is_one_row_even_where_its_line_was_written_twice(tmp_path: Path) -> None:
    found = tables(tmp_path, at_verdict=True)["darkflows"]
    rows = zeek.rows(found).collect()
    assert found.collect().height == rows.height + 1
    assert rows["uid"].n_unique() == rows.height
    (retried,) = rows.filter(pl.col("id.orig_p") == 40_000).to_dicts()
    assert retried["orig_pkts"] == 2
