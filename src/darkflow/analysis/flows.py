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
    """Over time, from `first_ns` in steps: flows that began, that became dark, that were forgotten.

    A flow is forgotten `idle` after its verdict or its last SYN, whichever is later.
    """

    first_ns: int
    step_ns: int
    begun: list[int]
    dark: list[int]
    forgotten: list[int]

    @property
    def moments_ns(self) -> list[int]:
        """Where each step begins."""
        return [self.first_ns + at * self.step_ns for at in range(len(self.begun))]

    @property
    def held(self) -> list[int]:
        """SYNs of dark flows that are in the delay queue when each step ends."""
        return _left(self.begun, self.dark)

    @property
    def table(self) -> list[int]:
        """Dark flows in the flow table when each step ends."""
        return _left(self.dark, self.forgotten)


def _left(came: list[int], went: list[int]) -> list[int]:
    here, levels = 0, []
    for more, less in zip(came, went, strict=True):
        here += more - less
        levels.append(here)
    return levels


def over_time(flows: pl.LazyFrame, found: Totals, idle_ns: int = 60 * SECOND_NS) -> Times:
    """When flows began, became dark, were forgotten; until all of them are."""
    step_ns = step_for(found.first_ns, found.last_ns + idle_ns)
    first = found.first_ns // step_ns
    moments = {
        "begun": pl.col("t0_ns"),
        "dark": pl.col("verdict_ns"),
        "forgotten": pl.max_horizontal("verdict_ns", "last_syn_ns") + idle_ns,
    }
    rows = collected(
        flows.group_by([(at // step_ns - first).alias(name) for name, at in moments.items()]).agg(
            FLOWS
        )
    )
    size = int(rows["forgotten"].max()) + 1  # type: ignore[arg-type]
    counts = {name: [0] * size for name in moments}
    for name, values in counts.items():
        for at, count in rows.group_by(name).agg(pl.col("flows").sum()).iter_rows():
            values[at] = count
    return Times(first * step_ns, step_ns, counts["begun"], counts["dark"], counts["forgotten"])
