"""The paper's figures: what is drawn is what was found, beside what the paper says."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from darkflow.analysis import charts, paper
from darkflow.analysis.findings import Findings, Question, find
from darkflow.analysis.flows import Spread
from darkflow.analysis.page import Figure
from darkflow.analysis.report import Heading, page
from reporting import everything

EVERY = (
    charts.retries, charts.answers, charts.load, charts.sizes, charts.per_source, charts.per_target,
    charts.late, charts.ports,
)  # fmt: skip
NAMES = ("fig5", "fig6", "fig8", "fig9", "fig10", "fig11", "table1", "table2")


@pytest.fixture(scope="module")
def found() -> Findings:
    """All that a full store tells."""
    return find(everything(), Question(top=5))


@pytest.fixture(scope="module")
def figures(found: Findings) -> dict[str, Figure]:
    """By their names."""
    return dict(zip(NAMES, (make(found) for make in EVERY), strict=True))


def test_every_figure_says_what_it_shows(figures: dict[str, Figure]) -> None:
    for name, figure in figures.items():
        assert figure.plot is not None
        assert figure.plot.name == name
        assert figure.shows.endswith(".")
        assert figure.look_for.endswith(".")
        assert figure.paper.endswith(".")


def test_without_data_every_figure_says_why() -> None:
    for make in EVERY:
        figure = make(Findings(5))
        assert figure.plot is None
        assert len(figure.nothing) > 10
        assert figure.shows
        assert figure.paper


def test_resent_syns_are_drawn_in_halves_of_a_second(
    found: Findings, figures: dict[str, Figure]
) -> None:
    plot = figures["fig5"].plot
    assert plot is not None
    (series,) = plot.series
    assert sum(series.y) == sum(count for _, count in found.spans)
    for half, count in zip(series.x, series.y, strict=True):
        assert count == sum(n for tenths, n in found.spans if half <= tenths / 10 < half + 0.5)
    table = charts.spans(found)
    assert found.totals is not None
    assert table.rows[0][:2] == ("one SYN only", found.alone)
    assert found.alone + sum(series.y) == found.totals.flows


def test_answers_stand_beside_the_papers(found: Findings, figures: dict[str, Figure]) -> None:
    plot = figures["fig6"].plot
    assert plot is not None
    ours, theirs = plot.series
    assert next(zip(ours.x, ours.y, strict=True)) == (1_000_000, 0.75)
    assert ours.x[-1] > plot.marks[0].x
    assert list(zip(theirs.x, theirs.y, strict=True)) == list(paper.SYN_ACK_WITHIN)
    rows = charts.answer_shares(found).rows
    assert rows[0] == ("within 1 ms", "75.0%", "74.0%")
    assert rows[3][2] == "46 (0.0029%)"
    assert charts.answer_shares(Findings(5)).rows == []


def test_over_time_comes_from_sensors_or_from_the_flows(
    found: Findings, figures: dict[str, Figure]
) -> None:
    live = figures["fig8"].plot
    assert live is not None
    assert [series.label for series in live.series] == [
        "SYNs into the queue", "dark flows forwarded",
    ]  # fmt: skip
    derived = find({"darkflows": everything()["darkflows"]}, Question(top=5))
    load, sizes = charts.load(derived), charts.sizes(derived)
    assert load.plot is not None
    assert sizes.plot is not None
    assert "not known" in load.shows
    assert "worked out" in sizes.shows
    (dark,) = load.plot.series
    assert derived.times is not None
    assert found.totals is not None
    assert sum(dark.y) * derived.times.step_ns / 1e9 == pytest.approx(found.totals.flows)
    assert sizes.plot.series[1].y == derived.times.table


def test_tables_1_and_2(found: Findings, figures: dict[str, Figure]) -> None:
    assert charts.trace_rows(found).rows == [
        ("RST by the client", 1, 19), ("RST by the server", 0, 4), ("FIN", 1, 0),
        ("silence for 60 s", 2, 23),
    ]  # fmt: skip
    plot = figures["table2"].plot
    assert plot is not None
    assert list(plot.names) == [str(row["port"]) for row in found.ports]
    rows = {row[0]: row for row in charts.port_rows(found).rows}
    assert rows["445"][4] == "3,234,928 / 384,803"
    assert rows["23"][4] == ""
    assert sum(paper.TRACES.values()) == paper.LATE_SYN_ACKS


def test_a_single_source_is_seen_too() -> None:
    plot = charts.per_source(Findings(5, per_source=Spread([(498, 1)]))).plot
    assert plot is not None
    assert (plot.series[0].x, plot.series[0].y) == ([498, 498], [0.0, 1.0])


def test_the_page_is_light(found: Findings) -> None:
    made = page(found, Heading("t", "s", datetime(2026, 3, 2, tzinfo=UTC)))
    assert made.about[1] == charts.period(found)
    assert " to 2026-03-01 12:1" in made.about[1]
