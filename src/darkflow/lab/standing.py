"""The lab that stays: `darkflow lab up` starts a keeper that holds it, `down` ends it.

    python -m darkflow.lab.standing MODE SECONDS FOLDER

is the keeper: it builds the lab with Darkflow in it, says so in the state file, and waits for
SIGTERM. Whatever ends it takes the programs along; the namespaces go with the next start or `down`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from darkflow.lab.answering import (
    Place,
    inside_honeypot,
    lock_or_say,
    start_darkflow,
    start_inhabitants,
)
from darkflow.lab.namespaces import built, remove_leftovers, start_time, uninterrupted, workspace
from darkflow.lab.programs import Programs
from darkflow.lab.run import terminated_like_interrupted
from darkflow.lab.topology import GATEWAY, INSIDE, MACHINE, OUTSIDE, honeypot_internet

RUN = Path("/run/darkflow-lab")
# What a user calls the places, and the namespace of each; "honeypot" is inside Darkflow's own.
ROLES = {"outside": OUTSIDE, "router": GATEWAY, "inside": INSIDE, "machine": MACHINE}
HONEYPOT = "honeypot"
UP_LIMIT_S, DOWN_LIMIT_S = 60.0, 30.0
_TURN_S = 0.1


@dataclass(frozen=True)
class State:
    """A lab that is up: its keeper (process and start time), and what is where."""

    pid: int
    start: int
    mode: str
    hold_s: float
    folder: str
    names: dict[str, str]
    darkflow_pid: int

    @property
    def is_alive(self) -> bool:
        """Whether the keeper is still there."""
        return start_time(self.pid) == self.start

    @property
    def place(self) -> Place:
        """Where it keeps what it finds."""
        return Place(Path(self.folder))


def state_file() -> Path:
    """Where a lab that is up says so."""
    return RUN / "state.json"


def _lock_file() -> Path:
    """Whose lock the keeper of the lab that is up holds."""
    return RUN / "lock"


def read_state() -> State | None:
    """The lab that is up; None when there is none, or its keeper was killed."""
    try:
        state = State(**json.loads(state_file().read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return state if state.is_alive else None


def needed() -> State:
    """The lab that is up; ValueError when there is none."""
    state = read_state()
    if state is None:
        raise ValueError("the lab is not up (sudo darkflow lab up)")
    return state


def up(mode: str, hold_s: float, folder: Path) -> State:
    """Start a lab that stays; ValueError when one is up, RuntimeError with what its keeper says."""
    if read_state() is not None:
        raise ValueError("the lab is up already (sudo darkflow lab down)")
    RUN.mkdir(mode=0o755, exist_ok=True)
    argv = [sys.executable, "-m", "darkflow.lab.standing", mode, f"{hold_s:g}", str(folder)]
    with tempfile.TemporaryFile("w+") as log:
        keeper = None
        try:
            with uninterrupted():
                keeper = subprocess.Popen(
                    argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            return _appeared(keeper, log)
        except BaseException:
            if keeper is not None:
                _end(keeper)
            raise


def _appeared(keeper: subprocess.Popen[bytes], log: IO[str]) -> State:
    """The state that this keeper writes; RuntimeError with the last line that it said."""
    deadline_s = time.monotonic() + UP_LIMIT_S
    while (state := read_state()) is None or state.pid != keeper.pid:
        if keeper.poll() is not None or time.monotonic() > deadline_s:
            log.seek(0)
            lines = log.read().strip().splitlines() or ["its keeper said nothing"]
            raise RuntimeError(lines[-1])
        time.sleep(_TURN_S)
    return state


def _end(keeper: subprocess.Popen[bytes]) -> None:
    """A keeper whose lab is not wanted any more takes it down."""
    keeper.terminate()
    try:
        keeper.wait(DOWN_LIMIT_S)
    except subprocess.TimeoutExpired:
        keeper.kill()
        keeper.wait()
    remove_leftovers()


def down() -> bool:
    """Take it away, whatever is left of it; whether there was one."""
    state = read_state()
    if state is not None:
        os.kill(state.pid, signal.SIGTERM)
        deadline_s = time.monotonic() + DOWN_LIMIT_S
        while state.is_alive and time.monotonic() < deadline_s:
            time.sleep(_TURN_S)
        if state.is_alive:
            os.kill(state.pid, signal.SIGKILL)
            while state.is_alive:
                time.sleep(_TURN_S)
    left = remove_leftovers()
    state_file().unlink(missing_ok=True)
    _lock_file().unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        RUN.rmdir()
    return state is not None or bool(left)


def command_in(state: State, where: str, argv: Sequence[str]) -> list[str]:
    """The command that runs another one at a place of the lab; ValueError when there is none."""
    if where == HONEYPOT:
        return inside_honeypot(state.darkflow_pid, list(argv))
    namespace = state.names.get(ROLES.get(where, ""))
    if namespace is None:
        there = [name for name, role in ROLES.items() if role in state.names]
        raise ValueError(f"{where!r} is no place of this lab: {', '.join([*there, HONEYPOT])}")
    return ["ip", "netns", "exec", namespace, *argv]


@contextlib.contextmanager
def _alone(lock: IO[str]) -> Iterator[None]:
    """One lab is up at a time, whoever else starts one just now."""
    lock_or_say(lock, "the lab is up already (sudo darkflow lab down)")
    yield


def _keep(mode: str, hold_s: float, folder: Path) -> None:
    place = Place(folder)
    with (
        terminated_like_interrupted(),
        _lock_file().open("a") as lock,
        _alone(lock),
        place.prepared(),
        built(honeypot_internet(mode)) as names,
        workspace() as directory,
        Programs(directory, place.programs.resolve()) as programs,
    ):
        start_inhabitants(programs, names, hold_s)
        darkflow = start_darkflow(programs, names, mode, hold_s, place)
        darkflow.wait()
        start = start_time(os.getpid())
        assert start is not None
        state = State(
            os.getpid(), start, mode, hold_s, str(folder.resolve()), dict(names),
            darkflow.program.pid,
        )  # fmt: skip
        fresh = state_file().with_suffix(".new")
        fresh.write_text(json.dumps(asdict(state)))
        fresh.rename(state_file())
        try:
            while True:
                signal.pause()
        finally:
            state_file().unlink(missing_ok=True)
            darkflow.program.stop(signal.SIGTERM, DOWN_LIMIT_S / 2)


def main(argv: Sequence[str]) -> int:
    """The keeper's command line; one line says why it cannot be."""
    mode, seconds, folder = argv
    try:
        _keep(mode, float(seconds), Path(folder))
    except (OSError, RuntimeError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
