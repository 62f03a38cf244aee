"""`darkflow lab`: real scanners in a small internet of namespaces, and what is dark in it."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from darkflow.commands.analyze import EXIT_USAGE, complain
from darkflow.lab.run import MIN_SECONDS, LabResult, can_run, run_lab
from darkflow.lab.topology import WATCHED_NETWORKS
from darkflow.units import parse_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

MOST_SECONDS = 600


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def lab_command(options: argparse.Namespace, analyze: Callable[[list[str]], int]) -> int:
    """Run the lab (or take a recorded run) and analyze its capture; the exit status.

    `analyze` runs `darkflow analyze` with these arguments.
    """
    try:
        seconds = parse_time(options.seconds) / 1e9
    except ValueError as error:
        complain(f"--seconds: {error}")
        return EXIT_USAGE
    if not MIN_SECONDS <= seconds <= MOST_SECONDS:
        complain(f"--seconds: a run takes {MIN_SECONDS:g} to {MOST_SECONDS} s, not {seconds:g}")
        return EXIT_USAGE
    reason = can_run()
    if reason is not None:
        return _recorded(options.recorded, reason, analyze)
    with tempfile.TemporaryDirectory(prefix="darkflow-") as folder:
        capture = Path(options.keep or f"{folder}/lab.pcap")
        try:
            outcome = run_lab(capture, seconds, lambda line: _say(f"  {line}"))
        except (OSError, RuntimeError) as error:
            complain(f"the lab could not run: {error}")
            return EXIT_USAGE
        _tell(outcome)
        status = analyze(_arguments(str(capture)))
    if options.keep:
        _say_next(options.keep)
    elif options.recorded:
        _say(f"\nSuch a run was recorded: {options.recorded}")
        _say_next(options.recorded)
    return status or (1 if outcome.failures else 0)


def _say_next(capture: str) -> None:
    """What to type next, as it can be typed here."""
    program = os.path.relpath(sys.argv[0])
    _say(f"\nNext: {program} analyze {capture} --events dark.jsonl")


def _arguments(capture: str) -> list[str]:
    return ["analyze", capture, "--networks", ",".join(WATCHED_NETWORKS)]


def _tell(outcome: LabResult) -> None:
    for failure in outcome.failures:
        complain(failure)
    _say("\nWhat passed the gateway, as `darkflow analyze` sees it:")


def _recorded(capture: str | None, reason: str, analyze: Callable[[list[str]], int]) -> int:
    """Without root: a run that was recorded."""
    if capture is None:
        complain(f"{reason}; with --recorded FILE a recorded run is analyzed instead")
        return EXIT_USAGE
    _say(f"Not live: {reason}.")
    _say("As root this would build the lab, let nmap, masscan, zmap, hping3 and curl loose in it,")
    _say(f"and capture at its gateway. Here is a run that was recorded: {capture}")
    status = analyze(_arguments(capture))
    _say_next(capture)
    return status
