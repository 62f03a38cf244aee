"""The sensor's log: structured lines on stderr."""

from __future__ import annotations

import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def line_of(level: str, message: str, **values: object) -> str:
    """Time, level, message, then key=value."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    told = "".join(f" {name}={value}" for name, value in values.items())
    return f"{now} {level} {message}{told}"


class Log:
    """Where lines go: `write` may be replaced, for example by a terminal's view."""

    def __init__(self) -> None:
        self.write: Callable[[str], None] = self._to_stderr

    def __call__(self, level: str, message: str, **values: object) -> None:
        """One line, at once; from any thread."""
        self.write(line_of(level, message, **values))

    @staticmethod
    def _to_stderr(line: str) -> None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
