"""dark.pcap: the SYN frames of dark flows as a capture file, original bytes and times."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import BinaryIO

from darkflow.flow.batch import Events
from darkflow.flow.kept import KeptFrames

STDOUT = "-"
MAGIC_US, MAGIC_NS = 0xA1B2C3D4, 0xA1B23C4D
SNAPLEN = 262_144


class DarkPcap:
    """A sink that takes judged frames from `kept` and writes them in the order of time.

    A pcap file has one link type and one precision. Frames of another get a file of their own
    beside the first: dark.pcap, then dark.linktype-113.pcap; on standard output they are counted.
    """

    def __init__(self, path: str, kept: KeptFrames, prompt: bool) -> None:
        self.name = f"dark SYNs to {path}"
        self.written = 0
        self.not_written = 0
        self.further_files: list[str] = []
        self._path = path
        self._kept = kept
        self._prompt = prompt
        self._files: dict[tuple[int, bool], BinaryIO] = {}
        # Opened now, so that a path that cannot be written is said before the work.
        self._first: BinaryIO = sys.stdout.buffer if path == STDOUT else open(path, "wb")  # noqa: SIM115, PTH123

    def write(self, events: Events) -> None:
        """Write what has got its verdict since the last batch."""
        del events
        self._take(last=False)

    def _take(self, last: bool) -> None:
        for t_ns, link, digits, origlen, whole in self._kept.take(last):
            data = whole[:SNAPLEN]
            fine = digits > 6
            file = self._files.get((link, fine)) or self._open(link, fine)
            if file is None:
                self.not_written += 1
                continue
            second, fraction = divmod(t_ns, 1_000_000_000)
            second = min(max(second, 0), 0xFFFFFFFF)
            head = (second, fraction if fine else fraction // 1000, len(data), origlen)
            file.write(struct.pack("<IIII", *head) + data)
            self.written += 1
        if self._prompt:
            for file in self._files.values():
                file.flush()

    def _open(self, link: int, fine: bool) -> BinaryIO | None:
        if not self._files:
            file = self._first
        elif self._path == STDOUT:
            return None
        else:
            path = Path(self._path)
            precision = "-ns" if fine else ""
            other = path.with_name(f"{path.stem}.linktype-{link}{precision}{path.suffix}")
            self.further_files.append(str(other))
            file = other.open("wb")
        self._files[(link, fine)] = file
        self._header(file, link, fine)
        return file

    @staticmethod
    def _header(file: BinaryIO, link: int, fine: bool) -> None:
        magic = MAGIC_NS if fine else MAGIC_US
        file.write(struct.pack("<IHHiIII", magic, 2, 4, 0, 0, SNAPLEN, link))

    def close(self) -> None:
        """Write what is left and flush; without a single frame the file is an empty capture."""
        self._take(last=True)
        if not self._files:
            self._files[(1, False)] = self._first
            self._header(self._first, 1, False)
        for file in self._files.values():
            file.flush()
            if file is not sys.stdout.buffer:
                file.close()
