"""Runs commands as whole processes and keeps what the kernel says that each of them cost."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

# Nothing here takes longer, unless it hangs.
LONGEST_S = 600


@dataclass(frozen=True)
class Command:
    """A name for the table and the programs that run one after the other."""

    name: str
    steps: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Sample:
    """What one run of a command cost, all its steps together; memory is the largest step's."""

    cpu_s: float
    wall_s: float
    peak_bytes: int


@dataclass(frozen=True)
class Figure:
    """Median, least and most of several values."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """The figure of at least one value."""
        return cls(median(values), min(values), max(values))


def environment(work: Path) -> dict[str, str]:
    """The environment of what is measured: byte code is cached, as in an installed program."""
    # PYTHONPATH stays: what is measured may be another source tree than the installed one.
    kept = {
        name: value
        for name, value in os.environ.items()
        if name == "PYTHONPATH" or not name.startswith("PYTHON")
    }
    return {**kept, "PYTHONPYCACHEPREFIX": str(work / "pycache"), "LC_ALL": "C", "TZ": "UTC"}


def run_step(argv: Sequence[str], work: Path, out: Path | None = None) -> Sample:
    """Run one program; RuntimeError with its last words if it fails.

    The kernel counts a child's peak memory from the memory of the process that starts it, so this
    process must stay small: it imports no NumPy.
    """
    errors = work / "errors.txt"
    with (out or Path(os.devnull)).open("wb") as stdout, errors.open("wb") as stderr:
        began = time.perf_counter()
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=environment(work)
        )
        limit = threading.Timer(LONGEST_S, child.kill)
        limit.start()
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            child.kill()
            raise
        finally:
            limit.cancel()
        wall_s = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        lines = errors.read_text(errors="replace").strip().splitlines() or ["no message"]
        raise RuntimeError(f"{argv[0]} ended with {child.returncode}: {lines[-1]}")
    return Sample(usage.ru_utime + usage.ru_stime, wall_s, usage.ru_maxrss * 1024)


def run_command(command: Command, work: Path) -> Sample:
    """Run all steps of a command."""
    steps = [run_step(step, work) for step in command.steps]
    return Sample(
        sum(step.cpu_s for step in steps),
        sum(step.wall_s for step in steps),
        max(step.peak_bytes for step in steps),
    )


def in_turn(commands: Sequence[Command], runs: int, work: Path) -> dict[str, list[Sample]]:
    """Run the commands A B A B ..., after one round that is not counted; samples by name.

    What disturbs the machine then disturbs all of them, and ratios hold.
    """
    samples: dict[str, list[Sample]] = {command.name: [] for command in commands}
    for turn in range(runs + 1):
        for command in commands:
            sample = run_command(command, work)
            if turn:
                samples[command.name].append(sample)
    return samples


def ratio(ours: Sequence[Sample], theirs: Sequence[Sample]) -> Figure:
    """CPU time of ours over theirs, turn by turn."""
    return Figure.of([a.cpu_s / b.cpu_s for a, b in zip(ours, theirs, strict=True)])


def warm(path: Path) -> None:
    """Read a file once, so that it comes from the page cache from then on."""
    with path.open("rb", buffering=0) as file:
        buffer = bytearray(1 << 20)
        while file.readinto(buffer):
            pass


def python(*arguments: str) -> tuple[str, ...]:
    """A command of this interpreter."""
    return (sys.executable, *arguments)


def darkflow(*arguments: str) -> tuple[str, ...]:
    """The installed program, or the module where there is none."""
    script = Path(sys.executable).parent / "darkflow"
    return (
        (str(script), *arguments) if script.exists() else python("-m", "darkflow.cli", *arguments)
    )
