"""The page as a whole in a real browser: both schemes, both widths, nothing leaves its place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from chromium import OVERFLOW, PROGRAM, Browser
from conftest import skip
from darkflow.analysis import page as pages
from darkflow.analysis import report
from darkflow.analysis.findings import Findings, Question, find
from reporting import HOSTILE, everything

CSS = Path(pages.__file__).with_name("page.css")
HEADING = report.Heading(HOSTILE[0], HOSTILE[1], datetime(2026, 3, 2, tzinfo=UTC))
LOOKS = [(width, scheme) for width in (390, 1280) for scheme in ("light", "dark")]


@pytest.fixture(scope="module")
def made() -> pages.Page:
    """A page with something in every place of it, from clients as hostile as they can be."""
    return report.page(find(everything(), Question(top=20)), HEADING)


@pytest.fixture(scope="module")
def written(made: pages.Page, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a file."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(pages.html(made), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for all tests of this file."""
    if PROGRAM is None:
        skip("chromium is not installed")
    with Browser() as started:
        yield started


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_it_fits_and_says_nothing_to_the_console(
    browser: Browser, written: Path, width: int, scheme: str
) -> None:
    browser.open(written, width, scheme=scheme)
    assert browser.ask(OVERFLOW) == {"page": width, "window": width, "out": []}
    assert browser.errors == []
    assert browser.requests == [written.as_uri()]
    shown = browser.ask(
        "['wide', 'narrow'].map(n => getComputedStyle(document.querySelector('.plot.' + n)).display"
        " !== 'none')"
    )
    assert shown == [width > 640, width <= 640]
    back = browser.ask("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", back))) < 80) == (scheme == "dark")
    # The smallest text of a plot, as it is shown: as large as small print.
    size = browser.ask(
        "Math.min(...[...document.querySelectorAll('.plot svg')].filter(s => s.clientWidth)"
        ".map(s => 8 * s.clientWidth / s.viewBox.baseVal.width))"
    )
    assert size > 8


def test_hostile_texts_are_texts(browser: Browser, written: Path) -> None:
    browser.open(written, 1280)
    assert browser.ask("document.title") == HOSTILE[0]
    text = browser.ask("document.body.innerText")
    for hostile in HOSTILE[:4]:
        assert hostile in text
    assert browser.ask("document.querySelectorAll('script, img, iframe, link, form').length") == 0
    assert browser.ask("document.querySelectorAll('style').length") == 1
    assert not set(text) & {"\u202e", "\x00", "\x1b"}
    assert "x" * 300 not in text


def test_a_script_would_not_run(browser: Browser, written: Path, tmp_path: Path) -> None:
    """Should a text ever get through as markup; and this test would see a console that speaks."""
    broken = tmp_path / "broken.html"
    evil = "<script>document.title = 'evil'</script><img src=x onerror=\"document.title='evil'\">"
    broken.write_text(written.read_text().replace('<main id="main">', f'<main id="main">{evil}'))
    browser.open(broken, 1280)
    assert browser.ask("document.title") == HOSTILE[0]
    assert len(browser.errors) >= 2


def test_this_would_see_what_sticks_out(browser: Browser, written: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    wide = '<main id="main"><div style="width: 2000px">wide</div>'
    broken.write_text(written.read_text().replace('<main id="main">', wide))
    browser.open(broken, 390)
    found = browser.ask(OVERFLOW)
    assert found["page"] > 390 or found["out"]


def test_every_link_of_the_contents_leads_to_a_section(made: pages.Page, written: Path) -> None:
    text = written.read_text()
    links = re.findall(r'<a [^>]*href="#([\w-]+)"', text)
    assert links == ["main", *(section.id for section in made.sections)]
    assert len(set(links)) == len(links)
    assert all(text.count(f'id="{link}"') == 1 for link in links)
    assert written.stat().st_size < 1_000_000


def test_ids_are_there_once(written: Path) -> None:
    ids = re.findall(r'\bid="([^"]+)"', written.read_text())
    assert len(ids) > 50
    assert len(set(ids)) == len(ids)


def test_tiles() -> None:
    found = find(everything(), Question())
    tiles = {tile.label: tile for tile in report.tiles(found)}
    assert tiles["dark flows"].value == "500"
    assert tiles["hosts inside"].tone == "bad"
    assert (tiles["lost"].value, tiles["lost"].tone) == ("10", "bad")
    assert report.tiles(Findings(5)) == []
    assert report.page(Findings(5), HEADING).about[1] == "no dark flow"


def _variables(block: str) -> dict[str, str]:
    return dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_texts_and_curves_stand_out(scheme: int) -> None:
    """WCAG 2: 4.5 to 1 for texts, and here for curves too."""
    blocks: list[Any] = re.findall(r":root \{(.*?)\}", CSS.read_text(), re.S)
    colours = _variables(blocks[scheme])
    assert len(colours) == 10
    for name in ("ink", "muted", "first", "second", "paper", "bad", "good"):
        for back in ("card", "back"):
            light, dark = sorted((_luminance(colours[name]), _luminance(colours[back])))[::-1]
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, back)
