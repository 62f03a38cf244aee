"""The hping3 experiment (4.1.3): a forged late SYN+ACK during a download from the honeypot."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from darkflow.lab.answering import Place, start_darkflow, start_inhabitants
from darkflow.lab.evaluate.clients import ABSENT
from darkflow.lab.evaluate.network import END_S, status
from darkflow.lab.namespaces import built, entered, workspace
from darkflow.lab.programs import Program, Programs
from darkflow.lab.topology import INSIDE, OUTSIDE, PATIENT, honeypot_internet

HOLD_S, QUICK_S = 1.0, 0.4
SETTINGS = ("cuts", "unless-established")
# The responder ends a connection after some thirty pages.
BEFORE_S, AFTER_S, PAUSE_S, PATIENCE_S = 0.8, 2.0, 0.15, 1.0
QUICK_BEFORE_S, QUICK_AFTER_S = 0.4, 0.8
PORT = 80
_ASK = b"GET /%d HTTP/1.1\r\nHost: lab\r\nConnection: keep-alive\r\n\r\n"
_PIECE = 1 << 16


def run(folder: Path, quick: bool, report: Callable[[str], None]) -> dict[str, Any]:
    """Both settings: what the client got before and after, and what Darkflow says of it."""
    hold_s, *spans_s = (
        (QUICK_S, QUICK_BEFORE_S, QUICK_AFTER_S) if quick else (HOLD_S, BEFORE_S, AFTER_S)
    )
    found: dict[str, Any] = {"hold_s": hold_s, "after_s": spans_s[1], "settings": {}}
    for number, setting in enumerate(SETTINGS):
        report(f"--late-answer {setting}: a client downloads, hping3 forges the real host's answer")
        found["settings"][setting] = _one(
            Place(folder / setting), setting, 41_000 + number, hold_s, spans_s
        )
    return found


def _one(
    place: Place, setting: str, port: int, hold_s: float, spans_s: Sequence[float]
) -> dict[str, Any]:
    with (
        place.prepared(),
        built(honeypot_internet("mirror")) as names,
        workspace() as directory,
        Programs(directory, place.programs.resolve()) as programs,
    ):
        start_inhabitants(programs, names, hold_s)
        more = ("--late-answer", setting)
        darkflow = start_darkflow(programs, names, "mirror", hold_s, place, more)
        darkflow.wait()
        with entered(names[OUTSIDE]):
            client = socket.socket()
        with client:
            client.settimeout(hold_s + 6.0)
            client.bind((PATIENT.ipv4, port))
            client.connect((ABSENT, PORT))
            before, ok = downloaded(client, spans_s[0])
            began_s = time.monotonic()
            forged = _forge(programs, names[INSIDE], port)
            after, went_on = downloaded(client, spans_s[1])
            lasted_s = time.monotonic() - began_s
        kernel = status(place.control).get("kernel", {})
        darkflow.program.stop(signal.SIGTERM, END_S)
        events = _events(place.events)
    found = {
        "bytes_before": before, "bytes_after": after, "downloading_before": ok,
        "survived": went_on, "watched_s": round(lasted_s, 2), "kept": kernel.get("kept"),
        "hping3_exit": forged.exit_code,
        "cuts": [e["cut"]["cut_by"] for e in events if e["event_type"] == "cut"],
        "ends": [e["session"]["end_reason"] for e in events if e["event_type"] == "session"],
    }  # fmt: skip
    check(setting, found)
    return found


def check(setting: str, found: Mapping[str, Any]) -> None:
    """RuntimeError when this says nothing: no download to disturb, or no forged packet seen.

    hping3 ends with 1 whether its packet got through or not, as nobody answers it: what tells is
    that Darkflow has cut the flow, or has kept it although it saw the packet.
    """
    if not found["downloading_before"]:
        raise RuntimeError(
            f"--late-answer {setting}: the download had ended before the forged packet was sent"
        )
    if not found["cuts"] and not found["kept"]:
        raise RuntimeError(
            f"--late-answer {setting}: Darkflow saw no forged SYN+ACK (hping3 ended with status"
            f" {found['hping3_exit']})"
        )


def downloaded(client: socket.socket, seconds: float) -> tuple[int, bool]:
    """Ask for page after page in one connection; bytes that came, and whether it still goes on.

    A connection is over when an answer does not come within PATIENCE_S, or when it was closed.
    """
    end_s, total, number = time.monotonic() + seconds, 0, 0
    client.settimeout(PATIENCE_S)
    try:
        while time.monotonic() < end_s:
            client.sendall(_ASK % number)
            number += 1
            piece = client.recv(_PIECE)
            if not piece:
                return total, False
            total += len(piece)
            time.sleep(PAUSE_S)
    except OSError:
        return total, False
    return total, True


def _forge(programs: Programs, namespace: str, port: int) -> Program:
    """One SYN+ACK in the absent host's name, from where it would stand."""
    argv = ["hping3", "-S", "-A", "-c", "1", "-a", ABSENT, "-s", str(PORT), "-k", "-p", str(port)]
    argv += ["-M", "12345", "-L", "1", PATIENT.ipv4]
    program = programs.start("hping3", namespace, argv, 5.0)
    time.sleep(0.3)
    return program


def _events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
