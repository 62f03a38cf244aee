"""Reads a store: its tables as lazy frames, their rows as the documents of the event lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from darkflow.sinks.delta import TABLES, Upkeep
from darkflow.sinks.fields import FIELDS, GROUPS, REPORTED, TIMES, TOLD, columns_of

PIECE_ROWS = 500_000
# The only column of rows that are JSON lines already.
LINE = "line"
# The end of a Parquet file.
MAGIC = b"PAR1"


@contextmanager
def in_a_line() -> Iterator[None]:
    """What polars and deltalake say of what they cannot read, as a ValueError of one line."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, DeltaError) as error:
        # Behind the first line they speak to themselves.
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"the store cannot be read: {reason}") from None


def scan(store: str, read: Iterable[str] = TABLES) -> dict[str, pl.LazyFrame]:
    """The tables by name; FileNotFoundError if there is none. Later appends do not show.

    read: the tables whose files are looked at first. Polars would end in a panic of many lines
    where a file is cut short; here it is a ValueError that names the file.
    """
    there = [name for name in TABLES if DeltaTable.is_deltatable(str(Path(store, name)))]
    if not there:
        raise FileNotFoundError(f"no store in {store}")
    for name in set(there).intersection(read):
        _check(Path(store, name))
    return {name: pl.scan_delta(str(Path(store, name))) for name in there}


def _check(table: Path) -> None:
    """ValueError for the first file that is not as the table's log says, or no Parquet file."""
    try:
        files = pl.DataFrame(DeltaTable(table).get_add_actions(flatten=True))
    except DeltaError as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"the store is damaged: {table}/_delta_log: {reason}") from None
    for name, size_bytes in files.select("path", "size_bytes").iter_rows():
        path = table / name
        if wrong := _wrong(path, size_bytes):
            raise ValueError(
                f"the store is damaged: {path} {wrong} (docs/store.md says what to do)"
            )


def _wrong(path: Path, size_bytes: int) -> str | None:
    """What is wrong with a file; None if it looks whole."""
    try:
        with path.open("rb") as file:
            if file.seek(0, 2) != size_bytes:
                return "is not as long as its log says"
            file.seek(-len(MAGIC), 2)
            return None if file.read() == MAGIC else "is no Parquet file"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def between(
    store: str, table: str, since: datetime | None, until: datetime | None
) -> list[pl.LazyFrame]:
    """Rows of a table from `since` up to before `until`, in pieces by time.

    A piece has about PIECE_ROWS rows, so that its reader can sort it whatever the table's size.
    """
    frames = scan(store, (table,))
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
