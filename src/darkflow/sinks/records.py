"""Sessions of the honeypot and cuts, as event lines and as rows of the store, from any thread.

A record is one tuple of values in the order of fields.py; the line and the row are both made of it
at once, so that nothing waits here. Who takes them (outbox, store) never waits and has limits.
"""

from __future__ import annotations

import base64
import hashlib
import time
from dataclasses import dataclass
from typing import Protocol

from darkflow.sinks.derived import flow_ends
from darkflow.sinks.fields import FIELDS, REPORTED, TABLES
from darkflow.sinks.templates import Template
from darkflow.sinks.told import NOTHING, Checked, Told, checked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from darkflow.flow.networks import Networks
    from darkflow.sinks.direct import Box
    from darkflow.sinks.store import Store
    from darkflow.sinks.templates import Value

Flow = tuple[bytes, int, bytes, int]

SECOND_NS = 1_000_000_000
DAY_US = 86_400_000_000
# Decimals of a second that a live interface tells.
DIGITS = 9
# Texts of a row that has no payload: addresses, ids, words.
USUAL_BYTES = 200
_PRINTABLE = bytes(byte if 32 <= byte < 127 else ord(".") for byte in range(256))


class Ended(Protocol):
    """A session that has ended, as honeypot/sessions.pyx tells it; a time of 0 is none."""

    flow: Flow
    diverted_ns: int
    syn_ack_ns: int
    handshake_ns: int
    last_ns: int
    ended_ns: int
    answered_ns: int
    orig_packets: int
    resp_packets: int
    orig_bytes: int
    resp_bytes: int
    orig_frame_bytes: int
    resp_frame_bytes: int
    payload: bytes
    payload_total: int
    end: str


@dataclass(frozen=True, slots=True)
class Cut:
    """A flow that was taken from the honeypot: see the fields `cut.*`; answered_ns 0: unknown."""

    flow: Flow
    t0_ns: int
    t_ns: int
    by: str
    answer: str | None = None
    answered_ns: int = 0


@dataclass(frozen=True, slots=True)
class Trace:
    """What followed a late SYN+ACK that cut a flow, and when: see the fields `cut_trace.*`."""

    flow: Flow
    t0_ns: int
    cut_ns: int
    trace: str
    t_ns: int


class Records:
    """Gives records to boxes for event lines (outbox.py) and to a store, as far as there are any.

    The boxes and the store belong to who opened them.
    """

    def __init__(self, networks: Networks, boxes: Sequence[Box], store: Store | None) -> None:
        self.sessions = 0
        self.cuts = 0
        self.traces = 0
        # Sessions of which a service told something that is not kept: see told.py.
        self.fields_lost = 0
        self._networks = networks
        self._boxes = tuple(boxes)
        self._rows = store.rows() if store is not None else None
        self._templates = {table: _template(table) for table in ("sessions", "cuts", "cut_traces")}
        self._second = (-1, "")

    def session(self, ended: Ended, t0_ns: int, told: Told | None = None) -> None:
        """A session; t0_ns: the first SYN of its dark flow; told: what its service said of it."""
        said = NOTHING if told is None else checked(told)
        payload, inner = ended.payload, said.decrypted
        self.sessions += 1
        self.fields_lost += said.lost
        values: tuple[Value, ...] = (
            said.protocol,
            ended.orig_packets, ended.resp_packets, ended.orig_frame_bytes, ended.resp_frame_bytes,
            t0_ns, ended.diverted_ns, ended.syn_ack_ns or None, ended.handshake_ns != 0,
            ended.handshake_ns or None, ended.last_ns, ended.ended_ns, ended.end,
            ended.ended_ns - ended.answered_ns if ended.answered_ns else None, said.service,
            ended.orig_bytes, ended.resp_bytes, ended.payload_total, len(payload),
            hashlib.sha256(payload).hexdigest() if payload else None,
            base64.b64encode(payload).decode("ascii"),
            payload.translate(_PRINTABLE).decode("ascii"),
            base64.b64encode(inner).decode("ascii") if inner else None,
            inner.translate(_PRINTABLE).decode("ascii") if inner else None,
            *said.login,
        )  # fmt: skip
        self._give("sessions", (ended.flow, t0_ns, ended.diverted_ns), values, said)

    def cut(self, cut: Cut) -> None:
        """A flow is no longer diverted."""
        values = (
            cut.t0_ns, cut.t_ns, cut.by, cut.answer, cut.answered_ns or None,
            cut.t_ns - cut.answered_ns if cut.answered_ns else None,
        )  # fmt: skip
        self.cuts += 1
        self._give("cuts", (cut.flow, cut.t0_ns, cut.t_ns), values)

    def trace(self, trace: Trace) -> None:
        """What followed a cut is known."""
        values = (trace.t0_ns, trace.cut_ns, trace.trace, trace.t_ns)
        self.traces += 1
        self._give("cut_traces", (trace.flow, trace.t0_ns, trace.t_ns), values)

    def _give(
        self,
        table: str,
        start: tuple[Flow, int, int],
        values: tuple[Value, ...],
        said: Checked | None = None,
    ) -> None:
        """start: flow, first SYN, time of the record; values: of the fields behind those of all."""
        flow, t0_ns, t_ns = start
        direction = self._networks.direction_of(flow[0], flow[2])
        ends = (TABLES[table], *flow_ends(flow, t0_ns), "TCP", direction)
        fields = said.fields if said is not None else None
        if self._boxes:
            more = b"," + fields[1:-1].encode() if fields else b""
            line = self._templates[table].line((self._timestamp(t_ns), *ends, *values), more)
            for box in self._boxes:
                box.put(line, 1)
        if self._rows is not None:
            t_us = t_ns // 1000
            columns = () if said is None else (*said.reported, fields)
            row = (t_us, *ends, *values, *columns, DIGITS, t_us // DAY_US)
            long = sum(len(value) for value in row if type(value) is str)
            self._rows.add(table, row, long - USUAL_BYTES)

    def _timestamp(self, t_ns: int) -> str:
        """RFC 3339 in UTC with nine decimals, as the other lines have it."""
        second, fraction = divmod(t_ns, SECOND_NS)
        known = self._second
        if known[0] != second:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = known = (second, text)
        return f"{known[1]}.{fraction:09}Z"


def _template(table: str) -> Template:
    event = TABLES[table]
    return Template([f.name for f in FIELDS if event in f.events and f not in REPORTED])
