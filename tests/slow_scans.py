"""Scans and backscatter in slow, obvious lines that keep everything: what the kernels are held to.

Events are the dicts of `Events.to_list`; times of one engine only, so they never decrease.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from darkflow.flow.detection import Backscatter, BackscatterLimits, Scan, ScanLimits
from darkflow.flow.networks import DIRECTIONS, Networks


def prefix_of(address: bytes, length: int) -> bytes:
    """The network's first address."""
    return ipaddress.ip_network((address, length), strict=False).network_address.packed


def ports_text(ports: Counter[int]) -> str:
    """The five most frequent ports."""
    return ",".join(str(p) for p, _ in sorted(ports.items(), key=lambda i: (-i[1], i[0]))[:5])


@dataclass
class Source:
    """One source, or prefix, and all its attempts."""

    address: bytes
    prefix: int
    heard_ns: int
    dark: list[dict[str, Any]] = field(default_factory=list)
    live: list[dict[str, Any]] = field(default_factory=list)
    contacts: list[bool] = field(default_factory=list)  # first contacts: was it a failure?
    directions: list[str] = field(default_factory=list)  # of the dark ones
    begun: bool = False
    inside: bool = False
    start_ns: int = 0  # as its beginning told

    def trw(self) -> str:
        """Jung's test over all first contacts, as he writes it, with his numbers."""
        ratio, verdict = 1.0, "undecided"
        for failed in self.contacts:
            ratio *= 4.0 if failed else 0.25
            if ratio > 99:
                return "scanner"
            if ratio < 0.0101:
                ratio, verdict = 1.0, "benign"
        return verdict

    def hosts(self, events: list[dict[str, Any]]) -> int:
        """Different destinations."""
        return len({e["dst"] for e in events})

    def tool(self) -> tuple[int, int]:
        """That of most dark flows; of equals the surer, then the first."""
        flows = Counter(e["tool"][0] for e in self.dark)
        best = {n: max(e["tool"][1] for e in self.dark if e["tool"][0] == n) for n in flows}
        most = max(flows, key=lambda n: (flows[n], best[n], -n))
        return most, best[most]

    def direction(self) -> str:
        """That of most dark flows; of equals the first."""
        return max(DIRECTIONS, key=self.directions.count)

    def outside(self) -> int:
        """Different dark destinations outside, of a source of our own."""
        pairs = zip(self.dark, self.directions, strict=True)
        return self.hosts([e for e, direction in pairs if direction == "outbound"])

    def told(self, state: str) -> Scan:
        """What is known."""
        hosts, ports = self.hosts(self.dark), Counter(e["dport"] for e in self.dark)
        start_ns, direction = min(e["t0_ns"] for e in self.dark), self.direction()
        if state == "end":
            start_ns = self.start_ns
        if state == "inside":
            hosts, direction = self.outside(), "outbound"
        kind = "port_scan" if hosts <= 5 else "random_scan"
        return Scan(
            self.address, self.prefix, state, "address_scan" if len(ports) <= 5 else kind,
            start_ns, max(e["t0_ns"] for e in self.dark),
            len(self.dark) + len(self.live), sum(e["syn_count"] for e in self.dark + self.live),
            hosts, self.hosts(self.live), len(ports), ports_text(ports), self.trw(),
            direction, *self.tool(),
        )  # fmt: skip


