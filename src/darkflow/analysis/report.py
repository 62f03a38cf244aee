"""A report on dark flows as one page: from a store's tables to its text, and its plots as files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from darkflow import __version__
from darkflow.analysis import chapters, charts
from darkflow.analysis.findings import Findings
from darkflow.analysis.page import Page, Tile, number, plots_of, share
from darkflow.analysis.plots import write_files

FOOT = (
    "Times are UTC. A packet is a SYN of a dark flow, resent ones included. Addresses of sources"
    " can be forged; a host that answers only to some is dark to others.",
    "The paper is DarkFlow (Waseda University, 2011), whose figures stand beside those of this page"
    " under their numbers there.",
)


@dataclass(frozen=True)
class Heading:
    """What the page is called, what it was made from, when."""

    title: str
    source: str
    made: datetime
    period: str = ""


def page(found: Findings, heading: Heading) -> Page:
    """Everything that was found, as a page."""
    about = [heading.source]
    about.append(heading.period or charts.period(found))
    made = heading.made.astimezone(UTC)
    about.append(f"made {made:%Y-%m-%d %H:%M} UTC by Darkflow {__version__}")
    return Page(
        heading.title, about, chapters.lead(found), tiles(found), chapters.sections(found), FOOT
    )


def tiles(found: Findings) -> list[Tile]:
    """The numbers at the head."""
    totals, counted = found.totals, found.counted
    if totals is None:
        return []
    attempts, dark = counted.counters["attempts"], counted.counters["dark"]
    of_all = f"{share(dark, attempts)} of all attempts" if attempts else ""
    lost = sum(counted.losses.values())
    bad = "bad" if found.inside_number else "good"
    return [
        Tile("dark flows", number(totals.flows), of_all),
        Tile("SYNs of them", number(totals.packets), f"{totals.packets / totals.flows:.2f} a flow"),
        Tile("sources", number(found.per_source.keys)),
        Tile("destinations", number(found.per_target.keys)),
        *_inside_tile(found, totals.directions, bad),
        Tile(
            "lost",
            number(lost) if counted.runs else "not known",
            "packets, flows or rows, see below" if lost else "",
            "bad" if lost else "good" if counted.runs else "plain",
        ),
    ]


def _inside_tile(found: Findings, directions: Mapping[str, int], tone: str) -> list[Tile]:
    if set(directions) == {"internal"}:
        return [Tile("hosts inside", "not known", "no --networks")]
    flows = f"{number(directions.get('outbound', 0))} flows outside"
    return [Tile("hosts inside", number(found.inside_number), flows, tone)]


def write_figures(made: Page, folder: Path) -> int:
    """Each plot as SVG and PNG into a folder, which is made; how many files. OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    return sum(len(write_files(plot, folder)) for plot in plots_of(made))
