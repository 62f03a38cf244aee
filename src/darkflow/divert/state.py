"""What a later start of the honeypot must know of this one, in a file that is also its lock.

What is changed of the machine's own settings is written down here before it is changed, so that a
later start puts right what a killed one has left. The file's name has the network namespace of the
machine in it: there may be one honeypot of a name in each.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import struct
import time
from pathlib import Path
from typing import Any

from darkflow.divert.honeynet import Step

STATE = Path("/run/darkflow")
SYSCTL = Path("/proc/sys/net")

PATIENCE_S = 0.5

# asm-generic/socket.h
_SO_NETNS_COOKIE = 71


class State:
    """What a later start must know, in a file that is locked for as long as we live."""

    def __init__(self, name: str) -> None:
        self.path = state_path(name)
        self._fd = self._lock(name)
        self._kept = read_state(self.path)
        _forget_the_dead(self.path)

    def _lock(self, name: str) -> int:
        with contextlib.suppress(FileExistsError):
            self.path.parent.mkdir(parents=True)
            # The control socket is there too, which may be a group's.
            self.path.parent.chmod(0o755)
        until = time.monotonic() + PATIENCE_S
        while True:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Whoever held it may have removed the file meanwhile: then it is another's.
                if os.fstat(fd).st_ino == self.path.stat().st_ino:
                    return fd
            except BlockingIOError:
                holder = read_state(self.path).get("pid")
                os.close(fd)
                # One that starts elsewhere may be looking whether this is a dead one's.
                if holder is None and time.monotonic() < until:
                    time.sleep(0.01)
                    continue
                raise BlockingIOError(
                    f"the honeypot {name!r} runs already (process {holder})"
                ) from None
            except FileNotFoundError:
                pass
            os.close(fd)

    def keep(self, namespace: int, steps: list[Step]) -> None:
        """Write down what these steps change; the settings of our own link go with it."""
        settings = dict(self._kept.get("settings", {}))
        for step in steps:
            path = SYSCTL / step.action
            if step.what == "set" and path.exists():
                settings.setdefault(step.action, path.read_text().strip())
        self._kept = {"boot": _boot(), "pid": os.getpid(), "fd": namespace, "settings": settings}
        text = json.dumps(self._kept).encode()
        # One write and nothing else: at no moment is there less than one whole document.
        os.pwrite(self._fd, text.ljust(os.fstat(self._fd).st_size), 0)

    def restore(self) -> None:
        """Put the settings back as they were found."""
        # `all` first: it overwrites those of the interfaces.
        settings = self._kept.get("settings", {})
        for key in sorted(settings, key=lambda key: "/all/" not in key):
            with contextlib.suppress(FileNotFoundError):
                (SYSCTL / key).write_text(settings[key])
        self._kept = {}

    def leave(self) -> None:
        """Give it up as it was found, for a later start."""
        if self._kept:
            os.close(self._fd)
        else:
            self.end()

    def end(self) -> None:
        """Remove the file and its lock."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        os.close(self._fd)


def state_path(name: str) -> Path:
    """The file of a honeypot of this network namespace of the machine."""
    return STATE / f"{name}.{_cookie()}.json"


def _cookie() -> int:
    """A number that no other network namespace has until the machine starts again."""
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            return int(struct.unpack("Q", sock.getsockopt(1, _SO_NETNS_COOKIE, 8))[0])
        except OSError as error:
            if error.errno != errno.ENOPROTOOPT:
                raise
    return Path("/proc/thread-self/ns/net").stat().st_ino


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _forget_the_dead(own: Path) -> None:
    """Remove what killed runs in other namespaces have left, if it says nothing of settings."""
    for path in set(own.parent.glob("*.json")) - {own}:
        with contextlib.suppress(OSError), path.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not read_state(path).get("settings"):
                path.unlink()


def read_state(path: Path) -> dict[str, Any]:
    """What is written there, if it was since the machine started."""
    try:
        kept = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) and kept.get("boot") == _boot() else {}
