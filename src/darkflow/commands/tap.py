"""Watches the honeypot's interface in a thread: every frame, for the record of each session."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Sequence

from darkflow.divert.dispatcher import Flow
from darkflow.flow.batch import Frames
from darkflow.honeypot.sessions import Session, Tracker
from darkflow.sources.interface import Interface, RingSize, Watch

# Headers, and so much of what a client says first as is kept.
MOST_BYTES = 4096 + 256
EXPIRE_NS = 1_000_000_000
WAIT_MS = 200
# The clock is set by leaps; less is what NTP does all the time.
LEAP_NS = 1_000_000_000
PATIENCE_S = 1.0
# Blocks that are read in a row; then it is looked at what is idle, lost, or to be closed.
MOST_BATCHES = 64
# When the kernel hands over a block that is not full; a packet in it keeps its flow alive, so what
# is idle is told some time later.
BLOCK_MS = 64
LAG_NS = 100_000_000


class Tap:
    """Feeds a tracker; `ended` hears of each session's end, `gone` of flows that are idle.

    frames: who else wants the frames, valid during the call.
    """

    def __init__(
        self,
        name: str,
        tracker: Tracker,
        ended: Callable[[Session], None],
        gone: Callable[[Flow], object],
        frames: Sequence[Callable[[Frames], None]] = (),
    ) -> None:
        """Open a ring on the interface; OSError when that cannot be."""
        size = RingSize(1 << 20, 32, BLOCK_MS)
        self.tracker = tracker
        self.failed: BaseException | None = None
        self.dropped = 0
        # When packets were lost last: some of a flow that looks idle may have been among them.
        self.missed_s = float("-inf")
        self._interface = Interface(name, Watch(size, outgoing=True, whole=MOST_BYTES))
        self._ended = ended
        self._gone = gone
        self._others = frames
        self._lock = threading.Lock()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="darkflow tap", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def begin(self, flows: Sequence[Flow], t_ns: int) -> None:
        """Flows are diverted from now on."""
        with self._lock:
            for flow in flows:
                self.tracker.begin(flow, t_ns)

    def close_session(self, flow: Flow, t_ns: int) -> Session | None:
        """A flow was cut; `cut` follows when the tap has read on. Its session, if it was open."""
        with self._lock:
            return self.tracker.close(flow, t_ns)

    def cut(self, session: Session, t_ns: int, why: str, answered_ns: int = 0) -> Session | None:
        """A flow is diverted no longer: its session, unless it has ended before."""
        with self._lock:
            return self.tracker.cut(session, t_ns, why, answered_ns)

    def open(self) -> list[Session]:
        """The sessions that are open now."""
        with self._lock:
            return self.tracker.open()

    @property
    def open_sessions(self) -> int:
        """How many they are."""
        return self.tracker.open_sessions

    def close(self) -> None:
        """Stop reading; sessions that are open end here."""
        self._closing = True
        if self._thread.is_alive():
            self._thread.join(PATIENCE_S)
        for session in self.open():
            if self.cut(session, time.time_ns(), "stopped") is not None:
                self._ended(session)
        if not self._thread.is_alive():  # its ring must not go while it reads
            self._interface.close()

    def _run(self) -> None:
        try:
            self._read_on()
        except BaseException as error:  # nothing may end unseen
            self.failed = error

    def _read_on(self) -> None:
        frames = Frames()
        poll = select.poll()
        poll.register(self._interface.fileno(), select.POLLIN | select.POLLERR)
        expire_ns = 0
        ahead_ns = time.time_ns() - time.monotonic_ns()
        while not self._closing:
            for _ in range(MOST_BATCHES):
                if self._closing or not self._interface.read(frames):
                    break
                with self._lock:
                    ended = self.tracker.observe(frames)
                for other in self._others:
                    other(frames)
                for session in ended:
                    self._ended(session)
            if time.monotonic_ns() >= expire_ns:
                expire_ns = time.monotonic_ns() + EXPIRE_NS
                if count := self._interface.take_drops():
                    self.dropped += count
                    self.missed_s = time.monotonic()
                before_ns, ahead_ns = ahead_ns, time.time_ns() - time.monotonic_ns()
                if abs(ahead_ns - before_ns) > LEAP_NS:
                    with self._lock:
                        self.tracker.shift(ahead_ns - before_ns)
                self._expire()
            for _, happened in poll.poll(WAIT_MS):
                if happened & select.POLLERR:
                    self._interface.take_error()

    def _expire(self) -> None:
        with self._lock:
            ended, gone = self.tracker.expire(time.time_ns() - LAG_NS)
        for session in ended:
            self._ended(session)
        for flow in gone:
            self._gone(flow)
