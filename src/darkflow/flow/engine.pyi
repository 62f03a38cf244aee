from collections.abc import Iterator

from darkflow.flow.adaptive import Adaptive
from darkflow.flow.batch import Events, Packets
from darkflow.flow.kept import KeptFrames
from darkflow.flow.tally import Tally

class Engine(Tally):
    """Judges attempts: `observe` takes rows in the order of time and gives event rows."""

    tells: bool
    """Whether there are events of who was reached and of lone answers, too."""
    def __init__(
        self,
        hold_ns: int,
        idle_ns: int,
        sizes: tuple[int, ...] = (1 << 20, 1 << 20),
        seed: bytes = ...,
        kept: KeptFrames | None = None,
        tells: bool = False,
    ) -> None: ...
    def adapt(self, adaptive: Adaptive) -> None:
        """Hold SYNs for as short a time as `adaptive` says; before the first row."""
    def observe(self, packets: Packets) -> Iterator[Events]:
        """Judge one batch of rows; iterates over event batches, each valid until the next."""
    def finish(self, now_ns: int) -> Iterator[Events]:
        """The capture has ended at `now_ns`: last verdicts; what is still held is undecided."""
    def restart(self) -> None:
        """Forget every flow, after `finish`: time begins anew. The counters go on."""
