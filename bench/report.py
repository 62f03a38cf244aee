"""Tables and aims as Markdown, and their place in docs/performance.md."""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from process import Figure, Sample

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
SOAK = ("<!-- soak:begin -->", "<!-- soak:end -->")
REPORT = ("<!-- report:begin -->", "<!-- report:end -->")
PLANE = ("<!-- plane:begin -->", "<!-- plane:end -->")
HONEYPOT = ("<!-- honeypot:begin -->", "<!-- honeypot:end -->")
LISTS = ("<!-- addresses:begin -->", "<!-- addresses:end -->")
MIB = 1 << 20


@dataclass(frozen=True)
class Aim:
    """What was promised, what this run gave, and whether that is enough."""

    name: str
    bound: str
    measured: str
    met: bool


@dataclass
class Table:
    """A table with a title; cells are text."""

    title: str
    header: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)


@dataclass
class Result:
    """What one measure found."""

    tables: list[Table] = field(default_factory=list)
    aims: list[Aim] = field(default_factory=list)


COSTS = ("CPU s", "wall s", "peak MiB")


def figure(value: Figure, digits: int = 3) -> str:
    """Median (least-most)."""
    return f"{value.median:.{digits}f} ({value.least:.{digits}f}-{value.most:.{digits}f})"


def costs(samples: Sequence[Sample]) -> tuple[str, str, str]:
    """The cells for COSTS."""
    digits = 3 if min(sample.wall_s for sample in samples) < 10 else 1
    return (
        figure(Figure.of([sample.cpu_s for sample in samples]), digits),
        figure(Figure.of([sample.wall_s for sample in samples]), digits),
        peak(samples),
    )


def peak(samples: Sequence[Sample]) -> str:
    """The peak in MiB; a child smaller than this process seems as large (see process.run_step)."""
    floor_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    mib = peak_mib(samples)
    return f"{mib:.0f}" if mib > floor_mib * 1.05 else f"<= {mib:.0f}"


def peak_mib(samples: Sequence[Sample]) -> float:
    """The largest peak of all runs."""
    return max(sample.peak_bytes for sample in samples) / MIB


def at_most(name: str, value: float, bound: float, unit: str = "", digits: int = 2) -> Aim:
    """An aim that is met by a value up to the bound."""
    measured = f"{value:.{digits}f}{unit}"
    return Aim(name, f"<= {bound:g}{unit}", measured, value <= bound)


def at_least(name: str, value: float, bound: float, unit: str = "", digits: int = 1) -> Aim:
    """An aim that is met by a value from the bound on."""
    measured = f"{value:.{digits}f}{unit}"
    return Aim(name, f">= {bound:g}{unit}", measured, value >= bound)


def count(number: int) -> str:
    """10 M, 300 k, 12."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if number >= size and number % (size // 10) == 0:
            return f"{number / size:g} {letter}"
    return str(number)


def machine() -> str:
    """The line that says where this was measured; no name of the machine."""
    model = "unknown CPU"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.partition(":")[2].strip()
            for line in cpuinfo.read_text().splitlines()
            if line.startswith("model name")
        ]
        model = names[0] if names else model
    kernel = platform.release().split("-")[0]
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()} {kernel},"
        f" Python {platform.python_version()}, {time.strftime('%Y-%m-%d', time.gmtime())}"
    )


def markdown_table(table: Table) -> str:
    """The first column to the left, the others to the right."""
    lines = [
        "| " + " | ".join(table.header) + " |",
        "|" + "|".join(["---", *["---:"] * (len(table.header) - 1)]) + "|",
        *("| " + " | ".join(row) + " |" for row in table.rows),
    ]
    return f"### {table.title}\n\n" + "\n".join(lines) + "\n"


def aims_table(aims: Sequence[Aim], judged: bool) -> Table:
    """All aims; a miss is shown as a miss."""
    words = {True: "yes", False: "**no**"} if judged else {True: "", False: ""}
    rows = [(aim.name, aim.bound, aim.measured, words[aim.met]) for aim in aims]
    return Table("Aims", ("aim", "bound", "this run", "met"), list(rows))


def document(results: Sequence[Result], preface: str, judged: bool = True) -> str:
    """Everything that stands between the markers; aims of a small run are not judged."""
    aims = [aim for result in results for aim in result.aims]
    tables = [table for result in results for table in result.tables]
    parts = [preface.rstrip() + "\n", *([markdown_table(aims_table(aims, judged))] if aims else [])]
    return "\n".join([*parts, *map(markdown_table, tables)])


def replace_between_markers(text: str, new: str, marks: tuple[str, str] = (BEGIN, END)) -> str:
    """`text` with everything between the markers replaced; ValueError without both of them."""
    before, begin, rest = text.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise ValueError(f"the page has no {marks[0]} ... {marks[1]}")
    return f"{before}{begin}\n{new.strip()}\n{end}{after}"
