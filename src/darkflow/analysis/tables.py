"""The result of a run as tables to look at: in colour on a terminal, plain text elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import IO, Any

from rich import box
from rich.console import Console
from rich.table import Table

PLAIN_WIDTH = 100
DROPPED = {
    "queue": "SYNs beyond the delay queue: not judged (raise --queue-size)",
    "table": "dark flows beyond the flow table: later SYNs count anew (raise --flow-table-size)",
    "sources": "sources forgotten, whose tools might have been told (raise --tool-sources)",
    "frames": "SYN frames not kept for --dark-pcap (raise --frame-buffer)",
    "summary": "entries beyond the summary: distinct counts are low (raise --summary-size)",
    "store": "rows not stored: --store could not be written",
    "clamped": "packets later than --reorder: judged at a later time than their own",
}
UNDECODED = {
    "no_time": "packets without a time (simple packet blocks)",
    "not_ip": "frames that are not IP",
    "not_tcp": "IP packets that are not TCP",
    "fragment": "fragments other than the first",
    "short": "packets cut off before the TCP flags",
    "malformed": "malformed headers",
}


def show(document: dict[str, Any], out: IO[str], terminal: bool) -> None:
    """Print the tables of a result document."""
    console = Console(
        file=out,
        force_terminal=terminal or None,
        width=None if terminal else PLAIN_WIDTH,
        highlight=False,
        no_color=not terminal,
    )
    for table in tables(document):
        # Titles and captions as lines of their own: rich would break them at the table's width.
        title, caption = table.title, table.caption
        table.title = table.caption = None
        console.print()
        console.print(title, style="bold")
        console.print(table)
        if caption:
            console.print(caption, soft_wrap=True)
    console.print()
    console.print(
        f"{document['packets']:,} packets in {document['elapsed_s']:.2f} s"
        f" ({document['packets_per_s']:,} packets/s)"
    )


def tables(document: dict[str, Any]) -> Iterator[Table]:
    """The tables that have something to say."""
    if document["inside_sources"]:
        yield _inside(document)
    yield _verdicts(document)
    if document["top_ports"]:
        yield _ports(document)
        yield _sources(document)
    if document["tools"]:
        yield _tools(document)
    if document["reply_delay_ns"]["p50"] is not None:
        yield _delays(document)
    losses = _losses(document)
    if losses.row_count:
        yield losses


def _table(title: str, *columns: str) -> Table:
    """A table whose first column is text and whose others are numbers."""
    table = Table(title=title, box=box.SIMPLE_HEAD)
    table.add_column(columns[0], no_wrap=True)
    for column in columns[1:]:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"


def _verdicts(document: dict[str, Any]) -> Table:
    attempts = document["attempts"]
    table = _table("Connection attempts", "verdict", "attempts", "share")
    for name in ("answered", "refused", "dark", "undecided"):
        style = "bold magenta" if name == "dark" else None
        table.add_row(name, f"{document[name]:,}", _share(document[name], attempts), style=style)
    table.add_row("all", f"{attempts:,}", "")
    table.caption = (
        f"dark flows from {document['dark_sources']:,} sources to"
        f" {document['dark_destinations']:,} destinations"
        f" ({_directions(document)}); {document['icmp_unreachable']:,} with an ICMP reason;"
        f" {document['late_answers']:,} answered late"
    )
    return table


def _directions(document: dict[str, Any]) -> str:
    counts = document["direction"]
    return ", ".join(f"{counts[name]:,} {name}" for name in counts if counts[name]) or "none"


def _ports(document: dict[str, Any]) -> Table:
    table = _table("Dark flows by destination port", "port", "packets", "unique sources", "flows")
    for row in document["top_ports"]:
        table.add_row(
            str(row["port"]), f"{row['packets']:,}", f"{row['sources']:,}", f"{row['flows']:,}"
        )
    return table


def _inside(document: dict[str, Any]) -> Table:
    """Hosts of our own that reach for what is not there, before everything else."""
    table = _table(
        "Sources inside: likely infected", "source", "flows", "ports", "targets",
        "first seen (UTC)", "last seen",
    )  # fmt: skip
    for row in document["inside_sources"]:
        numbers = (f"{row[name]:,}" for name in ("flows", "ports", "targets"))
        seen = (_when(row[name]) for name in ("first_ns", "last_ns"))
        table.add_row(_who(row), *numbers, *seen, style="bold red")
    return table


def _when(t_ns: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(t_ns // 1_000_000_000))


def _who(row: dict[str, Any]) -> str:
    """An address, and what the operator's own files say of it."""
    asn = row.get("asn")
    more = (row.get("known"), row.get("country"), None if asn is None else f"AS{asn}")
    return " ".join((row["src_ip"], *(word for word in more if word)))


def _sources(document: dict[str, Any]) -> Table:
    table = _table("Top sources of dark flows", "source", "flows", "packets", "ports", "targets")
    for row in document["top_sources"]:
        numbers = (f"{row[name]:,}" for name in ("flows", "packets", "ports", "targets"))
        table.add_row(_who(row), *numbers)
    return table


def _tools(document: dict[str, Any]) -> Table:
    table = _table("Tools that sent dark flows", "tool", "flows", "share", "packets", "sources")
    for row in document["tools"]:
        numbers = (f"{row[name]:,}" for name in ("packets", "sources"))
        share = _share(row["flows"], document["dark"])
        table.add_row(row["tool"], f"{row['flows']:,}", share, *numbers)
    low = sum(row["low"] for row in document["tools"])
    table.caption = f"of these flows {low:,} are named by their looks alone (low confidence)"
    return table


def _delays(document: dict[str, Any]) -> Table:
    table = _table("Reply delays (SYN to SYN+ACK or RST)", "within", "share of replies")
    for name, share in document["reply_delay_share"].items():
        limit = f"{name[:-2]} ms" if name.endswith("ms") else f"{name[:-1]} s"
        table.add_row(limit, f"{100 * share:.2f}%")
    quantiles = document["reply_delay_ns"]
    about = "" if document["reply_delay_exact"] else "about "
    table.caption = "; ".join(
        f"{name} {about}{quantiles[key] / 1e6:,.3f} ms"
        for name, key in (("median", "p50"), ("99%", "p99"), ("longest", "max"))
    )
    return table


def _losses(document: dict[str, Any]) -> Table:
    table = _table("What was not judged, and why", "reason", "packets")
    for name, count in document["undecoded"].items():
        text = UNDECODED.get(name, f"frames of unknown link type {name.rpartition('_')[2]}")
        table.add_row(text, f"{count:,}")
    for name, count in document["dropped"].items():
        if count:
            table.add_row(DROPPED[name], f"{count:,}", style="yellow")
    return table
