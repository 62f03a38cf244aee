"""The report's bench measures pages on the flows that it says, and gives the disk back."""

from __future__ import annotations

from pathlib import Path

import pytest
import report_page
from captures import BENCH, Captures
from measures import MEASURES, Bench
from process import Sample
from run import SECTIONS


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """One run that does not count."""
    return Bench(tmp_path, Captures(tmp_path, tmp_path), 0.0002, 1, 0)


def test_a_page_is_measured_and_the_disk_given_back(bench: Bench) -> None:
    samples, page_bytes = report_page._measure(bench, 2000)
    assert samples == []
    assert 50_000 < page_bytes < 1_000_000
    assert not (bench.work / "report-store").exists()
    assert not (bench.work / "page.html").exists()


def test_aims_are_held_against_the_many(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(_: Bench, flows: int) -> tuple[list[Sample], int]:
        return [Sample(1.0, flows / 50, flows << 20)], flows << 10

    monkeypatch.setattr(report_page, "_measure", measured)
    found = report_page.page(bench)
    (table,) = found.tables
    assert [row[0] for row in table.rows] == ["1 k", "2 k"]
    assert all(len(row) == len(table.header) for row in table.rows)
    assert [aim.measured for aim in found.aims] == ["40.0 s", "2000 MiB", "1.95 MiB"]
    assert [aim.met for aim in found.aims] == [False, False, True]


def test_it_has_a_section_of_its_own() -> None:
    page = (BENCH.parent / "docs" / "performance.md").read_text()
    assert "report" in MEASURES
    assert [page.count(mark) for mark in SECTIONS["report"]] == [1, 1]
