"""Writes events as JSON lines to a file or standard output."""

from __future__ import annotations

import sys
from typing import BinaryIO

from darkflow.flow.batch import Events
from darkflow.sinks.lines import LineFormat

STDOUT = "-"


class EventFile:
    """A sink for JSON lines; with `prompt`, every batch is flushed at once."""

    def __init__(self, path: str, lines: LineFormat, prompt: bool) -> None:
        self.name = f"events to {path}"
        self._path = path
        self._lines = lines
        self._prompt = prompt
        self._stdout = path == STDOUT
        self._file: BinaryIO = sys.stdout.buffer if self._stdout else open(path, "wb")  # noqa: SIM115, PTH123

    def write(self, events: Events) -> None:
        """Write one batch's lines."""
        lines = self._lines.format(events)
        if lines:
            self._file.write(lines)
            if self._prompt:
                self._file.flush()

    def reopen(self) -> None:
        """Go on in a new file of the same name, after the old one was moved away.

        OSError when it cannot be opened; the old one then stays in use.
        """
        if not self._stdout:
            fresh = open(self._path, "ab")  # noqa: SIM115, PTH123
            self._file.close()
            self._file = fresh

    def close(self) -> None:
        """Flush; OSError if that fails."""
        self._file.flush()
        if not self._stdout:
            self._file.close()
