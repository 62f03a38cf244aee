"""`darkflow report`: what a page on ten million dark flows costs, and how large it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from process import Command, Figure, Sample, darkflow, in_turn, run_step
from report import COSTS, MIB, Result, Table, at_most, costs, count, peak_mib

if TYPE_CHECKING:
    from measures import Bench

FLOWS, FEW_FLOWS = 10_000_000, 100_000
WALL_BOUND_S, PEAK_BOUND_MIB, PAGE_BOUND_MIB = 30, 1500, 5


def page(bench: Bench) -> Result:
    """A page on many dark flows and on few, from a store."""
    table = Table("Report: a page from a store", ("dark flows", *COSTS, "page KiB"))
    result = Result([table])
    for full in (FEW_FLOWS, FLOWS):
        flows = bench.size(full)
        samples, page_bytes = _measure(bench, flows)
        table.rows.append((count(flows), *costs(samples), f"{page_bytes / 1024:.0f}"))
    wall = Figure.of([sample.wall_s for sample in samples])
    name = f"report, {count(flows)} dark flows"
    result.aims = [
        at_most(f"{name}: wall", wall.median, WALL_BOUND_S, " s", 1),
        at_most(f"{name}: peak memory", peak_mib(samples), PEAK_BOUND_MIB, " MiB", 0),
        at_most(f"{name}: page", page_bytes / MIB, PAGE_BOUND_MIB, " MiB"),
    ]
    return result


def _measure(bench: Bench, flows: int) -> tuple[list[Sample], int]:
    """Runs of the report on so many flows, and the size of the page; the disk is given back."""
    capture = bench.captures.get("dark", flows)
    store, out = bench.work / "report-store", bench.work / "page.html"
    try:
        run_step(
            darkflow("analyze", "--json", "--store", str(store), "--store-days", "36500",
                     str(capture)), bench.work,
        )  # fmt: skip
        argv = darkflow("report", "--store", str(store), "-o", str(out))
        command = Command("darkflow report", (argv,))
        samples = in_turn([command], bench.slow_runs, bench.work)["darkflow report"]
        text = out.read_text()
        if f"<strong>{flows:,}</strong>" not in text:
            raise RuntimeError(f"the page does not tell of {flows} dark flows")
        return samples, len(text.encode())
    finally:
        run_step(("rm", "-rf", str(store), str(out)), bench.work)
