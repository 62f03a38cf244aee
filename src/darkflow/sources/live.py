"""Interfaces as one live source: batches as packets come, and time that passes without them.

Each interface has a ring of its own. Network time is what every interface has surely reached: the
time of its last packet when a block of its ring has just been read, else the clock less `lag_ns`
(the kernel hands a block over after its timeout at the latest). So a SYN on a link that falls
silent gets its verdict all the same. In between the source sleeps: until a block is full or timed
out, or until the next deadline that anybody has.
"""

from __future__ import annotations

import errno
import os
import select
import threading
import time

from darkflow.flow.batch import Frames
from darkflow.sources.interface import Interface, Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NO_TIME = -(1 << 63)
# What a kernel and a Python that are late may need beyond a block's timeout.
SLACK_NS = 8_000_000
CHECK_NS = 1_000_000_000
# Then the others have their turn.
MOST_BATCHES = 64
# A clock that is set, and not only slewed (at most 0.5 ms in a second), moves further.
STEP_NS = 250_000_000
CLOCK_READS = 100


def clock_ahead_ns() -> int:
    """The wall clock less the monotonic one, both read at one moment.

    A thread that has to pause between the two reads would find a step where there is none.
    """
    for _ in range(CLOCK_READS):
        before_ns, now_ns, after_ns = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        if after_ns - before_ns < STEP_NS >> 3:
            break
    return now_ns - before_ns


