"""A file as a target: appended to, rotated by size and time, never left with half a line."""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from pathlib import Path

from darkflow.sinks.outbox import reason
from darkflow.sinks.rotated import Rotated

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from darkflow.sinks.framing import Framing
    from darkflow.sinks.outbox import Job

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# How far from its end the last whole line of a file is looked for.
TAIL_BYTES = 1 << 16
RETRY_S = 60.0


class Rotation:
    """When a file is rotated (0: never) and how many rotated ones stay."""

    __slots__ = ("keep", "period_ns", "size_bytes")

    def __init__(self, size_bytes: int = 0, period_ns: int = 0, keep: int = 10) -> None:
        self.size_bytes = size_bytes
        self.period_ns = period_ns
        self.keep = keep


class RotatingFile:
    """Appends whole units to a file, made anew when it is gone.

    With a `header` (pcap) each file begins with it; one that is there already and has more in it
    is rotated away, as its header may be another. Rotation by time is at full periods of UTC.
    """

    def __init__(
        self,
        name: str,
        path: str,
        framing: Framing,
        rotation: Rotation,
        say: Callable[[str], None],
        header: bytes = b"",
    ) -> None:
        self.name = name
        self.framing = framing
        self.rotated = Rotated(Path(path), rotation.keep, say)
        self._path = path
        self._rotation = rotation
        self._say = say
        self._header = header
        self._headed = b""  # what the file begins with
        self._fd = -1
        self._fresh = -1  # opened by `reopen` for the thread to go on in
        self._swap = threading.Lock()
        self._regular = False
        self._size = 0
        self._period = 0
        self._rotate_from_s = 0.0  # not again before, after it has failed

    def open(self) -> None:
        """Open it now; OSError when that cannot be. Else the first `write` does."""
        self._take(self._opened())
        self.rotated.tidy()

    def begin(self, header: bytes) -> None:
        """Another header than thought, before anything was put."""
        self._header = header

    def write(self, job: Job) -> None:
        """As in Target."""
        if self._fd < 0 or (self._regular and os.fstat(self._fd).st_nlink == 0):
            self.open()
        if self._headed != self._header:
            self._write_header()
        if self._rotation.period_ns and self._size <= len(self._header):
            self._period = time.time_ns() // self._rotation.period_ns
        while job.done < len(job.data):
            self._append(job, self._room(job))

    def look_after(self) -> float | None:
        """As in Target."""
        with self._swap:
            fresh, self._fresh = self._fresh, -1
        if fresh >= 0:
            self._take(fresh)
        period_ns = self._rotation.period_ns
        if not period_ns or not self._regular or self._size <= len(self._header):
            return None
        now_ns = time.time_ns()
        if now_ns // period_ns != self._period:
            self._rotate()
        return (period_ns - now_ns % period_ns) / 1e9

    def reopen(self) -> None:
        """As in Target."""
        fresh = self._opened()
        with self._swap:
            stale, self._fresh = self._fresh, fresh
        if stale >= 0:
            os.close(stale)

    def close(self) -> None:
        """As in Target."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    # ---- opening ---------------------------------------------------------------------------

    def _opened(self, path: str = "", flags: int = 0) -> int:
        flags |= os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
        return os.open(path or self._path, flags, 0o666)

    def _take(self, fd: int) -> None:
        """Go on in `fd`, after a look at what it holds."""
        try:
            status = os.fstat(fd)
            regular = stat.S_ISREG(status.st_mode)
            if regular and self._fd >= 0 and os.path.sameopenfile(fd, self._fd):
                os.close(fd)
                return
            if regular and self._header and status.st_size > len(self._header):
                self.rotated.put_away()
                os.close(fd)
                fd = self._opened()
            elif regular and not self._header:
                _repair(fd, status.st_size)
        except OSError:
            os.close(fd)
            raise
        self._use(fd)
        if self._header:
            self._write_header()

    def _use(self, fd: int) -> None:
        self.close()
        status = os.fstat(fd)
        self._fd, self._regular, self._size = fd, stat.S_ISREG(status.st_mode), status.st_size
        self._headed = b""
        if self._rotation.period_ns:
            born_ns = status.st_mtime_ns if self._size else time.time_ns()
            self._period = born_ns // self._rotation.period_ns

    def _write_header(self) -> None:
        if self._regular:
            os.ftruncate(self._fd, 0)
        _write_whole(self._fd, self._header)
        self._headed, self._size = self._header, len(self._header)

    # ---- writing ---------------------------------------------------------------------------

    def _room(self, job: Job) -> int:
        """Up to where the file takes the job's bytes, a new file where it would be too large."""
        limit, everything = self._rotation.size_bytes, len(job.data)
        if not limit or not self._regular:
            return everything
        for _ in range(2):
            room = min(everything, job.done + max(0, limit - self._size))
            end = self.framing.whole(job.data, job.done, room)
            if end > job.done:
                return end
            if self._size <= len(self._header) or not self._rotate():
                break
        return everything  # one unit is larger than the file may be, or it cannot be rotated

    def _append(self, job: Job, end: int) -> None:
        view, at = memoryview(job.data), job.done
        try:
            while at < end:
                at += os.write(self._fd, view[at:end])
        except OSError as error:
            whole = self.framing.whole(job.data, job.done, at)
            self._size += whole - job.done
            job.done = whole
            try:
                if self._regular and at > whole:
                    os.ftruncate(self._fd, os.fstat(self._fd).st_size - (at - whole))
            finally:
                if error.errno not in FULL:
                    self.close()  # what is wrong with it may not be with the file of that name
            raise
        self._size += end - job.done
        job.done = end

    def _rotate(self) -> bool:
        """A new file; False when the old one must do for now."""
        if not self._is_ours():
            self._take(self._opened())  # it was moved away by others, and is left to them
            return True
        if time.monotonic() < self._rotate_from_s:
            return False
        fresh, fd = Path(f"{self._path}.new"), -1
        try:
            fd = self._opened(str(fresh), os.O_TRUNC)
            _write_whole(fd, self._header)
            self.rotated.put_away(fresh)
        except OSError as error:
            self._rotate_from_s = time.monotonic() + RETRY_S
            self._say(f"cannot rotate {self._path}: {reason(error)}; going on in the same file")
            if fd >= 0:
                os.close(fd)
                fresh.unlink(missing_ok=True)
            return False
        self._use(fd)
        self._headed = self._header
        return True

    def _is_ours(self) -> bool:
        try:
            status = Path(self._path).stat()
        except FileNotFoundError:
            return False
        own = os.fstat(self._fd)
        return (status.st_dev, status.st_ino) == (own.st_dev, own.st_ino)


def _write_whole(fd: int, header: bytes) -> None:
    if os.write(fd, header) < len(header):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _repair(fd: int, size: int) -> None:
    """Cut off half a line that a killed run has left, so that the next one begins in its place."""
    begin = max(0, size - TAIL_BYTES)
    tail = os.pread(fd, TAIL_BYTES, begin)
    if not tail or tail.endswith(b"\n"):
        return
    end = tail.rfind(b"\n") + 1
    if end or not begin:
        os.ftruncate(fd, begin + end)
    else:
        os.write(fd, b"\n")  # not one line of ours is there: it may be a file of somebody else
