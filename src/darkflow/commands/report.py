"""`darkflow report`: a store or captures in, one page out."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from darkflow.analysis.findings import Findings, Question, find
from darkflow.analysis.page import clip, html
from darkflow.analysis.report import Heading, page, write_figures
from darkflow.commands.analyze import (
    EXIT_INCOMPLETE,
    EXIT_OK,
    EXIT_USAGE,
    Run,
    complain,
    same_file,
)
from darkflow.commands.export import parse_moment
from darkflow.config import SETTINGS
from darkflow.sinks.stored import scan
from darkflow.sources.captures import Captures

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

STDOUT = "-"


class Refused(Exception):
    """Why there is no page, and the exit status."""

    def __init__(self, reason: str, status: int = EXIT_USAGE) -> None:
        super().__init__(reason)
        self.status = status


def report_command(options: argparse.Namespace, settings: dict[str, Any]) -> int:
    """Ask, write the page and the figures; the exit status."""
    try:
        _check(options)
        asked = _question(options, settings)
        if options.store:
            return _report(options, options.store, asked)
        with tempfile.TemporaryDirectory(prefix="darkflow-report-") as folder:
            incomplete = _analyze(options, settings, folder)
            return max(_report(options, folder, asked), incomplete)
    except Refused as refused:
        complain(str(refused))
        return refused.status
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        # What follows the first line is the query planner talking to itself.
        complain(str(error).strip().partition("\n")[0])
        return EXIT_USAGE


def _check(options: argparse.Namespace) -> None:
    """Refuse before the work what could not come to an end."""
    if bool(options.store) == bool(options.files):
        raise Refused("give either captures or --store DIR (see: darkflow report --help)")
    if options.files.count(STDOUT) > 1:
        raise Refused("standard input (-) can be read only once")
    if options.figures and Path(options.figures).exists() and not Path(options.figures).is_dir():
        raise Refused(f"cannot write into {options.figures}: it is no folder")
    if options.output == STDOUT:
        return
    output = Path(options.output)
    if output.is_dir():
        raise Refused(f"cannot write {output}: it is a folder")
    if not os.access(output.parent, os.W_OK):
        reason = "not allowed" if output.parent.is_dir() else f"there is no folder {output.parent}"
        raise Refused(f"cannot write {output}: {reason}")
    if any(same_file(options.output, name) for name in options.files):
        raise Refused(f"{output} is one of the captures: it would be overwritten")


def _question(options: argparse.Namespace, settings: Mapping[str, Any]) -> Question:
    now = datetime.now(UTC)
    since = parse_moment(options.since, now) if options.since else None
    until = parse_moment(options.until, now) if options.until else None
    if since is not None and until is not None and since >= until:
        raise Refused(f"--since {options.since} is not before --until {options.until}")
    return Question(settings["top"], since, until)


def _analyze(options: argparse.Namespace, settings: dict[str, Any], folder: str) -> int:
    """Judge the captures into a store in `folder`; 1 if one could not be read to its end."""
    defaults = {
        setting.name: None if setting.default is None else setting.parse(setting.default)
        for setting in SETTINGS
    }
    # The store is there for this page only: nothing may be too old or too much for it.
    kept = {"store_days": 36_500, "store_bytes": 1 << 40}
    source = Captures(options.files, settings["reorder"], None)
    source.open()
    for line in source.unreadable:
        complain(line)
    if len(source.unreadable) == len(options.files):
        raise Refused("no capture could be read: there is nothing to report on")
    for name in ("events", "dark_pcap"):
        setattr(options, name, None)
    options.events_at, options.store = "end", folder
    try:
        run = Run(options, defaults | settings | kept, source)
        document, signal = run.judge()
    finally:
        options.store = None
    if signal is not None:
        raise Refused("stopped: no page was written", 128 + signal)
    troubles = run.troubles(document)
    for line in (*source.remarks, *troubles):
        complain(line)
    return EXIT_INCOMPLETE if troubles or source.unreadable else EXIT_OK


def _report(options: argparse.Namespace, folder: str, asked: Question) -> int:
    """Ask the store and write; the exit status."""
    with _progress() as say:
        tables = scan(folder)
        found = find(tables, Question(asked.top, asked.since, asked.until, say))
        if found.totals is None and not found.counted.runs:
            period = "" if asked.since is asked.until is None else " in this time"
            raise Refused(f"nothing is stored in {options.store or 'the captures'}{period}")
        say("drawing")
        made = page(found, _heading(options, asked))
        text = html(made).encode("utf-8", "replace")
        _write(options.output, text)
        if options.figures:
            say("figures")
            try:
                write_figures(made, Path(options.figures))
            except OSError as error:
                reason = f"cannot write into {options.figures}: {error.strerror}"
                raise Refused(reason, EXIT_INCOMPLETE) from None
    if sys.stderr.isatty() and options.output != STDOUT:
        complain(f"{options.output}: {_told(found)}, {len(text) / 1024:,.0f} KiB")
    return EXIT_OK


def _told(found: Findings) -> str:
    return f"{found.totals.flows:,} dark flows" if found.totals else "no dark flow"


def _heading(options: argparse.Namespace, asked: Question) -> Heading:
    if options.store:
        source = f"store {Path(options.store).name}"
    elif len(options.files) == 1:
        source = f"capture {Path(options.files[0]).name}"
    else:
        source = f"{len(options.files)} captures"
    words = [
        f"{word} {at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        for word, at in (("from", asked.since), ("to", asked.until))
        if at is not None
    ]
    return Heading(options.title, clip(source), datetime.now(UTC), " ".join(words))


def _write(output: str, text: bytes) -> None:
    """The whole page or nothing: a reader of an older one never sees half of this."""
    if output == STDOUT:
        sys.stdout.buffer.write(text)
        return
    path = Path(output)
    try:
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            path.write_bytes(text)
            return
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            part.write_bytes(text)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise Refused(f"cannot write {output}: {error.strerror}", EXIT_INCOMPLETE) from None


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Who is told what is asked just now: a line on a terminal, nobody otherwise."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("reading") as status:
        yield lambda what: status.update(what)
