"""A page in one file: tiles, sections, figures and tables in; HTML that needs nothing else out.

Whatever comes from packets is hostile. The template engine escapes every text, `clip` bounds its
length and leaves no character that could reorder or hide others, and the page's own policy forbids
scripts, requests and forms, should both fail.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, cached_property

from darkflow.analysis.plots import Plot, page_svg

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jinja2 import Template

LONGEST_TEXT = 200
# Longer texts are broken into lines.
WRAPPED_TEXT = 44
Cell = str | int | float | None


@dataclass(frozen=True)
class Tile:
    """One number at the head of the page; `tone`: `plain`, `good` or `bad`."""

    label: str
    value: str
    about: str = ""
    tone: str = "plain"


@dataclass(frozen=True)
class Figure:
    """A plot with what it shows, what to look for, and what the paper saw; or why there is none."""

    title: str
    shows: str
    look_for: str = ""
    paper: str = ""
    plot: Plot | None = None
    nothing: str = ""


@dataclass(frozen=True)
class Table:
    """Rows under a title. Numbers stand to the right; `codes`: columns of addresses and payloads.

    A text that is longer than LONGEST_TEXT, or `longest`, is cut. `nothing`: said if there are no
    rows. `stacked`: a phone has the cells of a row one below the other.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    codes: Sequence[int] = (0,)
    nothing: str = "None."
    longest: int = LONGEST_TEXT
    stacked: bool = False

    @cached_property
    def numeric(self) -> list[bool]:
        """Whether a column holds numbers only, or texts that are numbers with a unit."""
        return [
            bool(self.rows) and at not in self.codes and all(_counts(row[at]) for row in self.rows)
            for at in range(len(self.columns))
        ]

    @cached_property
    def classes(self) -> list[str]:
        """Of each column: n for numbers, c for codes, w for texts that may need several lines."""
        found = []
        for at, is_number in enumerate(self.numeric):
            long = any(len(str(row[at])) > WRAPPED_TEXT for row in self.rows)
            code = "c" if at in self.codes else ""
            found.append("n" if is_number else f"{code} {'w' * long}".strip())
        return found

    def cells(self, row: Sequence[Cell]) -> list[str]:
        """A row's texts."""
        return [clip(cell, self.longest) if isinstance(cell, str) else number(cell) for cell in row]


@dataclass(frozen=True)
class Section:
    """A part of the page: an id for links to it, a title, sentences, figures and tables."""

    id: str
    title: str
    says: Sequence[str] = ()
    parts: Sequence[Figure | Table] = ()


@dataclass(frozen=True)
class Page:
    """Everything on it; `about`: small print at its head, `foot`: at its end."""

    title: str
    about: Sequence[str]
    lead: Sequence[str]
    tiles: Sequence[Tile]
    sections: Sequence[Section] = field(default=())
    foot: Sequence[str] = ()


def _counts(cell: Cell) -> bool:
    return not isinstance(cell, str) or re.fullmatch(r"–|[\d.,]+(%| m?s)", cell) is not None


def html(page: Page) -> str:
    """The page's text."""
    return _template().render(page=page, styles=_read("page.css"), svg=_svg, clip=clip)


def clip(text: object, longest: int = LONGEST_TEXT) -> str:
    """A text of bounded length without control, format or private characters."""
    whole = str(text)
    short = whole[:longest]
    shown = "".join("·" if unicodedata.category(at)[0] == "C" else at for at in short)
    shown = re.sub(r"\s", " ", shown)
    return shown + "…" if len(whole) > longest else shown


def number(value: float | None) -> str:
    """12,345; a fraction with as many decimals as say something; a dash for nothing."""
    if value is None:
        return "–"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:,.3g}"


def several(count: int, what: str) -> str:
    """1 source, 2 sources."""
    return f"{number(count)} {what}" if count == 1 else f"{number(count)} {what}s"


def share(part: float, whole: float) -> str:
    """A percentage, small ones with the decimals that they need."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    if percent in (0, 100) or 0.1 <= percent < 99:
        return f"{percent:.1f}%"
    return f"{percent:.2g}%" if percent < 1 else f"{min(percent, 99.99):.2f}%"


def utc(t_ns: int | None) -> str:
    """A moment in UTC, to the second."""
    if t_ns is None:
        return "–"
    return datetime.fromtimestamp(t_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def lasting(length_ns: float) -> str:
    """A length of time in the two units that say most of it."""
    seconds = round(length_ns / 1e9)
    if seconds < 1:
        return f"{length_ns / 1e6:.3g} ms"
    parts: list[str] = []
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= size or parts:
            parts.append(f"{seconds // size} {unit}")
            seconds %= size
    return " ".join(part for part in parts[:2] if not part.startswith("0 "))


def listed(texts: Iterable[object]) -> str:
    """Some texts with commas."""
    return ", ".join(str(text) for text in texts)


def plots_of(page: Page) -> list[Plot]:
    """The plots of all sections."""
    return [
        part.plot
        for section in page.sections
        for part in section.parts
        if isinstance(part, Figure) and part.plot is not None
    ]


def _svg(plot: Plot, narrow: bool) -> object:
    from markupsafe import Markup

    # Our own; its texts are escaped already.
    return Markup(page_svg(plot, narrow))


def _read(name: str) -> str:
    from importlib.resources import files

    return files("darkflow.analysis").joinpath(name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    # Autoescape is for every text, whatever the template's name.
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.tests["table"] = lambda part: isinstance(part, Table)
    return environment.from_string(_read("page.html"))
