"""What a service prints: kept in a file of bounded size, or as lines of Darkflow's log."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

LINES_PER_S = 20
LONGEST_LINE_BYTES = 1000


class Output(Protocol):
    """Where a service's output goes; `lost` counts what did not get there."""

    lost: int

    def write(self, data: bytes, now_s: float) -> None:
        """Take some bytes, as they came out of its pipe."""

    def close(self) -> None:
        """Nothing more comes."""


class RotatingFile:
    """A file that is renamed to `.1` at `most_bytes`; the one that was `.1` goes.

    A disk that takes nothing loses output (bytes in `lost`), and the service goes on.
    """

    def __init__(self, path: str, most_bytes: int) -> None:
        self.lost = 0
        self._path = Path(path)
        self._most_bytes = most_bytes
        self._fd = self._open()
        self._size_bytes = os.fstat(self._fd).st_size

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.open(self._path, flags, 0o640)

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
        self._path.replace(f"{self._path}.1")
        fresh = self._open()
        os.close(self._fd)
        self._fd, self._size_bytes = fresh, 0

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


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