class Live:
    """Several interfaces, merged by time; an empty batch comes when nothing else does.

    What happens to an interface (gone, back) is said to `report`, one line each; the others go on.
    Iterating ends at `stop`, with all that has come until then, and when the clock was set: then
    `stepped_ns` is not 0, and the next iteration goes on in the new time.
    """

    def __init__(
        self, names: list[str], report: Callable[[str], None], watch: Watch | None = None
    ) -> None:
        """Open every interface; OSError, with the interface's name, when one cannot be."""
        self.names = names
        self.now_ns = NO_TIME
        self.stepped_ns = 0
        self.turns = 0
        # When somebody waits for a time of the network: the source wakes for it.
        self.deadline_ns: Callable[[], int] = lambda: 1 << 62
        self._report = report
        self.watch = watch or Watch()
        if self.watch.outgoing is None:
            # Of one interface they are the answers of its own services; of several, the second
            # sight of what was forwarded.
            self.watch.outgoing = len(names) == 1
        self._lag_ns = self.watch.size.timeout_ms * 1_000_000 + SLACK_NS
        self._open: dict[int, Interface] = {}
        self._going: set[int] = set()
        self._lost: set[int] = set()
        # Over what `packets` and `missed_ns` add up.
        self._counting = threading.Lock()
        self._called: dict[int, str] = dict(enumerate(names))
        self._dropped: dict[int, int] = dict.fromkeys(range(len(names)), 0)
        self._seen: dict[int, int] = dict.fromkeys(range(len(names)), 0)
        # When packets were last missed, at the latest, by the clock that nobody sets; at the
        # beginning, until all were open.
        self._missed_ns: dict[int, int] = {}
        self._check_at_ns = 0
        self._ahead_ns = clock_ahead_ns()
        self._stopping = False
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            for source in range(len(names)):
                self._open[source] = self._interface(source)
        except BaseException:
            self.close()
            raise
        self._missed_ns = dict.fromkeys(range(len(names)), time.monotonic_ns())
        self._poll = self._polled()

    def _interface(self, source: int) -> Interface:
        name = self.names[source]
        watch = self.watch
        if name == "lo" and watch.outgoing:
            # On loopback every packet is both outgoing and incoming.
            watch = Watch(watch.size, watch.tunnels, False, watch.hardware, watch.fanout)
        try:
            return Interface(name, watch, source)
        except PermissionError as error:
            needed = "CAP_NET_RAW and CAP_NET_ADMIN" if watch.hardware else "CAP_NET_RAW"
            raise PermissionError(
                error.errno, f"watching an interface needs {needed}: run as root", name
            ) from None
        except OSError as error:
            raise OSError(error.errno or errno.EIO, error.strerror or str(error), name) from None

    def _polled(self) -> select.poll:
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        for interface in self._open.values():
            poll.register(interface.fileno(), select.POLLIN | select.POLLERR)
        return poll

    def __iter__(self) -> Iterator[Frames]:
        frames = Frames()
        last_ns = 1 << 62
        if self.stepped_ns:
            self.now_ns = NO_TIME
            self.stepped_ns = 0
        while not self._clock_was_set() and time.time_ns() < last_ns:
            self.turns += 1
            # The clock first: what is read after it holds everything that came before it.
            clock_ns = reached_ns = time.time_ns()
            alone = len(self._open) == 1
            for interface in list(self._open.values()):
                busy = emptied = False
                for _ in range(MOST_BATCHES):
                    if not interface.read(frames):
                        emptied = True
                        break
                    busy = True
                    frames.now_ns = interface.walker.now_ns if alone else self.now_ns
                    yield frames
                now_ns = interface.walker.now_ns if busy else NO_TIME
                if emptied:
                    now_ns = max(now_ns, clock_ns - self._lag_ns)
                reached_ns = min(reached_ns, now_ns)
            self.now_ns = max(self.now_ns, reached_ns)
            frames.clear(self.now_ns)
            yield frames
            if self._stopping and last_ns > clock_ns + CHECK_NS:
                # What is in blocks that are still open counts too.
                last_ns = clock_ns + self._lag_ns
            self._wait()
        self._take_drops()

    def _wait(self) -> None:
        """Until a ring has a block, or somebody's time has come."""
        newest_ns = max((i.walker.now_ns for i in self._open.values()), default=NO_TIME)
        due_ns = self.deadline_ns()
        if newest_ns >= self.now_ns:
            # A packet waits for its time to pass, with one interface just as for a silent one.
            due_ns = min(due_ns, newest_ns)
        now_ns = time.time_ns()
        wait_ns = min(due_ns + self._lag_ns - now_ns, CHECK_NS)
        if self._stopping:
            wait_ns = min(wait_ns, self._lag_ns >> 2)
        # Rounded up: a moment too early would be a turn for nothing.
        for number, happened in self._poll.poll(max(wait_ns // 1_000_000 + 1, 0)):
            if number == self._bell:
                os.eventfd_read(self._bell)
            # An error stays until it is asked for, and would end every wait at once.
            elif happened & select.POLLERR:
                self._say_error(number)
        if time.monotonic_ns() >= self._check_at_ns:
            self._check_at_ns = time.monotonic_ns() + CHECK_NS
            self._check()

    def _say_error(self, number: int) -> None:
        for source, interface in self._open.items():
            if interface.fileno() == number and (error := interface.take_error()):
                self._report(f"interface {self._called[source]}: {os.strerror(error)}")

    def _clock_was_set(self) -> bool:
        """Whether the clock has jumped; then packets that wait are put into the new time."""
        ahead_ns = clock_ahead_ns()
        step_ns, self._ahead_ns = ahead_ns - self._ahead_ns, ahead_ns
        if abs(step_ns) < STEP_NS:
            return False
        for interface in self._open.values():
            interface.step(step_ns, time.time_ns())
        self.stepped_ns = step_ns
        return True

    def _check(self) -> None:
        """Once a second: interfaces that have gone are left out, and opened when they are back."""
        self._take_drops()
        for source, interface in list(self._open.items()):
            interface.step(0, 0)
            name = interface.other_name
            if name is None and source not in self._going:
                # What it caught last is in a block that the kernel has yet to hand over.
                self._going.add(source)
                self._check_at_ns = time.monotonic_ns() + self._lag_ns
                self._report(f"interface {self._called[source]} has gone; waiting for it")
            elif name is None:
                self._close(source)
                self._going.discard(source)
                self._lost.add(source)
                self._called[source] = self.names[source]
            elif name != self._called[source]:
                self._report(f"interface {self._called[source]} is called {name} now; going on")
                self._called[source] = name
        for source in sorted(self._lost):
            try:
                opened = self._interface(source)
            except OSError:
                continue
            with self._counting:
                self._open[source] = opened
                self._missed_ns[source] = time.monotonic_ns()
            self._lost.discard(source)
            self._report(f"interface {self.names[source]} is back")
        self._poll = self._polled()

    def _take_drops(self) -> None:
        with self._counting:
            for source, interface in self._open.items():
                if count := interface.take_drops():
                    self._dropped[source] += count
                    self._missed_ns[source] = time.monotonic_ns()
            for source in range(len(self.names)):
                if source not in self._open or not self._open[source].is_up:
                    self._missed_ns[source] = time.monotonic_ns()

    def missed_ns(self, sources: int) -> int:
        """Until when, at the latest, packets of the first `sources` interfaces were missed.

        In ns since 1970: they found no room in a ring, or it was not open yet, or the interface
        was not there, or down. From any thread.
        """
        self._take_drops()
        missed_ns = max(at for source, at in self._missed_ns.items() if source < sources)
        return missed_ns + clock_ahead_ns()

    @property
    def dropped_ring(self) -> dict[str, int]:
        """Packets that found no room in the ring, by interface, as of the last second."""
        return {self.names[source]: count for source, count in self._dropped.items()}

    @property
    def called(self) -> dict[str, str]:
        """What each interface is called now, by the name it was given with."""
        return {self.names[source]: name for source, name in self._called.items()}

    @property
    def packets(self) -> dict[str, int]:
        """Packets that the kernel's filter let through, by interface."""
        with self._counting:
            now = {source: interface.walker.packets for source, interface in self._open.items()}
            return {
                self.names[source]: count + now.get(source, 0)
                for source, count in self._seen.items()
            }

    def stop(self) -> None:
        """End the iteration, from any thread, after what has come until now."""
        self._stopping = True
        os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Give the rings back."""
        for source in list(self._open):
            self._close(source)

    def _close(self, source: int) -> None:
        with self._counting:
            interface = self._open.pop(source)
            self._seen[source] += interface.walker.packets
        interface.close()
