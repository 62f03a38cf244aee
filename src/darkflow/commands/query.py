"""`darkflow query`: SQL over a store."""

from __future__ import annotations

import sys

import polars as pl

from darkflow.commands.analyze import EXIT_OK, EXIT_USAGE, complain
from darkflow.commands.parser import TABLES
from darkflow.sinks.stored import readable_times, scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def query_command(options: argparse.Namespace) -> int:
    """Run the query and print its result; the exit status."""
    try:
        # A name that only looks like a table's costs a look at its files.
        named = [table for table in TABLES if table in options.sql]
        with pl.SQLContext(scan(options.store, named)) as context:
            frame = readable_times(context.execute(options.sql).lazy()).collect()
        sys.stdout.write(as_text(frame, options.format))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        # What follows the first line is the query planner talking to itself.
        complain(str(error).strip().partition("\n")[0])
        return EXIT_USAGE
    return EXIT_OK


def as_text(frame: pl.DataFrame, form: str) -> str:
    """The rows in one of the formats."""
    if form == "csv":
        return frame.write_csv()
    if form == "jsonl":
        return frame.write_ndjson()
    if form == "json":
        return frame.write_json() + "\n"
    return _table(frame)


def _table(frame: pl.DataFrame) -> str:
    """Columns under their names, numbers to the right."""
    texts = [[_cell(value) for value in column] for column in frame.iter_columns()]
    lines = [""] * (frame.height + 2)
    for name, kind, cells in zip(frame.columns, frame.dtypes, texts, strict=True):
        width = max(len(cell) for cell in (name, *cells))
        right = kind.is_numeric()
        for at, cell in enumerate((name, "-" * width, *cells)):
            lines[at] += (cell.rjust(width) if right else cell.ljust(width)) + "  "
    return "".join(line.rstrip() + "\n" for line in lines)


def _cell(value: object) -> str:
    return "" if value is None else str(value)
