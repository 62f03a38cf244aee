from darkflow.flow.adaptive import Adaptive
from darkflow.flow.delays import Delays
from darkflow.flow.kept import KeptFrames

MAX_SIZE: int

def check_sizes(hold_ns: int, idle_ns: int, sizes: tuple[int, ...], seed: bytes) -> None:
    """ValueError if no engine can be made of these."""

class Tally:
    """The side of the engine that is read; the engine itself changes it."""

    reply_delays: Delays
    late_delays: Delays
    retry_spans: Delays
    @property
    def counters(self) -> dict[str, int]:
        """What became of every SYN and answer; syn = attempts + repeated + dropped_queue."""
    hold_ns: int
    adaptive: Adaptive | None
    @property
    def kept_frames(self) -> KeptFrames | None:
        """Where whole SYN frames await their verdict, or None."""
    @property
    def retry_counts(self) -> list[int]:
        """Dark flows by number of resent SYNs: index 0 to 31, and 32 for more."""
    @property
    def dropped_sources(self) -> int:
        """Sources forgotten for want of room, whose tools might have been told."""
    @property
    def sizes(self) -> tuple[int, int]:
        """(flows in the delay queue, flows in the flow table) now."""
    def deadline_ns(self) -> int:
        """When time next brings something about; 2^62 when nothing is open."""
    @property
    def memory_bytes(self) -> int:
        """What queue, table, index and remembered sources hold allocated now."""