class SlowScans:
    """The rules of flow/scans.pyx, without limits of memory."""

    def __init__(self, networks: Networks, limits: ScanLimits) -> None:
        self.networks, self.limits = networks, limits
        self.sources: dict[tuple[bytes, int], Source] = {}
        self.scans: list[Scan] = []

    def observe(self, events: list[dict[str, Any]], now_ns: int) -> None:
        """One batch."""
        for event in events:
            if event["event"] in ("dark", "reached"):
                self._pass_time(event["t_ns"])
                self._attempt(event)
        self._pass_time(now_ns)

    def _pass_time(self, now_ns: int) -> None:
        for key, source in list(self.sources.items()):
            if source.heard_ns + self.limits.gap_ns[len(source.address) == 16] < now_ns:
                self._drop(key)

    def _drop(self, key: tuple[bytes, int]) -> None:
        source = self.sources.pop(key)
        if source.begun:
            self.scans.append(source.told("end"))

    def finish(self) -> None:
        """The end of the input."""
        for key in list(self.sources):
            self._drop(key)

    def _attempt(self, event: dict[str, Any]) -> None:
        v6 = len(event["src"]) == 16
        lengths = [128, 64, 48] if v6 else [32]
        for length in lengths:
            key = (prefix_of(event["src"], length), length)
            source = self.sources.setdefault(key, Source(*key, event["t_ns"]))
            before = source.begun
            self._count(source, event)
            if event["event"] == "dark":
                self._look(source, v6)
            if source.begun:
                if not before:
                    for other in lengths[lengths.index(length) + 1 :]:
                        wider = (prefix_of(event["src"], other), other)
                        if wider in self.sources and not self.sources[wider].begun:
                            del self.sources[wider]
                return

    def _count(self, source: Source, event: dict[str, Any]) -> None:
        first = all(e["dst"] != event["dst"] for e in source.dark + source.live)
        failed = event["event"] == "dark"
        if first:
            source.contacts.append(failed)
        if failed:
            source.directions.append(self.networks.direction_of(event["src"], event["dst"]))
        (source.dark if failed else source.live).append(event)
        if failed or not source.dark:
            source.heard_ns = event["t_ns"]

    def _look(self, source: Source, v6: bool) -> None:
        limits = self.limits
        hosts = source.hosts(source.dark)
        pairs = len({(e["dst"], e["dport"]) for e in source.dark})
        watched = source.direction() in ("inbound", "internal")
        whole = source.prefix in (32, 128)
        if not source.begun and (
            (hosts >= (limits.hosts if watched else limits.targets)[v6]
             or pairs >= limits.targets[v6])
            and 4 * hosts > source.hosts(source.live)
            and (whole or len({e["src"] for e in source.dark}) > 5)
        ):  # fmt: skip
            source.begun = True
            self.scans.append(source.told("begin"))
            source.start_ns = self.scans[-1].start_ns
        elif (
            whole and source.directions[-1] == "outbound" and not source.inside
            and source.outside() >= limits.inside
        ):  # fmt: skip
            source.inside = True
            self.scans.append(source.told("inside"))


@dataclass
class Victim:
    """Who sends answers to nothing, and all of them."""

    packets: list[dict[str, Any]] = field(default_factory=list)
    begun: bool = False

    def minute(self) -> int:
        """Most packets in six slots of 10 s in a row."""
        slots = Counter(e["t_ns"] // 10_000_000_000 for e in self.packets)
        return max(sum(slots[last - back] for back in range(6)) for last in slots)

    def told(self, address: bytes, state: str) -> Backscatter:
        """What is known."""
        kinds = {e["answer"] for e in self.packets}
        return Backscatter(
            address, state, self.packets[0]["t_ns"], self.packets[-1]["t_ns"], len(self.packets),
            len({e["dst"] for e in self.packets}),
            ports_text(Counter(e["sport"] for e in self.packets)), self.minute(),
            "both" if len(kinds) == 2 else kinds.pop(),
        )  # fmt: skip


class SlowVictims:
    """The rules of flow/backscatter.pyx for packets whose resets have neither ACK nor number."""

    def __init__(self, networks: Networks, limits: BackscatterLimits) -> None:
        self.networks, self.limits = networks, limits
        self.victims: dict[bytes, Victim] = {}
        self.told: list[Backscatter] = []
        self.peers: list[set[bytes]] = [set(), set()]
        self.turned_ns = -(1 << 62)

    def observe(self, events: list[dict[str, Any]], now_ns: int) -> None:
        """One batch."""
        for event in events:
            if event["event"] == "reached":
                self._pass_time(event["t_ns"])
                self.peers[0] |= {event["src"], event["dst"]}
            if event["event"] == "unsolicited":
                self._pass_time(event["t_ns"])
                self._packet(event)
        self._pass_time(now_ns)

    def _pass_time(self, now_ns: int) -> None:
        if self.turned_ns + 900_000_000_000 < now_ns:
            self.turned_ns += 900_000_000_000
            self.peers = [set(), self.peers[0]]
            if self.turned_ns + 900_000_000_000 < now_ns:
                self.turned_ns, self.peers = now_ns, [set(), set()]
        for address, victim in list(self.victims.items()):
            if victim.packets[-1]["t_ns"] + self.limits.gap_ns < now_ns:
                self._drop(address)

    def _drop(self, address: bytes) -> None:
        victim = self.victims.pop(address)
        if victim.begun:
            self.told.append(victim.told(address, "end"))

    def finish(self) -> None:
        """The end of the input."""
        for address in list(self.victims):
            self._drop(address)

    def _packet(self, event: dict[str, Any]) -> None:
        if self.networks.direction_of(event["src"], event["dst"]) not in ("inbound", "internal"):
            return
        if event["answer"] == "rst" and any(event["src"] in known for known in self.peers):
            return
        victim = self.victims.setdefault(event["src"], Victim())
        victim.packets.append(event)
        span_ns = event["t_ns"] - victim.packets[0]["t_ns"]
        if (
            not victim.begun
            and len(victim.packets) >= self.limits.packets
            and span_ns >= self.limits.span_ns
            and victim.minute() >= self.limits.rate
            and len({e["dst"] for e in victim.packets}) >= self.limits.targets
        ):
            victim.begun = True
            self.told.append(victim.told(event["src"], "begin"))
