"""Capture files and pipes as sources of frames: any compression, any number, merged by time.

Each capture is read in chunks into one buffer of its own; frames point into it. Several captures
are merged by always reading on in the one whose time is furthest behind, so the frames that wait
are few, however large the files. A capture that begins later than the others have got is not open
yet: a month of rotated files needs no more memory than two of them.
"""

from __future__ import annotations

import io
import os
import stat
import sys

from darkflow.flow.batch import Frames
from darkflow.sources.compressed import COMPRESSIONS, Decompressed, is_damage
from darkflow.sources.records import RecordWalker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from darkflow.sources.compressed import Reads


CHUNK_BYTES = 1 << 18
NO_TIME = -(1 << 63)
EVER = 1 << 62
STDIN = "-"


class Pushback(io.RawIOBase):
    """A raw stream that gives back the bytes that were read to look at them, and counts."""

    def __init__(self, raw: io.RawIOBase | io.FileIO, head: bytes) -> None:
        self.raw = raw
        self.head = head
        self.position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        if self.head:
            count = min(len(buffer), len(self.head))
            buffer[:count] = self.head[:count]
            self.head = self.head[count:]
        else:
            count = self.raw.readinto(buffer) or 0
        self.position += count
        return count

    def close(self) -> None:
        self.raw.close()
        super().close()


class Capture:
    """One capture: opened, decompressed, walked; its faults are kept, not raised."""

    def __init__(self, name: str, source: int = 0, reorder_ns: int = 0) -> None:
        """Open and read the file header; OSError or ValueError say why that cannot be."""
        self.name = "standard input" if name == STDIN else name
        self.walker = RecordWalker(source, reorder_ns)
        self._reorder_ns = reorder_ns
        self.live = False
        self._damage: str | None = None
        self._bytes = bytearray(CHUNK_BYTES)
        self._begin = self._end = 0
        self._offset = 0
        self._eof = False
        self._stream, self.size = self._open(name)
        try:
            self._read_header()
        except BaseException:
            self.close()
            raise

    def _open(self, name: str) -> tuple[Pushback, int | None]:
        if name == STDIN:
            if sys.stdin is None:
                raise ValueError("standard input is closed")
            raw = io.FileIO(os.dup(sys.stdin.fileno()))
        else:
            if os.path.isdir(name):  # noqa: PTH112 (pathlib is slow to import)
                raise IsADirectoryError(
                    f"{name} is a directory: name the captures in it, for example {name}/*.pcap"
                )
            raw = io.FileIO(name)
        status = os.fstat(raw.fileno())
        regular = stat.S_ISREG(status.st_mode)
        self.live = not regular
        # The longest magic has 6 bytes; a pipe may give them one by one.
        head = b""
        while len(head) < 6 and (more := raw.read(6 - len(head))):
            head += more
        return Pushback(raw, head), status.st_size if regular else None

    def _read_header(self) -> None:
        head = self._stream.head
        if not head:
            raise ValueError("the file is empty")
        self._input: Reads = self._stream
        for magic, new_member in COMPRESSIONS:
            if head.startswith(magic):
                self._input = Decompressed(self._stream, new_member, self.live)
        while self._end < 24 and self._fill():
            pass
        if self._damage and self._end < 24:
            raise ValueError(self._damage)
        self._begin = self.walker.start(bytes(self._bytes[: self._end]))

    def _fill(self) -> bool:
        """Read on behind what is left; False at the end."""
        left = self._end - self._begin
        if self._begin:
            self._bytes[:left] = self._bytes[self._begin : self._end]
            self._offset += self._begin
            self._begin, self._end = 0, left
        if self._end == len(self._bytes):
            # A record longer than the buffer. It grows with the bytes that have really come, not
            # with what a length field claims; the walker bounds the length of a record.
            self._bytes += bytearray(len(self._bytes))
        try:
            with memoryview(self._bytes) as view:
                count = self._input.readinto(view[self._end :]) or 0
        except Exception as error:
            if is_damage(error):
                self._damage = f"the compressed data end: {error}"
            elif isinstance(error, OSError):
                self._damage = error.strerror or str(error)
            else:
                raise
            count = 0
        self._end += count
        self._eof = count == 0
        return count > 0

    def read(self, out: Frames, most: int) -> bool:
        """Fill `out` with the next frames; False when there are no more, see `notes`."""
        walker = self.walker
        while walker.fault is None:
            if walker.skip == 0:
                self._begin += walker.walk(self._bytes, self._begin, self._end, out, most)
                if len(out):
                    return True
            if walker.skip:
                count = min(walker.skip, self._end - self._begin)
                walker.skipped(count)
                self._begin += count
                if walker.skip == 0:
                    continue
            if walker.fault is None and not self._fill():
                rest = bytes(self._bytes[self._begin : self._end])
                # After damage the capture is cut off, even if that is where a record ends.
                walker.finish(rest, self._damage is not None)
                break
        return False

    def peek_first_ns(self) -> int:
        """Time of the first frame, or "long ago" when the first bytes do not tell."""
        first = Frames()
        self.walker.walk(self._bytes, self._begin, self._end, first, 16)
        return self.walker.first_ns

    @property
    def position(self) -> int:
        """Bytes of the file that have been read."""
        return self._stream.position

    @property
    def trouble(self) -> str | None:
        """One line that says what was lost and where, if anything was."""
        word = self.walker.fault
        if word is None:
            return None
        what = self._damage or FAULTS[word]
        return (
            f"{self.name}: {what} at byte {self._offset + self._begin}; "
            f"the {self.walker.packets} packets before it were read"
        )

    @property
    def remarks(self) -> list[str]:
        """Lines on what was read but is doubtful: times that cannot be right."""
        walker, lines = self.walker, []
        if walker.clamped:
            lines.append(
                f"{self.name}: {walker.clamped} packets, the first of them number"
                f" {walker.first_clamped}, are older than one before them by more than"
                f" {self._reorder_ns / 1e9:g} s (at most {walker.disorder_ns / 1e9:.6g} s): judged"
                " at a later time than their own, see --reorder"
            )
        if walker.far_times:
            lines.append(
                f"{self.name}: {walker.far_times} packets have times that no clock shows, before"
                " 1823 or after 2116: judged at the nearest time that can be told"
            )
        return lines

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


