"""The numbers of a report that come from the table `stats`: what runs counted, over time too.

Rows are dictionaries by name of metric. Counters count from the beginning of a run, so what falls
into a period is the run's last row in it less its last row before it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from darkflow.sinks.metrics import METRICS

SECOND_NS = 1_000_000_000
MILLISECOND_NS = 1_000_000
# A run with so many rows tells how things went; with fewer, only how they came out.
LIVE_ROWS = 3
COUNTERS = tuple(m.name for m in METRICS if m.type == "counter")
HISTOGRAMS = tuple(m.name for m in METRICS if m.type == "histogram")
LOSSES = tuple(name for name in COUNTERS if name.startswith("dropped_") or name == "clamped")
OVER_TIME = ("timestamp", "run", "attempts", "dark", "queue_flows", "table_flows", "uptime_ns")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Counted:
    """What all runs counted in a period: counters, histograms as (upper edge or None, count)."""

    runs: int
    counters: dict[str, int]
    histograms: dict[str, list[tuple[int | None, int]]]

    @property
    def losses(self) -> dict[str, int]:
        """The counters of what was lost, those of nothing left out."""
        return {name: self.counters[name] for name in LOSSES if self.counters.get(name)}


def counted(last: Iterable[Row], before: Iterable[Row]) -> Counted:
    """From the last row of each run within the period and its last row before that."""
    earlier = {row["run"]: row for row in before}
    counters = dict.fromkeys(COUNTERS, 0)
    bins: dict[str, dict[int | None, int]] = {name: {} for name in HISTOGRAMS}
    runs = 0
    for row in last:
        runs += 1
        base = earlier.get(row["run"], {})
        for name in COUNTERS:
            counters[name] += max((row.get(name) or 0) - (base.get(name) or 0), 0)
        for name in HISTOGRAMS:
            for sign, histogram in ((1, row.get(name)), (-1, base.get(name))):
                for one in histogram or ():
                    bins[name][one["le"]] = bins[name].get(one["le"], 0) + sign * one["count"]
    ordered = {
        name: sorted(
            ((edge, count) for edge, count in found.items() if count > 0),
            key=lambda one: (one[0] is None, one[0] or 0),
        )
        for name, found in bins.items()
    }
    return Counted(runs, counters, ordered)


@dataclass(frozen=True)
class Delays:
    """From SYN to answer: in time, by bins; late, how many; of them the SYN+ACKs where known."""

    bins: list[tuple[int | None, int]]
    late_bins: list[tuple[int | None, int]]

    @property
    def answers(self) -> int:
        """All of them."""
        return sum(count for _, count in (*self.bins, *self.late_bins))

    @property
    def late(self) -> int:
        """Those that came after the hold time."""
        return sum(count for _, count in self.late_bins)

    def share(self, limit_ns: int) -> float:
        """Share of the answers up to a limit, which has to be an edge of the bins."""
        if not self.answers:
            return 0.0
        within = sum(
            count
            for edge, count in (*self.bins, *self.late_bins)
            if edge is not None and edge <= limit_ns
        )
        return within / self.answers

    def cumulative(self) -> list[tuple[int, float]]:
        """(upper edge in ns, share of the answers up to it), for what has an edge."""
        edges = {edge for edge, _ in (*self.bins, *self.late_bins) if edge is not None}
        return [(edge, self.share(edge)) for edge in sorted(edges)]


def delays(found: Counted) -> Delays:
    """The paper's Fig. 6."""
    return Delays(found.histograms["reply_delay_ns"], found.histograms["late_answer_delay_ns"])


@dataclass(frozen=True)
class Rates:
    """Over time, as sensors told: SYNs held and forwarded a second; flows in queue and table."""

    moments_ns: list[int]
    added: list[float]
    forwarded: list[float]
    queue: list[int]
    table: list[int]
    step_ns: int


def live_runs(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of each run that has enough of them, in the order of time."""
    runs: dict[str, list[Row]] = {}
    for row in rows:
        runs.setdefault(row["run"], []).append(row)
    return {
        run: sorted(of_run, key=lambda row: row["timestamp"])
        for run, of_run in runs.items()
        if len(of_run) >= LIVE_ROWS
    }


def usual_gap_ns(runs: Mapping[str, Sequence[Row]]) -> int:
    """How far apart the rows of a run are, as a rule: the median."""
    gaps = sorted(
        nanoseconds(after["timestamp"]) - nanoseconds(before["timestamp"])
        for rows in runs.values()
        for before, after in pairwise(rows)
    )
    return gaps[len(gaps) // 2] if gaps else 0


def rates(runs: Mapping[str, Sequence[Row]], first_ns: int, last_ns: int, step_ns: int) -> Rates:
    """What the rows tell of a period in steps; a step without a row has nothing in it.

    What a counter rose by from one row to the next is put down to the step of the later row. Of
    the gauges each run's largest in the step counts, and runs add up.
    """
    begin_ns = first_ns // step_ns * step_ns
    size = max((last_ns - begin_ns) // step_ns + 1, 1)
    edges = [begin_ns + at * step_ns for at in range(size)]

    def step_of(row: Row) -> int | None:
        t_ns = nanoseconds(row["timestamp"])
        at = bisect_right(edges, t_ns) - 1
        return at if first_ns <= t_ns and at < size else None

    rises = {"attempts": [0] * size, "dark": [0] * size}
    levels = {"queue_flows": [0] * size, "table_flows": [0] * size}
    for rows in runs.values():
        most: dict[str, dict[int, int]] = {name: {} for name in levels}
        # Since when the first row counts is known of a sensor alone.
        began: Row = {} if rows[0].get("uptime_ns") else rows[0]
        for before, row in pairwise([began, *rows]):
            if (at := step_of(row)) is None:
                continue
            for name, values in rises.items():
                values[at] += max((row.get(name) or 0) - (before.get(name) or 0), 0)
            for name, found in most.items():
                found[at] = max(found.get(at, 0), row.get(name) or 0)
        for name, found in most.items():
            for at, value in found.items():
                levels[name][at] += value
    second = step_ns / SECOND_NS
    return Rates(
        edges,
        [value / second for value in rises["attempts"]],
        [value / second for value in rises["dark"]],
        levels["queue_flows"],
        levels["table_flows"],
        step_ns,
    )


def nanoseconds(moment: datetime) -> int:
    """Since 1970, from a time of the store, which counts microseconds."""
    past = moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return ((past.days * 86_400 + past.seconds) * 1_000_000 + past.microseconds) * 1000
