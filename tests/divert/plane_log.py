"""A plane's surroundings, noted: for its tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from darkflow.divert.dispatcher import Diverted, Flow
from darkflow.divert.plane import Plane
from darkflow.flow.batch import Frames
from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from writers import SECOND_NS, ethernet
from writers import Flow as Ends

MACS = bytes(12)


class Log:
    """Everything that happens, in order: the kernel's set, the frames, the watcher."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, object]] = []
        self.registered: set[Flow] = set()
        self.talked: set[Flow] = set()
        self.room = 1 << 30
        self.hold = threading.Event()
        self.hold.set()
        self.error: OSError | None = None
        self.delete_errors: list[OSError] = []
        self.takes_first = False
        self.errno = 0
        self.held_ns: set[int] = set()
        self.overtakes: Callable[[Diverted], object] | None = None

    def add(self, flows: Sequence[Flow]) -> Sequence[Flow]:
        self.hold.wait(5)
        if self.error:
            if self.takes_first:
                self.registered.update(flows)
            raise self.error
        taken = [flow for flow in flows if len(self.registered) < self.room]
        taken = taken[: self.room - len(self.registered)]
        self.registered.update(taken)
        self.steps.append(("add", list(taken)))
        return [flow for flow in flows if flow not in taken]

    def delete(self, flows: Sequence[Flow]) -> None:
        if self.delete_errors:
            raise self.delete_errors.pop()
        self.registered.difference_update(flows)
        self.steps.append(("delete", list(flows)))

    def served(self, flows: Sequence[Flow]) -> set[Flow]:
        return self.talked & set(flows)

    def send(self, frames: Sequence[bytes]) -> list[int]:
        self.steps += [("frame", frame) for frame in frames]
        return [self.errno] * len(frames)

    def diverted(self, diverted: Sequence[Diverted], t_ns: int) -> None:
        assert abs(time.time_ns() - t_ns) < SECOND_NS
        for one in diverted:
            self.held_ns.add(one.since_ns - one.t0_ns)
            self.steps.append(("diverted", one.flow))
            if self.overtakes:
                self.overtakes(one)

    def overtaken(self, diverted: Diverted) -> None:
        self.steps.append(("overtaken", diverted.flow))

    def ended(self, diverted: Diverted, t_ns: int, why: str) -> None:
        self.steps.append(("ended", (diverted.flow, t_ns, why)))

    def all(self, what: str) -> list[object]:
        return [value for name, value in self.steps if name == what]


class Feed:
    """Gives a plane real events: SYNs that nobody answers, or too late."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.engine = Engine(SECOND_NS, 60 * SECOND_NS)
        self.t_ns = 0

    def __call__(self, *packets: bytes) -> None:
        batch = [(self.t_ns + n, 1, ethernet(p)) for n, p in enumerate(packets)]
        self.t_ns += 2 * SECOND_NS
        for events in self.engine.observe(Decoder().decode(Frames.of(batch, self.t_ns))):
            self.plane.write(events)


def ends(n: int) -> Ends:
    return Ends("198.51.100.1", 1000 + n, "192.0.2.1", 22)


def key(n: int) -> Flow:
    return (b"\xc6\x33\x64\x01", 1000 + n, b"\xc0\0\2\1", 22)


def until(there: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not there():
        assert time.monotonic() < end
        time.sleep(0.002)
