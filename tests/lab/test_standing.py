"""The lab that stays: up, attack, shell, down; what cannot be is said; nothing stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from darkflow.lab.namespaces import existing
from darkflow.lab.standing import State, command_in, read_state
from running import DARKFLOW, darkflow


def _is_of(process: Path, folder: Path) -> bool:
    try:
        return str(folder) in (process / "cmdline").read_text()
    except OSError:
        return False


def test_up_attack_shell_and_down(real_lab: None, tmp_path: Path) -> None:
    del real_lab
    folder = tmp_path / "lab"
    assert "There is no lab" in darkflow("lab", "down").stdout
    assert "not up" in darkflow("lab", "shell").stderr
    done = darkflow("lab", "up", "--mode", "inline", "-T", "500ms", "--folder", str(folder))
    try:
        assert done.returncode == 0, done.stderr
        assert "up already" in darkflow("lab", "up", "--folder", str(tmp_path / "other")).stderr
        # Without options, as the hint has them: a second curl is connected at T, too.
        words = ("curl", "-sS", "-m", "9", "http://203.0.113.201/")
        page = darkflow("lab", "shell", "outside", "--", *words)
        assert "It works" in page.stdout, page.stderr
        assert "wan0" in darkflow("lab", "shell", "--", "ip", "-br", "link").stdout
        refused = darkflow("lab", "run", "--folder", str(folder))
        assert (refused.returncode, "a lab is running in" in refused.stderr) == (2, True)
        assert (folder / "control.sock").exists()
        inside = darkflow("lab", "shell", "honeypot", "--", "ip", "-br", "link")
        assert "hp1" in inside.stdout, inside.stderr
        attacked = darkflow("lab", "attack", "curl")
        assert attacked.returncode == 0, attacked.stdout
        assert attacked.stdout.count("It works") == 4
        assert "is none of" in darkflow("lab", "attack", "nuke").stderr
        flows = darkflow("flows", "--control", str(folder / "control.sock"))
        assert "5 flows diverted" in flows.stdout, flows.stderr
    finally:
        assert "The lab is gone" in darkflow("lab", "down").stdout
    assert not Path("/run/darkflow-lab").exists()
    assert not [pid for pid in Path("/proc").glob("[0-9]*") if _is_of(pid, folder)]


def test_of_two_that_come_at_once_one_is_up(real_lab: None, tmp_path: Path) -> None:
    del real_lab
    argv = [str(DARKFLOW), "lab", "up", "-T", "500ms", "--folder"]
    try:
        both = [
            subprocess.Popen([*argv, str(tmp_path / name)], stderr=subprocess.PIPE, text=True,
                             stdout=subprocess.DEVNULL)
            for name in "ab"
        ]  # fmt: skip
        errors = [one.communicate(timeout=90)[1] for one in both]
        assert sorted(one.returncode for one in both) == [0, 2]
        assert "up already" in "".join(errors)
    finally:
        assert "The lab is gone" in darkflow("lab", "down").stdout


def _made_by(name: str) -> int:
    """The process that a namespace of a lab is named after."""
    return int(name.split("-")[2].split(".")[0])


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("moment", ["its check", "its keeper"])
def test_an_interrupted_start_leaves_nothing(
    real_lab: None, tmp_path: Path, moment: str, number: signal.Signals, status: int
) -> None:
    del real_lab
    argv = [str(DARKFLOW), "lab", "up", "--folder", str(tmp_path / "lab")]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as run:

        def builders() -> set[int]:
            pids = {_made_by(name) for name in existing()}
            by_check = moment == "its check"
            return {p for p in pids if (p if by_check else _parent(p)) == run.pid}

        until_s = time.monotonic() + 30
        while not (mine := builders()):
            assert time.monotonic() < until_s
        run.send_signal(number)
        assert run.wait(60) == status
    assert not [name for name in existing() if _made_by(name) in {run.pid, *mine}]
    assert read_state() is None
    assert not [pid for pid in Path("/proc").glob("[0-9]*") if _is_of(pid, tmp_path)]


def test_a_keeper_that_was_killed_is_none(real_lab: None, tmp_path: Path) -> None:
    del real_lab
    folder = tmp_path / "lab"
    done = darkflow("lab", "up", "-T", "500ms", "--folder", str(folder))
    try:
        assert done.returncode == 0, done.stderr
        state = read_state()
        assert state is not None
        os.kill(state.pid, signal.SIGKILL)
        until_s = time.monotonic() + 10
        while state.is_alive and time.monotonic() < until_s:
            time.sleep(0.05)
        assert read_state() is None
        assert "not up" in darkflow("lab", "attack").stderr
    finally:
        assert "The lab is gone" in darkflow("lab", "down").stdout
    assert not [name for name in existing() if f"-{state.pid}." in name]


def test_places() -> None:
    names = {"outside": "x-outside", "gateway": "x-gateway", "inside": "x-inside"}
    state = State(1, 0, "inline", 5.0, "/tmp/lab", names, 77)
    assert not state.is_alive
    assert command_in(state, "router", ["ip", "addr"])[-3:] == ["x-gateway", "ip", "addr"]
    assert command_in(state, "honeypot", ["ss"])[:3] == ["nsenter", "-t", "77"]
    with pytest.raises(ValueError, match="'machine' is no place of this lab: outside, router"):
        command_in(state, "machine", ["sh"])
