"""The buffer before a slow target: nothing waits, nothing is lost uncounted, all is said once."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from darkflow.sinks.framing import Lines
from darkflow.sinks.outbox import CHUNK_BYTES, GATHER_S, STALL_S, Job
from darkflow.sinks.stream import Stream
from outboxes import MIB, Listened, Rotating, lines, numbers, wait_for


class Pipe:
    """A named pipe and its reader, who reads only when asked to."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self.reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.read = b""

    def take(self) -> bytes:
        """Read what is there."""
        while True:
            try:
                more = os.read(self.reader, MIB)
            except BlockingIOError:
                more = b""
            if not more:
                return self.read
            self.read += more

    def target(self) -> Stream:
        """The writing end."""
        return Stream("lines to the pipe", str(self.path), Lines())


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Pipe]:
    """One pipe."""
    made = Pipe(tmp_path / "pipe")
    yield made
    os.close(made.reader)


def test_lines_of_several_threads_come_whole_and_in_each_threads_order(pipe: Pipe) -> None:
    out = Listened(pipe.target())
    count, threads = 2000, 4

    def work(worker: int) -> None:
        for first in range(0, count, 4):
            out.box.put(lines(first, 4, worker), 4)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in workers:
        thread.start()
    out.offered = count * threads
    wait_for(lambda: pipe.take() and out.box.written == out.offered)
    for thread in workers:
        thread.join()
    assert out.close() is None
    read = pipe.take()
    assert [numbers(read, worker) for worker in range(threads)] == [list(range(count))] * threads
    assert (out.box.dropped, out.said) == (0, [])


def test_a_reader_that_stalls_costs_counted_lines_and_no_time(pipe: Pipe) -> None:
    out = Listened(pipe.target(), limit_bytes=MIB)
    longest_s = 0.0
    for number in range(6000):
        data = lines(number, 1)
        began = time.perf_counter()
        out.box.put(data, 1)
        longest_s = max(longest_s, time.perf_counter() - began)
    out.offered = 6000
    assert longest_s < 0.1  # the machine may be busy; a stall would be for ever
    assert out.box.dropped > 2000
    wait_for(lambda: out.said)
    wait_for(lambda: pipe.take() and out.box.written + out.box.dropped == 6000)
    lost = out.box.dropped
    wait_for(lambda: len(out.said) == 2)
    assert out.said == [
        "cannot write lines to the pipe: it is too slow; trying again",
        f"lines to the pipe written again; {lost} lines were lost",
    ]
    # What came last found no room; what came before is there, whole and in order.
    assert numbers(pipe.take()) == list(range(6000 - lost))
    out.put(7000, 1)
    wait_for(lambda: numbers(pipe.take())[-1] == 7000)
    assert out.close() is None
    assert out.box.written == 6001 - lost


def test_a_reader_that_takes_nothing_is_said_though_nothing_is_lost_yet(pipe: Pipe) -> None:
    out = Listened(pipe.target())
    out.put(0, 300)
    wait_for(lambda: out.said)
    assert out.said == ["cannot write lines to the pipe: it takes nothing; trying again"]
    wait_for(lambda: pipe.take() and len(out.said) == 2)
    assert out.said[1] == "lines to the pipe written again; 0 lines were lost"
    out.close()


def test_close_waits_no_longer_than_it_may_and_says_what_is_lost(pipe: Pipe) -> None:
    out = Listened(pipe.target())
    out.put(0, 1000)
    readable = select.poll()
    readable.register(pipe.reader, select.POLLIN)
    assert readable.poll(20_000)
    time.sleep(0.1)
    began = time.monotonic()
    said = out.close(within_s=0.5)
    assert 0.4 < time.monotonic() - began < 1.5
    assert 0 < out.box.written < 1000
    assert said == (
        f"lines to the pipe: {out.box.dropped} lines could not be written: it was too slow"
    )
    assert out.box.close(time.monotonic() + 5) is None  # a second time there is nothing to say


def test_what_is_put_after_the_close_is_counted_as_lost(pipe: Pipe) -> None:
    out = Listened(pipe.target())
    out.put(0, 1)
    out.close()
    out.put(1, 5)
    assert (out.box.written, out.box.dropped) == (1, 5)


