"""A store with a file that is cut short: every command that reads it says so in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from deltalake import DeltaTable

from darkflow import cli
from running import darkflow

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "lab.pcap"
ROWS = "SELECT COUNT(src_ip) AS n FROM darkflows"


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The damaged file."""
    store = tmp_path_factory.mktemp("damaged") / "store"
    done = darkflow("analyze", str(EXAMPLE), "--store", str(store), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    file = next((store / "darkflows").rglob("*.parquet"))
    with file.open("r+b") as cut:
        cut.truncate(100)
    return file


@pytest.mark.parametrize(
    "words",
    [["addresses"], ["addresses", "--used"], ["tune"], ["query", ROWS], ["report", "-o", "-"],
     ["export", "--format", "csv"], ["export", "--format", "parquet", "-o", "/nowhere/x"]],
)  # fmt: skip
def test_it_is_one_line_that_names_the_file(
    damaged: Path, words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    store = str(damaged.parents[2])
    assert cli.main([*words, "--store", store]) == 2
    # Of the file descriptor, where panics of compiled code go.
    out, err = capfd.readouterr()
    assert (out, err) == (
        "", f"darkflow: the store is damaged: {damaged} is not as long as its log says"
        " (docs/store.md says what to do)\n",
    )  # fmt: skip


def test_other_tables_can_still_be_asked(damaged: Path, capfd: pytest.CaptureFixture[str]) -> None:
    store = str(damaged.parents[2])
    assert cli.main(["query", "SELECT COUNT(*) AS n FROM stats", "--store", store]) == 0
    assert capfd.readouterr().out.split() == ["n", "-", "1"]


def test_what_the_docs_say_makes_it_readable_again(
    damaged: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    damaged.rename(damaged.with_suffix(".damaged"))
    table = damaged.parents[1]
    assert DeltaTable(table).repair()["files_removed"] == [str(damaged.relative_to(table))]
    assert cli.main(["query", ROWS, "--store", str(table.parent)]) == 0
    assert capfd.readouterr().out.split() == ["n", "-", "0"]
