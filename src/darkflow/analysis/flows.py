"""The numbers of a report that come from dark flows: frames of a store in, small tables out.

Each function is one pass over the few columns that it needs, in pieces; what it holds in memory are
its groups. Addresses are grouped by a hash of 64 bits, whose texts are fetched for the few that are
shown: two of ten million addresses share one with a chance of 3 in a million.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

SECOND_NS = 1_000_000_000
# Sizes of the intervals that things over time are counted in.
STEPS_NS = tuple(
    seconds * SECOND_NS
    for seconds in (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400)
)
MOST_STEPS = 400
# How often the sizes of queue and table are read, as in the paper.
FINE_NS = 10 * SECOND_NS
SPAN_NS = SECOND_NS // 10
OUTBOUND = pl.col("direction") == "outbound"
FLOWS = pl.len().alias("flows")
PACKETS = pl.col("syn_count").cast(pl.Int64).sum().alias("packets")


@dataclass(frozen=True)
class Totals:
    """Of all dark flows: how many, their SYNs, first and last moment, T, flows by direction."""

    flows: int
    packets: int
    unreachable: int
    first_ns: int
    last_ns: int
    hold_ns: int
    directions: dict[str, int]


@dataclass(frozen=True)
class Spread:
    """How many keys have how many packets: (packets, keys), packets rising."""

    counts: list[tuple[int, int]]

    @property
    def keys(self) -> int:
        """All of them."""
        return sum(count for _, count in self.counts)

    def number(self, least: int, most: int | None = None) -> int:
        """Keys with `least` packets or more, up to and with `most`."""
        return sum(
            keys
            for packets, keys in self.counts
            if packets >= least and (most is None or packets <= most)
        )

    def share(self, least: int, most: int | None = None) -> float:
        """The same as a share of all keys; 0 of none."""
        return self.number(least, most) / self.keys if self.keys else 0.0

    def cumulative(self) -> list[tuple[int, float]]:
        """(packets, share of the keys with at most so many)."""
        points, seen, keys = [], 0, self.keys
        for packets, count in self.counts:
            seen += count
            points.append((packets, seen / keys))
        return points


@dataclass(frozen=True)
class Groups:
    """Flows and packets by the hash of an address: columns key, flows, packets (and more)."""

    rows: pl.DataFrame

    @property
    def spread(self) -> Spread:
        """How many of them have how many packets."""
        counted = self.rows.group_by("packets").len().sort("packets")
        return Spread([(packets, count) for packets, count in counted.iter_rows()])

    def most(self, top: int) -> list[int]:
        """The keys with the most flows."""
        return self.rows.top_k(top, by=["flows", "key"])["key"].to_list()


def within(frame: pl.LazyFrame, since: datetime | None, until: datetime | None) -> pl.LazyFrame:
    """Rows from `since` up to before `until`."""
    if since is not None:
        frame = frame.filter(pl.col("day") >= since.date(), pl.col("timestamp") >= since)
    if until is not None:
        frame = frame.filter(pl.col("day") <= until.date(), pl.col("timestamp") < until)
    return frame


def dark_flows(frame: pl.LazyFrame) -> pl.LazyFrame:
    """One row for each flow of the table `darkflows`: the last that was told of it.

    A sensor writes a flow at its verdict, and once more at its end if there is more to say.
    """
    ended = pl.col("event_type") == "darkflow_end"
    keys = collected(frame.filter(ended).select("flow_id", "t0_ns"))
    if keys.is_empty():
        return frame
    # maintain_order="none" and the small side on the right keep this join in pieces.
    alone = frame.filter(~ended).join(keys.lazy(), on=["flow_id", "t0_ns"], how="anti")
    return pl.concat([alone, frame.filter(ended)])


def collected(frame: pl.LazyFrame) -> pl.DataFrame:
    """The rows, worked out in pieces."""
    return frame.collect(engine="streaming")


def key(column: str) -> pl.Expr:
    """A column of texts as numbers, the same for the same text."""
    return pl.col(column).hash(seed=1).alias("key")


def totals(flows: pl.LazyFrame) -> Totals | None:
    """Of all flows; None if there are none."""
    columns = set(flows.collect_schema().names())
    reason = pl.col("icmp_type").is_not_null().sum() if "icmp_type" in columns else pl.lit(0)
    rows = collected(
        flows.group_by("direction").agg(
            FLOWS, PACKETS, reason.alias("unreachable"),
            pl.col("t0_ns").min().alias("first"), pl.col("verdict_ns").max().alias("last"),
            pl.col("last_syn_ns").max().alias("last_syn"),
            (pl.col("verdict_ns") - pl.col("t0_ns")).max().alias("hold"),
        )
    )  # fmt: skip
    if rows.is_empty():
        return None
    each = rows.sort("flows", descending=True).to_dicts()
    return Totals(
        sum(row["flows"] for row in each),
        sum(row["packets"] for row in each),
        sum(row["unreachable"] for row in each),
        min(row["first"] for row in each),
        max(max(row["last"], row["last_syn"]) for row in each),
        max(row["hold"] for row in each),
        {str(row["direction"]): row["flows"] for row in each},
    )


def by_source(flows: pl.LazyFrame) -> Groups:
    """By source; `outbound`: the flows that came from inside."""
    outbound = OUTBOUND.fill_null(False).sum().alias("outbound")
    return Groups(collected(flows.group_by(key("src_ip")).agg(FLOWS, PACKETS, outbound)))


def by_target(flows: pl.LazyFrame) -> Groups:
    """By destination."""
    return Groups(collected(flows.group_by(key("dest_ip")).agg(FLOWS, PACKETS)))


def by_port(flows: pl.LazyFrame, top: int) -> tuple[list[dict[str, Any]], int]:
    """The ports with the most packets: port, packets, flows, sources; and how many ports in all."""
    rows = collected(flows.group_by(pl.col("dest_port").alias("port")).agg(FLOWS, PACKETS))
    most = rows.sort(["packets", "port"], descending=[True, False]).head(top)
    ports = pl.col("dest_port").alias("port")
    pairs = flows.filter(pl.col("dest_port").is_in(most["port"].implode()))
    sources = collected(
        pairs.group_by(ports, key("src_ip")).agg().group_by("port").agg(pl.len().alias("sources"))
    )
    return most.join(sources, on="port", how="left", maintain_order="left").to_dicts(), rows.height


def details(
    flows: pl.LazyFrame, column: str, keys: Iterable[int], other: str, name: str
) -> list[dict[str, Any]]:
    """What is told of the addresses with these keys, most flows first.

    address, flows, packets, first and last (ns since 1970), `name`: how many different values of
    `other` they had, ports: how many different ports, most_dest_port: up to 3 of them with the most
    flows; most_tool the same, if the flows have tools.
    """
    chosen = flows.filter(key(column).is_in(pl.Series("key", list(keys), pl.UInt64).implode()))
    chosen = chosen.with_columns(address=pl.col(column))
    pairs = chosen.group_by("address", pl.col(other).hash(seed=1).alias("other"))
    counts = collected(
        pairs.agg(FLOWS, PACKETS, first=pl.col("t0_ns").min(), last=pl.col("last_syn_ns").max())
    )
    rows = counts.group_by("address").agg(
        pl.col("flows", "packets").sum(),
        pl.col("first").min(),
        pl.col("last").max(),
        pl.len().alias(name),
    )
    for liked in ("dest_port", *(["tool"] if "tool" in flows.collect_schema() else [])):
        counts = collected(chosen.group_by("address", liked).agg(FLOWS)).drop_nulls(liked)
        ordered = counts.sort("flows", liked, descending=[True, False])
        best = [pl.col(liked).head(3).alias(f"most_{liked}")]
        if liked == "dest_port":
            best.append(pl.len().alias("ports"))
        rows = rows.join(
            ordered.group_by("address", maintain_order=True).agg(best), "address", "left"
        )
    return rows.sort(["flows", "address"], descending=[True, False]).to_dicts()


def by_tool(flows: pl.LazyFrame) -> list[dict[str, Any]]:
    """By the tool that sent the SYNs: tool (None: not known), flows, packets, sources."""
    rows = collected(flows.group_by("tool").agg(FLOWS, PACKETS))
    pairs = flows.group_by("tool", key("src_ip")).agg().group_by("tool")
    sources = collected(pairs.agg(pl.len().alias("sources")))
    joined = rows.join(sources, on="tool", how="left", nulls_equal=True)
    return joined.sort("flows", "tool", descending=[True, False]).to_dicts()


def retry_spans(flows: pl.LazyFrame) -> tuple[int, list[tuple[int, int]]]:
    """Flows that sent one SYN only; and (tenths of a second from first to last SYN, flows)."""
    sent = pl.col("syn_count") - pl.col("duplicate_count")
    spans = collected(
        flows.group_by(
            (sent > 1).alias("again"),
            ((pl.col("last_syn_ns") - pl.col("t0_ns")) // SPAN_NS).alias("span"),
        ).agg(FLOWS)
    )
    alone = int(spans.filter(~pl.col("again"))["flows"].sum())
    again = spans.filter("again").select("span", "flows").sort("span")
    return alone, list(again.iter_rows())


def step_for(first_ns: int, last_ns: int, least_ns: int = SECOND_NS) -> int:
    """The interval that things between two moments are counted in: MOST_STEPS of them at most."""
    for step_ns in STEPS_NS:
        if step_ns >= least_ns and (last_ns - first_ns) // step_ns < MOST_STEPS:
            return step_ns
    return -(-(last_ns - first_ns) // MOST_STEPS // STEPS_NS[-1]) * STEPS_NS[-1]


@dataclass(frozen=True)
class Times:
    """Over time, from `first_ns` in steps: flows that began, and that became dark.

    held, table: the most flows that were in the delay queue and in the flow table in each step, as
    read every FINE_NS, or every step where that is shorter.
    """

    first_ns: int
    step_ns: int
    begun: list[int]
    dark: list[int]
    held: list[int]
    table: list[int]

    @property
    def moments_ns(self) -> list[int]:
        """Where each step begins."""
        return [self.first_ns + at * self.step_ns for at in range(len(self.begun))]


def over_time(flows: pl.LazyFrame, found: Totals, idle_ns: int = 60 * SECOND_NS) -> Times:
    """What there was in each step, until all flows are forgotten.

    A flow is forgotten `idle` after its verdict or its last SYN, whichever is later.
    """
    step_ns = step_for(found.first_ns, found.last_ns + idle_ns)
    fine_ns = min(step_ns, FINE_NS)
    first, fine_steps = found.first_ns // step_ns, step_ns // fine_ns
    begun, dark, forgotten = (
        collected(flows.group_by((at // fine_ns).alias("fine")).agg(FLOWS))
        .select((pl.col("fine") // fine_steps - first).alias("step"), "fine", pl.col("flows"))
        .cast(pl.Int64)
        for at in (
            pl.col("t0_ns"),
            pl.col("verdict_ns"),
            pl.max_horizontal("verdict_ns", "last_syn_ns") + idle_ns,
        )
    )
    steps = range(max(forgotten["step"]) + 1)
    return Times(
        first * step_ns,
        step_ns,
        _sums(begun, steps),
        _sums(dark, steps),
        _most(begun, dark, steps),
        _most(dark, forgotten, steps),
    )


def _sums(counts: pl.DataFrame, steps: range) -> list[int]:
    by_step = dict(counts.group_by("step").agg(pl.col("flows").sum()).iter_rows())
    return [by_step.get(step, 0) for step in steps]


def _most(came: pl.DataFrame, went: pl.DataFrame, steps: range) -> list[int]:
    """The largest level of each step: what was there at its beginning, or came to be in it."""
    changes = pl.concat([came, went.with_columns(-pl.col("flows"))])
    levels = (
        changes.group_by("step", "fine")
        .agg(pl.col("flows").sum())
        .sort("fine")
        .with_columns(pl.col("flows").cum_sum().alias("level"))
        .group_by("step")
        .agg(pl.col("level").max().alias("most"), pl.col("level").last().alias("last"))
    )
    by_step = {step: (most, last) for step, most, last in levels.iter_rows()}
    here, found = 0, []
    for step in steps:
        most, last = by_step.get(step, (here, here))
        found.append(max(most, here))
        here = last
    return found
