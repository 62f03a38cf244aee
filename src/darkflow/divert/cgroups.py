"""Limits for a service with all its processes, where cgroup v2 can be written to."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from darkflow.divert.services import Service

CONTROLLERS = ("memory", "cpu", "pids")
# A service manager says so of a cgroup that it leaves to its service (systemd: Delegate=).
DELEGATED = ("trusted.delegate", "user.delegate")
# Where Darkflow itself goes then: a cgroup with processes can have no limited ones below it.
OWN = "itself"
PERIOD_US = 100_000


def hierarchy() -> Path | None:
    """Where cgroup v2 is mounted and can be written to."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        words = line.split()
        if words[2] == "cgroup2" and "rw" in words[3].split(","):
            mounted = Path(words[1])
            # Another one may have been mounted over it.
            if (mounted / "cgroup.procs").exists():
                return mounted
    return None


def delegated(mounted: Path) -> Path | None:
    """The cgroup of this process, if its service manager has left it to us."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, _, path = line.split(":", 2)
        folder = mounted / path.lstrip("/")
        if folder.name == OWN:  # where we have put ourselves before
            folder = folder.parent
        for name in DELEGATED if number == "0" else ():
            with contextlib.suppress(OSError):
                if os.getxattr(folder, name) == b"1":
                    return folder
    return None


def make_room(folder: Path) -> None:
    """Move all processes of a cgroup into one of their own below it."""
    own = folder / OWN
    own.mkdir(exist_ok=True)
    for pid in (folder / "cgroup.procs").read_text().split():
        # One may have ended meanwhile.
        with contextlib.suppress(OSError):
            (own / "cgroup.procs").write_text(pid)


def limits(service: Service) -> dict[str, str]:
    """Files of its cgroup and what they say."""
    said = {
        "memory.max": str(service.memory_bytes),
        "memory.swap.max": "0",
        "pids.max": str(service.processes),
    }
    if service.cpu is not None:
        said["cpu.max"] = f"{int(service.cpu * PERIOD_US)} {PERIOD_US}"
    return said


class Cgroups:
    """The cgroups of one honeypot's services, in one of their own.

    It is below the root, or, where that is left to us, below the cgroup that we are in. They are no
    part of the one that Darkflow itself is in: a cgroup with processes can have no limited ones
    below it.
    """

    def __init__(self, name: str, root: Path | None = None) -> None:
        self._crowded: Path | None = None
        if root is None and (mounted := hierarchy()) is not None:
            self._crowded = delegated(mounted)
            root = self._crowded or mounted
        self._folder = None if root is None else root / f"darkflow-{name}"

    def add(self, service: Service) -> tuple[str, frozenset[str]]:
        """(its cgroup.procs or "", the limits that hold: of "memory", "cpu", "pids")."""
        if self._folder is None:
            return "", frozenset()
        own = self._folder / service.name
        try:
            if self._crowded is not None:
                make_room(self._crowded)
            self._folder.mkdir(exist_ok=True)
            self._enable(self._folder.parent)
            self._enable(self._folder)
            own.mkdir(exist_ok=True)
        except OSError:
            return "", frozenset()
        held = set()
        for file, value in limits(service).items():
            try:
                # Opened as it is: in a file system of its own, what is not there stays away.
                with (own / file).open("r+") as opened:
                    opened.write(value)
            except OSError:
                continue
            held.add(file.partition(".")[0])
        return str(own / "cgroup.procs"), frozenset(held)

    def remove(self) -> None:
        """Remove those that are empty, which they are when all programs have ended."""
        if self._folder is None or not self._folder.exists():
            return
        for folder in [*(one for one in self._folder.iterdir() if one.is_dir()), self._folder]:
            with contextlib.suppress(OSError):
                folder.rmdir()

    @staticmethod
    def _enable(folder: Path) -> None:
        for controller in CONTROLLERS:
            with contextlib.suppress(OSError):
                (folder / "cgroup.subtree_control").write_text(f"+{controller}")
