"""The evaluation's page from a stored document: every result of the paper has its counterpart."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from darkflow.analysis import evaluated_machine
from darkflow.analysis.compared import NOTHING, compared
from darkflow.analysis.evaluated import page
from darkflow.analysis.evaluation import findings, outcomes
from darkflow.analysis.page import Section, Table, html, plots_of

MADE = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
PARTS = ("network", "forged", "throughput", "cut", "lists")
# The rows of the paper's evaluation.
WHERE = ["Fig. 1", "4.1.1, Fig. 5", "4.1.2, Fig. 6", "4.1.3, Table 1", "4.1.3", "4.1", "4.2",
         "4.2, Fig. 7", "4.3.1, Fig. 8", "4.3.1, Fig. 9", "4.3.2, Table 2", "Fig. 10", "Fig. 11",
         "2, 3"]  # fmt: skip


@pytest.fixture
def document() -> dict[str, Any]:
    text = Path(__file__).with_name("evaluation.json").read_text()
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def said(found: dict[str, Any]) -> list[str]:
    """The sentences of lead and sections."""
    made = page(found, MADE)
    return [*made.lead, *(text for one in made.sections for text in one.says)]


def section(found: dict[str, Any], name: str) -> Section:
    return next(one for one in page(found, MADE).sections if one.id == name)


def table(found: dict[str, Any], name: str, title: str) -> Table:
    parts = section(found, name).parts
    return next(part for part in parts if isinstance(part, Table) and part.title == title)


def test_every_result_of_the_paper_has_its_counterpart(document: dict[str, Any]) -> None:
    rows = compared(document)
    assert [row.where for row in rows] == WHERE
    for row in rows:
        assert row.ours != NOTHING, row.where
        assert row.theirs
        assert row.why.endswith(".")
    # As a table, shown in full.
    shown = table(document, "overview", "Every result of the paper's evaluation")
    assert len(shown.rows) == len(WHERE)
    assert "…" not in "".join(" ".join(shown.cells(row)) for row in shown.rows)
    assert shown.stacked


def test_the_page_stands_alone_and_has_every_figure(document: dict[str, Any]) -> None:
    made = page(document, MADE)
    names = {plot.name for plot in plots_of(made)}
    assert names == {"fig5", "fig6", "fig7", "fig8", "fig9", "fig10", "fig11", "table1", "table2",
                     "throughput"}  # fmt: skip
    text = html(made)
    assert 'data-label="why they differ"' in text
    assert "<script" not in text
    assert "src=" not in text
    assert text.count('<section id="') == len(made.sections)


@pytest.mark.parametrize("missing", PARTS)
def test_a_part_that_is_missing_is_said_where_it_would_be(
    document: dict[str, Any], missing: str
) -> None:
    chosen = copy.deepcopy(document)
    del chosen["parts"][missing]
    chosen["chosen"].remove(missing)
    assert "Not measured: it was left out with --only." in said(chosen)
    broken = copy.deepcopy(document)
    broken["parts"][missing] = {"failed": "a busy machine", "elapsed_s": 1.0}
    assert "Not measured: a busy machine." in said(broken)
    assert any(row.ours == NOTHING for row in compared(broken))


def test_nothing_at_all_is_a_page_too(document: dict[str, Any]) -> None:
    document["parts"], document["interrupted"] = {}, True
    text = html(page(document, MADE))
    assert "The run was interrupted." in text
    assert text.count("Not measured: interrupted before.") == 12
    assert "0 of 14" in text


def test_a_store_that_cannot_be_read_leaves_the_rest(document: dict[str, Any]) -> None:
    document["parts"]["network"] |= {"store": None, "unread": "no such table"}
    made = page(document, MADE)
    assert "Not measured: no such table." in said(document)
    assert {"fig8", "fig9"} <= {plot.name for plot in plots_of(made)}


def test_cuts_without_a_trace_are_silence_so_far() -> None:
    stored = {
        "traces": [[2323, "rst_by_server", 2], [2326, "silence", 1]],
        "cuts": [[2323, "syn_ack", 2], [2325, "rst", 5], [2326, "syn_ack", 3]],
    }
    assert outcomes(stored) == ({"rst_by_server": 2, "silence": 3}, 2)
    assert outcomes({"traces": [], "cuts": []}) == ({}, 0)


def test_who_did_what_adds_up(document: dict[str, Any]) -> None:
    stored = document["parts"]["network"]["store"]
    rows = table(document, "late", "Who did what").rows
    counts, _ = outcomes(stored)
    sums = [sum(int(str(row[at])) for row in rows) for at in range(1, 5)]
    names = ("rst_by_client", "rst_by_server", "fin", "silence")
    assert sums == [counts.get(name, 0) for name in names]


def test_what_was_stored_comes_back(document: dict[str, Any]) -> None:
    stored = document["parts"]["network"]["store"]
    found = findings(stored)
    assert found.totals is not None
    assert found.totals.flows == stored["counters"]["dark"]
    assert found.per_source.keys == sum(keys for _, keys in stored["per_source"])
    assert found.counted.histograms["reply_delay_ns"]


def test_both_settings_of_the_forged_answer(document: dict[str, Any]) -> None:
    _, (shown,) = evaluated_machine.forged(document["parts"]["forged"])
    assert isinstance(shown, Table)
    assert [row[-1] for row in shown.rows] == ["is cut", "goes on"]
    assert [row[2] for row in shown.rows] == ["saw it, cut (kernel)", "saw it, kept the flow"]


def test_what_was_lost_is_on_the_page(document: dict[str, Any]) -> None:
    shown = table(document, "losses", "Losses by counter")
    assert [row[:2] for row in shown.rows] == [("dropped_traces", 1)]
    document["parts"]["network"]["store"]["counters"] |= {"dropped_ring": 77}
    shown = table(document, "losses", "Losses by counter")
    assert ("dropped_ring", 77) in [row[:2] for row in shown.rows]


@pytest.mark.parametrize(
    ("hold_ns", "begins"), [(None, "none could be proved"), (10**9, "1 s would")]
)
def test_the_t_of_the_run_is_said(
    document: dict[str, Any], hold_ns: int | None, begins: str
) -> None:
    document["parts"]["network"]["store"]["tune"]["hold_ns"] = hold_ns
    (ours,) = (row.ours for row in compared(document) if row.what == "choice of T")
    assert ours.startswith(begins)
    assert ours.endswith("; the run used 0.7 s, the default is 5 s")
    assert "within T = 0.7 s is taken" in page(document, MADE).lead[0]
