"""The engine's semantics in slow, obvious lines: what the kernels are held to, event by event.

Packets are dicts: t_ns, kind ("syn", "syn_ack", "rst", "icmp"), flow (orig_addr, orig_port,
resp_addr, resp_port: of the SYN that the packet is, answers or quotes), isn, ip_id. No timers: a
flow is brought up to date when it is looked at; events are sorted by when they happened. With
`tells` it also tells of who was reached, and of answers to nothing, by the way these went.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

COPY_NS = 1_000_000
COUNTS = (
    "attempts", "retransmitted_or_repeated", "answered", "refused", "dark", "undecided",
    "late_answers", "unsolicited", "icmp_unreachable", "icmp_unsolicited", "dropped_queue",
    "dropped_table",
)  # fmt: skip


@dataclass
class Attempt:
    """One attempt and what is known of it."""

    flow: tuple[Any, ...]
    t0_ns: int
    isn: int
    ip_id: int
    state: str = "held"
    syns: int = 1
    new_isns: int = 0
    duplicates: int = 0
    icmp: tuple[int, int] | None = None
    last_syn_ns: int = field(init=False)

    def __post_init__(self) -> None:
        self.last_syn_ns = self.t0_ns


class Oracle:
    """Judges packets one by one; `events` holds (when, what, attempt's record)."""

    # Whether answers in time are events, too.

    def __init__(self, hold_ns: int, idle_ns: int, queue: int = 10**9, table: int = 10**9) -> None:
        self.hold_ns, self.idle_ns = hold_ns, idle_ns
        self.queue, self.table = queue, table
        self.flows: dict[tuple[Any, ...], Attempt] = {}
        self.events: list[dict[str, Any]] = []
        self.counts: dict[str, int] = dict.fromkeys(COUNTS, 0)
        self.delays: list[int] = []
        self.tells = False

    def see(self, packet: dict[str, Any]) -> None:
        """One packet; times never decrease."""
        self.pass_time(packet["t_ns"])
        attempt = self.flows.get(packet["flow"])
        getattr(self, "_" + packet["kind"])(packet, attempt)

    def pass_time(self, now_ns: int) -> None:
        """Act on every deadline before `now_ns`, the earliest first; verdicts before ends."""
        while True:
            due = [
                (self._deadline(a), a.state == "dark", order, a)
                for order, a in enumerate(self.flows.values())
                if self._deadline(a) < now_ns
            ]
            if not due:
                return
            # Of one kind and one deadline, the flow goes first that came to it first.
            deadline, _, _, a = min(due, key=lambda d: d[:3])
            if a.state == "held":
                self._turn_dark(a, deadline)
            elif a.state == "dark":
                self._end(a, deadline, "idle")
            else:
                del self.flows[a.flow]

    def _deadline(self, a: Attempt) -> int:
        if a.state == "dark":
            return max(a.t0_ns + self.hold_ns, a.last_syn_ns) + self.idle_ns
        return a.t0_ns + self.hold_ns

    def _turn_dark(self, a: Attempt, t_ns: int) -> None:
        a.state = "dark"
        self.counts["dark"] += 1
        self._emit("dark", t_ns, a)
        self._to_back(a)
        if sum(b.state == "dark" for b in self.flows.values()) > self.table:
            self.counts["dropped_table"] += 1
            self._end(a, t_ns, "table_full")

    def _to_back(self, a: Attempt) -> None:
        del self.flows[a.flow]
        self.flows[a.flow] = a

    def _end(self, a: Attempt, t_ns: int, why: str) -> None:
        self.counts["icmp_unreachable"] += a.icmp is not None
        self._emit("end", t_ns, a, end=why)
        del self.flows[a.flow]

    def _syn(self, packet: dict[str, Any], a: Attempt | None) -> None:
        if a is not None and (a.state in ("held", "dark") or a.isn == packet["isn"]):
            self.counts["retransmitted_or_repeated"] += 1
            a.syns += 1
            if a.isn != packet["isn"]:
                a.new_isns += 1
            elif packet["t_ns"] - a.last_syn_ns <= COPY_NS and packet["ip_id"] == a.ip_id:
                a.duplicates += 1
            a.ip_id, a.last_syn_ns = packet["ip_id"], packet["t_ns"]
            if a.state == "dark":
                self._to_back(a)
            return
        if a is not None:
            del self.flows[a.flow]
        if sum(b.state != "dark" for b in self.flows.values()) >= self.queue:
            self.counts["dropped_queue"] += 1
            return
        self.counts["attempts"] += 1
        self.flows[packet["flow"]] = Attempt(
            packet["flow"], packet["t_ns"], packet["isn"], packet["ip_id"]
        )

    def _syn_ack(self, packet: dict[str, Any], a: Attempt | None) -> None:
        if a is None:
            self.counts["unsolicited"] += 1
            if self.tells:
                orig, orig_port, resp, resp_port = packet["flow"]
                sent = Attempt((resp, resp_port, orig, orig_port), packet["t_ns"], 0, 0, syns=0)
                self._emit("unsolicited", packet["t_ns"], sent, answer=packet["kind"])
        elif a.state == "held":
            a.state = "answered" if packet["kind"] == "syn_ack" else "refused"
            self.counts[a.state] += 1
            self.delays.append(packet["t_ns"] - a.t0_ns)
            if self.tells:
                self._emit("reached", packet["t_ns"], a, answer=packet["kind"])
        elif a.state == "dark":
            self.counts["late_answers"] += 1
            self._end(a, packet["t_ns"], "late_answer")
            self._emit("late_answer", packet["t_ns"], a, answer=packet["kind"])

    _rst = _syn_ack

    def _icmp(self, packet: dict[str, Any], a: Attempt | None) -> None:
        quoted = a is not None and a.state in ("held", "dark")
        if a is None or not quoted or (a.isn != packet["isn"] and not a.new_isns):
            self.counts["icmp_unsolicited"] += 1
        elif a.icmp is None:
            a.icmp = packet["icmp"]

    def finish(self, now_ns: int) -> None:
        """The capture ends at `now_ns`."""
        self.pass_time(now_ns)
        for a in [a for a in self.flows.values() if a.state == "held"]:
            self.counts["undecided"] += 1
            self._emit("undecided", now_ns, a)
        for a in [a for a in self.flows.values() if a.state == "dark"]:
            self._end(a, now_ns, "end_of_capture")

    def _emit(self, what: str, t_ns: int, a: Attempt, **more: str) -> None:
        self.events.append({
            "event": what, "t_ns": t_ns, "flow": a.flow, "t0_ns": a.t0_ns,
            "last_syn_ns": a.last_syn_ns, "syn_count": a.syns, "new_isn_count": a.new_isns,
            "duplicate_count": a.duplicates, "icmp": a.icmp, **more,
        })  # fmt: skip
