"""Lines of the sensor's log."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from darkflow.commands.log import Log

SAY = """
from darkflow.commands.log import Log
import sys
log = Log()
for n in range(int(sys.argv[1])):
    log("info", f"line {n} " + 60 * "x")
print("said")
"""


def say(lines: int, stderr: int) -> str:
    """What a program prints after so many lines of log."""
    done = subprocess.run(
        [sys.executable, "-c", SAY, str(lines)],
        stdout=subprocess.PIPE, stderr=stderr, timeout=20, check=True, text=True,
    )  # fmt: skip
    return done.stdout


def test_a_line_has_time_level_message_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    Log()("warning", "something happened", count=3, name="w1")
    told = capsys.readouterr().err
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ warning something happened count=3 name=w1\n", told
    )


def test_lines_can_go_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    log, lines = Log(), list[str]()
    log.write = lines.append
    log("info", "here")
    assert lines[0].endswith("Z info here")
    assert capsys.readouterr().err == ""


def test_a_full_disk_costs_lines_and_nothing_else() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        assert say(3, full) == "said\n"
    finally:
        os.close(full)


def test_a_reader_that_has_gone_costs_lines_and_nothing_else() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert say(3, writer) == "said\n"
    finally:
        os.close(writer)


def test_a_reader_that_stalls_holds_nobody_up() -> None:
    reader, writer = os.pipe()
    try:
        assert say(2000, writer) == "said\n"  # more than a pipe holds
        lines = os.read(reader, 1 << 20).decode().splitlines(keepends=True)
    finally:
        os.close(reader)
        os.close(writer)
    assert 100 < len(lines) < 2000
    assert all(line.endswith("xxx\n") for line in lines)


def test_what_was_lost_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log = Log()
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        log("info", "one")
        log("info", "two")
        with (tmp_path / "log").open("w") as file:
            monkeypatch.setattr(sys, "stderr", file)
            log("info", "three")
            log("info", "four")
    told = [line.split(" ", 1)[1] for line in (tmp_path / "log").read_text().splitlines()]
    assert told == [
        "warning lines of this log were lost count=2", "info three", "info four",
    ]  # fmt: skip
