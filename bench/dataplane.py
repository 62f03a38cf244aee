"""The data plane: how soon a late answer cuts, what a full table costs, how fast it fills."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import TYPE_CHECKING

from live_programs import BENCH
from process import Figure, run_step
from report import Aim, Result, Table, at_least, at_most, count, figure

from darkflow.divert import nft
from darkflow.divert.nft import Nft
from darkflow.lab import planes
from darkflow.lab.carrying import connections
from darkflow.lab.cutting import Plane, Trial, registered, timed
from darkflow.lab.planes import MIRROR, ROUTER

if TYPE_CHECKING:
    from measures import Bench

SIZES = (10_000, 100_000, 1_000_000)
PAPER_US, FLAT = 19, 1.2
TRIALS, TURNS, SECONDS = 40, 5, 0.5
BATCHES = (1, 16, 64, 256, 1024, 4096)


def cutting(bench: Bench) -> Result:
    """From the late answer to the cut, by the packets' time stamps."""
    program = bench.work / "stream"
    run_step(("gcc", "-O2", str(BENCH / "stream.c"), "-o", str(program)), bench.work)
    header = ("network", "flows registered", "late answers", "last packet out, us",
              "first packet kept, us", "out after the answer, most")  # fmt: skip
    result = Result([Table("Data plane: from the late answer to the cut", header)])
    for kind, version in ((ROUTER, 4), (MIRROR, 6)):
        rounds = (1, 12) if bench.scale < 1 else (TURNS, TRIALS)
        sizes = [1, *(bench.size(size) for size in SIZES)]
        trials = timed(kind, version, sizes, rounds, (str(program),))
        for size, some in trials.items():
            result.tables[0].rows.append((f"{kind}, IPv{version}", count(size), *cells(some)))
        middles = {size: median(t.first_kept_ns for t in some) for size, some in trials.items()}
        name = f"cut, {kind}, IPv{version}"
        most = max(trials)
        result.aims += [
            at_most(f"{name}: median, every size", max(middles.values()) / 1000, PAPER_US, " us"),
            at_most(f"{name}: {count(most)} flows / 1 flow", middles[most] / middles[1], FLAT),
        ]
    return result


def cells(trials: Sequence[Trial]) -> tuple[str, ...]:
    """How many, the last packet out, the first one kept, the most that left after the answer."""
    return (
        str(len(trials)),
        quartiles([trial.last_out_ns / 1000 for trial in trials]),
        quartiles([trial.first_kept_ns / 1000 for trial in trials]),
        str(max(trial.out_after for trial in trials)),
    )


def quartiles(values: Sequence[float]) -> str:
    """Median (first and third quartile)."""
    ranked = sorted(values)
    low, high = ranked[len(ranked) // 4], ranked[len(ranked) * 3 // 4]
    return f"{median(ranked):.1f} ({low:.1f}-{high:.1f})"


def carrying(bench: Bench) -> Result:
    """What a TCP connection carries to the honeypot, and to a live host, beside a full table."""
    header = ("network", "connection", "flows registered", "Mbit/s", "CPU ns for 1 kB",
              "Mbit per CPU second / empty table's")  # fmt: skip
    result = Result([Table("Data plane: throughput, one packet a frame", header)])
    for kind in (ROUTER, MIRROR):
        turns, seconds = (2, 0.1) if bench.scale < 1 else (bench.runs, SECONDS)
        sizes = [1, bench.size(100_000), bench.size(1_000_000)]
        carried = connections(kind, sizes, turns, seconds)
        for (what, size), runs in carried.items():
            pairs = zip(carried[what, 1], runs, strict=True)
            ratio = Figure.of([empty.cpu_ns_per_byte / run.cpu_ns_per_byte for empty, run in pairs])
            rate = figure(Figure.of([run.mbit_s for run in runs]), 0)
            cost = figure(Figure.of([run.cpu_ns_per_byte * 1000 for run in runs]), 0)
            shown = "no table" if size == 0 else count(size)
            cell = figure(ratio, 2) if size != 1 else ""
            result.tables[0].rows.append((kind, what, shown, rate, cost, cell))
            for bound_size, bound in ((100_000, 0.97), (1_000_000, 0.9)):
                if size == bench.size(bound_size):
                    name = f"throughput, {kind}, {what}, {count(size)} flows / empty"
                    result.aims.append(at_least(name, ratio.median, bound, digits=2))
    return result


def adding(bench: Bench) -> Result:
    """How many flows a second are registered and cut, by the size of a transaction."""
    header = ("flows a transaction", "IPv4, k flows/s", "IPv6, k flows/s", "ms a transaction",
              "cut, k flows/s")  # fmt: skip
    result = Result([Table("Data plane: registering flows, 500 k of them there already", header)])
    usual = nft.BATCH
    with planes.stand(ROUTER) as stand:
        plane = Plane(stand)
        plane.fill(bench.size(500_000))
        speeds: dict[int, list[list[float]]] = {size: [] for size in BATCHES}
        for _ in range(min(bench.runs, 5)):
            for size in BATCHES:
                nft.BATCH = size
                speeds[size].append(speed(plane.table, 1024 if size == 1 else 16_384))
        nft.BATCH = usual
    for size, runs in speeds.items():
        four, six, cut = (Figure.of([run[at] / 1000 for run in runs]) for at in range(3))
        row = (
            str(size),
            figure(four, 0),
            figure(six, 0),
            f"{size / four.median:.2f}",
            figure(cut, 0),
        )
        result.tables[0].rows.append(row)
        if size == usual:
            result.aims.append(
                at_least("registering, flows/s", four.median * 1000, 100_000, digits=0)
            )
    return result


def speed(table: Nft, number: int) -> list[float]:
    """Flows a second: IPv4 and IPv6 registered, both cut."""
    both = [registered(600_000, 600_000 + number, version) for version in (4, 6)]

    def took(call: Callable[[], object]) -> float:
        began_s = time.perf_counter()
        call()
        return time.perf_counter() - began_s

    added = [number / took(lambda some=some: table.add(some)) for some in both]  # type: ignore[misc]
    return [*added, 2 * number / took(lambda: table.delete(both[0] + both[1]))]


def plane(bench: Bench) -> Result:
    """All of it."""
    if reason := planes.cannot():
        return Result([], [Aim("data plane", "measured", reason, False)])
    whole = Result()
    for part in (cutting, carrying, adding):
        found = part(bench)
        whole.tables += found.tables
        whole.aims += found.aims
    return whole
