"""What the data plane and the detectors cost: cut latency, throughput, address lists."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from darkflow.lab.carrying import connections
from darkflow.lab.cutting import timed
from darkflow.lab.planes import ROUTER

Report = Callable[[str], None]

CUT_SIZES, CUT_ROUNDS = (1, 100, 10_000, 100_000, 1_000_000), (2, 60)
QUICK_SIZES, QUICK_ROUNDS = (1, 1000), (1, 25)
CARRY_SIZES, CARRY_TURNS, CARRY_S = (1, 100_000, 1_000_000), 5, 0.5
QUICK_CARRY, QUICK_TURNS, QUICK_CARRY_S = (1, 1000), 1, 0.1
SPACES, SYNS, DAYS = ("24", "16", "12", "v6/32"), 100_000, 14
QUICK_SPACES, QUICK_SYNS = ("24", "v6/32"), 5000
# A list has an entry for every address, and an IPv6 /32 has 2^96.
ONLY_V4 = ("linear", "ranges", "bitmap")
MODES = ("flows", "linear", "ranges", "bitmap", "learnt")
QUICK_MODES = ("flows", "linear")
LISTS_S = 120


def cut(quick: bool, report: Report) -> dict[str, Any]:
    """By flows registered: quartiles of the two moments between which the cut lies, in us."""
    sizes, rounds = (QUICK_SIZES, QUICK_ROUNDS) if quick else (CUT_SIZES, CUT_ROUNDS)
    report(f"late answers beside {', '.join(f'{size:,}' for size in sizes)} registered flows")
    trials = timed(ROUTER, 4, sizes, rounds)
    return {"sizes": [
        {
            "flows": size,
            "trials": len(some),
            "tried": rounds[0] * rounds[1],
            "last_out_us": quartiles([one.last_out_ns / 1000 for one in some]),
            "first_kept_us": quartiles([one.first_kept_ns / 1000 for one in some]),
        }
        for size, some in trials.items()
    ]}  # fmt: skip


def throughput(quick: bool, report: Report) -> dict[str, Any]:
    """By flows registered: Mbit/s of a diverted connection, and what a CPU second carries."""
    sizes: Sequence[int] = QUICK_CARRY if quick else CARRY_SIZES
    turns, seconds = (QUICK_TURNS, QUICK_CARRY_S) if quick else (CARRY_TURNS, CARRY_S)
    report(f"connections beside {', '.join(f'{size:,}' for size in sizes)} registered flows")
    carried = connections(ROUTER, sizes, turns, seconds)
    empty = carried["diverted", sizes[0]]
    rows = []
    for size in sizes:
        runs = carried["diverted", size]
        pairs = list(zip(empty, runs, strict=True))
        rows.append({
            "flows": size,
            "runs": len(runs),
            "mbit_s": quartiles([run.mbit_s for run in runs]),
            "ratio": median(run.mbit_s / first.mbit_s for first, run in pairs),
            "cpu_ratio": median(one.cpu_ns_per_byte / run.cpu_ns_per_byte for one, run in pairs),
        })  # fmt: skip
    return {"seconds": seconds, "sizes": rows}


def lists(quick: bool, report: Report) -> dict[str, Any]:
    """Cost by watched space, and what is called dark while hosts sleep and wake up."""
    spaces, syns, days = (QUICK_SPACES, QUICK_SYNS, 1) if quick else (SPACES, SYNS, DAYS)
    report(f"{syns:,} SYNs to spaces of {len(spaces)} sizes, for each detector")
    cost = []
    for mode in QUICK_MODES if quick else MODES:
        for space in spaces:
            if space.startswith("v6") and mode in ONLY_V4:
                continue
            one = _said("cost", mode, space, str(syns))
            cost.append({"detector": mode, "space": space, **one})
    report(f"{days} days of 256 hosts that sleep and wake up, in fast motion")
    return {"syns": syns, "days": days, "cost": cost, "wake": _said("wake", str(days))}


def quartiles(values: Sequence[float]) -> dict[str, float]:
    """Median, first and third quartile."""
    ranked = sorted(values)
    low, high = ranked[len(ranked) // 4], ranked[len(ranked) * 3 // 4]
    of = {"median": median(ranked), "low": low, "high": high}
    return {name: round(value, 3) for name, value in of.items()}


def _said(*words: str) -> Any:
    argv = [sys.executable, "-m", "darkflow.lab.address_lists", *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=LISTS_S)
    if done.returncode != 0:
        raise RuntimeError(f"address lists: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout)
