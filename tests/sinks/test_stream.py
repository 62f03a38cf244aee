"""Standard output and named pipes: readers that stall, go, come back; half a line is never sent."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from darkflow.sinks.framing import Lines
from darkflow.sinks.outbox import Job
from darkflow.sinks.stream import ATOMIC_BYTES, Stream
from outboxes import KIB, Listened, lines, numbers, small_disk, wait_for
from running import WITH_HELPERS

TO_STDOUT = """
import sys, time
from darkflow.sinks.framing import Lines
from darkflow.sinks.stream import Stream
from outboxes import Listened, lines
out = Listened(Stream("standard output", "-", Lines()))
for first in range(0, int(sys.argv[1]), 100):
    out.put(first, 100)
lost = out.close(within_s=float(sys.argv[2]))
gone = out.box.target.reader_gone
print(out.box.written, out.box.dropped, gone, lost, *out.said, sep="|", file=sys.stderr)
"""


def start(count: int, within_s: float, to: int) -> subprocess.Popen[str]:
    """A program that writes so many lines to its standard output."""
    argv = [sys.executable, "-c", TO_STDOUT, str(count), str(within_s)]
    return subprocess.Popen(argv, stdout=to, stderr=subprocess.PIPE, text=True, env=WITH_HELPERS)


def told(writer: subprocess.Popen[str]) -> list[str]:
    """What it said at its end."""
    _, said = writer.communicate(timeout=60)
    return said.strip().split("|")


def test_a_reader_of_standard_output_gets_everything() -> None:
    reading, writing = os.pipe()
    writer = start(5000, 20, writing)
    os.close(writing)
    with open(reading, "rb") as reader:  # noqa: PTH123
        assert numbers(reader.read()) == list(range(5000))
    assert told(writer) == ["5000", "0", "False", "None"]


def test_a_reader_that_stalls_gets_whole_lines_and_the_rest_is_counted() -> None:
    reading, writing = os.pipe()
    writer = start(5000, 1, writing)
    os.close(writing)
    written, dropped, _, lost, *_ = told(writer)
    with open(reading, "rb") as reader:  # noqa: PTH123
        data = reader.read()
    whole = data[: data.rfind(b"\n") + 1]
    assert numbers(whole) == list(range(int(written)))
    assert len(data) - len(whole) < len(lines(0, 1))
    assert int(written) + int(dropped) == 5000
    assert lost.startswith(f"standard output: {dropped} lines could not be written")


def test_a_reader_that_has_gone_is_known() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    writer = start(100, 5, writing)
    os.close(writing)
    assert told(writer)[:3] == ["0", "100", "True"]


def test_standard_output_may_be_a_file(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as file:
        assert told(start(3000, 20, file.fileno()))[:2] == ["3000", "0"]
    assert numbers((tmp_path / "out").read_bytes()) == list(range(3000))


def test_standard_output_on_a_full_disk_ends_in_a_whole_line(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "128k") as disk:
        with (disk / "out").open("wb") as file:
            written, dropped, *_ = told(start(1000, 5, file.fileno()))
        assert int(written) + int(dropped) == 1000
        assert numbers((disk / "out").read_bytes()) == list(range(int(written)))
        assert 100 < int(written) < 1000


def test_it_goes_on_when_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", "512k") as disk, (disk / "out").open("wb") as file:
        (disk / "ballast").write_bytes(bytes(400 * KIB))
        monkeypatch.setattr("sys.stdout", file)
        out = Listened(Stream("standard output", "-", Lines()))
        monkeypatch.undo()
        out.put(0, 500)
        wait_for(lambda: out.said)
        assert 100 < len(numbers((disk / "out").read_bytes())) < 500
        (disk / "ballast").unlink()
        out.wait_until_written()
        assert numbers((disk / "out").read_bytes()) == list(range(500))
        out.close()


def test_a_named_pipe_keeps_what_is_in_it_while_its_reader_is_away(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    out = Listened(Stream("the pipe", str(path), Lines()))  # nobody reads yet
    out.put(0, 10)
    out.wait_until_written()
    first = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert numbers(os.read(first, 1 << 20)) == list(range(10))
    os.close(first)
    out.put(10, 10)
    out.wait_until_written()
    second = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert numbers(os.read(second, 1 << 20)) == list(range(10, 20))
    os.close(second)
    assert (out.close(), out.said) == (None, [])


def test_the_header_comes_before_everything(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    out = Listened(Stream("the pipe", str(path), Lines()))
    out.box.begin(b"HEADER")
    out.put(0, 1)
    out.wait_until_written()
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert os.read(reader, 1 << 20) == b"HEADER" + lines(0, 1)
    os.close(reader)
    out.close()


def test_a_write_that_would_wait_returns_and_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    stream = Stream("the pipe", str(path), Lines())
    job = Job(lines(0, 300), 300)
    began = time.monotonic()
    stream.write(job)
    assert time.monotonic() - began < 2
    assert 0 < job.done <= job.sent < len(job.data)
    assert job.sent >= 8 * ATOMIC_BYTES
    reader = os.open(path, os.O_RDONLY)
    read = bytearray()

    def take() -> None:
        while len(read) < len(job.data):
            read.extend(os.read(reader, 5000))

    thread = threading.Thread(target=take)
    thread.start()
    while job.done < len(job.data):
        stream.write(job)
    thread.join()
    os.close(reader)
    wait_for(lambda: bytes(read) == job.data)