FAULTS = {
    "truncated": "the capture ends within a record",
    "bad_record": "a record claims an impossible length",
    "bad_block": "a block's lengths contradict each other",
    "bad_section": "a section header is neither little- nor big-endian",
    "bad_interface": "a packet names an interface that was not described",
}


class Captures:
    """Several captures as one source, merged by time; iterates over batches of frames.

    A batch's `now_ns` is the time that every capture has reached.
    """

    def __init__(self, names: list[str], reorder_ns: int, limit: int | None = None) -> None:
        self.names = names
        self.reorder_ns = reorder_ns
        self.left = limit if limit is not None else EVER
        self.troubles: list[str] = []
        self.remarks: list[str] = []
        self.unreadable: list[str] = []
        self.notes: dict[str, bool | int] = {}
        self.now_ns = NO_TIME
        self.disorder_ns = 0
        self.clamped = 0
        self.far_times = 0
        self.live = False
        self.size_bytes: int | None = 0
        self._done_bytes = 0
        self._active: dict[int, Capture] = {}
        self._waiting: dict[int, int] = {}

    def open(self) -> None:
        """Look at every capture; which cannot be read is in `unreadable`, one line each."""
        for source, name in enumerate(self.names):
            capture = self._try_open(source, name)
            if capture is None:
                continue
            if capture.size is None or self.size_bytes is None:
                self.size_bytes = None
            else:
                self.size_bytes += capture.size
            self.live = self.live or capture.live
            # Standard input can be opened only once, even if it is a file.
            if capture.live or name == STDIN or len(self.names) == 1:
                self._active[source] = capture
            else:
                self._waiting[source] = capture.peek_first_ns()
                capture.close()

    def _try_open(self, source: int, name: str) -> Capture | None:
        try:
            return Capture(name, source, self.reorder_ns)
        except OSError as error:
            text = error.strerror or str(error)
            self.unreadable.append(
                str(error) if isinstance(error, IsADirectoryError) else f"{name}: {text}"
            )
        except ValueError as error:
            self.unreadable.append(f"{name}: {error}")
        return None

    def __iter__(self) -> Iterator[Frames]:
        frames = Frames()
        try:
            while self.left and (capture := self._furthest_behind()) is not None:
                if not capture.read(frames, min(self.left, 1 << 30)):
                    self._finish(capture)
                    continue
                self.left -= len(frames)
                self.now_ns = max(self.now_ns, capture.walker.now_ns)
                frames.now_ns = self._floor_ns()
                yield frames
        finally:
            # Also when the reader is interrupted: what was read until then stands.
            for capture in list(self._active.values()):
                self._finish(capture)

    def _furthest_behind(self) -> Capture | None:
        """The capture to read on in; one that waits is opened when its turn has come."""
        while self._active or self._waiting:
            active = min(
                ((capture.walker.now_ns, source) for source, capture in self._active.items()),
                default=(EVER, 0),
            )
            waiting = min(((t_ns, source) for source, t_ns in self._waiting.items()), default=None)
            if waiting is None or active[0] < waiting[0] - self.reorder_ns:
                return self._active[active[1]]
            source = waiting[1]
            del self._waiting[source]
            capture = self._try_open(source, self.names[source])
            if capture is not None:
                self._active[source] = capture
            else:
                # It could be read a moment ago: nobody has been told of this.
                self.troubles.append(self.unreadable.pop())
        return None

    def _floor_ns(self) -> int:
        times = [capture.walker.now_ns for capture in self._active.values()]
        return min(times + list(self._waiting.values()))

    def _finish(self, capture: Capture) -> None:
        capture.close()
        walker = capture.walker
        self._active = {s: other for s, other in self._active.items() if other is not capture}
        self._done_bytes += capture.position
        self.disorder_ns = max(self.disorder_ns, walker.disorder_ns)
        self.clamped += walker.clamped
        self.far_times += walker.far_times
        self.remarks += capture.remarks
        if capture.trouble is not None:
            self.troubles.append(capture.trouble)
        for word, value in walker.notes.items():
            if isinstance(value, bool):
                self.notes[word] = value
            else:
                self.notes[word] = self.notes.get(word, 0) + value

    @property
    def position_bytes(self) -> int:
        """Bytes read so far, of `size_bytes`."""
        return self._done_bytes + sum(capture.position for capture in self._active.values())
