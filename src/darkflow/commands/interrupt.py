"""Ends a run between two batches when a signal asks for it, so that nothing is half done."""

from __future__ import annotations

import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from darkflow.flow.batch import Frames
    from darkflow.sources.source import Source


class Interruptible:
    """A source that ends early at Ctrl-C or SIGTERM; `signal` tells which came.

    While the source waits for input the signal breaks the wait; while a batch is being worked on
    it is remembered until that is done. A second signal gets its usual effect.
    """

    def __init__(self, source: Source) -> None:
        self.signal: int | None = None
        self._source = source
        self._waiting = False

    @property
    def now_ns(self) -> int:
        """The source's own."""
        return self._source.now_ns

    def __iter__(self) -> Iterator[Frames]:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        batches = iter(self._source)
        while self.signal is None:
            self._waiting = True
            try:
                frames = next(batches, None)
            except KeyboardInterrupt:
                frames = None
            finally:
                self._waiting = False
            if frames is None:
                break
            yield frames

    def _stop(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.signal = number
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self._waiting:
            raise KeyboardInterrupt
