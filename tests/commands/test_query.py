"""`darkflow query` as a user runs it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import polars as pl
import pytest

from darkflow.commands.query import as_text
from running import darkflow

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "lab.pcap"
TOP = "SELECT dest_port, COUNT(*) AS flows FROM darkflows GROUP BY dest_port ORDER BY flows DESC"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The example, stored."""
    path = tmp_path_factory.mktemp("query") / "store"
    done = darkflow("analyze", str(EXAMPLE), "--store", str(path), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["dropped"]["store"] == 0
    return str(path)


def test_a_table_for_people(store: str) -> None:
    done = darkflow("query", "--store", store, TOP)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["dest_port", "flows"]
    assert lines[2].split() == ["80", "570"]
    assert len({len(line) for line in lines}) == 1


def test_the_other_formats_hold_the_same(store: str) -> None:
    def run(form: str) -> str:
        return darkflow("query", "--store", store, "--format", form, TOP).stdout

    expected = json.loads(run("json"))
    assert expected[0] == {"dest_port": 80, "flows": 570}
    assert [json.loads(line) for line in run("jsonl").splitlines()] == expected
    rows = csv.DictReader(io.StringIO(run("csv")))
    assert [{k: int(v) for k, v in row.items()} for row in rows] == expected


def test_tables_can_be_joined_and_days_compared(store: str) -> None:
    sql = (
        "SELECT s.dark, COUNT(*) AS rows FROM darkflows d JOIN stats s ON d.day = s.day"
        " WHERE d.day >= '2020-01-01' GROUP BY s.dark"
    )
    (row,) = json.loads(darkflow("query", "--store", store, "--format", "json", sql).stdout)
    assert row == {"dark": 1813, "rows": 1813}


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT nothing FROM darkflows", 'unable to find column "nothing"'),
        ("SELECT * FROM visits", "relation 'visits' was not found"),
        ("SELEC 1", "sql parser error"),
        ("", ""),
        ("SELECT * FROM stats", "CSV format does not support nested data"),
    ],
)
def test_a_bad_query_gets_one_line_and_status_2(store: str, sql: str, said: str) -> None:
    done = darkflow("query", "--store", store, "--format", "csv", sql)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("darkflow: ")
    assert said in line


def test_a_store_that_is_not_there_gets_one_line_and_status_2(tmp_path: Path) -> None:
    done = darkflow("query", "--store", str(tmp_path / "nowhere"), "SELECT 1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"darkflow: no store in {tmp_path / 'nowhere'}\n"
    done = darkflow("query", "SELECT 1")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_numbers_stand_to_the_right_and_nothing_is_blank() -> None:
    frame = pl.DataFrame({"n": [1, 10, None], "name": ["a", "bc", None]})
    assert as_text(frame, "table") == " n  name\n--  ----\n 1  a\n10  bc\n\n"
    assert as_text(pl.DataFrame({"a": []}), "table") == "a\n-\n"
