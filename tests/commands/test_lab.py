"""`darkflow lab` as `make run` calls it, with root and without."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from darkflow.commands.lab import place_and_command
from darkflow.lab.run import can_run
from running import DARKFLOW, darkflow

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "lab.pcap"


def test_without_root_the_recorded_run_is_analyzed() -> None:
    if os.geteuid() == 0:
        done = darkflow(
            "lab", "--recorded", str(EXAMPLE), env={**os.environ, "PATH": "/nonexistent"}
        )
    else:
        done = darkflow("lab", "--recorded", str(EXAMPLE))
    assert done.returncode == 0, done.stderr
    assert "As root this would build a small internet" in done.stdout
    assert "1,813" in done.stdout
    assert "Dark flows by destination port" in done.stdout


@pytest.mark.parametrize("seconds", ["banana", "3", "1h"])
def test_a_length_that_cannot_be_is_one_line(seconds: str) -> None:
    done = darkflow("lab", "capture", "--seconds", seconds)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "--seconds" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("run", "outside"), "takes no 'outside'"),
        (("--hold", "banana"), "--hold"),
        (("up", "-T", "31s"), "0.2 to 30 s, not 31"),
    ],
)
def test_what_cannot_be_is_one_line(words: tuple[str, ...], told: str) -> None:
    done = darkflow("lab", *words)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert told in done.stderr


@pytest.mark.parametrize(
    ("line", "place", "command"),
    [
        ("", "outside", []),
        ("router", "router", []),
        ("router ip addr", "router", ["ip", "addr"]),
        ("router -- ip addr", "router", ["ip", "addr"]),
        ("-- ip addr", "outside", ["ip", "addr"]),
        ("-- router", "outside", ["router"]),
    ],
)
def test_where_a_shell_is_and_what_it_runs(line: str, place: str, command: list[str]) -> None:
    argv = ["lab", "shell", *line.split()]
    words = [word for word in argv[2:] if word != "--"]
    assert place_and_command(words, argv) == (place, command)


def test_a_folder_that_holds_something_else_is_left_alone(real_lab: None, tmp_path: Path) -> None:
    del real_lab
    (tmp_path / "thesis.tex").write_text("mine")
    done = darkflow("lab", "--folder", str(tmp_path))
    assert done.returncode == 2
    assert "holds something else" in done.stderr
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_the_live_lab_is_analyzed(real_lab: None, tmp_path: Path) -> None:
    del real_lab
    kept = tmp_path / "kept.pcap"
    done = darkflow("lab", "capture", "--seconds", "12", "--keep", str(kept))
    assert done.returncode == 0, done.stderr
    assert "pages served" in done.stdout
    assert "Top sources of dark flows" in done.stdout
    assert "198.51.100.30" in done.stdout  # masscan
    assert kept.stat().st_size > 50_000
    assert can_run() is None
    assert Path(sys.executable).parent == DARKFLOW.parent
