"""`darkflow lab evaluate`: the paper's experiments in the lab, as a page, figures and JSON."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from darkflow.commands.analyze import EXIT_INCOMPLETE, EXIT_OK, EXIT_USAGE, complain
from darkflow.lab.evaluate import parts
from darkflow.lab.run import can_run, terminated_like_interrupted
from darkflow.lab.topology import WATCHED_NETWORKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

INTERRUPTED = 130
PACKAGES = ("polars", "deltalake", "jinja2", "matplotlib", "numpy")


def evaluate_command(options: argparse.Namespace) -> int:
    """Run the parts and write what came of them; the exit status. ValueError for wrong usage."""
    output = Path(options.output)
    names = chosen(options.only)
    _check(output)
    reason = can_run()
    if reason is not None:
        complain(reason)
        return EXIT_USAGE
    began_s = time.monotonic()

    def report(line: str) -> None:
        passed_s = int(time.monotonic() - began_s)
        sys.stdout.write(f"[{passed_s // 60}:{passed_s % 60:02d}] {line}\n")
        sys.stdout.flush()

    with (
        terminated_like_interrupted(),
        tempfile.TemporaryDirectory(prefix="darkflow-lab-evaluate-") as folder,
    ):
        document = parts.run(names, options.quick, Path(folder), report, _stored)
    for path in write(document, output):
        report(f"wrote {path}")
    if document["interrupted"]:
        complain("interrupted; the lab is gone, and what was measured is in the page")
        return INTERRUPTED
    failed = [name for name, part in document["parts"].items() if _has_failed(part)]
    if failed:
        complain(f"without numbers: {', '.join(failed)}; the page says why")
    return EXIT_INCOMPLETE if failed else EXIT_OK


def chosen(only: list[str] | None) -> list[str]:
    """The parts in their order; ValueError for one that there is not."""
    unknown = set(only or ()) - parts.PARTS.keys()
    if unknown:
        raise ValueError(f"--only: {min(unknown)!r} is none of {', '.join(parts.PARTS)}")
    return [name for name in parts.PARTS if not only or name in only]


def figures_folder(output: Path) -> Path:
    """Where the figures go: beside the page."""
    return output.with_name(f"{output.stem}-figures")


def write(document: dict[str, Any], output: Path) -> list[Path]:
    """The page, the numbers and the figures. OSError."""
    from darkflow.analysis.evaluated import page
    from darkflow.analysis.page import html
    from darkflow.analysis.report import write_figures

    numbers, figures = output.with_suffix(".json"), figures_folder(output)
    # First what took minutes.
    _replace(numbers, json.dumps(document, indent=1, default=str) + "\n")
    made = page(document, datetime.now(UTC))
    write_figures(made, figures)
    _replace(output, html(made))
    return [output, numbers, figures]


def _check(output: Path) -> None:
    """Refuse before minutes of work what could not be written."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ValueError(f"it needs {', '.join(missing)}: pip install 'darkflow[lab,report]'")
    if output.suffix != ".html":
        raise ValueError(f"-o {output}: the page's name has to end in .html")
    if output.is_dir():
        raise ValueError(f"-o {output}: it is a folder")
    if not output.parent.is_dir():
        raise ValueError(f"-o {output}: there is no folder {output.parent}")
    if not os.access(output.parent, os.W_OK):
        raise ValueError(f"-o {output}: {output.parent} cannot be written to")
    figures = figures_folder(output)
    if figures.exists() and not figures.is_dir():
        raise ValueError(f"{figures}: the figures go there, and it is no folder")


def _stored(folder: Path) -> dict[str, Any]:
    from darkflow.analysis.evaluation import of_store
    from darkflow.sinks.stored import in_a_line

    with in_a_line():
        return of_store(folder, WATCHED_NETWORKS)


def _has_failed(part: dict[str, Any]) -> bool:
    return "failed" in part or "unread" in part


def _replace(path: Path, text: str) -> None:
    """The whole text or the file that was there before."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
