"""Measures darkflow as a whole and in parts, and writes docs/performance.md: `make bench`.

A full run makes its captures (5 GB of disk, some minutes), measures, writes the tables and the aims
between the markers of docs/performance.md, and removes the captures. Exit status 1 if an aim is
missed. --quick and --only print and write nothing, but for `--only` plane, honeypot, report and
addresses, which have sections of their own.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from captures import BENCH, REFERENCE, Captures, affordable_scale
from measures import MEASURES, Bench
from report import (
    HONEYPOT,
    LISTS,
    PLANE,
    REPORT,
    Result,
    document,
    machine,
    replace_between_markers,
)

PAGE = BENCH.parent / "docs" / "performance.md"
QUICK_SCALE = 0.01
# Measures that have a section of the page to themselves; --only writes it, too.
SECTIONS = {"plane": PLANE, "honeypot": HONEYPOT, "report": REPORT, "addresses": LISTS}


@dataclass(frozen=True)
class Plan:
    """What the options ask for."""

    names: tuple[str, ...]
    scale: float
    quick: bool
    writes: bool


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a hundredth of the size, few runs")
    parser.add_argument("--only", choices=sorted(MEASURES), action="append", metavar="NAME",
                        help=f"only this measure: {', '.join(MEASURES)}")  # fmt: skip
    parser.add_argument("--keep", type=Path, metavar="DIR",
                        help="make the captures here and keep them for the next run")  # fmt: skip
    parser.add_argument("--runs", type=int, default=9, help="counted runs (default: 9)")
    parser.add_argument("--nfstream", default=sys.executable, metavar="PYTHON",
                        help="an interpreter that has nfstream (default: this one)")  # fmt: skip
    return parser.parse_args(argv)


def plan(options: argparse.Namespace, folder: Path) -> Plan:
    """What to measure and at which size."""
    scale = min(affordable_scale(folder), QUICK_SCALE if options.quick else 1.0)
    names = tuple(name for name in MEASURES if not options.only or name in options.only)
    return Plan(names, scale, options.quick, scale == 1.0 and not options.only)


def preface(scale: float, runs: int) -> str:
    """What the reader must know of this run."""
    source = "the reference generator's" if REFERENCE.exists() else "our own generator's"
    text = (
        f"Measured on: {machine()}.\n\n"
        f"Medians (least-most) of {runs} runs, slow programs 3; the captures of the comparisons"
        f" are {source}."
    )
    if scale < 1:
        text += f"\n\nOnly {scale:g} of the full size: the aims are not judged."
    return text


def measure(bench: Bench, names: Sequence[str]) -> list[Result]:
    """Run the measures."""
    results = []
    for name in names:
        function, captures_are_done = MEASURES[name]
        print(f"{name} ...", file=sys.stderr)
        results.append(function(bench))
        if captures_are_done:
            bench.captures.remove()
    return results


def run(options: argparse.Namespace, work: Path) -> int:
    """Measure as asked; the exit status."""
    folder = options.keep or work
    folder.mkdir(parents=True, exist_ok=True)
    asked = plan(options, folder)
    if asked.scale < 1 and not asked.quick:
        print(f"little disk: {asked.scale:g} of the full size, no aim is judged", file=sys.stderr)
    runs = 3 if asked.quick else options.runs
    bench = Bench(
        work=work,
        captures=Captures(folder, work),
        scale=asked.scale,
        runs=runs,
        slow_runs=1 if asked.quick else 3,
        nfstream=options.nfstream,
    )
    try:
        results = measure(bench, asked.names)
    except RuntimeError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    found = dict(zip(asked.names, results, strict=True))
    judged = asked.scale == 1
    rest = [result for name, result in found.items() if name not in SECTIONS]
    text = document(rest, preface(asked.scale, runs), judged=judged) if rest else ""
    print(text)
    if asked.writes:
        PAGE.write_text(replace_between_markers(PAGE.read_text(), text))
    for name in SECTIONS.keys() & found.keys():
        where = f"Measured on: {machine()}."
        text = document([found[name]], where, judged).replace("### Aims", f"### Aims: {name}")
        print(text)
        if judged:
            PAGE.write_text(replace_between_markers(PAGE.read_text(), text, SECTIONS[name]))
    missed = [aim.name for result in results for aim in result.aims if not aim.met]
    return 1 if missed and asked.scale == 1 else 0


def main(argv: Sequence[str]) -> int:
    """The command line."""
    options = parse(argv)
    with tempfile.TemporaryDirectory(prefix="darkflow-bench-") as work:
        return run(options, Path(work))


if __name__ == "__main__":
    # As at Ctrl-C: what was made is removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
