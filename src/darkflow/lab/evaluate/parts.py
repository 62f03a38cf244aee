"""The parts of the evaluation in turn; one that fails or is interrupted loses no other."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import SubprocessError
from typing import Any

from darkflow import __version__
from darkflow.lab.answering import Place
from darkflow.lab.evaluate import forged, machine, network

# In this order; what each is, and about how long it takes.
PARTS = {
    "network": "a network with live hosts, clients and scans, 3 minutes",
    "forged": "a forged late answer during a download, half a minute",
    "throughput": "a connection through the data plane, a minute and a half",
    "cut": "from the late answer to the cut, a minute",
    "lists": "lists of unused addresses beside the flow table, half a minute",
}

# Errors whose words are a sentence.
SPOKEN = (OSError, RuntimeError, ValueError, AssertionError, SubprocessError)

Report = Callable[[str], None]
Read = Callable[[Path], dict[str, Any]]


def run(
    names: Sequence[str], quick: bool, folder: Path, report: Report, read: Read
) -> dict[str, Any]:
    """The document of all parts; `read` takes out of the network's store what is shown.

    folder: empty, for stores and logs. Ctrl-C ends it early: the document says `interrupted`.
    """
    began_s = time.monotonic()
    document: dict[str, Any] = {
        "darkflow": __version__, "quick": quick, "interrupted": False, "machine": this_machine(),
        "chosen": list(names), "parts": {},
    }  # fmt: skip
    for number, name in enumerate(names, 1):
        report(f"{number} of {len(names)}: {name} ({PARTS[name]})")
        part_s = time.monotonic()
        try:
            found = _one(name, quick, folder, report, read)
        except KeyboardInterrupt:
            found = {"failed": "interrupted"}
        except Exception as error:
            # Whatever it is: the other parts took minutes.
            found = {"failed": _reason(error)}
        if "failed" in found:
            report(f"  {name}: {found['failed']}")
        found["elapsed_s"] = round(time.monotonic() - part_s, 1)
        document["parts"][name] = found
        if found.get("failed") == "interrupted" or found.get("interrupted"):
            document["interrupted"] = True
            break
    document["elapsed_s"] = round(time.monotonic() - began_s, 1)
    return document


def _one(name: str, quick: bool, folder: Path, report: Report, read: Read) -> dict[str, Any]:
    def said(line: str) -> None:
        report(f"  {line}")

    if name == "network":
        place = Place(folder / "network")
        found, interrupted = network.run(place, quick, said)
        said("reading the store")
        try:
            stored = read(place.store)
        except Exception as error:
            return {**found, "interrupted": interrupted, "store": None, "unread": _reason(error)}
        return {**found, "interrupted": interrupted, "store": stored}
    if name == "forged":
        return forged.run(folder / "forged", quick, said)
    measures = {"throughput": machine.throughput, "cut": machine.cut, "lists": machine.lists}
    return measures[name](quick, said)


def _reason(error: Exception) -> str:
    """One line; the kind too where the words alone say little, as those of a KeyError."""
    words = str(error).strip().partition("\n")[0]
    if words and isinstance(error, SPOKEN):
        return words
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def this_machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "cores": os.cpu_count(), "processor": model, "kernel": platform.release(),
        "python": platform.python_version(),
    }  # fmt: skip
