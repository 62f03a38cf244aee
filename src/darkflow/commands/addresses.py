"""`darkflow addresses`: which watched addresses and ports are unused, and which are used."""

from __future__ import annotations

import os
import sys

from darkflow.analysis.addresses import DAY_NS, Blocked, Endpoint, Evidence, unused, used
from darkflow.analysis.listing import as_csv, as_json, as_table, rfc3339
from darkflow.commands.analyze import EXIT_OK, EXIT_USAGE, complain
from darkflow.commands.reading import Reading, conflict, need_store_packages, watched
from darkflow.sinks.endpoints import Endpoints

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from typing import Any

# With less silence than this nothing can be sure, whoever asked.
SHORT_NS = 600_000_000_000
UNUSED = ("block", "port", "addresses", "sure", "sources", "attempts", "first", "last", "blocked")
USED = ("address", "port", "state", "answered", "refused", "late", "unanswered", "first", "last")


def addresses_command(options: argparse.Namespace, settings: dict[str, Any]) -> int:
    """Print the list that is asked for; the exit status."""
    try:
        problem = conflict(options)
        if problem:
            raise ValueError(problem)
        blocked = Blocked(_lines_of(options.blocked))
        least = _least(options.sure)
        status, endpoints, seen = (
            _stored(options, settings) if options.store else _captured(options.files, settings)
        )
    except (ValueError, OSError) as error:
        complain(_reason(error))
        return EXIT_USAGE
    document: dict[str, Any] = dict(seen)
    if options.used:
        document["used"] = rows = used(endpoints)
    else:
        evidence = Evidence(
            seen["until_ns"] or 0, settings["settle"], settings["half_life"] * DAY_NS
        )
        document["unused"] = rows = unused(endpoints, evidence, blocked, least)
    for line in _notes(document):
        complain(line)
    if options.format == "json":
        sys.stdout.write(as_json(document))
    else:
        columns = USED if options.used else UNUSED
        write = as_csv if options.format == "csv" else as_table
        sys.stdout.write(write(columns, [_shown(row) for row in rows]))
    return status


def _least(text: str) -> float:
    try:
        least = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        least = -1
    if not 0 <= least <= 1:
        raise ValueError(f"--sure: {text!r} is not from 0 to 1: write for example 0.9 or 90%")
    return least


def _lines_of(path: str | None) -> list[str]:
    if path is None:
        return []
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 (pathlib is slow to import)
            lines = file.readlines()
        Blocked(lines)
    except UnicodeDecodeError:
        raise ValueError(f"--blocked {path}: no UTF-8 text") from None
    except ValueError as error:
        raise ValueError(f"--blocked {path}: {error}") from None
    return lines


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"cannot read {error.filename}: {error.strerror}"
    return str(error)


def _captured(
    files: list[str], settings: dict[str, Any]
) -> tuple[int, Iterable[Endpoint], dict[str, Any]]:
    """(exit status, what was seen of each address and port, how long it was looked at)."""
    reading = Reading(files, settings, settings["hold"])
    sink = Endpoints(watched(settings), os.urandom(16), settings["addresses_size"])
    counters = reading.run(sink).counters
    endpoints = [Endpoint(*row) for row in sink.rows()]
    first = [ns for e in endpoints for ns in (e.first_ns, e.first_answer_ns) if ns is not None]
    seen = {
        "since_ns": min(first, default=None),
        "until_ns": reading.end_ns if counters["attempts"] else None,
        "answers_since_ns": min(first, default=None),
        "left_out": sink.dropped,
    }
    return reading.status, endpoints, seen


def _stored(
    options: argparse.Namespace, settings: dict[str, Any]
) -> tuple[int, Iterable[Endpoint], dict[str, Any]]:
    missing = need_store_packages()
    if missing:
        raise ValueError(missing)
    from datetime import UTC, datetime

    from darkflow.analysis.stored_addresses import endpoints_of
    from darkflow.commands.export import parse_moment
    from darkflow.sinks.stored import in_a_line

    since = parse_moment(options.since, datetime.now(UTC)) if options.since else None
    with in_a_line():
        endpoints, seen = endpoints_of(options.store, since, settings["networks"])
    for line in seen.pop("lost"):
        complain(line)
    return EXIT_OK, endpoints, seen


def _notes(document: dict[str, Any]) -> list[str]:
    """What the reader of the list must know."""
    notes = []
    since, until = document["since_ns"], document["until_ns"]
    if "unused" in document and since is not None and until - since < SHORT_NS:
        notes.append(
            f"only {(until - since) / 1e9:.0f} s were looked at: nothing can be sure after so"
            " short a time (--settle)"
        )
    answers = document["answers_since_ns"]
    if since is not None and (answers is None or answers > since):
        known = f"only from {rfc3339(answers)} on" if answers else "not at all"
        notes.append(
            f"the store knows who answers {known}, but dark flows from {rfc3339(since)} on: hosts"
            " that answered before look unused (see --since, and --store-answered of the sensor)"
        )
    if document["left_out"]:
        notes.append(
            f"{document['left_out']} times an address, port or source had no room: raise"
            " --addresses-size"
        )
    return notes


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """A row as tables and CSV have it: times as text, `sure` as a percentage."""
    shown = {**row, "first": rfc3339(row["first_ns"]), "last": rfc3339(row["last_ns"])}
    if "sure" in row:
        # Never rounded up to certainty.
        shown["sure"] = f"{int(row['sure'] * 1000) / 10:.1f}%"
        shown["blocked"] = "yes" if row["blocked"] else "no"
    shown["port"] = "all" if row["port"] is None else str(row["port"])
    return shown
