"""The sections: what comes first, what is said where nothing is known, hostile texts included."""

from __future__ import annotations

import pytest

from darkflow.analysis import chapters
from darkflow.analysis.findings import Findings, Question, find
from darkflow.analysis.page import Section, Table
from reporting import HOSTILE, dark_frame, dark_rows, everything


@pytest.fixture(scope="module")
def found() -> Findings:
    """All that a full store tells."""
    return find(everything(), Question(top=5))


@pytest.fixture(scope="module")
def sections(found: Findings) -> dict[str, Section]:
    """By their ids."""
    return {section.id: section for section in chapters.sections(found)}


def rows_of(section: Section) -> list[list[str]]:
    """The texts of its first table."""
    (table, *_) = (part for part in section.parts if isinstance(part, Table))
    return [table.cells(row) for row in table.rows]


def test_likely_infected_hosts_come_first(sections: dict[str, Section]) -> None:
    assert next(iter(sections)) == "inside"
    rows = rows_of(sections["inside"])
    assert len(rows) == 5
    assert [int(row[1]) for row in rows] == sorted((int(row[1]) for row in rows), reverse=True)
    assert all(len(row) == 9 for row in rows)


def test_without_networks_nobody_is_inside() -> None:
    rows = [row | {"direction": "internal"} for row in dark_rows(5, 1)]
    section = chapters.inside(find({"darkflows": dark_frame(rows)}, Question()))
    assert "--networks" in section.says[0]
    assert not section.parts


def test_dark_flows_from_inside_to_inside_are_said() -> None:
    rows = dark_rows(50, 1)
    for row in rows[:7]:
        row["direction"] = "internal"
    found = find({"darkflows": dark_frame(rows)}, Question())
    assert found.totals is not None
    said = f"{found.totals.directions['internal']} more dark flows"
    assert said in chapters.inside(found).says[1]


def test_tools(sections: dict[str, Section], found: Findings) -> None:
    assert {row[0] for row in rows_of(sections["tools"])} == {"masscan", "zmap", "not known"}
    rows = [row | {"tool": None} for row in dark_rows(5, 1)]
    for tool, word in ((True, "No known tool"), (False, "Not recorded")):
        made = find({"darkflows": dark_frame(rows, tool)}, Question())
        assert word in chapters.tools(made).says[0]
    assert found.totals is not None


def test_scans(sections: dict[str, Section]) -> None:
    first, second = rows_of(sections["scans"])
    assert first[:4] == ["198.51.100.1", "address scan", "99", "12"]
    assert first[-1] == "2026-03-01 12:00:09"
    assert second[0] == HOSTILE[0]
    assert second[-1] == "goes on"


def test_prefixes_and_lists_of_ports() -> None:
    rows = [{"src_ip": "2001:db8::", "prefix_length": 64, "top_ports": [23, 80], "flows": 3}]
    columns, cells = chapters._chosen(rows, chapters.SCAN_COLUMNS)
    assert columns == ["source", "flows", "ports most used"]
    assert cells == [["2001:db8::/64", 3, "23, 80"]]


@pytest.mark.parametrize("name", ["tools", "scans", "backscatter", "sessions", "losses"])
def test_what_is_not_there_is_one_line(name: str) -> None:
    section = getattr(chapters, name)(Findings(5))
    assert len(section.says) == 1
    assert not section.parts


@pytest.mark.parametrize("name", ["scans", "backscatter"])
def test_tables_without_rows_are_one_line(name: str) -> None:
    found = Findings(5, scans=([], 0), backscatter=([], 0))
    section = getattr(chapters, name)(found)
    assert "was seen in this time" in section.says[0]
    assert not section.parts


def test_losses(sections: dict[str, Section]) -> None:
    assert rows_of(sections["losses"]) == [
        ["dropped_queue", "10", "packets", "SYNs not judged: the delay queue was full"]
    ]
    assert "80.0%" in sections["losses"].says[0]


def test_sessions_are_cut_and_printable(sections: dict[str, Section]) -> None:
    tables = [part for part in sections["sessions"].parts if isinstance(part, Table)]
    assert len(tables) == 4
    for table in tables:
        for row in table.rows:
            for cell in table.cells(row):
                assert len(cell) <= chapters.LONGEST_PAYLOAD + 1
                assert cell.isprintable()


def test_the_lead(found: Findings) -> None:
    text = chapters.lead(found)[0]
    assert text.startswith("500 flows from ")
    assert "of your own" in text
    assert chapters.lead(Findings(5))[0] == "No flow was dark in this time."
