"""Keeps a store within its limits: days, bytes, number of files."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from darkflow.sinks.delta import TABLES, Upkeep

FEW_FILES = 16
# A sensor removes something every few minutes, for years.
TOLD = 32
VACUUM_S = 3600.0
# Room is made in steps, so that the newest day is not rewritten over and over.
CUT_SHARE = 0.9


def today_utc() -> date:
    """By the clock of the machine."""
    return datetime.now(UTC).date()


class Housekeeping:
    """Retention, compaction, vacuum. `removed`: the last of what went because of age and size."""

    def __init__(
        self, store: Path, days: int, size_bytes: int, today: Callable[[], date] = today_utc
    ) -> None:
        self.removed: deque[str] = deque(maxlen=TOLD)
        self.tables = [Upkeep(store, name) for name in TABLES]
        self._days = days
        self._size_bytes = size_bytes
        self._today = today
        self._vacuumed_s: float | None = None

    def limit(self, days: int, size_bytes: int) -> None:
        """Other limits, from the next round on."""
        self._days = days
        self._size_bytes = size_bytes

    def round(self, compact: bool = True) -> None:
        """Everything that is due; compaction only if there is time for it."""
        self.retain()
        for table in self.tables if compact else ():
            table.compact(FEW_FILES)
        if self._vacuumed_s is None or time.monotonic() - self._vacuumed_s > VACUUM_S:
            self._vacuumed_s = time.monotonic()
            for table in self.tables:
                table.vacuum()

    def retain(self) -> None:
        """Remove the oldest days until the rest is within the limits of days and bytes."""
        files = pl.concat(
            [table.files().with_columns(table=pl.lit(table.name)) for table in self.tables]
        )
        newest = files["day"].max()
        if not isinstance(newest, date):
            return
        # A packet with a time in the far future must not push out all that is real; a clock that is
        # behind must not make what is there look old.
        oldest_kept = min(newest, self._today()) - timedelta(days=self._days - 1)
        cut = None
        by_day = files.group_by("day").agg(pl.col("size_bytes").sum()).sort("day", descending=True)
        room = self._size_bytes
        for day, size_bytes in by_day.iter_rows():
            if day < oldest_kept:
                break
            if size_bytes > room:
                cut = self._cut(files.filter(pl.col("day") == day), room)
                oldest_kept = day + timedelta(days=1) if cut is None else day
                break
            room -= size_bytes
        self._remove_days(by_day["day"], oldest_kept)
        if cut is not None:
            for table in self.tables:
                table.remove(f"day = '{oldest_kept}' AND timestamp <= '{cut.isoformat()}'")
            self.removed.append(f"what was before {cut.isoformat()}")

    def _remove_days(self, there: pl.Series, before: date) -> None:
        gone = there.filter(there < before)
        if len(gone):
            for table in self.tables:
                table.remove_before(before)
            self.removed.append(
                f"{len(gone)} {'day' if len(gone) == 1 else 'days'} before {before}"
            )

    def _cut(self, files: pl.DataFrame, room: int) -> datetime | None:
        """Up to when a day's rows must go, so that the rest has room; None: all of them."""
        newest_first = files.sort("last", descending=True, nulls_last=True)
        most = room - self._size_bytes * (1 - CUT_SHARE)
        within = newest_first.filter(pl.col("size_bytes").cum_sum() <= most)
        beyond = newest_first[len(within) :]["last"].max()
        return beyond if len(within) and isinstance(beyond, datetime) else None
