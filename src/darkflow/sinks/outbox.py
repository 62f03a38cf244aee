"""A bounded buffer before a target, emptied by a thread: no slow disk or reader stalls the capture.

`put` costs a few microseconds and never waits. What finds no room is dropped as whole lines or
records and counted. A target that fails is said once, tried again with growing pauses, and said
once more when it is written again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from darkflow.sinks.framing import Framing

# What a small chunk takes beside its bytes.
CHUNK_BYTES = 150
JOB_BYTES = 1 << 18
# After a write so long for more to gather: many small batches cost few wake-ups.
GATHER_S = 0.05
STALL_S = 2.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 4.0


def reason(error: BaseException) -> str:
    """Why a write failed, in a few words."""
    said = error.strerror if isinstance(error, OSError) else None
    return " ".join((said or str(error) or type(error).__name__).split())


class Job:
    """Bytes on their way to a target, which moves `done` and `sent` on.

    `done`: units up to here have been given away whole, or are `lost`. `sent`: bytes up to here
    have been given away; between the two is the beginning of a unit.
    """

    __slots__ = ("data", "done", "lost", "sent", "size", "units")

    def __init__(self, data: bytes, units: int, size: int = 0) -> None:
        self.data = data
        self.units = units
        self.size = size
        self.done = self.sent = self.lost = 0


class Target(Protocol):
    """Where an outbox writes to. Only its thread calls this, but for `begin` and `reopen`."""

    name: str

    @property
    def framing(self) -> Framing:
        """What its bytes are made of."""

    def write(self, job: Job) -> None:
        """Give away what can be given away within about 0.1 s; OSError when it fails.

        Then `job.done` tells what was given away whole, and the rest is for the next try.
        """

    def look_after(self) -> float | None:
        """Do what is due (a new file), and say in how many seconds something will be, if ever."""

    def begin(self, header: bytes) -> None:
        """What each file begins with; called before anything is put."""

    def reopen(self) -> None:
        """Go on in a new file of the same name; OSError when that cannot be opened."""

    def close(self) -> None:
        """Give back what is held."""


class Outbox:
    """Takes bytes from any number of threads and gives them to one target, in their order.

    written + dropped + what waits = what was put, in units (lines, frames).
    """

    def __init__(self, target: Target, limit_bytes: int, say: Callable[[str], None]) -> None:
        self.target = target
        self.written = 0
        self.dropped = 0
        self.trouble = ""
        self._say = say
        self._limit = limit_bytes
        self._queue: deque[tuple[bytes, int]] = deque()
        self._waiting = 0  # bytes put and not yet given away, with what they take beside
        self._job: Job | None = None
        self._told_dropped = 0  # up to the end of the trouble before
        self._seen_dropped = 0
        self._progress_s = 0.0
        self._pause_s = FIRST_PAUSE_S
        self._wake_at = 0  # bytes waiting from which on `put` wakes the thread; 0: it is awake
        self._gather = False
        self._due = False
        self._closing = self._abandoned = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(
            target=self._work, name=f"darkflow {target.name}", daemon=True
        )
        self._thread.start()

    # ---- the side of the workers -----------------------------------------------------------

    def put(self, data: bytes, units: int) -> None:
        """Take whole units; without room for all of them they are dropped."""
        size = len(data) + CHUNK_BYTES
        with self._changed:
            waiting = self._waiting + size
            # One chunk always has room, as large as it may be.
            if self._closing or (waiting > self._limit and self._waiting):
                self.dropped += units
                return
            self._waiting = waiting
            self._queue.append((data, units))
            if self._wake_at and waiting >= self._wake_at:
                self._wake_at = 0
                self._changed.notify()

    def begin(self, header: bytes) -> None:
        """What each file begins with, before anything is put."""
        self.target.begin(header)

    def finish(self) -> None:
        """A worker has come to its end; the others go on."""

    def reopen(self) -> None:
        """Go on in a new file of the same name; OSError when that cannot be opened."""
        self.target.reopen()
        with self._changed:
            self._due = True
            self._changed.notify()

    def look(self) -> None:
        """Called now and then by who supervises: a thread that hangs on a disk cannot say so."""
        job = self._job
        if job is not None and time.monotonic() - self._progress_s > 2 * STALL_S:
            self._begin_trouble("it takes nothing")

    def begin_close(self) -> None:
        """Take nothing more; the thread writes what waits, one try for a target that fails."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def close(self, until_s: float) -> str | None:
        """Wait for the thread until a moment of the monotonic clock; what was lost, if anything."""
        self.begin_close()
        self._thread.join(max(0.0, until_s - time.monotonic()))
        with self._changed:
            if self._abandoned:
                return None
            self._abandoned = True
            left = sum(units for _, units in self._queue)
            job, self._job = self._job, None
            if job is not None:
                given = self.target.framing.count(job.data, 0, job.done)
                self.written += given - job.lost
                self.dropped += job.lost
                left += job.units - given
            self._queue.clear()
            self._waiting = 0
            self.dropped += left
        if not left:
            return None
        why = self.trouble or "it was too slow"
        return f"{self.target.name}: {left} {self.target.framing.unit} could not be written: {why}"

    # ---- the thread ------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._abandoned:
            try:
                due_s = self.target.look_after()
                self._job = self._job or self._next(due_s)
                if self._job is not None:
                    self._give(self._job)
                elif self._closing and not self._queue:
                    break
            except Exception as error:  # nothing may end this thread
                if not self._failed(reason(error)):
                    break
        try:
            self.target.close()
        except OSError as error:
            self._tell(f"cannot write {self.target.name}: {reason(error)}")

    def _next(self, due_s: float | None) -> Job | None:
        """What waits, up to JOB_BYTES, after a wait for it; None when something else is to do."""
        with self._changed:
            if self._gather:
                self._gather = False
                self._sleep(max(1, self._limit // 2), GATHER_S)
            self._sleep(1, due_s)
            due, self._due = self._due, False
            # A new file first: what is put after `reopen` is to be in it.
            if due or not self._queue or self._abandoned:
                return None
            data, units = self._queue.popleft()
            size = len(data) + CHUNK_BYTES
            if self._queue and size < JOB_BYTES:
                chunks = [data]
                while self._queue and size < JOB_BYTES:
                    data, more = self._queue.popleft()
                    chunks.append(data)
                    units += more
                    size += len(data) + CHUNK_BYTES
                data = b"".join(chunks)
            return Job(data, units, size)

    def _sleep(self, wake_at: int, limit_s: float | None) -> None:
        """Under the lock: with nothing to do, wait until so many bytes are."""
        if self._queue or self._closing or self._due:
            return
        self._wake_at = wake_at
        self._changed.wait(limit_s)
        self._wake_at = 0
        self._progress_s = time.monotonic()

    def _give(self, job: Job) -> None:
        before = job.done + job.sent
        self.target.write(job)
        now_s = time.monotonic()
        if job.done + job.sent > before:
            self._progress_s = now_s
        if job.done == len(job.data):
            self._given(job)
        if self.dropped > self._seen_dropped:
            self._begin_trouble("it is too slow")
        elif self._job is not None and now_s - self._progress_s > STALL_S:
            self._begin_trouble("it takes nothing")

    def _given(self, job: Job) -> None:
        with self._changed:
            if self._abandoned:
                return
            self._job = None
            self._waiting -= job.size
            self.written += job.units - job.lost
            self.dropped += job.lost
            self._seen_dropped += job.lost
            self._pause_s = FIRST_PAUSE_S
            self._gather = not self._queue
            calm = self._waiting <= self._limit // 2
        if calm and self.trouble:
            self.trouble = ""
            self._seen_dropped = self.dropped
            lost, self._told_dropped = self.dropped - self._told_dropped, self.dropped
            unit = self.target.framing.unit
            self._tell(f"{self.target.name} written again; {lost} {unit} were lost")

    def _tell(self, line: str) -> None:
        if not self._abandoned:  # the program may be at its very end
            self._say(line)

    def _begin_trouble(self, why: str) -> None:
        self._seen_dropped = self.dropped
        first, self.trouble = not self.trouble, why
        if first:
            self._tell(f"cannot write {self.target.name}: {why}; trying again")

    def _failed(self, why: str) -> bool:
        """Pause before the next try; False when there is to be none."""
        if self._closing:
            self.trouble = why
            return False
        self._begin_trouble(why)
        with self._changed:
            self._changed.wait_for(lambda: self._closing, self._pause_s)
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        return True
