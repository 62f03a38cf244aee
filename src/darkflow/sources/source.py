"""What the pipeline asks of a source of frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from darkflow.flow.batch import Frames


class Source(Protocol):
    """Where frames come from: batches, each with the network time that has been reached.

    A batch's bytes are valid until the next one; a live source yields an empty batch when nothing
    came, so that time advances without traffic.
    """

    @property
    def now_ns(self) -> int:
        """Network time: the latest that any frame has told."""

    def __iter__(self) -> Iterator[Frames]: ...
