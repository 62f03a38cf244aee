"""Between the verdicts and the kernel: diverts flows, replays their SYNs, cuts.

A sink for the engine's events that only decides and queues; a thread of its own talks to the
kernel, many flows in one transaction, so that a slow transaction never stalls the capture. A flow
is in the kernel's set before its SYN goes to the honeypot: the answer finds the way out open.
"""

from __future__ import annotations

import heapq
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from darkflow.divert.dispatcher import DIVERT, Allowed, Dispatcher, Diverted, Flow
from darkflow.divert.frames import frame_from
from darkflow.divert.replay import frame_of
from darkflow.flow.batch import Events

# Flows of one transaction: some hundred cost little more than one.
BATCH = 256
# Flows of hosts that have spoken while their SYN was held; the first one is forgotten first.
MOST_ALIVE = 65_536
# Verdicts that may wait for the kernel; those beyond them are counted and not diverted.
MOST_WAITING = 200_000
PATIENCE_S = 1.0
# After which the kernel is asked again for cuts that it refused.
RETRY_S = 1.0
# Why a flow is deleted of which it is not known whether the kernel took it.
UNCERTAIN = ""


class Table(Protocol):
    """The kernel's set of diverted flows."""

    def add(self, flows: Sequence[Flow]) -> Sequence[Flow]:
        """Divert these from now on; those for which there was no room."""

    def delete(self, flows: Sequence[Flow]) -> None:
        """Divert these no longer; one that is not there is no error."""

    def served(self, flows: Sequence[Flow]) -> Collection[Flow]:
        """Those that a late answer does not end, as their client has talked to the honeypot."""


class Watcher(Protocol):
    """Who wants to know what becomes of diverted flows."""

    def diverted(self, diverted: Sequence[Diverted], t_ns: int) -> None:
        """Registered; their SYNs go to the honeypot now."""

    def ended(self, diverted: Diverted, t_ns: int, why: str) -> None:
        """No longer diverted: by whom, and when that was asked for."""

    def overtaken(self, diverted: Diverted) -> None:
        """Cut by the kernel while `diverted` was told of it."""


