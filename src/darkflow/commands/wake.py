"""Wakes the supervisor, from any thread and from a signal's handler, whenever that runs."""

from __future__ import annotations

import os
import select


class Wake:
    """A bell that is heard once.

    Not threading.Event: its lock may be held by what a handler has interrupted, which then waits
    for the handler, which waits for the lock.
    """

    def __init__(self) -> None:
        # Open as long as the program: a thread that is late may still ring.
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._bell, select.POLLIN)

    def set(self) -> None:
        """Ring."""
        os.eventfd_write(self._bell, 1)

    def wait(self, seconds: float) -> None:
        """Until it rings or has rung since the last wait, for so long at most."""
        if self._poll.poll(max(0.0, seconds) * 1000):
            os.eventfd_read(self._bell)
