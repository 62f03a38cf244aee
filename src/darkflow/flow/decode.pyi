from collections.abc import Iterable
from typing import Any

from darkflow.flow.batch import Frames, Packets
from darkflow.flow.kept import KeptFrames

LOST_NAMES: tuple[str, ...]

class Decoder:
    """Turns batches of frames into rows and counts every packet exactly once."""

    tunnels: int
    def __init__(self, tunnels: Iterable[str] = (), kept: KeptFrames | None = None) -> None: ...
    def decode(self, frames: Frames) -> Packets:
        """Rows of one batch; they are valid until the next call."""
    @property
    def counters(self) -> dict[str, Any]:
        """packets = tcp + the sum of `undecoded`, whose link types are told by number."""