class Plane:
    """Diverts what the dispatcher allows, `jitter_ns` at most after the verdict.

    send: gives frames to the honeypot and says of each 0, or the errno. macs: destination and
    source of those frames, 12 bytes.
    """

    name = "the honeypot"

    def __init__(
        self,
        dispatcher: Dispatcher,
        table: Table,
        send: Callable[[Sequence[bytes]], Sequence[int]],
        macs: bytes,
        watcher: Watcher,
        jitter_ns: int = 0,
    ) -> None:
        self.dispatcher = dispatcher
        self.replayed = 0
        self.replay_errors = 0
        self.dropped_divert = 0
        self.no_room = 0
        self.trouble = ""
        # What has ended the thread.
        self.failed: BaseException | None = None
        # A line when the kernel begins to refuse, and one when it takes flows again.
        self.say: Callable[[str], None] = lambda _: None
        # Until when the capture has missed packets, in ns since 1970: who has answered is not known
        # of flows that began before.
        self.missed_ns: Callable[[], int] = lambda: 0
        # There is no table, or not all of it: nothing is diverted.
        self.paused = False
        # Until when nobody has seen that live hosts answer, in the same unit.
        self.one_sided_ns: Callable[[], int] = lambda: 0
        self._table = table
        self._send = send
        self._macs = macs
        self._watcher = watcher
        self._jitter_ns = jitter_ns
        self._random = random.Random()
        self._number = 0
        self._due: list[tuple[int, int, Flow, bytes]] = []
        self._cuts: dict[Flow, tuple[int, str]] = {}
        self._retry_s = 0.0
        self._undone = False
        self._again: deque[Flow] = deque()
        self._alive: dict[Flow, int] = {}
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="darkflow divert", daemon=True)

    def start(self) -> None:
        """Begin to talk to the kernel."""
        self._thread.start()

    def write(self, events: Events) -> None:
        """Decide about the verdicts of one batch; called by a worker's loop."""
        verdicts = events.verdicts() if len(events) else ()
        if not verdicts:
            return
        now_ns = time.monotonic_ns()
        missed_ns, one_sided_ns = self.missed_ns(), self.one_sided_ns()
        with self._changed:
            for late, t_ns, t0_ns, flow, head, tcp_bytes, whole in verdicts:
                if late:
                    self._cut(flow, t_ns, "late_answer")
                elif 0 < missed_ns >= t0_ns:
                    self.dispatcher.refused["packets_missed"] += 1
                elif 0 < one_sided_ns >= t0_ns:
                    self.dispatcher.refused["one_sided"] += 1
                elif self._alive.get(flow, -1) >= t0_ns:
                    self.dispatcher.refused["alive"] += 1
                elif self._may(flow, t_ns, t0_ns, head[-tcp_bytes:]):
                    self._number += 1
                    due_ns = now_ns + self._random.randrange(self._jitter_ns + 1)
                    if whole:
                        frame = frame_of(head, tcp_bytes, self._macs, whole)
                    else:
                        frame = frame_from(head, tcp_bytes, self._macs)
                    heapq.heappush(self._due, (due_ns, self._number, flow, frame))
            self._changed.notify()

    def _may(self, flow: Flow, t_ns: int, t0_ns: int, tcp: bytes) -> bool:
        if self.paused:
            self.dispatcher.refused["no_table"] += 1
            return False
        if len(tcp) < 20 or (tcp[12] >> 4) * 4 != len(tcp):
            self.dispatcher.refused["malformed"] += 1
            return False
        if len(self._due) >= MOST_WAITING:
            self.dropped_divert += 1
            return False
        return self.dispatcher.dark(flow, t_ns, t0_ns) == DIVERT

    def cut(self, flows: Iterable[Flow], t_ns: int, why: str) -> int:
        """End flows; how many of them were diverted. From any thread.

        The kernel is told also of those that are not known: it may have them all the same.
        """
        count = 0
        with self._changed:
            for flow in flows:
                if self._cut(flow, t_ns, why):
                    count += 1
                else:
                    self._unsure(flow)
            self._changed.notify()
        return count

    def _unsure(self, flow: Flow) -> None:
        """The kernel may have a flow that is not known: it is to let it go."""
        if len(self._cuts) < MOST_WAITING:
            self._cuts.setdefault(flow, (0, UNCERTAIN))

    def allow(self, change: Callable[[Allowed], Allowed], t_ns: int) -> int:
        """Change what is never diverted; how many diverted flows that ends. From any thread."""
        with self._changed:
            self.dispatcher.allowed = change(self.dispatcher.allowed)
            count = sum(
                self._cut(flow, t_ns, "allow_list") for flow in self.dispatcher.now_allowed()
            )
            self._changed.notify()
        return count

    def _cut(self, flow: Flow, t_ns: int, why: str) -> bool:
        if flow not in self.dispatcher.flows:
            return False
        self._cuts.setdefault(flow, (t_ns, why))
        return True

    def gone(self, flow: Flow, unsure: bool = False) -> Diverted | None:
        """The kernel has cut the flow itself, or let it go: what it was, if it was diverted.

        unsure: perhaps it has not, and is told to.
        """
        with self._changed:
            if unsure:
                self._unsure(flow)
                self._changed.notify()
            return self.dispatcher.end(flow)

    def alive(self, flow: Flow, t_ns: int) -> Diverted | None:
        """The flow's real host has spoken in it: no attempt from before `t_ns` is diverted.

        What it was, if it was diverted; the kernel has cut it.
        """
        with self._changed:
            self._alive.pop(flow, None)
            self._alive[flow] = t_ns
            if len(self._alive) > MOST_ALIVE:
                del self._alive[next(iter(self._alive))]
            return self.dispatcher.end(flow)

    def divert_again(self) -> None:
        """The kernel's table is a new one: what is diverted goes there once more."""
        with self._changed:
            self._again = deque(self.dispatcher.flows)
            self._changed.notify()

    def close(self) -> None:
        """Stop; what is queued is not diverted any more."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(PATIENCE_S)

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # nothing may end unseen
            self.failed = error

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (self._closing or self._cuts_due() or self._again or self._ready()):
                    self._changed.wait(self._rest_s())
                if self._closing:
                    return
                # What was cut before it was diverted never is.
                known, cuts = self.dispatcher.flows, self._cuts
                again = [self._again.popleft() for _ in range(min(BATCH, len(self._again)))]
                again = [flow for flow in again if flow in known and flow not in cuts]
                batch = [one for one in self._take() if one[2] in known and one[2] not in cuts]
                if self._cuts_due():
                    self._cuts = {}
                else:
                    cuts = {}
            if cuts:
                self._delete(cuts)
            if again:
                self._register(again)
            if batch:
                self._divert(batch)

    def _cuts_due(self) -> bool:
        return bool(self._cuts) and time.monotonic() >= self._retry_s

    def _ready(self) -> bool:
        return bool(self._due) and self._due[0][0] <= time.monotonic_ns()

    def _take(self) -> list[tuple[int, int, Flow, bytes]]:
        """Flows of the next transaction: those whose time has come."""
        now_ns = time.monotonic_ns()
        batch: list[tuple[int, int, Flow, bytes]] = []
        while self._due and self._due[0][0] <= now_ns and len(batch) < BATCH:
            batch.append(heapq.heappop(self._due))
        return batch

    def _rest_s(self) -> float | None:
        due_s = [self._due[0][0] / 1e9] if self._due else []
        due_s += [self._retry_s] if self._cuts else []
        return max(min(due_s) - time.monotonic(), 0) if due_s else None

    def _delete(self, cuts: dict[Flow, tuple[int, str]]) -> None:
        flows = list(cuts)
        try:
            late = [flow for flow, (_, why) in cuts.items() if why == "late_answer"]
            # What the kernel has let live is not for us to end.
            kept = set(self._table.served(late)) if late else set()
            flows = [flow for flow in flows if flow not in kept]
            for at in range(0, len(flows), BATCH):
                self._table.delete(flows[at : at + BATCH])
        except OSError as error:
            # The kernel goes on diverting them, so they are not over: asked again in a while.
            self._failed(error)
            with self._changed:
                self._retry_s = time.monotonic() + RETRY_S
                self._cuts = cuts | self._cuts
            self._undone = True
            return
        if self._undone:
            self._undone = False
            self._works()
        with self._changed:
            ended = [self.dispatcher.end(flow) for flow in flows]
        for diverted in ended:
            if diverted is None:
                continue
            t_ns, why = cuts[diverted.flow]
            if why == UNCERTAIN:  # diverted anew in the meantime, and not registered yet
                self.no_room += 1
            else:
                self._watcher.ended(diverted, t_ns, why)

    def _register(self, flows: list[Flow]) -> set[Flow]:
        """Put flows into the kernel's set; those that are not there, and are not diverted then."""
        try:
            left_out = set(self._table.add(flows))
        except OSError as error:
            self._failed(error)
            left_out = set(flows)
            with self._changed:
                # It may have refused after it had taken them.
                for flow in flows:
                    self._unsure(flow)
        else:
            self._works()
        if left_out:
            self.no_room += len(left_out)
            with self._changed:
                for flow in left_out:
                    self.dispatcher.end(flow)
        return left_out

    def _divert(self, batch: list[tuple[int, int, Flow, bytes]]) -> None:
        left_out = self._register([flow for _, _, flow, _ in batch])
        t_ns = time.time_ns()
        known = self.dispatcher.flows
        there = [
            (diverted, frame)
            for _, _, flow, frame in batch
            if flow not in left_out and (diverted := known.get(flow)) is not None
        ]
        self._watcher.diverted([diverted for diverted, _ in there], t_ns)
        with self._changed:
            overtaken = [one for one, _ in there if known.get(one.flow) is not one]
        for one in overtaken:
            self._watcher.overtaken(one)
        failed = sum(error != 0 for error in self._send([frame for _, frame in there]))
        self.replayed += len(there) - failed
        self.replay_errors += failed

    def _failed(self, error: OSError) -> None:
        if not self.trouble:
            self.trouble = error.strerror or str(error)
            self.say(f"the kernel does not take flows: {self.trouble}; they stay dark")

    def _works(self) -> None:
        if self.trouble:
            self.trouble = ""
            self.say("the kernel takes flows again")
