"""Everything that a report tells, asked of a store's tables one question after the other.

Each question runs in pieces and is answered before the next is asked: what is in memory at a time
are the groups of one question, not of all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from darkflow.analysis import flows, runs, told
from darkflow.analysis.flows import SECOND_NS, Spread, Times, Totals, collected, within
from darkflow.analysis.runs import Counted, Rates

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Question:
    """What is asked for: rows of the tables, a period, and who hears how far it has got."""

    top: int = 20
    since: datetime | None = None
    until: datetime | None = None
    say: Callable[[str], None] = lambda _: None


@dataclass
class Findings:
    """The answers; None or empty where a table is not there or has no rows in the period."""

    top: int
    totals: Totals | None = None
    sources: Rows = field(default_factory=list)
    inside: Rows = field(default_factory=list)
    inside_number: int = 0
    outside_number: int = 0
    targets: Rows = field(default_factory=list)
    per_source: Spread = field(default_factory=lambda: Spread([]))
    per_target: Spread = field(default_factory=lambda: Spread([]))
    ports: Rows = field(default_factory=list)
    port_number: int = 0
    tools: Rows | None = None
    alone: int = 0
    spans: list[tuple[int, int]] = field(default_factory=list)
    times: Times | None = None
    counted: Counted = field(default_factory=lambda: runs.counted([], []))
    rates: Rates | None = None
    late_hosts: Rows = field(default_factory=list)
    late_syn_acks: int = 0
    traces: dict[str, int] = field(default_factory=dict)
    sessions: told.Sessions | None = None
    # None: the store has no such table.
    scans: tuple[Rows, int] | None = None
    backscatter: tuple[Rows, int] | None = None


def find(tables: Mapping[str, pl.LazyFrame], asked: Question) -> Findings:
    """Ask the tables that are there; `totals` stays None if no flow was dark in the period."""
    found = Findings(asked.top)
    if "darkflows" in tables:
        asked.say("dark flows")
        chosen = within(tables["darkflows"], asked.since, asked.until)
        every = flows.dark_flows(chosen)
        found.totals = flows.totals(every)
        if found.totals is not None:
            _ask_flows(found, every, asked)
    if "stats" in tables:
        asked.say("counters of the runs")
        _ask_runs(found, tables["stats"], asked)
    asked.say("late answers, sessions, scans")
    _ask_others(found, tables, asked)
    return found


def _ask_flows(found: Findings, every: pl.LazyFrame, asked: Question) -> None:
    assert found.totals is not None
    asked.say("sources")
    groups = flows.by_source(every)
    found.per_source = groups.spread
    outbound = groups.rows.filter(pl.col("outbound") > 0)
    found.inside_number = outbound.height
    inside = flows.Groups(outbound.with_columns(flows=pl.col("outbound"))).most(asked.top)
    foreign = flows.Groups(groups.rows.filter(pl.col("outbound") < pl.col("flows")))
    found.outside_number = foreign.rows.height
    others = foreign.most(asked.top)
    del groups, outbound, foreign
    outward = every.filter(flows.OUTBOUND)
    rest = every.filter(~flows.OUTBOUND.fill_null(False))
    found.inside = flows.details(outward, "src_ip", inside, "dest_ip", "targets")
    found.sources = flows.details(rest, "src_ip", others, "dest_ip", "targets")
    asked.say("destinations")
    groups = flows.by_target(every)
    found.per_target = groups.spread
    most = groups.most(asked.top)
    del groups
    found.targets = flows.details(every, "dest_ip", most, "src_ip", "sources")
    asked.say("ports")
    found.ports, found.port_number = flows.by_port(every, asked.top)
    if "tool" in every.collect_schema():
        found.tools = flows.by_tool(every)
    asked.say("resent SYNs")
    found.alone, found.spans = flows.retry_spans(every)
    asked.say("flows over time")
    found.times = flows.over_time(every, found.totals)


def _ask_runs(found: Findings, stats: pl.LazyFrame, asked: Question) -> None:
    schema = stats.collect_schema()
    found.counted = counted_in(stats, asked.since, asked.until)
    there = within(stats, None, asked.until)
    columns = [name for name in runs.OVER_TIME if name in schema]
    rows = runs.live_runs(collected(there.select(columns)).to_dicts())
    if not rows:
        return
    moments = [runs.nanoseconds(row["timestamp"]) for of in rows.values() for row in of]
    first_ns, last_ns = min(moments), max(moments)
    if asked.since is not None:
        first_ns = max(first_ns, runs.nanoseconds(asked.since))
    if first_ns <= last_ns:
        gap_ns = max(runs.usual_gap_ns(rows), SECOND_NS)
        step_ns = flows.step_for(first_ns, last_ns, gap_ns)
        found.rates = runs.rates(rows, first_ns, last_ns, step_ns)


def counted_in(stats: pl.LazyFrame, since: datetime | None, until: datetime | None) -> Counted:
    """What the runs of the table `stats` counted from `since` up to before `until`."""
    there = within(stats, None, until)
    last = collected(within(there, since, None).sort("timestamp").group_by("run").last())
    before: Rows = []
    if since is not None:
        earlier = there.filter(pl.col("timestamp") < since).sort("timestamp")
        before = collected(earlier.group_by("run").last()).to_dicts()
    return runs.counted(last.to_dicts(), before)


def _ask_others(found: Findings, tables: Mapping[str, pl.LazyFrame], asked: Question) -> None:
    def rows_of(name: str) -> pl.LazyFrame | None:
        if name not in tables:
            return None
        chosen = within(tables[name], asked.since, asked.until)
        return None if collected(chosen.head(1).select("timestamp")).is_empty() else chosen

    if (late := rows_of("late_answers")) is not None:
        found.late_hosts = told.late_hosts(late, asked.top)
        found.late_syn_acks = told.late_syn_acks(late)
    if (traces := rows_of("cut_traces")) is not None:
        found.traces = told.traces(traces)
    if (sessions := rows_of("sessions")) is not None:
        found.sessions = told.sessions(sessions, asked.top)
    if "scans" in tables:
        scans = rows_of("scans")
        found.scans = ([], 0) if scans is None else told.scans(scans, asked.top)
    if "backscatter" in tables:
        some = rows_of("backscatter")
        found.backscatter = ([], 0) if some is None else told.backscatter(some, asked.top)
