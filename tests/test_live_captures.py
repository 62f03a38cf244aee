"""Real captures, replayed at their own speed: live is what `analyze` says of the same packets.

Each capture has a wire of its own. tcpdump records beside the sensor, because a replay's times are
not the capture's; what `analyze` says of that recording must be what the sensor has said, flow by
flow, and it must be as many dark flows as the truth knows of.
"""

from __future__ import annotations

import csv
import signal
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from conftest import skip
from running import darkflow
from wires import Recording, SensorProcess, assert_same, cannot, dark_flows, wire
from writers import Pcap, ethernet, ip

LONGEST_S = 60.0
QUIET_S = 5.5
LANES = 12
SECOND_NS = 1_000_000_000
# capinfos says nothing of them, and tcpreplay does not read them to their end.
DAMAGED = ("damaged", 0.0)


def durations(captures: Path, names: list[str]) -> dict[str, tuple[str, float]]:
    """(link type, seconds) of captures, as capinfos says."""
    done = subprocess.run(
        ["capinfos", "-T", "-m", "-u", "-E", *names],
        cwd=captures, capture_output=True, text=True, check=False,
    )  # fmt: skip
    rows = list(csv.reader(done.stdout.splitlines()))[1:]
    # "n/a": there are no times in it.
    return {
        name: (link, float(seconds) if seconds[:1].isdigit() else -1)
        for name, link, seconds in rows
    }


def left_out(expect: dict[str, Any], link: str, seconds: float) -> str | None:
    """Why a capture is not replayed; None: it is."""
    if expect["attempts"] == 0:
        return "no attempt in it"
    if link not in ("ether", DAMAGED[0]):
        return "not Ethernet, which is all that tcpreplay sends here"
    if expect["disorder_ns"] > SECOND_NS:
        return "its times run backwards"
    if seconds > LONGEST_S:
        return "longer than a minute"
    return "damaged" if link == DAMAGED[0] else None


@dataclass(frozen=True)
class Replayed:
    """What came of one capture."""

    live: dict[tuple[Any, ...], dict[str, Any]]
    file: dict[tuple[Any, ...], dict[str, Any]]
    status: int
    log: str


def replayed(capture: Path, folder: Path, number: int) -> Replayed:
    """Send a capture past a sensor, on a wire of its own; what sensor and file say."""
    folder.mkdir()
    with wire(number) as link:
        beside = Recording(link, folder / "beside.pcap")
        sensor = SensorProcess(link, folder, "--ring-size", "32MiB")
        link.replay(capture, limit_s=LONGEST_S + 30)
        time.sleep(QUIET_S)
        # The sensor does not see it; in the file it tells that time has passed.
        link.replay(last_packet(folder))
        status, _ = sensor.end(signal.SIGTERM)
        beside.end()
    lines = folder / "file.jsonl"
    done = darkflow("analyze", str(beside.path), "--events", str(lines))
    assert done.returncode in (0, 1), done.stderr
    file = dark_flows(lines.read_text().splitlines())
    return Replayed(dark_flows(sensor.lines), file, status, sensor.log)


def last_packet(folder: Path) -> Path:
    """A capture of one datagram."""
    path = folder / "last.pcap"
    path.write_bytes(Pcap().file([(0, ethernet(ip("192.0.2.1", "192.0.2.2", 17, bytes(8))))]))
    return path


@pytest.fixture(scope="module")
def chosen(truth: dict[str, Any], captures: Path) -> tuple[list[str], Counter[str]]:
    """Captures to replay, the longest first; how many are left out, and why."""
    if which("capinfos") is None:
        skip("capinfos is missing: apt-get install tshark")
    found = durations(captures, sorted(truth))
    reasons = {name: left_out(truth[name]["expect"], *found.get(name, DAMAGED)) for name in truth}
    taken = [name for name, reason in reasons.items() if reason is None]
    taken.sort(key=lambda name: found[name][1], reverse=True)
    return taken, Counter(reason for reason in reasons.values() if reason is not None)


def test_captures_that_are_left_out(chosen: tuple[list[str], Counter[str]]) -> None:
    assert chosen[1] == {
        "longer than a minute": 42,
        "not Ethernet, which is all that tcpreplay sends here": 15,
        "no attempt in it": 8,
        "its times run backwards": 4,
        "damaged": 1,
    }
    assert len(chosen[0]) == 47


def test_live_is_what_the_file_says_of_real_captures(
    chosen: tuple[list[str], Counter[str]],
    truth: dict[str, Any],
    captures: Path,
    tmp_path: Path,
) -> None:
    reason = cannot()
    if reason is not None:
        skip(reason)
    names = chosen[0]
    with ThreadPoolExecutor(max_workers=LANES) as pool:
        tasks = {}
        for number, name in enumerate(names):
            tasks[name] = pool.submit(replayed, captures / name, tmp_path / name, number)
            if number < LANES:
                # The longest decides how long it takes: nobody disturbs its start.
                time.sleep(0.3)
    runs = {name: task.result() for name, task in tasks.items()}
    for name, run in runs.items():
        assert "dropped_ring=0 dropped_queue=0 dropped_table=0 clamped=0" in run.log, name
        assert_same(run.live, run.file, name)
        assert run.status == 0, name
        # More if the machine was too busy to replay at full speed: then answers came too late.
        expect = truth[name]["expect"]
        assert len(run.file) >= expect["dark"] + expect["undecided"], name
    assert sum(len(run.live) for run in runs.values()) > 80_000
    assert sum("late_answers=0" not in run.log for run in runs.values()) >= 2