def test_one_chunk_always_has_room_and_the_limit_holds_for_the_rest(pipe: Pipe) -> None:
    out = Listened(pipe.target(), limit_bytes=1000)
    out.put(0, 100)
    assert out.box.dropped == 0
    out.put(100, 1)  # the pipe holds 64 KiB: much of the first chunk still waits
    wait_for(lambda: pipe.take().count(b"\n") == 100)
    out.wait_until_written()
    assert out.box.dropped == 1
    assert len(lines(0, 1)) + CHUNK_BYTES < 1000
    out.put(101, 1)
    out.wait_until_written()
    assert numbers(pipe.take()) == [*range(100), 101]
    out.close()


def test_the_first_line_goes_at_once_and_many_small_ones_together(pipe: Pipe) -> None:
    writes = []

    class Counted(Stream):
        def write(self, job: Job) -> None:
            writes.append(time.monotonic())
            super().write(job)

    out = Listened(Counted("the pipe", str(pipe.path), Lines()))
    delays = []
    for number in range(5):
        time.sleep(2 * GATHER_S)
        began = time.monotonic()
        out.put(number, 1)
        wait_for(lambda count=number: len(writes) > count)  # type: ignore[misc]
        delays.append(writes[-1] - began)
    # At once, not after the time to gather; a busy machine has some tries.
    assert min(delays) < GATHER_S / 5
    writes.clear()
    began = time.monotonic()
    for number in range(5, 400):
        out.put(number, 1)
        pipe.take()
        time.sleep(0.001)
    took_s = time.monotonic() - began
    out.wait_until_written()
    # What comes during a write goes right after it.
    assert len(writes) <= 2 * took_s / GATHER_S + 2 < 150
    assert numbers(pipe.take()) == list(range(400))
    out.close()


class Failing(Stream):
    """Fails as often as it is told to."""

    failures = 0
    error: Exception = OSError(5, "Input/output error")

    def write(self, job: Job) -> None:
        """Fail, or write."""
        if self.failures:
            self.failures -= 1
            raise self.error
        super().write(job)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ValueError("a bug")])
def test_failures_are_said_once_and_tried_again(pipe: Pipe, error: Exception) -> None:
    target = Failing("the pipe", str(pipe.path), Lines())
    target.failures, target.error = 3, error
    out = Listened(target)
    out.put(0, 10)
    wait_for(lambda: numbers(pipe.take()) == list(range(10)))
    wait_for(lambda: len(out.said) == 2)
    why = getattr(error, "strerror", None) or "a bug"
    assert out.said == [
        f"cannot write the pipe: {why}; trying again", "the pipe written again; 0 lines were lost",
    ]  # fmt: skip
    assert out.close() is None


def test_the_close_does_not_wait_for_a_target_that_fails(pipe: Pipe) -> None:
    target = Failing("the pipe", str(pipe.path), Lines())
    target.failures = 1 << 30
    out = Listened(target)
    out.put(0, 10)
    wait_for(lambda: out.said)
    began = time.monotonic()
    said = out.close(within_s=5)
    assert time.monotonic() - began < 2
    assert said == "the pipe: 10 lines could not be written: Input/output error"


def test_a_thread_that_hangs_is_said_and_left_behind(pipe: Pipe) -> None:
    # A file that is a pipe in truth blocks in write(2), as a disk does that has gone.
    out = Rotating(pipe.path)
    out.put(0, 1000)
    time.sleep(2 * STALL_S + 0.1)
    assert out.said == []
    out.box.look()
    out.box.look()
    assert out.said == ["cannot write the file: it takes nothing; trying again"]
    began = time.monotonic()
    said = Listened.close(out, within_s=0.5)
    assert time.monotonic() - began < 1.5
    assert said == "the file: 1000 lines could not be written: it takes nothing"
    pipe.take()  # lets the thread go on, and end


def test_a_put_costs_microseconds(pipe: Pipe) -> None:
    out = Listened(pipe.target())
    data = lines(0, 1)
    out.box.put(data, 1)
    best_s = 1.0
    for _ in range(20):
        began = time.perf_counter()
        for _ in range(100):
            out.box.put(data, 1)
        best_s = min(best_s, (time.perf_counter() - began) / 100)
    assert best_s < 20e-6
    out.offered = 2001
    out.close(within_s=0)
