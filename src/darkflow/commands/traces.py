"""What follows a late SYN+ACK that has cut a flow: the paper's Table 1, one row for each."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from darkflow.divert.dispatcher import Flow
from darkflow.sinks.records import Trace

SILENCE = "silence"
# As long as the kernel looks for an end, and a little.
SILENT_NS = 61_000_000_000
MOST = 100_000


class Traces:
    """Gives a trace to `write` when the end is told, or when none has come for SILENT_NS.

    untold: cut flows that were forgotten before, as there were too many, or as we had to end.
    """

    def __init__(self, write: Callable[[Trace], None]) -> None:
        self.untold = 0
        self._write = write
        self._lock = threading.Lock()
        self._open: OrderedDict[Flow, tuple[int, int]] = OrderedDict()

    def begin(self, flow: Flow, t0_ns: int, cut_ns: int) -> None:
        """A late SYN+ACK has cut the flow; t0_ns: its first SYN."""
        with self._lock:
            self._open[flow] = (t0_ns, cut_ns)
            self._open.move_to_end(flow)
            if len(self._open) > MOST:
                self._open.popitem(last=False)
                self.untold += 1

    def end(self, flow: Flow, how: str, t_ns: int) -> None:
        """Its first RST or FIN."""
        with self._lock:
            known = self._open.pop(flow, None)
        if known is not None:
            self._write(Trace(flow, *known, how, t_ns))

    def tick(self, now_ns: int | None = None, last: bool = False) -> None:
        """Write those that nothing has followed; `last`: forget the others."""
        before_ns = (time.time_ns() if now_ns is None else now_ns) - SILENT_NS
        due: list[Trace] = []
        with self._lock:
            while self._open:
                flow, (t0_ns, cut_ns) = next(iter(self._open.items()))
                if cut_ns > before_ns:
                    break
                del self._open[flow]
                due.append(Trace(flow, t0_ns, cut_ns, SILENCE, cut_ns + SILENT_NS))
            if last:
                self.untold += len(self._open)
                self._open.clear()
        for trace in due:
            self._write(trace)
