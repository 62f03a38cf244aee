"""Programs end when they have to, take their children along, and say why they failed."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from darkflow.lab import programs as programs_module
from darkflow.lab.namespaces import built
from darkflow.lab.programs import Programs, missing_programs
from darkflow.lab.topology import Topology

FOREVER = float("inf")


@pytest.fixture
def namespace(real_lab: None) -> Iterator[str]:  # noqa: ARG001
    with built(Topology(("alone",), (), (), ())) as names:
        yield names["alone"]


def wait_until_gone(pid: int) -> bool:
    deadline_s = time.monotonic() + 5.0
    while time.monotonic() < deadline_s:
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


def test_missing_programs_are_named_by_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        programs_module, "PACKAGES", {"sh": "dash", "no-such-program-here": "its-package"}
    )
    assert missing_programs() == ["its-package"]


def test_output_errors_and_exit_code(namespace: str, tmp_path: Path) -> None:
    with Programs(tmp_path) as programs:
        program = programs.start(
            "speaker", namespace, ["sh", "-c", "echo out; echo one >&2; echo two >&2; exit 3"], 5.0
        )
        while program.exit_code is None:
            time.sleep(0.01)
    assert program.output() == "out\n"
    assert program.failure() == "speaker ended with code 3: two"
    assert not program.was_stopped


def test_a_program_that_does_not_exist(namespace: str, tmp_path: Path) -> None:
    with Programs(tmp_path) as programs:
        program = programs.start("nobody", namespace, ["no-such-program-here"], 5.0)
        with pytest.raises(RuntimeError, match=r"nobody ended with code \d+: .*no-such-program"):
            program.wait_for_error_line("never said", 5.0)


def test_a_line_that_never_comes(namespace: str, tmp_path: Path) -> None:
    with Programs(tmp_path) as programs:
        program = programs.start("sleeper", namespace, ["sleep", "60"], FOREVER)
        with pytest.raises(RuntimeError, match=r"sleeper did not say 'hello' within 0\.1 s"):
            program.wait_for_error_line("hello", 0.1)


def test_time_is_up(namespace: str, tmp_path: Path) -> None:
    with Programs(tmp_path) as programs:
        short = programs.start("short", namespace, ["sleep", "60"], 0.1)
        long = programs.start("long", namespace, ["sleep", "60"], FOREVER)
        time.sleep(0.2)
        programs.stop_expired()
        assert short.exit_code == -signal.SIGTERM
        assert short.was_stopped
        assert long.exit_code is None
    assert long.exit_code is not None


def test_children_and_the_stubborn_are_ended_too(
    namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs_module, "_GRACE_S", 0.2)
    script = "trap '' TERM; sleep 60 & echo $!; while :; do sleep 0.1; done"
    with Programs(tmp_path) as programs:
        program = programs.start("stubborn", namespace, ["sh", "-c", script], FOREVER)
        while not program.output().strip():
            time.sleep(0.01)
        child = int(program.output())
    assert program.exit_code == -signal.SIGKILL
    assert wait_until_gone(child)


def test_the_environment_is_the_labs_own(
    namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:3128")
    with Programs(tmp_path) as programs:
        program = programs.start("env", namespace, ["env"], 5.0)
        while program.exit_code is None:
            time.sleep(0.01)
    names = {line.split("=")[0] for line in program.output().splitlines()}
    assert "http_proxy" not in names
    assert f"HOME={tmp_path}" in program.output()
