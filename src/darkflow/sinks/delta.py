"""One table of the store on disk: Delta Lake, partitioned by day, every append whole or not there.

Times of a log entry and of a file that no version needs any more are kept short: a sensor commits
every other second, and readers need only what is newer than their own start.
"""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
from arro3.core import RecordBatch
from deltalake import (
    ColumnProperties,
    CommitProperties,
    DeltaTable,
    Schema,
    Transaction,
    WriterProperties,
    write_deltalake,
)

from darkflow.sinks.columns import Columns
from darkflow.sinks.fields import TABLES as EVENT_TABLES
from darkflow.sinks.metrics import METRICS, flat

TABLES = (*EVENT_TABLES, "answered", "stats")
KEPT_HOURS = 1
CONFIGURATION: dict[str, str | None] = {
    "delta.checkpointInterval": "50",
    "delta.logRetentionDuration": "interval 6 hours",
    "delta.deletedFileRetentionDuration": f"interval {KEPT_HOURS} hours",
    "delta.dataSkippingStatsColumns": "timestamp",
}
# A dictionary of values that hardly repeat costs time and room; times rise in small steps.
_PLAIN = ColumnProperties(dictionary_enabled=False)
_STEPS = ColumnProperties(dictionary_enabled=False, encoding="DELTA_BINARY_PACKED")
WRITER = WriterProperties(
    compression="ZSTD",
    compression_level=1,
    column_properties={
        **dict.fromkeys(("flow_id", "community_id", "isn", "ip_id"), _PLAIN),
        **dict.fromkeys(("timestamp", "t0_ns", "verdict_ns", "last_syn_ns"), _STEPS),
        **dict.fromkeys(("diverted_ns", "last_ns", "ended_ns", "t_ns", "cut_ns"), _STEPS),
    },
)
# A file that is at least this large is left alone; smaller ones are put together.
WHOLE_BYTES = 4 << 20
TARGET_BYTES = 32 << 20

HISTOGRAM = pl.List(pl.Struct({"le": pl.Int64, "count": pl.Int64}))
STATS_SCHEMA = pl.Schema(
    {
        "timestamp": pl.Datetime("us", "UTC"),
        "day": pl.Date(),
        "run": pl.String(),
        **{m.name: HISTOGRAM if m.type == "histogram" else pl.Int64() for m in METRICS},
    }
)

# A row of a watched address and port that answered, of some time (--store-answered).
ANSWERED_SCHEMA = pl.Schema(
    {
        "timestamp": pl.Datetime("us", "UTC"),
        "day": pl.Date(),
        "dest_ip": pl.String(),
        "dest_port": pl.Int64(),
        **dict.fromkeys(("answered", "refused", "late", "first_ns", "last_ns"), pl.Int64()),
        "delay_ns": HISTOGRAM,
    }
)
SCHEMAS = {"answered": ANSWERED_SCHEMA, "stats": STATS_SCHEMA}


def stats_rows(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows of the table `stats`; a metric that a row lacks is null."""
    return pl.DataFrame([flat(row) for row in rows], schema=STATS_SCHEMA, orient="row")


class Table:
    """A table for one run that appends; `run` makes sure that no batch is written twice."""

    def __init__(self, store: Path, name: str, run: str) -> None:
        self.name = name
        self._run = run
        self._unsure = False
        schema: Any = SCHEMAS.get(name) or Columns.empty(name)
        self._table = DeltaTable.create(
            store / name,
            Schema.from_arrow(schema),
            mode="ignore",
            partition_by=["day"],
            configuration=CONFIGURATION,
        )

    def append(self, rows: Any, number: int) -> None:
        """Add one batch, or a list of batches as one; numbers rise.

        A column that the table lacks is added to it.

        A try may fail behind its commit: then the next one finds its number there.
        """
        if self._unsure:
            self._table.update_incremental()
            there = self._table.transaction_version(self._run)
            if there is not None and there >= number:
                self._unsure = False
                return
        self._unsure = True
        write_deltalake(
            self._table,
            [RecordBatch.from_arrow(part) for part in rows] if isinstance(rows, list) else rows,
            mode="append",
            schema_mode="merge",
            writer_properties=WRITER,
            commit_properties=CommitProperties(
                app_transactions=[Transaction(self._run, number)], max_commit_retries=50
            ),
        )
        self._unsure = False


class Upkeep:
    """A table for who keeps it small and tidy; may work while others append and read."""

    def __init__(self, store: Path, name: str) -> None:
        self.name = name
        self._path = store / name
        self._table = DeltaTable(self._path)

    def files(self) -> pl.DataFrame:
        """Of each file of the newest version: day, size_bytes, rows, last (timestamp or null)."""
        self._table.update_incremental()
        found = pl.DataFrame(self._table.get_add_actions(flatten=True))
        if "max.timestamp" not in found.columns:
            unknown = pl.lit(None, pl.Datetime("us", "UTC"))
            found = found.with_columns(unknown.alias("max.timestamp"))
        return found.select(
            pl.col("partition.day").alias("day"),
            "size_bytes",
            pl.col("num_records").alias("rows"),
            pl.col("max.timestamp").alias("last"),
        )

    def paths(self) -> list[str]:
        """The files of the newest version, from the table's folder on."""
        self._table.update_incremental()
        return [str(path) for path in pl.DataFrame(self._table.get_add_actions())["path"]]

    def compact(self, few: int) -> int:
        """Put small files together in days with more than `few` of them; days worked on."""
        small = self.files().filter(pl.col("size_bytes") < WHOLE_BYTES)
        counts = small.group_by("day").len().filter(pl.col("len") > few).sort("day")
        for day in counts["day"]:
            self.compact_day(day)
        return len(counts)

    def compact_day(self, day: date) -> None:
        """Put one day's files together, in one commit: who is stopped on the way has done nothing.

        The files that were written until then are in no version, and go with a later vacuum.
        """
        self._table.optimize.compact(
            partition_filters=[("day", "=", str(day))],
            target_size=TARGET_BYTES,
            max_concurrent_tasks=1,
            writer_properties=WRITER,
        )

    def remove(self, condition: str) -> None:
        """Remove rows, as SQL; for whole days only the log is written."""
        self._table.update_incremental()
        self._table.delete(condition, writer_properties=WRITER)

    def remove_before(self, day: date) -> None:
        """Remove the days before this one."""
        self.remove(f"day < '{day}'")

    def vacuum(self) -> int:
        """Delete files that no version of the last hour has; how many."""
        self._table.update_incremental()
        gone = self._table.vacuum(
            KEPT_HOURS, dry_run=False, enforce_retention_duration=False, full=True
        )
        return len(gone) + self._remove_unfinished()

    def _remove_unfinished(self) -> int:
        """Delete what a killed program was writing: `*#1`, and so on, which Delta does not see."""
        count = 0
        for path in self._path.rglob("*#*"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > KEPT_HOURS * 3600:
                    path.unlink()
                    count += 1
        return count
