"""Reads a store: its tables as lazy frames, their rows as the documents of the event lines."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl
from deltalake import DeltaTable

from darkflow.sinks.delta import TABLES, Upkeep
from darkflow.sinks.fields import FIELDS, GROUPS, REPORTED, TIMES, TOLD, columns_of

PIECE_ROWS = 500_000
# The only column of rows that are JSON lines already.
LINE = "line"


def scan(store: str) -> dict[str, pl.LazyFrame]:
    """The tables by name; FileNotFoundError if there is none. Later appends do not show."""
    there = [name for name in TABLES if DeltaTable.is_deltatable(str(Path(store, name)))]
    if not there:
        raise FileNotFoundError(f"no store in {store}")
    return {name: pl.scan_delta(str(Path(store, name))) for name in there}


def damage(store: str) -> str | None:
    """A file of the store that is not as its log says: readers would stumble over it. Or None."""
    for name in TABLES:
        path = Path(store, name)
        if not DeltaTable.is_deltatable(str(path)):
            continue
        files = pl.DataFrame(DeltaTable(path).get_add_actions(flatten=True))
        for file, size_bytes in files.select("path", "size_bytes").iter_rows():
            try:
                if (path / file).stat().st_size == size_bytes:
                    continue
            except OSError:
                pass
            return str(path / file)
    return None


def between(
    store: str, table: str, since: datetime | None, until: datetime | None
) -> list[pl.LazyFrame]:
    """Rows of a table from `since` up to before `until`, in pieces by time.

    A piece has about PIECE_ROWS rows, so that its reader can sort it whatever the table's size.
    """
    frames = scan(store)
    if table not in frames:
        raise FileNotFoundError(f"no table {table} in {store}")
    frame = frames[table]
    if since is not None:
        frame = frame.filter(pl.col("day") >= since.date(), pl.col("timestamp") >= since)
    if until is not None:
        frame = frame.filter(pl.col("day") <= until.date(), pl.col("timestamp") < until)
    pieces = []
    for after, last in _cuts(Upkeep(Path(store), table).files()):
        piece = frame
        if after is not None:
            piece = piece.filter(pl.col("day") >= after.date(), pl.col("timestamp") > after)
        if last is not None:
            piece = piece.filter(pl.col("day") <= last.date(), pl.col("timestamp") <= last)
        pieces.append(piece)
    return pieces


def _cuts(files: pl.DataFrame) -> list[tuple[datetime | None, datetime | None]]:
    """(after, up to) so that the files' rows fall into pieces; the ends are open."""
    cuts: list[datetime | None] = [None]
    rows = 0
    for count, last in files.sort("last").select("rows", "last").iter_rows():
        rows += count
        if rows >= PIECE_ROWS and last is not None:
            cuts.append(last)
            rows = 0
    return list(zip(cuts, [*cuts[1:], None], strict=True))


def rfc3339(table: str) -> pl.Expr:
    """The time of an event with as many decimals as its capture told."""
    t_ns = pl.sum_horizontal([pl.col(name) for name in TIMES[table]])
    second = (t_ns // 1_000_000_000 * 1_000_000).cast(pl.Datetime("us"))
    nanoseconds = (t_ns % 1_000_000_000).cast(pl.String).str.zfill(9)
    digits = pl.col("timestamp_digits")
    decimals = (
        pl.when(digits > 0).then("." + nanoseconds.str.slice(0, digits)).otherwise(pl.lit(""))
    )
    return second.dt.to_string("%Y-%m-%dT%H:%M:%S") + decimals + "Z"


def _document(table: str) -> list[pl.Expr]:
    """What the columns of a table of events say in its JSON lines, objects included."""
    columns = {column.field: column.name for column in columns_of(table) if column.field}
    top: list[pl.Expr] = []
    objects: dict[str, list[pl.Expr]] = {name: [] for name in (*GROUPS, "darkflow.icmp")}
    for field in FIELDS:
        if field.name in columns and field not in REPORTED:
            parent, _, leaf = field.name.rpartition(".")
            value = pl.col(columns[field.name])
            (objects[parent] if parent else top).append(value.alias(leaf))
    top[0] = rfc3339(table).alias("timestamp")
    inner = objects.pop("darkflow.icmp")
    if inner:
        icmp = pl.when(pl.col("icmp_type").is_not_null()).then(pl.struct(inner))
        objects["darkflow"].append(icmp.alias("icmp"))
    return top + [pl.struct(parts).alias(name) for name, parts in objects.items() if parts]


def json_lines(frame: pl.LazyFrame, table: str) -> pl.LazyFrame:
    """Rows of a table of events as one column of texts: their JSON lines."""
    line = pl.struct(_document(table)).struct.json_encode()
    # Without shorter holds the lines have no such field; in a string its quotes would be escaped.
    line = line.str.replace('"hold_ns":null,', "", literal=True)
    if table == "sessions":
        # What a session's service told is JSON already; its objects join those of the line.
        told = pl.col(TOLD.name)
        joined = line.str.head(-1) + "," + told.str.slice(1)
        line = pl.when(told.is_null()).then(line).otherwise(joined)
    return frame.select(line.alias(LINE))


def readable_times(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Timestamps as RFC 3339 text, for formats that have no type for them."""
    stamps = pl.selectors.datetime()
    return frame.with_columns(stamps.dt.to_string("%Y-%m-%dT%H:%M:%S%.6fZ"))
