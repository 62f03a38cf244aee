"""`darkflow export` as a user runs it."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from darkflow.commands.export import parse_moment
from running import DARKFLOW, darkflow
from sinks.test_columns import story
from writers import RAW, Pcap

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "lab.pcap"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NETWORKS = "203.0.113.0/24,192.0.2.0/24"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two captures in it, and the event lines of the same runs."""
    path = tmp_path_factory.mktemp("export")
    (path / "story.pcap").write_bytes(Pcap(RAW, nano=True).file(story()))
    for name, capture in (("a", str(EXAMPLE)), ("b", "story.pcap")):
        words = ("--store", "store", "--events", f"{name}.jsonl", "--networks", NETWORKS)
        done = darkflow("analyze", capture, *words, "--store-days", "36500", cwd=path)
        assert (done.returncode, done.stderr) == (0, "")
    return path


def lines(folder: Path, event_type: str) -> list[dict[str, Any]]:
    """The event lines of one type, by time."""
    texts = [line for name in "ab" for line in (folder / f"{name}.jsonl").open()]
    found = [d for d in map(json.loads, texts) if d["event_type"] == event_type]
    return sorted(found, key=lambda d: (d["darkflow"]["t0_ns"], d["flow_id"]))


def export(folder: Path, *words: str) -> str:
    """What is written to standard output."""
    done = darkflow("export", "--store", "store", *words, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return str(done.stdout)


@pytest.mark.parametrize(
    ("table", "event_type"),
    [("darkflows", "darkflow"), ("late_answers", "late_answer"), ("undecided", "undecided")],
)
def test_json_lines_are_those_of_the_events(folder: Path, table: str, event_type: str) -> None:
    found = [
        json.loads(line)
        for line in export(folder, "--format", "jsonl", "--table", table).splitlines()
    ]
    found.sort(key=lambda d: (d["darkflow"]["t0_ns"], d["flow_id"]))
    assert found == lines(folder, event_type)
    assert found


def test_parquet_and_csv_have_every_row(folder: Path) -> None:
    assert export(folder, "--format", "parquet", "-o", "dark.parquet") == ""
    frame = pl.read_parquet(folder / "dark.parquet")
    expected = lines(folder, "darkflow")
    assert sorted(frame["flow_id"]) == sorted(d["flow_id"] for d in expected)
    rows = list(csv.DictReader(export(folder, "--format", "csv").splitlines()))
    assert [row["timestamp"] for row in rows] == sorted(row["timestamp"] for row in rows)
    assert sorted(int(row["flow_id"]) for row in rows) == sorted(frame["flow_id"])
    sql = "SELECT COUNT(*) AS n FROM darkflows"
    done = darkflow("query", "--store", "store", "--format", "json", sql, cwd=folder)
    assert json.loads(done.stdout) == [{"n": len(expected)}]  # the undecided are not among them
    stats = list(csv.DictReader(export(folder, "--format", "csv", "--table", "stats").splitlines()))
    assert sum(int(row["dark"]) for row in stats) == frame.height
    undecided = len(lines(folder, "undecided"))
    assert sum(int(row["undecided"]) for row in stats) == undecided > 0


def test_zeek_log(folder: Path) -> None:
    text = export(folder, "--format", "zeek").splitlines()
    head = [line for line in text if line.startswith("#")]
    assert head[-1].startswith("#close\t")
    names = next(line for line in head if line.startswith("#fields")).split("\t")[1:]
    rows = [line.split("\t") for line in text if not line.startswith("#")]
    assert {len(row) for row in rows} == {len(names)}
    expected = lines(folder, "darkflow")
    assert len(rows) == len(expected)
    ids = {(row[2], int(row[3]), row[4], int(row[5]), row[-1]) for row in rows}
    assert ids == {
        (d["src_ip"], d["src_port"], d["dest_ip"], d["dest_port"], d["community_id"])
        for d in expected
    }


def test_since_and_until(folder: Path) -> None:
    def count(*words: str) -> int:
        return len(export(folder, "--format", "jsonl", *words).splitlines())

    everything = count()
    assert count("--until", "1970-01-02") == everything - 1813 > 0
    assert count("--since", "1970-01-02") == 1813
    middle = "2026-11-23T00:13:05Z"
    assert count("--since", middle) + count("--until", middle) == everything
    assert 0 < count("--since", middle) < 1813
    assert count("--since", "2500-01-01") == 0
    # The day in another zone is not the day of the store.
    assert count("--since", "2026-11-24T00:03:05+23:50") == count("--since", middle)
    assert count("--until", "2026-11-22T23:13:05-01:00") == count("--until", middle)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2h", NOW - timedelta(hours=2)), ("7d", NOW - timedelta(days=7)),
        ("90s", NOW - timedelta(seconds=90)), ("1w", NOW - timedelta(weeks=1)),
        ("2026-03-01T10:00:00Z", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("2026-03-01T10:00:00.5+02:00", datetime(2026, 3, 1, 8, 0, 0, 500_000, UTC)),
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T10:00", datetime(2026, 3, 1, 10, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_moments(text: str, moment: datetime) -> None:
    found = parse_moment(text, NOW)
    assert (found, found.tzinfo) == (moment, UTC)


@pytest.mark.parametrize(
    "text",
    ["", "h", "2x", "-2h", "2.5h", "²h", "yesterday", "9" * 30 + "d", "0001-01-01T00:00:00+23:00",
     "9999-12-31T23:00:00-23:00"],
)  # fmt: skip
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not understood: write for example 2h"):
        parse_moment(text, NOW)


@pytest.mark.parametrize(
    ("words", "said", "status"),
    [
        ("--store nowhere --format csv", "no store in nowhere", 2),
        ("--store store --format csv --since yesterday", "'yesterday' is not understood", 2),
        ("--store store --format zeek --table sessions", "holds no attempts", 2),
        ("--store store --format zeek --table stats", "holds no attempts", 2),
        ("--store store --format csv -o no/where", "cannot write no/where: No such file", 2),
        ("--store store --format csv -o /dev/full", "No space left", 1),
        ("--store store --format excel", "invalid choice: 'excel'", 2),
    ],
)
def test_bad_input_gets_one_line(folder: Path, words: str, said: str, status: int) -> None:
    done = darkflow("export", *words.split(), cwd=folder)
    assert (done.returncode, done.stdout) == (status, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("darkflow: ")
    assert said in line


def test_a_reader_that_goes_away_is_no_error_to_show(folder: Path) -> None:
    import subprocess

    command = f"{DARKFLOW} export --store store --format csv | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (done.stderr, len(done.stdout.splitlines())) == ("", 1)
    assert done.returncode in (0, 141)
