"""The lab with Darkflow answering in it: the real `darkflow honeypot`, by mirror or inline.

It runs as anybody would run it, with T, a store, event lines and a control socket. Its folders in
/run are its own, so that it meets no other honeypot of the machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from darkflow.lab.programs import Program, Programs
from darkflow.lab.run import start_servers
from darkflow.lab.topology import INSIDE, LAN, SLOW, WATCHED_NETWORKS, place_of
from darkflow.lab.traffic import write_files

START_LIMIT_S = 30.0
# How much later than T the slow host answers.
SLOW_MORE_S = 2.0
_TURN_S = 0.1
# A private /run/netns and /run/darkflow; then Darkflow in the shell's place.
_ALONE = (
    "mount -t tmpfs none /run/netns && mkdir -p /run/darkflow &&"
    ' mount -t tmpfs none /run/darkflow && exec "$@"'
)


@dataclass(frozen=True)
class Place:
    """Where a run keeps what it finds."""

    folder: Path

    @property
    def store(self) -> Path:
        """The event store."""
        return self.folder / "store"

    @property
    def events(self) -> Path:
        """The event lines."""
        return self.folder / "events.jsonl"

    @property
    def control(self) -> Path:
        """The honeypot's control socket."""
        return self.folder / "control.sock"

    @property
    def programs(self) -> Path:
        """What the programs said."""
        return self.folder / "programs"

    @contextlib.contextmanager
    def prepared(self) -> Iterator[None]:
        """The place for one lab alone; what a former one has made there is removed, and only that.

        OSError when the folder holds something else, or another lab is running there.
        """
        mark = self.folder / ".darkflow-lab"
        if self.folder.exists() and any(self.folder.iterdir()) and not mark.exists():
            raise OSError(f"{self.folder} holds something else: name another folder with --folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        with mark.open("a") as lock:
            lock_or_say(lock, f"a lab is running in {self.folder}: name another with --folder")
            for made in (self.store, self.programs):
                if made.exists():
                    shutil.rmtree(made)
            for made in (self.events, self.control):
                made.unlink(missing_ok=True)
            self.programs.mkdir()
            yield


def lock_or_say(lock: IO[str], why_not: str) -> None:
    """Holds an open file while it is open; OSError with `why_not` if somebody else does."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OSError(why_not) from None


def darkflow(*words: str) -> list[str]:
    """The command line of a `darkflow` command."""
    return [sys.executable, "-m", "darkflow.cli", *words]


@dataclass
class Answering:
    """Darkflow in the lab, answering; `program` is its process."""

    mode: str
    hold_s: float
    place: Place
    program: Program

    def status(self) -> dict[str, Any]:
        """What `darkflow status --json` says; empty as long as it does not answer."""
        argv = darkflow("status", "--json", "--control", str(self.place.control))
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
        found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
        return found

    def is_ready(self) -> bool:
        """Whether it answers connections; RuntimeError when it has ended."""
        if self.program.exit_code is not None:
            raise RuntimeError(self.program.failure())
        if not self.place.control.exists():
            return False
        return "running" in self.status().get("services", {}).get("responder", "")

    def wait(self) -> None:
        """Until it answers connections; RuntimeError when it never does."""
        deadline_s = time.monotonic() + START_LIMIT_S
        while not self.is_ready():
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"darkflow honeypot did not start: {self.program.errors()}")
            time.sleep(_TURN_S)


def start_inhabitants(
    programs: Programs, names: Mapping[str, str], hold_s: float, prepare: bool = True
) -> None:
    """The servers of the inside, and the slow host."""
    if prepare:
        write_files(programs.directory)
    start_servers(programs, names[INSIDE], programs.directory)
    argv = [sys.executable, "-m", "darkflow.lab.slow", LAN, f"{hold_s + SLOW_MORE_S:g}"]
    slow = programs.start("slow host", names[INSIDE], [*argv, *SLOW.addresses], float("inf"))
    slow.wait_for_error_line("listening", START_LIMIT_S)


def start_darkflow(
    programs: Programs,
    names: Mapping[str, str],
    mode: str,
    hold_s: float,
    place: Place,
    more: Sequence[str] = (),
) -> Answering:
    """Start `darkflow honeypot`, with `more` options; `wait` tells when it answers."""
    namespace, interfaces = place_of(mode)
    argv = darkflow(
        "honeypot", *interfaces, "--networks", ",".join(WATCHED_NETWORKS), "-T", f"{hold_s:g}s",
        "--store", str(place.store.resolve()), "--events", str(place.events.resolve()),
        "--control", str(place.control.resolve()), "--store-flush", "1s", "--no-view", *more,
    )  # fmt: skip
    alone = ["unshare", "-m", "sh", "-c", _ALONE, "sh", *argv]
    program = programs.start("darkflow", names[namespace], alone, float("inf"))
    return Answering(mode, hold_s, place, program)


def inside_honeypot(pid: int, argv: list[str]) -> list[str]:
    """The command that runs another one in the honeypot's namespace of a running Darkflow."""
    return ["nsenter", "-t", str(pid), "-m", "-n", *darkflow("honeypot", "exec", "--", *argv)]
