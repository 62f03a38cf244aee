"""Tells whether the sensor's workers move: for /healthz, and for whoever restarts what hangs."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# A worker makes a turn each second at least, however silent the link is.
STILL_S = 10.0


class Pulse:
    """What the supervisor has seen of the workers' turns, each time it woke."""

    def __init__(self, workers: int) -> None:
        now_s = time.monotonic()
        self._turns = [-1] * workers
        self._moved_s = [now_s] * workers
        self._looked_s = now_s

    def look(self, turns: Sequence[int]) -> None:
        """Called by the supervisor each second, with what each worker's source has counted."""
        self._looked_s = now_s = time.monotonic()
        for number, count in enumerate(turns):
            if count != self._turns[number]:
                self._turns[number] = count
                self._moved_s[number] = now_s

    def trouble(self) -> str:
        """What does not move, or ""; may be asked from any thread."""
        now_s = time.monotonic()
        if now_s - self._looked_s > STILL_S:
            return f"the supervisor has not moved for {now_s - self._looked_s:.0f} s"
        for number, moved_s in enumerate(self._moved_s):
            if now_s - moved_s > STILL_S:
                return f"worker {number} has not moved for {now_s - moved_s:.0f} s"
        return ""
