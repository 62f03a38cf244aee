"""dark.pcap: the SYN frames of dark flows as a capture file, original bytes and times."""

from __future__ import annotations

import os
import struct
import threading

from darkflow.flow.batch import Events
from darkflow.flow.kept import KeptFrames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from darkflow.sinks.direct import Box

STDOUT = "-"
MAGIC_US, MAGIC_NS = 0xA1B2C3D4, 0xA1B23C4D
SNAPLEN = 262_144
ETHERNET = 1
# So many bytes are handed on at once, though more may get their verdict in one batch.
PUT_BYTES = 1 << 20

Kind = tuple[int, bool]


def pcap_header(kind: Kind) -> bytes:
    """A pcap's file header for a link type in us, or in ns."""
    link, fine = kind
    return struct.pack("<IHHiIII", MAGIC_NS if fine else MAGIC_US, 2, 4, 0, 0, SNAPLEN, link)


class PcapFiles:
    """The files that dark.pcap needs; all workers write into the same.

    A pcap file has one link type and one precision. Frames of another get a file of their own
    beside the first: dark.pcap, then dark.linktype-113.pcap; on standard output they are counted.
    """

    def __init__(self, path: str, open_box: Callable[[str], Box], live: bool) -> None:
        self.name = f"dark SYNs to {path}"
        self.written = 0
        self.not_written = 0
        self.further_files: list[str] = []
        self._path = path
        self._open_box = open_box
        self._boxes: dict[Kind, Box] = {}
        self._changing = threading.Lock()
        # Opened now, so that a path that cannot be written is said before the work.
        self._first = open_box(path)
        self._live = live
        if live:  # it can be read from the start; most links are Ethernet, and times have 9 digits
            self._first.begin(pcap_header((ETHERNET, True)))

    def put(self, kind: Kind, records: bytes, count: int) -> None:
        """So many records of one link type and precision."""
        box = self._boxes.get(kind)
        if box is None:
            with self._changing:
                box = self._boxes.get(kind) or self._begin(kind)
        if box is None:
            self.not_written += count
        else:
            box.put(records, count)
            self.written += count

    def _begin(self, kind: Kind) -> Box | None:
        if not self._boxes:
            box = self._first
        elif self._path == STDOUT:
            return None
        else:
            stem, suffix = os.path.splitext(self._path)  # noqa: PTH122 (pathlib is slow to import)
            precision = "-ns" if kind[1] else ""
            path = f"{stem}.linktype-{kind[0]}{precision}{suffix}"
            self.further_files.append(path)
            box = self._open_box(path)
        box.begin(pcap_header(kind))
        self._boxes[kind] = box
        return box

    def finish(self) -> None:
        """A worker is at its end; without a single frame the file is an empty capture."""
        with self._changing:
            if not self._boxes and not self._live:
                self._begin((ETHERNET, False))
            for box in self._boxes.values():
                box.finish()


class DarkPcap:
    """A sink that takes one worker's judged frames from `kept`, in the order of time."""

    def __init__(self, kept: KeptFrames, files: PcapFiles) -> None:
        self.name = files.name
        self._kept = kept
        self.files = files

    def write(self, events: Events) -> None:
        """Put what has got its verdict since the last batch."""
        del events
        self._take(last=False)

    def _take(self, last: bool) -> None:
        taken = self._kept.take(last)
        if not taken:
            return
        waiting: dict[Kind, list[bytes]] = {}
        size = 0
        for t_ns, link, digits, origlen, whole in taken:
            data = whole[:SNAPLEN]
            fine = digits > 6
            second, fraction = divmod(t_ns, 1_000_000_000)
            second = min(max(second, 0), 0xFFFFFFFF)
            head = (second, fraction if fine else fraction // 1000, len(data), origlen)
            records = waiting.setdefault((link, fine), [])
            records += (struct.pack("<IIII", *head), data)
            size += len(data)
            if size > PUT_BYTES:
                self._put(waiting)
                size = 0
        self._put(waiting)

    def _put(self, waiting: dict[Kind, list[bytes]]) -> None:
        for kind, records in waiting.items():
            self.files.put(kind, b"".join(records), len(records) // 2)
        waiting.clear()

    def close(self) -> None:
        """Put what is left."""
        self._take(last=True)
        self.files.finish()
