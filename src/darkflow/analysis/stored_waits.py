"""How long answers take and clients wait, as a store tells it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address

import polars as pl

from darkflow.analysis.findings import counted_in
from darkflow.analysis.stored_addresses import answered_rows, lost_in, part, watched_only
from darkflow.analysis.tuning import Waiting
from darkflow.flow.networks import Networks
from darkflow.sinks.stored import scan

NO_QUANTILES: dict[str, int | None] = {}
Watched = Sequence[tuple[str, Networks]]


def waits_of(
    store: str, since: datetime | None, watched: Watched, grid_ns: Sequence[int]
) -> tuple[list[Waiting], list[str]]:
    """(what was measured in each network, what the reader must know).

    FileNotFoundError if there is no store.
    """
    frames = scan(store)
    place = _Place(watched)
    answers = [Counter[int | None]() for _ in watched]
    notes = lost_in(frames, since)
    answered = answered_rows(frames, since)
    rows = pl.DataFrame() if answered is None else _bins(answered)
    if rows.height:
        for ip, edge, count in rows.iter_rows():
            if (at := place.of(ip)) is not None:
                answers[at][edge] += count
    elif len(watched) == 1 and "stats" in frames:
        answers[0] = _all_delays(frames["stats"], since)
        notes.append(
            "the store does not know who answered (--store-answered of the sensor): all delays of"
            " its table stats are taken together, of whatever network"
        )
    else:
        notes.append("the store does not know who answered: --store-answered of the sensor")
    silence = [Silence([0] * len(grid_ns)) for _ in watched]
    _spans(_unanswered(frames, since), place, silence, grid_ns)
    measured = [
        Waiting(
            name, bins.total(), _later(bins, grid_ns), none.dark, none.resent,
            tuple(none.waiting), NO_QUANTILES,
        )
        for (name, _), bins, none in zip(watched, answers, silence, strict=True)
    ]  # fmt: skip
    return measured, notes


@dataclass
class Silence:
    """Dark flows of a network, those that resent a SYN, and those with a SYN later than each T."""

    waiting: list[int]
    dark: int = 0
    resent: int = 0


class _Place:
    """Which of the watched networks an address is in; each address is looked up once."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._known: dict[str, int | None] = {}

    def of(self, ip: str) -> int | None:
        """The number of the first that holds it, or None."""
        if ip not in self._known:
            address = ip_address(ip).packed
            inside = (
                at
                for at, (_, networks) in enumerate(self._watched)
                if networks.direction_of(address, address) == "internal"
            )
            self._known[ip] = next(inside, None)
        return self._known[ip]


def _bins(answered: pl.LazyFrame) -> pl.DataFrame:
    """(address, edge or None, count)."""
    bins = answered.select("dest_ip", "delay_ns").explode("delay_ns").unnest("delay_ns")
    return bins.group_by("dest_ip", "le").agg(pl.col("count").sum()).collect()


def _all_delays(stats: pl.LazyFrame, since: datetime | None) -> Counter[int | None]:
    """What all runs together counted from `since` on."""
    bins = counted_in(stats, since, None).histograms
    found: Counter[int | None] = Counter()
    for name in ("reply_delay_ns", "late_answer_delay_ns"):
        for edge, count in bins[name]:
            found[edge] += count
    return found


def _later(bins: Counter[int | None], grid_ns: Sequence[int]) -> tuple[int, ...]:
    return tuple(
        sum(count for edge, count in bins.items() if edge is None or edge > hold_ns)
        for hold_ns in grid_ns
    )


def _unanswered(frames: dict[str, pl.LazyFrame], since: datetime | None) -> pl.LazyFrame | None:
    """Rows of dark flows without those that were answered late: they are among the answers."""
    dark = part(frames, "darkflows", since)
    late = part(frames, "late_answers", since)
    if dark is None or late is None:
        return dark
    return dark.join(late.select("flow_id", "t0_ns"), on=["flow_id", "t0_ns"], how="anti")


def _spans(
    frame: pl.LazyFrame | None, place: _Place, silence: list[Silence], grid_ns: Sequence[int]
) -> None:
    """Fill in `silence` from the dark flows.

    A flow whose line was written at its verdict has its final counts in a second row.
    """
    if frame is None:
        return
    span = pl.col("span")
    flows = watched_only(frame).group_by("flow_id", "dest_ip").agg(
        (pl.col("last_syn_ns") - pl.col("t0_ns")).max().alias("span"),
        (pl.col("syn_count") - pl.col("duplicate_count")).max().alias("syns"),
    )  # fmt: skip
    later = [(span > ns).sum().alias(str(ns)) for ns in grid_ns]
    again = (pl.col("syns") > 1).sum().alias("again")
    rows = flows.group_by("dest_ip").agg(pl.len(), again, *later).collect()
    for ip, dark, resent, *counts in rows.iter_rows():
        if (at := place.of(ip)) is not None:
            none = silence[at]
            none.dark += dark
            none.resent += resent
            none.waiting = [a + b for a, b in zip(none.waiting, counts, strict=True)]
