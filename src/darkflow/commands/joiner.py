"""Brings together what the tap saw of a session and what the service said of the connection.

Both tell it when the connection is over, in either order: the service when it has said its last
word, the tap when the client has too, and some scanners take seconds for that. A session whose
client never got as far as a service needs nobody's word.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from darkflow.divert.dispatcher import Flow
    from darkflow.honeypot.sessions import Session

PATIENCE_S = 2.0
# A session whose client has vanished ends `--idle` after the last that the kernel sent it again,
# and the service has told of it long before.
REPORT_PATIENCE_S = 30.0
MOST_WAITING = 20_000
WAITING_BYTES = 128 << 20
# Of a report in memory, beside its texts.
REPORT_BYTES = 1024


class Waiting(NamedTuple):
    """A report whose session has not ended; monotonic time, about its bytes in memory."""

    since_s: float
    said: dict[str, Any]
    size_bytes: int


Write = Callable[["Session", int, dict[str, Any] | None], None]


class Joiner:
    """Gives each session to `write` once, with its report if one comes within PATIENCE_S.

    A report waits for the end of its session, `idle_ns` (after which a silent session ends) and
    REPORT_PATIENCE_S; more of them than WAITING_BYTES are lost, the oldest first.
    reported: whether the service that has a session will tell of it.
    """

    def __init__(self, write: Write, reported: Callable[[Flow], bool], idle_ns: int) -> None:
        self.reports_lost = 0
        self._write = write
        self._reported = reported
        self._lock = threading.Lock()
        self._sessions: OrderedDict[Flow, tuple[float, Session, int]] = OrderedDict()
        self._reports: OrderedDict[Flow, Waiting] = OrderedDict()
        self._waiting_bytes = 0
        self._patience_s = idle_ns / 1e9 + REPORT_PATIENCE_S

    def session(self, session: Session, t0_ns: int) -> None:
        """A session has ended; t0_ns: first SYN of its flow."""
        flow = session.flow
        write: list[tuple[Session, int, dict[str, Any] | None]] = [(session, t0_ns, None)]
        if session.handshake_ns and self._reported(flow):
            with self._lock:
                report = self._take(flow)
                if report is not None:
                    write = [(session, t0_ns, report.said)]
                else:
                    before = self._sessions.pop(flow, None)
                    self._sessions[flow] = (time.monotonic(), session, t0_ns)
                    write = [] if before is None else [(before[1], before[2], None)]
        for one in write:
            self._write(*one)

    def report(self, flow: Flow, said: dict[str, Any]) -> None:
        """A service tells of a connection that is over."""
        with self._lock:
            waiting = self._sessions.pop(flow, None)
            if waiting is None:
                if self._take(flow) is not None:
                    self.reports_lost += 1
                size_bytes = REPORT_BYTES + len(repr(said))
                self._reports[flow] = Waiting(time.monotonic(), said, size_bytes)
                self._waiting_bytes += size_bytes
                while self._waiting_bytes > WAITING_BYTES:
                    self._lose()
        if waiting is not None:
            self._write(waiting[1], waiting[2], said)

    def tick(self, last: bool = False) -> None:
        """Write what has waited long enough; `last`: all of it."""
        now_s = float("inf") if last else time.monotonic()
        due = []
        with self._lock:
            while self._sessions:
                flow, (since_s, session, t0_ns) = next(iter(self._sessions.items()))
                if since_s > now_s - PATIENCE_S and len(self._sessions) <= MOST_WAITING:
                    break
                del self._sessions[flow]
                due.append((session, t0_ns))
            while self._reports and self._oldest_s() <= now_s - self._patience_s:
                self._lose()
        for session, t0_ns in due:
            self._write(session, t0_ns, None)

    def _take(self, flow: Flow) -> Waiting | None:
        report = self._reports.pop(flow, None)
        self._waiting_bytes -= 0 if report is None else report.size_bytes
        return report

    def _lose(self) -> None:
        self._take(next(iter(self._reports)))
        self.reports_lost += 1

    def _oldest_s(self) -> float:
        return next(iter(self._reports.values())).since_s
