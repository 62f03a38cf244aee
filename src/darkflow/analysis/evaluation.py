"""What the evaluation takes out of its network's store, as JSON can hold it, and back again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from darkflow.analysis.findings import Findings, Question, find
from darkflow.analysis.flows import Spread, Totals, collected
from darkflow.analysis.runs import COUNTERS, Counted
from darkflow.analysis.stored_waits import waits_of
from darkflow.analysis.tuning import tuned
from darkflow.flow.networks import Networks
from darkflow.sinks.endpoints import GRID_NS
from darkflow.sinks.stored import scan
from darkflow.units import parse_networks

Document = Mapping[str, Any]

TOP, LONGEST_NS, BOUND = 12, 10_000_000_000, 0.01


def of_store(folder: Path, networks: Sequence[str]) -> dict[str, Any]:
    """Everything that the page shows of a store."""
    tables = scan(str(folder))
    found = find(tables, Question(top=TOP))
    return {
        "totals": asdict(found.totals) if found.totals else None,
        "counters": found.counted.counters,
        "runs": found.counted.runs,
        "histograms": found.counted.histograms,
        "per_source": found.per_source.counts,
        "per_target": found.per_target.counts,
        "ports": found.ports,
        "port_number": found.port_number,
        "alone": found.alone,
        "spans": found.spans,
        "traces": _by_port(tables, "cut_traces", "trace"),
        "cuts": _by_port(tables, "cuts", "answer"),
        "late_syn_acks": found.late_syn_acks,
        "tune": _tuned(str(folder), networks),
    }


def _by_port(tables: Mapping[str, pl.LazyFrame], name: str, column: str) -> list[list[Any]]:
    """(port, value, rows) of a table."""
    if name not in tables:
        return []
    rows = collected(tables[name].group_by("dest_port", column).agg(pl.len().alias("rows")))
    return [list(row) for row in rows.sort("dest_port", column).iter_rows()]


def _tuned(folder: str, networks: Sequence[str]) -> dict[str, Any] | None:
    """What `darkflow tune` says of all networks together; None when the store has too little."""
    grid = tuple(hold_ns for hold_ns in GRID_NS if hold_ns <= LONGEST_NS)
    cidrs, ranges4, ranges6 = parse_networks(",".join(networks))
    watched = [("the lab", Networks(ranges4, ranges6, cidrs))]
    measured, _ = waits_of(folder, None, watched, grid)
    return tuned(measured[0], grid, BOUND) if measured else None


def findings(stored: Document) -> Findings:
    """As the charts of a report take them, from what `of_store` gave."""
    pairs = {
        name: [(edge, count) for edge, count in bins] for name, bins in stored["histograms"].items()
    }
    counters = dict.fromkeys(COUNTERS, 0) | stored["counters"]
    return Findings(
        top=TOP,
        totals=Totals(**stored["totals"]) if stored["totals"] else None,
        per_source=Spread([(packets, keys) for packets, keys in stored["per_source"]]),
        per_target=Spread([(packets, keys) for packets, keys in stored["per_target"]]),
        ports=stored["ports"],
        port_number=stored["port_number"],
        alone=stored["alone"],
        spans=[(tenths, count) for tenths, count in stored["spans"]],
        counted=Counted(stored["runs"], counters, pairs),
        late_syn_acks=stored["late_syn_acks"],
        traces=outcomes(stored)[0],
    )


def outcomes(stored: Document) -> tuple[dict[str, int], int]:
    """(Table 1: how often each followed a late SYN+ACK that cut a flow, silences not told yet).

    A cut of which nothing was told when the network was taken down counts as silence so far.
    """
    counts: dict[str, int] = {}
    for _, trace, rows in stored["traces"]:
        counts[trace] = counts.get(trace, 0) + rows
    cuts = sum(rows for _, answer, rows in stored["cuts"] if answer == "syn_ack")
    untold = max(cuts - sum(counts.values()), 0)
    if untold:
        counts["silence"] = counts.get("silence", 0) + untold
    return counts, untold
