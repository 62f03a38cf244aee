"""The sensor's log: structured lines on stderr."""

from __future__ import annotations

import os
import select
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def line_of(level: str, message: str, **values: object) -> str:
    """Time, level, message, then key=value."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    told = "".join(f" {name}={value}" for name, value in values.items())
    return f"{now} {level} {message}{told}"


def takes(fd: int) -> bool:
    """Whether a terminal, pipe or file takes a line now, without a wait (pipe(7): 4096 bytes)."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(0))


class Log:
    """Where lines go: `write` may be replaced, for example by a terminal's view.

    It never waits and never fails: a full disk, a reader that stalls or has gone cost lines of the
    log, whose number is said when it works again, and nothing else.
    """

    def __init__(self) -> None:
        self.write: Callable[[str], None] = self.to_stderr
        self._lost = 0
        self._one = threading.Lock()

    def __call__(self, level: str, message: str, **values: object) -> None:
        """One line, at once; from any thread."""
        self.write(line_of(level, message, **values))

    def to_stderr(self, line: str) -> None:
        """As `write` is at first."""
        with self._one:
            if self._lost:
                lost = line_of("warning", "lines of this log were lost", count=self._lost)
                line = f"{lost}\n{line}"
            if _put(f"{line}\n"):
                self._lost = 0
            else:
                self._lost += 1


def _put(text: str) -> bool:
    """Whether all of it was taken; not through Python's buffer, which would keep what was not."""
    try:
        fd = sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        # Not a file: a program that is used by another one, as tests do.
        sys.stderr.write(text)
        return True
    data = text.encode(errors="replace")
    try:
        return takes(fd) and os.write(fd, data) == len(data)
    except OSError:
        return False
