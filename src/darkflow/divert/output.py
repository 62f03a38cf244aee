"""What a service prints: kept in a file of bounded size, or as lines of Darkflow's log."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

LINES_PER_S = 20
LONGEST_LINE_BYTES = 1000
MOST_LINKS = 40  # as the kernel, path_resolution(7)

# Its own id, its group's, those of its other groups.
User = tuple[int, int, Sequence[int]]


class Output(Protocol):
    """Where a service's output goes; `lost` counts what did not get there."""

    lost: int

    def write(self, data: bytes, now_s: float) -> None:
        """Take some bytes, as they came out of its pipe."""

    def close(self) -> None:
        """Nothing more comes."""


class RotatingFile:
    """A file that is renamed to `.1` at `most_bytes`; the one that was `.1` goes.

    A disk that takes nothing loses output (bytes in `lost`), and the service goes on. OSError: it
    cannot be had, is no regular file, or one of `users` could have root write elsewhere.
    """

    def __init__(self, path: str, most_bytes: int, users: Sequence[User] = ()) -> None:
        self.lost = 0
        self._path = safe_path(path, users)
        self._most_bytes = most_bytes
        self._fd = self._open()
        self._size_bytes = os.fstat(self._fd).st_size

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        # Without O_NONBLOCK a named pipe would be waited for.
        flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
        fd = os.open(self._path, flags, 0o640)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(0, "is no regular file")
        return fd

    def write(self, data: bytes, now_s: float) -> None:  # noqa: ARG002 (as all outputs)
        """Append; at most `most_bytes` are in a file, so much is in two."""
        for at in range(0, len(data), self._most_bytes):
            part = data[at : at + self._most_bytes]
            try:
                if self._size_bytes and self._size_bytes + len(part) > self._most_bytes:
                    self._rotate()
                written = os.write(self._fd, part)
            except OSError:
                written = 0
            self._size_bytes += written
            self.lost += len(part) - written

    def _rotate(self) -> None:
        # It is aside already when no new one could be opened the last time.
        with suppress(FileNotFoundError):
            self._path.replace(f"{self._path}.1")
        fresh = self._open()
        os.close(self._fd)
        self._fd, self._size_bytes = fresh, 0

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def safe_path(path: str, users: Sequence[User]) -> Path:
    """The path without symbolic links; OSError if a user may put something else in its way.

    Every folder on the way counts, also on that of each link: who may change one leads elsewhere.
    """
    at, rest, links = Path("/"), list(Path(path).absolute().parts[:0:-1]), 0
    while rest:
        name = rest.pop()
        if name == "..":
            at = at.parent
            continue
        _refuse(at, users, last=not rest)
        here = at / name
        if not here.is_symlink():
            at = here
            continue
        links += 1
        if not rest or links > MOST_LINKS:
            raise OSError(0, "is a symbolic link" if not rest else f"too many links at {here}")
        target = Path(os.readlink(here))  # noqa: PTH115 (its text is wanted)
        at = Path("/") if target.is_absolute() else at
        rest += [part for part in reversed(target.parts) if part != "/"]
    return at


def _refuse(folder: Path, users: Sequence[User], last: bool) -> None:
    """OSError if one of these users may exchange what is in a folder or, in the last, add to it."""
    status = folder.stat()
    for uid, gid, groups in users:
        writes = 0o020 if status.st_gid in (gid, *groups) else 0o002
        # In a sticky folder, as /tmp, everybody may add and nobody but the owner exchange.
        sticky = status.st_mode & stat.S_ISVTX and not last
        # An owner may give itself leave to write.
        if status.st_uid == uid or (status.st_mode & writes and not sticky):
            raise OSError(
                0,
                f"user {uid}, who runs a service, may write to {folder} and so have root write"
                " anywhere: take a folder of root's, as /var/log",
            )


class Lines:
    """Its lines, cut to 1000 bytes, 20 a second; the others are counted in `lost`."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.lost = 0
        self._say = say
        self._rest = b""
        self._second, self._said = 0, 0

    def write(self, data: bytes, now_s: float) -> None:
        """Say the lines that have come to their end."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE_BYTES:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self._one(line, int(now_s))

    def _one(self, line: bytes, second: int) -> None:
        if second != self._second:
            self._second, self._said = second, 0
        self._said += 1
        if self._said > LINES_PER_S:
            self.lost += 1
            return
        text = line[:LONGEST_LINE_BYTES].decode(errors="backslashreplace").rstrip()
        # Whoever talks to the honeypot may choose what it prints: no escape reaches a terminal.
        self._say("".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text))

    def close(self) -> None:
        """Say the last line, which had no end."""
        if self._rest:
            self._one(self._rest, -1)
            self._rest = b""
