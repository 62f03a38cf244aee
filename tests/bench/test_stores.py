"""The store's bench measures what it says, and never tells figures of wrong rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from captures import Captures
from measures import Bench
from process import run_step
from stores import QUERIES, Day, store


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A thousandth of a day."""
    return Bench(tmp_path, Captures(tmp_path, tmp_path), 0.001, 1, 1)


def test_every_reader_says_the_same_and_the_disk_is_given_back(bench: Bench) -> None:
    found = store(bench)
    written, asked = found.tables
    assert [row[0] for row in written.rows][1] == "analyze --store"
    assert all(len(row) == len(written.header) for row in written.rows)
    assert [row[0] for row in asked.rows] == [*QUERIES]
    assert all(len(row) == len(asked.header) for row in asked.rows)
    assert len(found.aims) == 1 + len(QUERIES)
    assert not (bench.work / "store").exists()
    assert not [*bench.work.glob("*.parquet"), *bench.work.glob("*.zst")]


def test_a_missing_row_is_no_benchmark(bench: Bench) -> None:
    day = Day(bench)
    run_step(day.writers[1].steps[1], bench.work)
    day.check()
    assert day.ask("SELECT COUNT(*) AS flows FROM darkflows") == [{"flows": 5000}]
    truth = json.loads(Path(f"{day.capture}.json").read_text())
    assert truth["dark"] == 5000
    day.flows += 1
    with pytest.raises(RuntimeError, match="5000 rows in the store for 5001 dark flows"):
        day.check()
