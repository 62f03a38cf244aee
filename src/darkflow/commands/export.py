"""`darkflow export`: rows of a store for other programs."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

import polars as pl

from darkflow.commands.analyze import EXIT_INCOMPLETE, EXIT_OK, EXIT_USAGE, complain
from darkflow.sinks import zeek
from darkflow.sinks.fields import ATTEMPTS, TABLES
from darkflow.sinks.stored import LINE, between, json_lines, readable_times

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import BinaryIO

STDOUT = "-"
POLARS = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_moment(text: str, now: datetime) -> datetime:
    """A time from RFC 3339 (without a zone: UTC), a date, or an age as 90s, 30m, 2h, 7d, 1w.

    What comes back is in UTC, as the days are into which a store is divided.
    """
    number, unit = text[:-1], text[-1:]
    try:
        if unit in _UNITS and number.isascii() and number.isdigit():
            return now - timedelta(**{_UNITS[unit]: int(number)})
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is not understood: write for example 2h, 7d or 2026-03-01T10:00:00Z"
        ) from None


def export_command(options: argparse.Namespace) -> int:
    """Write the rows; the exit status."""
    try:
        pieces = _rows(options, datetime.now(UTC))
    except (ValueError, OSError, *POLARS) as error:
        return _fail(str(error), EXIT_USAGE)
    if options.output == STDOUT:
        try:
            _write(pieces, options.format, sys.stdout.buffer)
        except (OSError, *POLARS) as error:
            if "Broken pipe" in str(error):
                raise BrokenPipeError from error
            return _fail(f"cannot write standard output: {error}", EXIT_INCOMPLETE)
        return EXIT_OK
    try:
        with open(options.output, "wb") as file:  # noqa: PTH123
            try:
                _write(pieces, options.format, file)
                file.flush()
            except (OSError, *POLARS) as error:
                return _fail(f"cannot write {options.output}: {error}", EXIT_INCOMPLETE)
    except OSError as error:
        return _fail(f"cannot write {options.output}: {error.strerror}", EXIT_USAGE)
    return EXIT_OK


def _fail(message: str, status: int) -> int:
    # What follows the first line is the query planner talking to itself.
    complain(message.strip().partition("\n")[0])
    return status


def _rows(options: argparse.Namespace, now: datetime) -> list[pl.LazyFrame]:
    """What is asked for, as the format wants it, in pieces."""
    since = parse_moment(options.since, now) if options.since else None
    until = parse_moment(options.until, now) if options.until else None
    if options.format == "zeek" and TABLES.get(options.table) not in ATTEMPTS:
        raise ValueError(f"{options.table} holds no attempts: --format zeek cannot tell it")
    pieces = between(options.store, options.table, since, until)
    if options.format == "parquet":
        return [pl.concat(pieces)]
    return [_as(options.format, piece.sort("timestamp"), options.table) for piece in pieces]


def _as(form: str, frame: pl.LazyFrame, table: str) -> pl.LazyFrame:
    if form == "zeek":
        return zeek.rows(frame)
    if form == "jsonl" and table in TABLES:
        return json_lines(frame, table)
    if form == "csv":
        # A histogram does not fit into a field of CSV.
        frame = frame.select(~pl.selectors.list())
    return readable_times(frame)


def _write(pieces: list[pl.LazyFrame], form: str, file: BinaryIO) -> None:
    if form == "zeek":
        file.write(zeek.header(datetime.now(UTC)).encode())
    for at, piece in enumerate(pieces):
        file.flush()
        if form == "parquet":
            piece.sink_parquet(file)
        elif form == "csv":
            piece.sink_csv(file, include_header=at == 0)
        elif form == "jsonl" and piece.collect_schema().names() == [LINE]:
            piece.sink_csv(file, include_header=False, quote_style="never")
        elif form == "jsonl":
            piece.sink_ndjson(file)
        else:
            piece.sink_csv(
                file, include_header=False, separator="\t", null_value="-", quote_style="never"
            )
    if form == "zeek":
        file.write(zeek.footer(datetime.now(UTC)).encode())
