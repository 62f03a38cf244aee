from mmap import mmap

from darkflow.flow.batch import Frames

class RingWalker:
    """Walks the blocks of one ring; the memory map must outlive it."""

    now_ns: int
    disorder_ns: int
    packets: int
    since_ns: int
    def __init__(
        self, ring: mmap | bytearray, block_bytes: int, link: int, source: int = 0
    ) -> None: ...
    def walk(self, out: Frames) -> bool:
        """Frames of the next block, or of its rest; False when the kernel has filled none."""
    def step(self, step_ns: int, now_ns: int) -> None:
        """The clock was set by `step_ns` and is `now_ns` now; 0: that is long past."""
