"""Hears in a thread what the kernel has cut."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable

from darkflow.divert.cuts import Cuts
from darkflow.divert.dispatcher import Flow

PATIENCE_S = 1.0


class CutReader:
    """Calls `cut(flow, t_ns, answer)` for each; OSError when the NFLOG group cannot be had."""

    def __init__(self, group: int, cut: Callable[[Flow, int, str], None]) -> None:
        self.failed: BaseException | None = None
        self._cuts = Cuts(group)
        self._cut = cut
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="darkflow cuts", daemon=True)

    @property
    def lost(self) -> int:
        """Cuts that the kernel could not tell."""
        return self._cuts.lost

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening, after what has been told; a second time does nothing."""
        if self._closing:
            return
        self._closing = True
        os.eventfd_write(self._bell, 1)
        if self._thread.is_alive():
            self._thread.join(PATIENCE_S)
        self._cuts.close()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        poll.register(self._cuts.fileno(), select.POLLIN)
        try:
            while not self._closing:
                poll.poll()
                for cut in self._cuts.read():
                    self._cut(cut.flow, cut.t_ns, cut.by)
        except BaseException as error:  # nothing may end unseen
            self.failed = error
