"""Lists of unused addresses against the flow table: what wakes up, what the watched space costs."""

from __future__ import annotations

import json
from statistics import median
from typing import TYPE_CHECKING, Any

from process import python, run_step
from report import MIB, Aim, Result, Table, at_most

if TYPE_CHECKING:
    from measures import Bench

SPACES = ("24", "20", "16", "12", "8", "v6/32")
FEW_SPACES = ("24", "16", "v6/32")
SYNS, DAYS, FEW_DAYS = 200_000, 14, 1
NAMES = {
    "flows": "flow table (Darkflow)",
    "linear": "list, entry by entry (DarkPots)",
    "ranges": "list as sorted ranges",
    "bitmap": "a record per address (Dark IP learning)",
    "learnt": "a record per address that was asked for",
}
DETECTORS = {
    "flows": ("flow table (Darkflow)", "T after the SYN"),
    "learning": ("Dark IP learning, off the list at the first packet", "at the SYN"),
    "darkpots": ("DarkPots, a list a day", "at the SYN"),
}
# A list has an entry for every address, and an IPv6 /32 has 2^96.
ONLY_V4 = ("linear", "ranges", "bitmap")
FLAT, SLOWER = 1.0, 2.0


def said(bench: Bench, *arguments: str) -> Any:
    """What a run of address_lists prints."""
    out = bench.work / "lists.json"
    run_step(python("-m", "darkflow.lab.address_lists", *arguments), bench.work, out)
    return json.loads(out.read_text())


def addresses(bench: Bench) -> Result:
    """Both tables, and what is promised of the flow table."""
    small = bench.scale < 1
    spaces = FEW_SPACES if small else SPACES
    woken, right = _woken(said(bench, "wake", str(FEW_DAYS if small else DAYS)))
    syns = str(bench.size(SYNS))
    time_table = Table(
        "CPU time of a SYN, ns, by watched space", ("detector", *map(_space, spaces))
    )
    size_table = Table("Memory, MiB, by watched space", ("detector", *map(_space, spaces)))
    ours: dict[str, list[float]] = {}
    for mode, name in NAMES.items():
        times, sizes = [], []
        for space in spaces:
            if space.startswith("v6") and mode in ONLY_V4:
                times.append("-")
                sizes.append("2^96 entries")
                continue
            runs = [said(bench, "cost", mode, space, syns) for _ in range(bench.slow_runs)]
            spent, size = median(run["ns"] for run in runs), runs[0]["bytes"]
            times.append(f"{spent:,.0f}")
            sizes.append(f"{size / MIB:,.3f}" if size < MIB else f"{size / MIB:,.1f}")
            if mode == "flows":
                ours[space] = [spent, size]
        time_table.rows.append((name, *times))
        size_table.rows.append((name, *sizes))
    least = min(spent for spent, _ in ours.values())
    aims = [
        *right,
        at_most("flow table: memory, largest space / smallest",
                max(size for _, size in ours.values()) / ours["24"][1], FLAT),
        at_most("flow table: CPU time of a SYN, slowest space / quickest",
                max(spent for spent, _ in ours.values()) / least, SLOWER),
    ]  # fmt: skip
    return Result([woken, time_table, size_table], aims)


def _space(space: str) -> str:
    return f"IPv6 {space[2:]}" if space.startswith("v6") else f"/{space}"


def _woken(found: dict[str, dict[str, int]]) -> tuple[Table, list[Aim]]:
    table = Table(
        "Hosts that sleep and wake up",
        ("detector", "live attempts called dark", "hosts that were hit", "dark attempts found",
         "decided"),
    )  # fmt: skip
    for key, (name, when) in DETECTORS.items():
        row = found[key]
        table.rows.append((
            name, f"{row['false']:,} of {row['live']:,}", str(row["hosts"]),
            f"{100 * row['right'] / row['absent']:.1f}%", when,
        ))  # fmt: skip
    ours = found["flows"]
    # One in 10,000 answers is slower than T: those, and no other, are called dark.
    lists = min(found[key]["false"] for key in DETECTORS if key != "flows")
    return table, [
        at_most("flow table: live attempts called dark", ours["false"], lists, digits=0),
        Aim("flow table: dark attempts found", ">= 100%",
            f"{100 * ours['right'] / ours['absent']:.1f}%", ours["right"] == ours["absent"]),
    ]  # fmt: skip
