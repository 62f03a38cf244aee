"""`darkflow tune`: which T fits each network, and why."""

from __future__ import annotations

import os
import sys

from darkflow.analysis.listing import as_json, as_table
from darkflow.analysis.tuning import Waiting, share_text, time_text, tuned
from darkflow.commands.analyze import EXIT_OK, EXIT_USAGE, complain
from darkflow.commands.reading import Reading, conflict, need_store_packages, watched
from darkflow.flow.delays import Delays
from darkflow.flow.networks import Networks
from darkflow.sinks.endpoints import GRID_NS
from darkflow.sinks.waits import Group, Waits
from darkflow.units import parse_networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import Any

    from darkflow.commands.shortening import Shortening

EVERYWHERE = "every network"
COLUMNS = ("T", "answers later", "called dark", "with 95%", "still waiting", "of those that resend")


def tune_command(options: argparse.Namespace, settings: dict[str, Any]) -> int:
    """Print what T fits; the exit status."""
    try:
        problem = conflict(options)
        if problem:
            raise ValueError(problem)
        grid_ns = _grid(settings["longest"])
        shorter = _shorter(options, settings)
        status, measured, notes = (
            _stored(options, settings, grid_ns)
            if options.store
            else _captured(options.files, settings, grid_ns, shorter)
        )
    except (ValueError, OSError) as error:
        complain(str(error))
        return EXIT_USAGE
    networks = [tuned(one, grid_ns, settings["bound"]) for one in measured]
    for note in notes:
        complain(note)
    if options.json:
        found = {} if shorter is None else {"adaptive": shorter.document()}
        sys.stdout.write(as_json({"networks": networks, **found, "notes": notes}))
    else:
        texts = [_text(document) for document in networks]
        if shorter is not None:
            from darkflow.commands.shortening import as_text

            texts.append(as_text(shorter.document()))
        sys.stdout.write("\n".join(texts))
    return status


def _shorter(options: argparse.Namespace, settings: dict[str, Any]) -> Shortening | None:
    """What judges the captures with shorter holds, if that is asked for."""
    if settings["adaptive"] is None:
        return None
    if options.store:
        raise ValueError(
            "--adaptive needs captures: a store does not keep when each address was heard"
        )
    from darkflow.commands.shortening import Shortening

    return Shortening(settings, watched(settings), os.urandom(16))


def _grid(longest_ns: int) -> tuple[int, ...]:
    """The candidates for T."""
    grid_ns = tuple(hold_ns for hold_ns in GRID_NS if hold_ns <= longest_ns)
    if not grid_ns:
        raise ValueError(f"--longest: at least {time_text(GRID_NS[0])}")
    return grid_ns


def _watched(settings: dict[str, Any]) -> list[tuple[str, Networks]]:
    """Each watched network by itself, the longest prefix first; or all there is."""
    if settings["networks"] is None:
        return [(EVERYWHERE, Networks.everything())]
    cidrs = sorted(settings["networks"][0], key=lambda cidr: -int(cidr.partition("/")[2]))
    return [(cidr, Networks(*parse_networks(cidr)[1:])) for cidr in dict.fromkeys(cidrs)]


def _captured(
    files: list[str],
    settings: dict[str, Any],
    grid_ns: Sequence[int],
    shorter: Shortening | None,
) -> tuple[int, list[Waiting], list[str]]:
    """(exit status, what was measured in each network, what the reader must know)."""
    groups = _watched(settings)
    # T is as long as the longest candidate: nothing that is answered until then is dark.
    reading = Reading(files, settings, grid_ns[-1])
    waits = Waits([networks for _, networks in groups], grid_ns[-1])
    reading.run(waits, None if shorter is None else shorter.stage)
    if shorter is not None:
        shorter.finish(reading.end_ns)
    waits.settle(reading.end_ns)
    measured = [
        _waiting(name, group, grid_ns)
        for (name, _), group in zip(groups, waits.groups, strict=True)
    ]
    notes = []
    if waits.cut_short:
        notes.append(
            f"{waits.cut_short} answered attempts of the last {time_text(grid_ns[-1])} are left"
            " out: a slow answer to them would not have been seen (--longest)"
        )
    if waits.hurried:
        notes.append(
            f"{waits.hurried} answers were taken before it was known that their attempts were"
            " watched long enough"
        )
    return reading.status, measured, notes


def _waiting(network: str, group: Group, grid_ns: Sequence[int]) -> Waiting:
    return Waiting(
        network,
        group.delays.count,
        later(group.delays, grid_ns),
        group.dark,
        group.spans.count,
        later(group.spans, grid_ns),
        {
            name: group.delays.quantile(share)
            for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
        },
    )


def later(delays: Delays, grid_ns: Sequence[int]) -> tuple[int, ...]:
    """How many are longer than each candidate; the candidates are edges of the histogram."""
    bins = delays.histogram()
    return tuple(
        sum(count for edge, count in bins if edge is None or edge > hold_ns) for hold_ns in grid_ns
    )


def _stored(
    options: argparse.Namespace, settings: dict[str, Any], grid_ns: Sequence[int]
) -> tuple[int, list[Waiting], list[str]]:
    missing = need_store_packages()
    if missing:
        raise ValueError(missing)
    from datetime import UTC, datetime

    from darkflow.analysis.stored_waits import waits_of
    from darkflow.commands.export import parse_moment
    from darkflow.sinks.stored import in_a_line

    since = parse_moment(options.since, datetime.now(UTC)) if options.since else None
    with in_a_line():
        measured, notes = waits_of(options.store, since, _watched(settings), grid_ns)
    return EXIT_OK, measured, notes


def _text(document: dict[str, Any]) -> str:
    """One network for people: the answer first, then the candidates it was chosen from."""
    hold_ns = document["hold_ns"]
    head = f"{document['network']}: {'-T ' + time_text(hold_ns) if hold_ns else 'no T yet'}"
    rows = [
        {
            "T": ("* " if row["hold_ns"] == hold_ns else "  ") + time_text(row["hold_ns"]),
            "answers later": row["later"],
            "called dark": _or_none(row["false_dark"]),
            "with 95%": f"<= {share_text(row['false_dark_high'])}",
            "still waiting": _or_none(row["waiting_share"]),
            "of those that resend": _or_none(row["waiting_share_of_resent"]),
        }
        for row in document["candidates"]
    ]
    delays = document["reply_delay_ns"]
    quantiles = "; ".join(
        f"{name} {delays[key] / 1e6:,.3f} ms"
        for name, key in (("median", "p50"), ("99%", "p99"), ("longest", "max"))
        if delays.get(key) is not None
    )
    lines = [head, document["why"], "", as_table(COLUMNS, rows).rstrip("\n"), ""]
    lines.append(
        f"{document['answers']:,} answered attempts{f' ({quantiles})' if quantiles else ''};"
        f" {document['dark']:,} dark flows, {document['resent']:,} of them resent a SYN"
    )
    return "\n".join(lines) + "\n"


def _or_none(share: float | None) -> str:
    return "-" if share is None else share_text(share)
