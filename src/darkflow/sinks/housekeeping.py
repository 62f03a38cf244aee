"""Keeps a store within its limits: days, bytes, number of files."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from darkflow.sinks.delta import TABLES, Upkeep

FEW_FILES = 16
VACUUM_S = 3600.0
# Room is made in steps, so that the newest day is not rewritten over and over.
CUT_SHARE = 0.9


def today_utc() -> date:
    """By the clock of the machine."""
    return datetime.now(UTC).date()


class Housekeeping:
    """Retention, compaction, vacuum. What it removes by age and size is told by `removed`."""

    def __init__(
        self, store: Path, days: int, size_bytes: int, today: Callable[[], date] = today_utc
    ) -> None:
        self.removed: list[str] = []
        self._tables = [Upkeep(store, name) for name in TABLES]
        self._days = days
        self._size_bytes = size_bytes
        self._today = today
        self._vacuumed_s: float | None = None

    def round(self, compact: bool = True) -> None:
        """Everything that is due; compaction only if there is time for it."""
        self.retain()
        for table in self._tables if compact else ():
            table.compact(FEW_FILES)
        if self._vacuumed_s is None or time.monotonic() - self._vacuumed_s > VACUUM_S:
            self._vacuumed_s = time.monotonic()
            for table in self._tables:
                table.vacuum()

    def retain(self) -> None:
        """Remove the oldest days until the rest is within the limits of days and bytes."""
        files = pl.concat(
            [table.files().with_columns(table=pl.lit(table.name)) for table in self._tables]
        )
        newest = files["day"].max()
        if not isinstance(newest, date):
            return
        # A packet with a time in the far future must not push out all that is real.
        oldest_kept = min(newest, self._today()) - timedelta(days=self._days - 1)
        by_day = files.group_by("day").agg(pl.col("size_bytes").sum()).sort("day", descending=True)
        total = 0
        for day, size_bytes in by_day.iter_rows():
            total += size_bytes
            if total > self._size_bytes and day != newest:
                oldest_kept = max(oldest_kept, day + timedelta(days=1))
                break
        gone = by_day.filter(pl.col("day") < oldest_kept)
        if len(gone):
            for table in self._tables:
                table.remove_before(oldest_kept)
            self.removed.append(
                f"{len(gone)} {'day' if len(gone) == 1 else 'days'} before {oldest_kept}"
            )
        self._cut_newest(files.filter(pl.col("day") == newest))

    def _cut_newest(self, files: pl.DataFrame) -> None:
        """Where the newest day alone is too large: remove its oldest hours."""
        if files["size_bytes"].sum() <= self._size_bytes:
            return
        newest_first = files.sort("last", descending=True, nulls_last=True)
        within = newest_first.filter(pl.col("size_bytes").cum_sum() <= self._size_bytes * CUT_SHARE)
        beyond = newest_first[len(within) :]["last"].max()
        if not isinstance(beyond, datetime):
            return
        for table in self._tables:
            table.remove(f"day = '{files['day'][0]}' AND timestamp <= '{beyond.isoformat()}'")
        self.removed.append(f"what was before {beyond.isoformat()}")
