"""Writes to a target at once, waiting as long as it takes: for input that can wait, as files do."""

from __future__ import annotations

import sys
from typing import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from darkflow.sinks.outbox import Target

STDOUT = "-"


class Box(Protocol):
    """What sinks put bytes into: written at once, or by a thread (outbox.py)."""

    def put(self, data: bytes, units: int) -> None:
        """Take so many whole lines or frames."""

    def begin(self, header: bytes) -> None:
        """What the output begins with, before anything is put."""

    def finish(self) -> None:
        """The sink has come to its end; OSError when something could not be written."""


class DirectFile:
    """A file, made anew, or standard output; with `prompt` every put is flushed."""

    def __init__(self, path: str, prompt: bool) -> None:
        self._prompt = prompt
        self._stdout = path == STDOUT
        self._file: BinaryIO = sys.stdout.buffer if self._stdout else open(path, "wb")  # noqa: SIM115, PTH123

    def put(self, data: bytes, units: int) -> None:
        """As in Box; OSError when it cannot be written."""
        del units
        self._file.write(data)
        if self._prompt:
            self._file.flush()

    def begin(self, header: bytes) -> None:
        """As in Box."""
        self.put(header, 0)

    def finish(self) -> None:
        """As in Box."""
        self._file.flush()
        if not self._stdout:
            self._file.close()


class DirectTarget:
    """Any other target."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def put(self, data: bytes, units: int) -> None:
        """As in Box; OSError when it cannot be written."""
        from darkflow.sinks.outbox import Job

        job = Job(data, units)
        while job.done < len(data):
            self._target.write(job)

    def begin(self, header: bytes) -> None:
        """As in Box: there is none."""

    def finish(self) -> None:
        """As in Box."""
        self._target.close()
