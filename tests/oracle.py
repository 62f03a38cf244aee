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


SHORTER = 3
# The one-sided 95% upper limits of a Poisson count (Garwood 1936, from tables); 20 cases / bound.
LIMITS = (2.9957, 4.7439, 6.2958, 7.7537, 9.1535, 10.5130, 11.8424, 13.1481, 14.4346, 15.7052,
          16.9622, 18.2075, 19.4426)  # fmt: skip


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
    # How long it is held; whether it is measured, and at which hold shorter than T it was judged.
    hold_ns: int = 0
    listed: bool = False
    level: int | None = None
    last_syn_ns: int = field(init=False)

    def __post_init__(self) -> None:
        self.last_syn_ns = self.t0_ns


@dataclass
class Adaptive:
    """Whose SYNs are held for less than T; whatever is known has room here.

    flows: by (address, port) the verdicts in a row. heard: by address, when it was.
    """

    holds_ns: tuple[int, ...]
    often: int
    long_ns: int
    alive_ns: int
    bound: float
    flows: dict[Any, list[int]] = field(default_factory=dict)
    heard: dict[Any, int] = field(default_factory=dict)
    first_ns: int | None = None  # the first SYN or answer
    cases: int = 0
    falses: list[int] = field(default_factory=lambda: [0] * SHORTER)
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("listed", "early", "false", "unwatched"), 0)
    )

    def level(self) -> int:
        """The shortest hold that is shown to keep to the bound; SHORTER: none does, so T."""
        for at in range(len(self.holds_ns)):
            hits = self.falses[at]
            if hits < len(LIMITS) and self.cases * self.bound >= LIMITS[hits]:
                return at
        return len(self.holds_ns)

    def listened(self, now_ns: int) -> bool:
        """Whether who was heard before we listened is no longer alive by it."""
        if self.first_ns is None:
            self.first_ns = now_ns
        return now_ns - self.first_ns >= self.alive_ns

    def alive(self, address: Any, now_ns: int) -> bool:
        """Whether it was heard lately."""
        return address in self.heard and now_ns - self.heard[address] <= self.alive_ns

    def judge(self, a: Attempt) -> None:
        """An attempt opens."""
        flows, now_ns = self.flows.get(a.flow[2:], []), a.t0_ns
        a.listed = (
            len(flows) >= self.often
            and now_ns - flows[0] >= self.long_ns
            and now_ns - flows[-1] <= self.alive_ns
            and not self.alive(a.flow[2], now_ns)
        )
        self.counts["listed"] += a.listed
        if self.listened(now_ns) and a.listed and self.level() < len(self.holds_ns):
            a.level = self.level()
            a.hold_ns = self.holds_ns[a.level]

    def holds_on(self, a: Attempt, t_ns: int) -> bool:
        """The shorter hold has passed: whether it goes on until T."""
        wrong = self.level() > (a.level or 0) or self.alive(a.flow[2], t_ns)
        self.counts["early"] += a.state == "held" and not wrong
        return a.state != "held" or wrong

    def hear(self, packet: dict[str, Any]) -> None:
        """A SYN+ACK or RST."""
        self.listened(packet["t_ns"])
        self.heard[packet["flow"][2]] = packet["t_ns"]
        self.flows.pop(packet["flow"][2:], None)

    def dark(self, a: Attempt, t_ns: int) -> None:
        """A verdict."""
        flows = self.flows.setdefault(a.flow[2:], [])
        if flows and t_ns - flows[-1] > self.alive_ns:
            flows.clear()
        flows.append(t_ns)

    def measure(self, delay_ns: int | None, hold_ns: int) -> None:
        """One attempt to a listed destination was watched to the end."""
        self.cases += 1
        if delay_ns is not None:
            for at, short_ns in enumerate(self.holds_ns):
                self.falses[at] += short_ns < delay_ns <= hold_ns
        if self.cases >= int(20 / self.bound):
            self.cases //= 2
            self.falses = [(count + 1) // 2 for count in self.falses]


class Oracle:
    """Judges packets one by one; `events` holds (when, what, attempt's record)."""

    # What shortens holds, if anything does.
    adaptive: Adaptive | None = None

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
            if a.level is not None and a.state != "dark" and self._holds_on(a, deadline):
                continue
            if a.state == "held":
                self._turn_dark(a, deadline)
            elif a.state == "dark":
                self._end(a, deadline, "idle")
            else:
                del self.flows[a.flow]

    def _deadline(self, a: Attempt) -> int:
        if a.state == "dark":
            return max(a.t0_ns + a.hold_ns, a.last_syn_ns) + self.idle_ns
        return a.t0_ns + a.hold_ns

    def _holds_on(self, a: Attempt, t_ns: int) -> bool:
        if self.adaptive is None or not self.adaptive.holds_on(a, t_ns):
            return False
        a.hold_ns, a.level = self.hold_ns, None
        return True

    def _turn_dark(self, a: Attempt, t_ns: int) -> None:
        a.state = "dark"
        if self.adaptive is not None:
            if a.listed and a.level is None:
                self.adaptive.measure(None, self.hold_ns)
            self.adaptive.dark(a, t_ns)
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
        if self.adaptive is not None and a.level is not None and why != "late_answer":
            if t_ns - a.t0_ns < self.hold_ns:
                self.adaptive.counts["unwatched"] += 1
            else:
                self.adaptive.measure(None, self.hold_ns)
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
        opened = Attempt(packet["flow"], packet["t_ns"], packet["isn"], packet["ip_id"])
        opened.hold_ns = self.hold_ns
        self.flows[packet["flow"]] = opened
        if self.adaptive is not None:
            self.adaptive.judge(opened)

    def _syn_ack(self, packet: dict[str, Any], a: Attempt | None) -> None:
        if self.adaptive is not None:
            self.adaptive.hear(packet)
            early = a is not None and a.state == "dark" and a.level is not None
            if a is not None and a.listed and (a.state == "held" or early):
                delay_ns = packet["t_ns"] - a.t0_ns
                self.adaptive.counts["false"] += early and delay_ns <= self.hold_ns
                self.adaptive.measure(delay_ns, self.hold_ns)
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
