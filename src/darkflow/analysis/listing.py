"""Rows as plain text: a table with aligned columns, CSV, JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any


def rfc3339(t_ns: int | None) -> str:
    """A time in UTC to the second; "-" for none."""
    if t_ns is None:
        return "-"
    moment = datetime.fromtimestamp(t_ns // 1_000_000_000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def as_table(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    """The first column to the left, the others to the right, under their names."""
    cells = [list(columns), *([_cell(row[name]) for name in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def as_csv(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    """A line of names, then a line per row."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def as_json(document: dict[str, Any]) -> str:
    """One JSON document."""
    return json.dumps(document, indent=1) + "\n"
