"""For tests of outputs: lines that can be told apart, and who listens to what an outbox says."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zstandard

from conftest import skip
from darkflow.sinks.framing import Framing, Lines
from darkflow.sinks.outbox import Outbox, Target
from darkflow.sinks.rotating_file import RotatingFile, Rotation

KIB, MIB = 1 << 10, 1 << 20


def lines(first: int, count: int, worker: int = 0) -> bytes:
    """Lines as events have them, numbered."""
    return b"".join(
        b'{"timestamp":"2026-03-01T10:00:00.123456789Z","event_type":"darkflow",'
        b'"worker":%d,"n":%d,"filling":"%b"}\n' % (worker, number, b"x" * 400)
        for number in range(first, first + count)
    )


def numbers(data: bytes, worker: int = 0) -> list[int]:
    """The numbers of a worker's lines; every line must be whole."""
    assert not data or data.endswith(b"\n")
    found = [json.loads(line) for line in data.splitlines()]
    return [line["n"] for line in found if line["worker"] == worker]


def plain(path: Path) -> bytes:
    """A file's bytes, unpacked if it is compressed."""
    if path.suffix != ".zst":
        return path.read_bytes()
    with path.open("rb") as packed:
        return zstandard.ZstdDecompressor().stream_reader(packed).read()


def wait_for(there: Callable[[], Any], limit_s: float = 20) -> None:
    """Wait until it is so; fail when it does not become so."""
    end = time.monotonic() + limit_s
    while not there():
        assert time.monotonic() < end, "nothing came of it"
        time.sleep(0.005)


class Listened:
    """An outbox and what it said; `offered` counts what it was given."""

    def __init__(self, target: Target, limit_bytes: int = 64 * MIB) -> None:
        self.said: list[str] = []
        self.offered = 0
        self.box = Outbox(target, limit_bytes, self.said.append)

    def put(self, first: int, count: int, worker: int = 0) -> None:
        """So many lines in one chunk."""
        self.offered += count
        self.box.put(lines(first, count, worker), count)

    def wait_until_written(self) -> None:
        """Until nothing waits any more."""
        wait_for(lambda: self.box.written + self.box.dropped == self.offered)

    def close(self, within_s: float = 5) -> str | None:
        """Close it; afterwards everything is accounted for."""
        lost = self.box.close(time.monotonic() + within_s)
        assert self.box.written + self.box.dropped == self.offered
        return lost


class Rotating(Listened):
    """An outbox before a rotating file."""

    def __init__(
        self,
        path: Path,
        rotation: Rotation | None = None,
        framing: Framing | None = None,
        header: bytes = b"",
    ) -> None:
        self.path = path
        said: list[str] = []
        self.file = RotatingFile(
            "the file", str(path), framing or Lines(), rotation or Rotation(), said.append, header
        )
        self.file.open()
        super().__init__(self.file)
        self.said_of_file = said

    def close(self, within_s: float = 5) -> str | None:
        """With the thread that compresses."""
        lost = super().close(within_s)
        self.file.rotated.close(time.monotonic() + within_s)
        return lost

    def rotated(self) -> list[Path]:
        """The files put aside, in their order."""
        return [self.path.with_name(name) for name in self.file.rotated.names()]

    def wait_until_compressed(self) -> None:
        """All of them."""
        wait_for(lambda: all(path.suffix == ".zst" for path in self.rotated()))


@contextmanager
def mounted(where: Path, *words: str) -> Iterator[Path]:
    """Something mounted there for a while; skips where that cannot be."""
    command = ["mount", *words, str(where)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        skip("mounting needs root")
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own, so small that it is soon full."""
    folder.mkdir()
    with mounted(folder, "-t", "tmpfs", "-o", f"size={size}", "tmpfs"):
        yield folder
