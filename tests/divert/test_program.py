"""How one service is started: its command, its limits; what runs is in test_keeper.py."""

from __future__ import annotations

import errno
import json
import os
import selectors
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from darkflow.divert.program import PATH, Program, ServiceState, found, relay_command, rlimits
from darkflow.divert.services import Service


def test_the_program_has_its_whole_path(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("")
    (tmp_path / "tool").chmod(0o755)

    def whole(*command: str, directory: str = "") -> list[str]:
        return found(Service("a", (), command, directory=directory), f"{tmp_path}:{PATH}")

    assert whole("tool", "x") == [str(tmp_path / "tool"), "x"]
    assert whole("/opt/tool") == ["/opt/tool"]
    assert whole("bin/tool", directory="/opt/a") == ["/opt/a/bin/tool"]
    assert whole("../tool", directory="/opt/a") == ["/opt/tool"]
    # Said by whoever starts it.
    assert whole("no-such-tool") == ["no-such-tool"]


def test_a_state_in_words() -> None:
    well = ServiceState("a", "running", 7, 1.0, 0, None, 0, True)
    assert well.describe() == "running as process 7"
    deaf = ServiceState("a", "running", 7, 1.0, 2, 1, 5, False)
    assert deaf.describe() == (
        "running as process 7, nothing listens on its ports, restarted 2 times, output lost: 5"
    )
    assert ServiceState("a", "waiting", 0, 1.0, 1, 127, 0, False).describe() == (
        "waiting after status 127, restarted 1 times"
    )
    assert ServiceState("a", "starting", 0, 0.0, 0, None, 0, False).describe() == "starting"


def test_memory_is_a_limit_of_each_process_only_without_a_cgroup() -> None:
    service = Service("a", (), ("true",), memory_bytes=99, open_files=5, processes=7)
    assert rlimits(service, frozenset()) == {"CORE": 0, "NOFILE": 5, "NPROC": 7, "DATA": 99}
    assert "DATA" not in rlimits(service, frozenset(["memory"]))


def test_a_relay_is_told_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    service = Service("a", (), target=("198.51.100.7", 22), connections=9, proxy_protocol=True)
    argv, files, environment = relay_command(service, [5, 6])
    assert argv[:3] == [sys.executable, "-m", "darkflow.divert.relay"]
    assert files == [5, 6]
    assert "SECRET" not in environment
    spec = json.loads(argv[3])
    assert (spec["address"], spec["port"], spec["connections"]) == ("198.51.100.7", 22, 9)
    assert (spec["proxy_protocol"], spec["parent"]) == (True, os.getpid())


class Sleeper(Program):
    """One that needs no namespace."""

    def _described(self) -> tuple[list[str], list[int], dict[str, str]]:
        return ["/bin/sleep", "600"], [], {}


@pytest.mark.parametrize("missing", ["dup", "pidfd_open"])
def test_one_that_cannot_be_watched_is_ended_and_started_again(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file number is free between its start and the first look at it."""
    started: list[int] = []
    popen = subprocess.Popen

    def noted(*words: Any, **options: Any) -> subprocess.Popen[bytes]:
        process = popen(*words, **options)
        started.append(process.pid)
        return process

    def refuse(_: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(subprocess, "Popen", noted)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with selectors.DefaultSelector() as selector:
        program = Sleeper(Service("a", (), ("sleep",)), -1, selector)
        with monkeypatch.context() as patch:
            patch.setattr(os, missing, refuse)
            program.turn(time.monotonic(), stopping=False)
        assert (program.state().state, program.is_over) == ("waiting", True)
        assert not Path(f"/proc/{started[0]}").exists()
        assert not selector.get_map()
        assert program.next_s is not None
        program.turn(program.next_s, stopping=False)
        assert (program.state().state, program.restarts) == ("running", 1)
        program.turn(time.monotonic(), stopping=True)
        while not program.is_over:
            for key, _ in selector.select(5):
                key.data()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
