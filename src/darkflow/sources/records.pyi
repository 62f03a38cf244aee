from collections.abc import Mapping

from darkflow.flow.batch import Frames

PCAP_MAGICS: Mapping[int, tuple[int, int, int]]

class RecordWalker:
    """Reads frames out of capture bytes, in file order, and keeps the file's own time."""

    now_ns: int
    first_ns: int
    disorder_ns: int
    packets: int
    clamped: int
    first_clamped: int
    far_times: int
    need: int
    skip: int
    fault: str | None
    def __init__(self, source: int = 0, reorder_ns: int = 0) -> None: ...
    def start(self, head: bytes) -> int:
        """Take the first bytes (24 at least for pcap): the length of the header, or ValueError."""
    def walk(self, data: bytearray, begin: int, end: int, out: Frames, most: int) -> int:
        """Fill `out` with up to `most` frames of data[begin:end]; bytes used."""
    def skipped(self, count: int) -> None:
        """`count` bytes of `skip` were thrown away."""
    def finish(self, rest: bytes, cut_off: bool = False) -> None:
        """The capture has ended with these bytes left over; `cut_off`: it should have gone on."""
    @property
    def notes(self) -> dict[str, bool | int]:
        """What the reader noticed, in the words of reader_notes."""
