"""A progress bar on a terminal: bytes read, packets and packets per second."""

from __future__ import annotations

import time
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from darkflow.flow.batch import Frames
from darkflow.sources.captures import Captures

# A bar that is there for the blink of an eye is noise.
PATIENCE_S = 0.5
REFRESH_S = 0.1


class WithProgress:
    """Passes a source's batches on and shows on stderr how far it has got."""

    def __init__(self, source: Captures) -> None:
        self._source = source

    @property
    def now_ns(self) -> int:
        """The source's own."""
        return self._source.now_ns

    def __iter__(self) -> Iterator[Frames]:
        packets = 0
        began = shown = time.monotonic()
        bar = self._bar()
        task = bar.add_task("reading", total=self._source.size_bytes, packets="")
        try:
            for frames in self._source:
                packets += len(frames)
                now = time.monotonic()
                if now - began > PATIENCE_S and now - shown > REFRESH_S:
                    shown = now
                    bar.start()
                    rate = f"{packets:,} packets, {packets / (now - began) / 1e6:.1f} M/s"
                    bar.update(task, completed=self._source.position_bytes, packets=rate)
                    bar.refresh()
                yield frames
        finally:
            bar.stop()

    @staticmethod
    def _bar() -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TextColumn("{task.fields[packets]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
        )
