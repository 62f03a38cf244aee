"""The lists of a report beside its figures: scans, backscatter, sessions, late answers, cuts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from darkflow.analysis.flows import collected

# So much of a text from a client is told apart.
TEXT_CHARACTERS = 160
LATE_NS = 5_000_000_000


def _there(frame: pl.LazyFrame, columns: Iterable[str]) -> list[str]:
    """Those of the columns that the table has: a store may be older or newer."""
    known = set(frame.collect_schema().names())
    return [name for name in columns if name in known]


SCAN = (
    "src_ip", "prefix_length", "kind", "state", "start_ns", "end_ns", "flows", "packets",
    "dark_targets", "live_targets", "ports", "top_ports", "rate", "tool", "tool_confidence",
    "direction", "known", "country", "asn",
)  # fmt: skip
BACKSCATTER = (
    "victim_ip", "state", "start_ns", "end_ns", "packets", "targets", "ports", "peak_pps", "answer",
    "known", "country", "asn",
)  # fmt: skip


def scans(frame: pl.LazyFrame, top: int) -> tuple[list[dict[str, Any]], int]:
    """The largest scans, and how many there are; one that has ended is told by its end alone."""
    return _lasting(frame, SCAN, ["src_ip", "prefix_length", "start_ns"], "flows", top)


def backscatter(frame: pl.LazyFrame, top: int) -> tuple[list[dict[str, Any]], int]:
    """The same of backscatter: who is likely under attack from forged addresses."""
    return _lasting(frame, BACKSCATTER, ["victim_ip", "start_ns"], "packets", top)


def _lasting(
    frame: pl.LazyFrame, columns: Iterable[str], same: list[str], size: str, top: int
) -> tuple[list[dict[str, Any]], int]:
    chosen = frame.select(_there(frame, columns))
    # "begin" is before "end".
    last = collected(chosen.sort("state").group_by(same, maintain_order=True).last())
    most = last.sort([size, *same], descending=[True, *[False] * len(same)], nulls_last=True)
    return most.head(top).to_dicts(), last.height


def late_hosts(frame: pl.LazyFrame, top: int) -> list[dict[str, Any]]:
    """Hosts that answered after the hold time: dest_ip, dest_port, answers, least and most ns."""
    rows = collected(
        frame.group_by("dest_ip", "dest_port").agg(
            pl.len().alias("answers"),
            pl.col("delay_ns").min().alias("least_ns"),
            pl.col("delay_ns").max().alias("most_ns"),
        )
    )
    order = ["answers", "dest_ip", "dest_port"]
    return rows.sort(order, descending=[True, False, False]).head(top).to_dicts()


def late_syn_acks(frame: pl.LazyFrame) -> int:
    """SYN+ACKs that came more than 5 s after the SYN."""
    late = frame.filter(pl.col("answer") == "syn_ack", pl.col("delay_ns") > LATE_NS)
    return int(collected(late.select(pl.len())).item())


def traces(frame: pl.LazyFrame) -> dict[str, int]:
    """The paper's Table 1: what followed a late SYN+ACK that cut a flow, and how often."""
    return dict(collected(frame.group_by("trace").agg(pl.len())).iter_rows())


@dataclass(frozen=True)
class Sessions:
    """What clients did at the honeypot; each list has (what ..., times, sources), most first."""

    number: int
    handshakes: int
    sources: int
    protocols: list[tuple[Any, ...]]
    payloads: list[tuple[Any, ...]]
    logins: list[tuple[Any, ...]]
    requests: list[tuple[Any, ...]]


def sessions(frame: pl.LazyFrame, top: int) -> Sessions:
    """Of the table `sessions`; of texts only the first TEXT_CHARACTERS count."""
    sums = collected(
        frame.select(
            pl.len().alias("number"),
            pl.col("handshake").sum().alias("handshakes"),
            pl.col("src_ip").n_unique().alias("sources"),
        )
    ).row(0, named=True)
    return Sessions(
        sums["number"],
        sums["handshakes"],
        sums["sources"],
        _often(frame, ["app_proto", "service"], top, pl.col("handshake")),
        _often(frame, ["dest_port", "payload_printable"], top, pl.col("payload_bytes") > 0),
        _often(frame, ["login_user", "login_password"], top, pl.col("login_user").is_not_null()),
        _often(frame, ["http_method", "http_url"], top, pl.col("http_url").is_not_null()),
    )


def _often(
    frame: pl.LazyFrame, columns: list[str], top: int, which: pl.Expr
) -> list[tuple[Any, ...]]:
    if len(_there(frame, columns)) < len(columns):
        return []
    schema: Mapping[str, Any] = frame.collect_schema()
    keys = [
        pl.col(name).str.slice(0, TEXT_CHARACTERS) if schema[name] == pl.String else pl.col(name)
        for name in columns
    ]
    rows = collected(
        frame.filter(which)
        .group_by(keys)
        .agg(pl.len().alias("times"), pl.col("src_ip").n_unique().alias("sources"))
    )
    order = ["times", *columns]
    return rows.sort(order, descending=[True, *[False] * len(columns)]).head(top).rows()
