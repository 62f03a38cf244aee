"""Interfaces as one live source: batches as packets come, and time that passes without them.

Each interface has a ring of its own. Network time is what every interface has surely reached: the
time of its last packet while its ring has blocks to read, the clock minus `LAG_NS` while it has
none (the kernel hands a block over after its timeout at the latest). So a SYN on a link that falls
silent gets its verdict all the same.
"""

from __future__ import annotations

import errno
import os
import select
import time

from darkflow.flow.batch import Frames
from darkflow.sources.interface import Interface, RingSize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NO_TIME = -(1 << 63)
# A ring's block timeout is 8 ms; the rest is for a kernel and a Python that are late.
LAG_NS = 25_000_000
POLL_MS = 10
CHECK_NS = 1_000_000_000


class Live:
    """Several interfaces, merged by time; an empty batch comes when nothing else does.

    What happens to an interface (gone, back) is said to `report`, one line each; the others go on.
    `outgoing`: whether packets that this machine sends count. Of one interface they are the answers
    of its own services; of several, the second sight of what was forwarded.
    """

    def __init__(
        self,
        names: list[str],
        report: Callable[[str], None],
        size: RingSize | None = None,
        tunnels: bool = False,
        outgoing: bool | None = None,
    ) -> None:
        """Open every interface; OSError, with the interface's name, when one cannot be."""
        self.names = names
        self.now_ns = NO_TIME
        self._report = report
        self._size = size or RingSize()
        self._tunnels = tunnels
        self._outgoing = len(names) == 1 if outgoing is None else outgoing
        self._open: dict[int, Interface] = {}
        self._lost: set[int] = set()
        self._dropped: dict[int, int] = dict.fromkeys(range(len(names)), 0)
        self._seen: dict[int, int] = dict.fromkeys(range(len(names)), 0)
        self._checked_ns = 0
        try:
            for source in range(len(names)):
                self._open[source] = self._interface(source)
        except BaseException:
            self.close()
            raise

    def _interface(self, source: int) -> Interface:
        name = self.names[source]
        # On loopback every packet is both outgoing and incoming.
        outgoing = self._outgoing and name != "lo"
        try:
            return Interface(name, self._size, source, self._tunnels, outgoing)
        except PermissionError as error:
            raise PermissionError(
                error.errno, "watching an interface needs CAP_NET_RAW: run as root", name
            ) from None
        except OSError as error:
            raise OSError(error.errno or errno.EIO, error.strerror or str(error), name) from None

    def __iter__(self) -> Iterator[Frames]:
        frames = Frames()
        try:
            while True:
                self._check()
                busy = False
                floor_ns = time.time_ns() - LAG_NS
                for interface in list(self._open.values()):
                    if interface.read(frames):
                        busy = True
                        floor_ns = min(floor_ns, interface.walker.now_ns)
                        frames.now_ns = self.now_ns
                        yield frames
                # What was read until here had come before the clock was looked at.
                self.now_ns = max(self.now_ns, floor_ns)
                if not busy:
                    self._wait()
                frames.clear(self.now_ns)
                yield frames
        finally:
            self.close()

    def _wait(self) -> None:
        poll = select.poll()
        watched = {interface.fileno(): interface for interface in self._open.values()}
        for number in watched:
            poll.register(number, select.POLLIN | select.POLLERR)
        for number, happened in poll.poll(POLL_MS):
            # An error stays until it is asked for, and would end every wait at once.
            if happened & select.POLLERR and (error := watched[number].take_error()):
                self._report(f"interface {watched[number].name}: {os.strerror(error)}")

    def _check(self) -> None:
        """Once a second: interfaces that have gone are left out, and opened when they are back."""
        now_ns = time.monotonic_ns()
        if now_ns - self._checked_ns < CHECK_NS:
            return
        self._checked_ns = now_ns
        for source, interface in list(self._open.items()):
            self._dropped[source] += interface.take_drops()
            if interface.is_gone:
                self._seen[source] += interface.walker.packets
                interface.close()
                del self._open[source]
                self._lost.add(source)
                self._report(f"interface {self.names[source]} has gone; waiting for it")
        for source in sorted(self._lost):
            try:
                self._open[source] = self._interface(source)
            except OSError:
                continue
            self._lost.discard(source)
            self._report(f"interface {self.names[source]} is back")

    @property
    def dropped_ring(self) -> dict[str, int]:
        """Packets that found no room in the ring, by interface."""
        for source, interface in self._open.items():
            self._dropped[source] += interface.take_drops()
        return {self.names[source]: count for source, count in self._dropped.items()}

    @property
    def packets(self) -> dict[str, int]:
        """Packets that the kernel's filter let through, by interface."""
        now = {source: interface.walker.packets for source, interface in self._open.items()}
        return {
            self.names[source]: count + now.get(source, 0) for source, count in self._seen.items()
        }

    def close(self) -> None:
        """Give the rings back."""
        for interface in self._open.values():
            interface.close()
        self._open.clear()
