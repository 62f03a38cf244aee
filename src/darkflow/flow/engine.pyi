from collections.abc import Iterator

from darkflow.flow.batch import Events, Packets
from darkflow.flow.delays import Delays
from darkflow.flow.kept import KeptFrames

MAX_SIZE: int

class Engine:
    """Judges attempts: `observe` takes rows in the order of time and gives event rows."""

    reply_delays: Delays
    late_delays: Delays
    retry_spans: Delays
    def __init__(
        self,
        hold_ns: int,
        idle_ns: int,
        sizes: tuple[int, int] = (1 << 20, 1 << 20),
        seed: bytes = ...,
        kept: KeptFrames | None = None,
    ) -> None: ...
    def observe(self, packets: Packets) -> Iterator[Events]:
        """Judge one batch of rows; iterates over event batches, each valid until the next."""
    def finish(self, now_ns: int) -> Iterator[Events]:
        """The capture has ended at `now_ns`: last verdicts; what is still held is undecided."""
    def restart(self) -> None:
        """Forget every flow, after `finish`: time begins anew. The counters go on."""
    def deadline_ns(self) -> int:
        """When time next brings something about; 2^62 when nothing is open."""
    @property
    def counters(self) -> dict[str, int]:
        """What became of every SYN and answer; syn = attempts + repeated + dropped_queue."""
    @property
    def kept_frames(self) -> KeptFrames | None:
        """Where whole SYN frames await their verdict, or None."""
    @property
    def retry_counts(self) -> list[int]:
        """Dark flows by number of resent SYNs: index 0 to 31, and 32 for more."""
    @property
    def sizes(self) -> tuple[int, int]:
        """(flows in the delay queue, flows in the flow table) now."""
    @property
    def memory_bytes(self) -> int:
        """What queue, table and index hold allocated now."""
