"""What a store knows of addresses and ports: dark flows, late answers, and who answered in time."""

from __future__ import annotations

from datetime import datetime
from ipaddress import ip_address
from typing import Any

import polars as pl

from darkflow.analysis.addresses import Endpoint
from darkflow.analysis.findings import counted_in
from darkflow.analysis.lost import lost
from darkflow.flow.networks import Networks
from darkflow.sinks.stored import scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from darkflow.units import WatchedRanges

KEY = ("dest_ip", "dest_port")
# Answers are told every so often: so long they may be behind what is dark.
HOUR_NS = 3_600_000_000_000


def part(
    frames: dict[str, pl.LazyFrame], table: str, since: datetime | None
) -> pl.LazyFrame | None:
    """The rows of a table from `since` on; None if the store has no such table."""
    frame = frames.get(table)
    if frame is not None and since is not None:
        frame = frame.filter(pl.col("day") >= since.date(), pl.col("timestamp") >= since)
    return frame


def answered_rows(frames: dict[str, pl.LazyFrame], since: datetime | None) -> pl.LazyFrame | None:
    """Rows of who answered at `since` or later; such a row may begin before."""
    frame = frames.get("answered")
    if frame is not None and since is not None:
        frame = frame.filter(pl.col("last_ns") >= int(since.timestamp()) * 1_000_000_000)
    return frame


def watched_only(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Flows to watched addresses, as the sensor's --networks had them."""
    return frame.filter(pl.col("direction").is_in(["inbound", "internal"]))


def dark_flows(frames: dict[str, pl.LazyFrame], since: datetime | None) -> pl.LazyFrame | None:
    """One row per dark flow to a watched address."""
    frame = part(frames, "darkflows", since)
    return None if frame is None else watched_only(frame.filter(pl.col("event_type") == "darkflow"))


def lost_in(frames: dict[str, pl.LazyFrame], since: datetime | None) -> list[str]:
    """What the runs of the store lost that bears on who answers, a line each."""
    stats = frames.get("stats")
    return [] if stats is None else lost(counted_in(stats, since, None).counters)


class _Counts:
    """Endpoints by address and port, filled from one table after the other."""

    def __init__(self, networks: WatchedRanges | None) -> None:
        self._networks = None if networks is None else Networks(networks[1], networks[2])
        self._rows: dict[tuple[str, int | None], dict[str, Any]] = {}

    def of(self, ip: str, port: int | None) -> dict[str, Any]:
        """What is counted for it."""
        return self._rows.setdefault((ip, port), {})

    def add(self, frame: pl.DataFrame) -> None:
        """Rows with dest_ip, dest_port (or without: whole addresses), and counts."""
        for row in frame.iter_rows(named=True):
            ip, port = row.pop("dest_ip"), row.pop("dest_port", None)
            self.of(ip, port).update(row)

    def endpoints(self) -> list[Endpoint]:
        """All of them that are watched; a time that is missing never happened."""
        found = []
        for (ip, port), row in self._rows.items():
            address = ip_address(ip).packed
            inside = self._networks
            if inside is not None and inside.direction_of(address, address) != "internal":
                continue
            firsts = [row[n] for n in ("first_answer_ns", "first_late_ns") if row.get(n)]
            lasts = [row[n] for n in ("last_answer_ns", "last_late_ns") if row.get(n)]
            times = (row.get("first_ns"), row.get("last_ns"))
            answered, refused, late = (row.get(n, 0) for n in ("answered", "refused", "late"))
            found.append(
                Endpoint(
                    address, port, row.get("dark", 0), row.get("sources", 0), *times,
                    answered, refused, late,
                    min(firsts, default=None), max(lasts, default=None), (),
                )
            )  # fmt: skip
        return found


def endpoints_of(
    store: str, since: datetime | None, networks: WatchedRanges | None
) -> tuple[list[Endpoint], dict[str, Any]]:
    """(each address and each port of it, from when to when the store knows about them).

    FileNotFoundError if there is no store.
    """
    frames = scan(store)
    counts = _Counts(networks)
    dark = dark_flows(frames, since)
    late = part(frames, "late_answers", since)
    answered = answered_rows(frames, since)
    t_ns = pl.col("t0_ns") + pl.col("delay_ns") if late is not None else None
    for key in (KEY, KEY[:1]):
        if dark is not None:
            counts.add(dark.group_by(key).agg(
                pl.len().alias("dark"), pl.col("src_ip").n_unique().alias("sources"),
                pl.col("t0_ns").min().alias("first_ns"), pl.col("t0_ns").max().alias("last_ns"),
            ).collect())  # fmt: skip
        if late is not None and t_ns is not None:
            counts.add(watched_only(late).group_by(key).agg(
                pl.len().alias("late"), t_ns.min().alias("first_late_ns"),
                t_ns.max().alias("last_late_ns"),
            ).collect())  # fmt: skip
        if answered is not None:
            counts.add(answered.group_by(key).agg(
                pl.col("answered").sum(), pl.col("refused").sum(),
                pl.col("first_ns").min().alias("first_answer_ns"),
                pl.col("last_ns").max().alias("last_answer_ns"),
            ).collect())  # fmt: skip
    return counts.endpoints(), _seen(frames, since)


def _seen(frames: dict[str, pl.LazyFrame], since: datetime | None) -> dict[str, Any]:
    """When the store's knowledge begins and ends, of dark flows and of answers."""
    ends: dict[str, tuple[int | None, int | None]] = {}
    for table in ("darkflows", "answered", "stats"):
        of_answers = table == "answered"
        frame = answered_rows(frames, since) if of_answers else part(frames, table, since)
        ends[table] = (None, None)
        if frame is not None:
            times = pl.col("timestamp").dt.epoch("ns")
            ends[table] = frame.select(
                times.min().alias("first"), times.max().alias("last")
            ).collect().row(0)  # fmt: skip
    firsts = [first for first, _ in (ends["darkflows"], ends["answered"]) if first is not None]
    since_ns = min(firsts, default=None)
    answers_ns = ends["answered"][0]
    if answers_ns is not None and since_ns is not None and answers_ns - since_ns < HOUR_NS:
        answers_ns = since_ns
    return {
        "since_ns": since_ns,
        "until_ns": max((last for _, last in ends.values() if last is not None), default=None),
        "answers_since_ns": answers_ns,
        "left_out": 0,
        "lost": lost_in(frames, since),
    }
