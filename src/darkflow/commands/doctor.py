"""`darkflow doctor`: what stands between a sensor and the packets, and how to mend it."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator

from darkflow import __version__
from darkflow.commands.analyze import EXIT_USAGE, complain
from darkflow.commands.checks import (
    FAILED,
    OK,
    UNKNOWN,
    WARNING,
    Finding,
    clock_findings,
    interface_findings,
    kernel_findings,
    memory_findings,
    permission_findings,
    store_findings,
)
from darkflow.sources.card import Card, names
from darkflow.units import SECOND_NS, parse_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

MOST_SECONDS = 600
STYLES = {OK: "green", WARNING: "yellow", FAILED: "bold red", UNKNOWN: "cyan"}
INDENT = " " * 25


def doctor_command(options: argparse.Namespace, settings: dict[str, Any]) -> int:
    """Look at everything and say what is found; 0, 1 when something failed, 2 for wrong usage."""
    try:
        seconds = parse_time(options.seconds) / SECOND_NS
    except ValueError as error:
        complain(f"--seconds: {error}")
        return EXIT_USAGE
    if bool(options.outside) != bool(options.inside) or (options.mirror and options.outside):
        complain("give either --mirror IF, or --outside IF and --inside IF")
        return EXIT_USAGE
    if seconds > MOST_SECONDS:
        complain(f"--seconds: at most {MOST_SECONDS}, not {seconds:g}")
        return EXIT_USAGE
    findings: list[Finding] = []
    show = _plain if not sys.stdout.isatty() else _coloured()
    for finding in _examined(options, settings, seconds):
        findings.append(finding)
        if not options.json:
            show(finding)
    states = Counter(finding.state for finding in findings)
    if options.json:
        document = {
            "version": __version__,
            "states": {state: states[state] for state in STYLES},
            "findings": [finding._asdict() for finding in findings],
        }
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
    else:
        told = ", ".join(f"{states[state]} {state}" for state in STYLES if states[state])
        sys.stdout.write(f"\n{told}\n")
    return 1 if states[FAILED] else 0


def _examined(
    options: argparse.Namespace, settings: dict[str, Any], seconds: float
) -> Iterator[Finding]:
    of_honeypot = [name for name in (options.mirror, options.outside, options.inside) if name]
    interfaces = list(dict.fromkeys([*(options.interface or []), *of_honeypot]))
    yield from kernel_findings()
    yield from permission_findings()
    for name in interfaces:
        yield from interface_findings(name)
    if not interfaces:
        text = f"none is named; there are: {', '.join(names())}"
        yield Finding("interface", UNKNOWN, text, "darkflow doctor -i IF")
    if of_honeypot:
        from darkflow.commands.honeypot_checks import honeypot_findings

        yield from honeypot_findings(of_honeypot, settings)
    yield from memory_findings(settings, len(interfaces), bool(options.store))
    yield from clock_findings()
    if options.store:
        yield from store_findings(options.store, settings)
    up = [name for name in interfaces if _is_up(name)]
    if up and seconds:
        from darkflow.commands.listening import listening_findings

        if sys.stderr.isatty():
            sys.stderr.write(f"listening on {', '.join(up)} for up to {seconds:g} s\n")
        sys.stdout.flush()
        yield from listening_findings(up, settings, seconds)
    elif interfaces:
        why = "no interface is up" if seconds else "not listened for: --seconds 0"
        yield Finding("directions", UNKNOWN, why)


def _is_up(name: str) -> bool:
    try:
        return Card(name).is_up
    except OSError:
        return False


def lines_of(finding: Finding) -> tuple[str, str]:
    """(what was found, how to mend it or ""), without the state that stands before it."""
    about = f"{finding.about}: " if finding.about else ""
    mend = f"{INDENT}-> {finding.mend}" if finding.mend else ""
    return f"{finding.check:15} {about}{finding.found}", mend


def _plain(finding: Finding) -> None:
    found, mend = lines_of(finding)
    sys.stdout.write(f"{finding.state:8} {found}\n" + (f"{mend}\n" if mend else ""))


class _coloured:
    """The same on a terminal: the state has a colour; a command to copy is never broken."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False, soft_wrap=True)

    def __call__(self, finding: Finding) -> None:
        from rich.text import Text

        found, mend = lines_of(finding)
        self._console.print(Text(f"{finding.state:8} ", STYLES[finding.state]) + Text(found))
        if mend:
            self._console.print(Text(mend, "bold"))
