"""The page's words and numbers; what clients wrote stays text, short and harmless."""

from __future__ import annotations

import unicodedata
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkflow.analysis.page import (
    Figure,
    Page,
    Section,
    Table,
    Tile,
    clip,
    html,
    lasting,
    number,
    plots_of,
    several,
    share,
    utc,
)
from darkflow.analysis.plots import Plot, Series
from reporting import HOSTILE

PLOT = Plot("p", "t", "x", "y", [Series("a", [1, 2], [3, 4])])


class Tags(HTMLParser):
    """Elements and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def page(text: str, plot: Plot | None = None) -> Page:
    """The same text in every place of a page."""
    parts: list[Figure | Table] = [
        Table(text, (text, "n"), [(text, 1), (text, 2)], text),
        Table(text, (text,), [], nothing=text),
        Figure(text, text, text, text, plot),
        Figure(text, text, nothing=text),
    ]
    tiles = [Tile(text, text, text)]
    return Page(text, [text], [text], tiles, [Section("id", text, [text], parts)], [text])


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_texts_everywhere(text: str) -> None:
    plot = PLOT if text == HOSTILE[0] else None
    harmless, hostile = Tags(html(page("x", plot))), Tags(html(page(text, plot)))
    assert hostile.tags == harmless.tags
    assert hostile.attributes == harmless.attributes
    assert not set(hostile.tags) & {"script", "img", "iframe", "object", "link", "base", "form"}
    assert not [name for name in hostile.attributes if name.startswith("on")]


def test_no_plot_is_drawn_twice_and_all_are_found() -> None:
    assert plots_of(page("x", PLOT)) == [PLOT]
    assert "No data: why" in html(
        Page("t", [], [], [], [Section("s", "s", [], [Figure("f", "shows", nothing="why")])])
    )


def test_a_policy_forbids_what_a_page_does_not_need() -> None:
    text = html(page("x"))
    assert "default-src 'none'; style-src 'unsafe-inline'" in text
    assert "http://" not in text.replace("http://www.w3.org/", "")


@given(st.text(), st.integers(1, 50))
def test_clipped_texts(text: str, longest: int) -> None:
    short = clip(text, longest)
    assert len(short) <= longest + 1
    assert not [at for at in short if unicodedata.category(at)[0] == "C"]
    assert not [at for at in short if at.isspace() and at != " "]
    if text.isascii() and text.isprintable() and len(text) <= longest:
        assert short == text


def test_columns_of_numbers_are_known() -> None:
    table = Table("t", ("a", "b", "c", "d"), [("1", 2, "3.0%", "w" * 50), ("x", None, "–", "")])
    assert table.numeric == [False, True, True, False]
    assert table.classes == ["c", "n", "n", "w"]
    assert table.cells(("a", 12345, "3%", "x")) == ["a", "12,345", "3%", "x"]
    assert Table("t", ("a",), [("1%",)], codes=()).numeric == [True]
    assert Table("t", ("a",), []).numeric == [False]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1234567, "1,234,567"), (None, "–"), (1.2345, "1.23"), (1e5, "100,000")],
)
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(1, 0, "–"), (0, 5, "0.0%"), (5, 5, "100.0%"), (1, 3, "33.3%"), (46, 1_579_832, "0.0029%"),
     (0.9981, 1, "99.81%"), (0.9999999, 1, "99.99%"), (0.981, 1, "98.1%")],
)  # fmt: skip
def test_shares_never_round_to_none_or_all(part: float, whole: float, text: str) -> None:
    assert share(part, whole) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "250 ms"), (5, "5 s"), (65, "1 min 5 s"), (3600, "1 h"), (3605, "1 h"),
     (90_061, "1 d 1 h"), (7 * 86_400, "7 d")],
)  # fmt: skip
def test_lengths(seconds: float, text: str) -> None:
    assert lasting(seconds * 1e9) == text


def test_one_and_several() -> None:
    said = [several(n, "source") for n in (0, 1, 2000)]
    assert said == ["0 sources", "1 source", "2,000 sources"]


def test_moments() -> None:
    assert utc(1_772_366_400_999_999_999) == "2026-03-01 12:00:00"
    assert utc(None) == "–"
