"""Standard output or a named pipe as a target: a reader that stalls holds nobody else up."""

from __future__ import annotations

import os
import select
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from darkflow.sinks.framing import Framing
    from darkflow.sinks.outbox import Job

STDOUT = "-"
POLL_MS = 100
# A pipe that poll(2) calls writable takes so much without a wait (pipe(7), PIPE_BUF).
ATOMIC_BYTES = 4096
FILE_BYTES = 1 << 18


class Stream:
    """Gives bytes on as far as they are taken.

    A named pipe is opened for reading too: so it can be opened before its reader has come, and what
    is in it stays there when the reader goes and comes back.
    """

    def __init__(self, name: str, path: str, framing: Framing) -> None:
        self.name = name
        self.framing = framing
        self.reader_gone = False
        self._header = b""
        if path == STDOUT:
            self._fd = sys.stdout.fileno()
        else:
            self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        # Standard output may share its flags with other programs, so it is not made non-blocking.
        self._own = path != STDOUT
        self._is_file = stat.S_ISREG(os.fstat(self._fd).st_mode)
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLOUT)

    def begin(self, header: bytes) -> None:
        """What is written before the first unit."""
        self._header = header

    def write(self, job: Job) -> None:
        """As in Target."""
        view, size = memoryview(job.data), len(job.data)
        piece = FILE_BYTES if self._is_file else ATOMIC_BYTES
        while job.done < size:
            if not self._poll.poll(POLL_MS):
                return
            try:
                if self._header:
                    self._header = self._header[os.write(self._fd, self._header) :]
                    continue
                job.sent += os.write(self._fd, view[job.sent : job.sent + piece])
            except BlockingIOError:
                return
            except OSError as error:
                self._end_in_a_whole(job)
                self.reader_gone = isinstance(error, BrokenPipeError)
                raise
            whole = self.framing.whole(job.data, job.done, job.sent)
            job.done = size if job.sent == size else whole

    def _end_in_a_whole(self, job: Job) -> None:
        """Cut off what was written of a unit, where that can be."""
        if self._is_file and job.sent > job.done:
            end = os.lseek(self._fd, 0, os.SEEK_CUR) - (job.sent - job.done)
            os.ftruncate(self._fd, end)
            os.lseek(self._fd, end, os.SEEK_SET)
        if self._is_file or self.reader_gone:
            job.sent = job.done

    def look_after(self) -> float | None:
        """As in Target: nothing is ever due."""
        return None

    def reopen(self) -> None:
        """As in Target: a stream goes on."""

    def close(self) -> None:
        """As in Target; standard output stays open."""
        if self._own:
            os.close(self._fd)
