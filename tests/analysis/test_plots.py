"""Plots: what is drawn is there, texts stay texts, ids differ, files are small."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkflow.analysis import plots
from darkflow.analysis.plots import COLOURS, Mark, Plot, Series

SECOND_NS = 1_000_000_000
NOON_NS = 1_772_366_400 * SECOND_NS
EVIL = "<script>alert($x^2$)</script>&\"'"
PLOTS = (
    Plot("line", EVIL, EVIL, "y", [Series(EVIL, [1, 2, 3], [1, 5, 2]), Series("b", [1], [2])]),
    Plot("steps", "t", "x", "y", [Series("a", [1, 10, 1000], [0.1, 0.5, 1.0], "steps")], "log",
         "share", [Mark(20, "paper"), Mark(10**6, "far away")]),
    Plot("time", "t", "UTC", "y",
         [Series("a", [NOON_NS + at * SECOND_NS for at in range(99)], range(99), "steps")], "time"),
    Plot("duration", "t", "delay", "share", [Series("a", [1e4, 1e6, 6e9], [0.1, 0.7, 1])],
         "duration", "share"),
    Plot("stems", "t", "s", "flows", [Series("a", [1, 3, 7], [5, 900, 2], "stems")],
         y_scale="log"),
    Plot("bars", "t", "n", "", [Series("a", range(3), [0, 5, 7]), Series("b", range(3), [1, 1, 1])],
         "log", names=["22", "23", EVIL]),
    Plot("one", "t", "UTC", "y", [Series("a", [NOON_NS], [0], "steps")], "time"),
    Plot("points", "t", "x", "y", [Series("a", [5], [0.5], "points", "paper")], "log", "share"),
    Plot("standing", "t", "x", "y", [Series("a", [1, 2], [3, 4], "bars")]),
)  # fmt: skip


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.name)
def test_a_page_gets_a_picture_that_follows_its_colours(plot: Plot) -> None:
    text = plots.page_svg(plot)
    root = ET.fromstring(text)
    assert root.tag.endswith("svg")
    assert "viewBox" in root.attrib
    assert "width" not in root.attrib
    assert not re.findall(r"<script|font-family|DejaVu|href=\"http", text)
    assert not [colour for colour in COLOURS.values() if colour in text]
    assert "var(--first)" in text or "var(--paper)" in text
    assert len(text) < 60_000


def test_texts_stay_texts() -> None:
    root = ET.fromstring(plots.page_svg(PLOTS[0]))
    texts = ["".join(node.itertext()) for node in root.iter() if node.tag.endswith("}text")]
    assert texts.count(EVIL) == 2
    assert not [node for node in root.iter() if node.tag.endswith("}script")]


def test_ids_of_plots_in_one_page_differ() -> None:
    pair = (PLOTS[0], replace(PLOTS[0], name="other"))
    texts = [plots.page_svg(plot, narrow) for plot in pair for narrow in (False, True)]
    clips = [set(re.findall(r'clipPath id="(\w+)"', text)) for text in texts]
    assert all(clips)
    assert len(set().union(*clips)) == sum(map(len, clips))
    assert texts[0] == plots.page_svg(PLOTS[0])


def test_files(tmp_path: Path) -> None:
    svg, png = plots.write_files(PLOTS[1], tmp_path)
    assert png.read_bytes().startswith(b"\x89PNG")
    assert COLOURS["first"] in svg.read_text()
    assert len(png.read_bytes()) < 200_000


@given(st.lists(st.floats(-1e9, 1e9), max_size=400), st.integers(4, 60))
def test_thinning_keeps_ends_and_peaks(y: list[float], most: int) -> None:
    x = [float(at) for at in range(len(y))]
    thin_x, thin_y = plots.thinned(x, y, most)
    assert len(thin_x) <= most or len(y) <= most
    assert thin_x == sorted(thin_x)
    assert all(y[int(at)] == value for at, value in zip(thin_x, thin_y, strict=True))
    if y:
        assert (thin_x[0], thin_x[-1]) == (x[0], x[-1])
        assert (min(thin_y), max(thin_y)) == (min(y), max(y))


@pytest.mark.parametrize(
    ("value", "text"),
    [(999, "999"), (1200, "1.2 k"), (3e6, "3 M"), (0, "0"), (0.25, "0.25"), (2.5e9, "2.5 G")],
)
def test_short_numbers(value: float, text: str) -> None:
    assert plots.short(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e3, "1 µs"), (1e7, "10 ms"), (5e9, "5 s"), (20, "20 ns"), (999.9e6, "1 s")],
)
def test_durations(value: float, text: str) -> None:
    assert plots.duration(value) == text


def test_ticks_of_time() -> None:
    day_ns = 86_400 * SECOND_NS
    assert plots.nice_step_ns(7e9) == 10 * SECOND_NS
    assert plots.nice_step_ns(3 * day_ns) == 7 * day_ns
    assert plots.nice_step_ns(100.5 * day_ns) == 101 * day_ns
    assert plots.moment(NOON_NS, 60 * SECOND_NS, False) == "12:00"
    assert plots.moment(NOON_NS, SECOND_NS, True) == "12:00:00\n2026-03-01"
    assert plots.moment(NOON_NS + day_ns // 2, 3600 * SECOND_NS, False) == "00:00\n03-02"
    assert plots.moment(NOON_NS, day_ns, False) == "03-01"
    assert plots.moment(NOON_NS, 400 * day_ns, False) == "2026-03-01"
