"""Decides which dark flows the honeypot gets: events in, decisions out; no socket, clock or thread.

A SYN's source may be forged, so a SYN+ACK is a packet sent to somebody who perhaps never asked: how
many we send is limited in all, per prefix and per source, by token buckets, and how many flows may
be diverted at one time as well, so that one scanner cannot fill the table.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Flow = tuple[bytes, int, bytes, int]

SECOND_NS = 1_000_000_000
# Sources whose buckets are remembered; the one unused for longest is forgotten first.
MOST_BUCKETS = 262_144
PREFIX4, PREFIX6 = 3, 6  # bytes: /24, /48

DIVERT = "divert"
REFUSALS = (
    "not_inbound", "own_address", "allowed", "known", "malformed", "packets_missed", "alive",
    "one_sided", "no_table", "rate_total", "rate_prefix", "rate_source", "flows_total",
    "flows_prefix", "flows_source",
)  # fmt: skip


def prefix_of(address: bytes) -> bytes:
    """The /24 or /48 that an address lies in."""
    return address[: PREFIX4 if len(address) == 4 else PREFIX6]


@dataclass(frozen=True)
class Limits:
    """Diverted flows at one time, and new ones in a second, in all, per prefix and per source.

    A bucket holds `burst_s` seconds' worth.
    """

    flows: int = 1_000_000
    prefix_flows: int = 500_000
    source_flows: int = 250_000
    rate: int = 20_000
    prefix_rate: int = 10_000
    source_rate: int = 5_000
    burst_s: int = 2


@dataclass(frozen=True)
class Allowed:
    """What is never diverted: packed (first, last) ranges of addresses and sources; ports."""

    addresses: tuple[tuple[bytes, bytes], ...] = ()
    sources: tuple[tuple[bytes, bytes], ...] = ()
    ports: frozenset[int] = frozenset()

    def covers(self, flow: Flow) -> bool:
        """Whether this flow is left alone."""
        orig, _, resp, port = flow
        if not (self.ports or self.addresses or self.sources):
            return False
        return port in self.ports or _in(resp, self.addresses) or _in(orig, self.sources)


def _in(address: bytes, ranges: tuple[tuple[bytes, bytes], ...]) -> bool:
    return any(len(first) == len(address) and first <= address <= last for first, last in ranges)


class Buckets:
    """Token buckets by key: at most `rate` a second, and `burst` at once."""

    def __init__(self, rate: int, burst: int) -> None:
        self._rate = float(rate)
        self._burst = float(burst)
        self._levels: OrderedDict[bytes, tuple[float, int]] = OrderedDict()

    def level(self, key: bytes, now_ns: int) -> float:
        """Tokens that are there; none is taken."""
        known = self._levels.get(key)
        if known is None:
            return self._burst
        level, then_ns = known
        if now_ns > then_ns:
            level += (now_ns - then_ns) / SECOND_NS * self._rate
        elif now_ns < then_ns:  # the clock was set back
            self._levels[key] = (level, now_ns)
        return level if level < self._burst else self._burst

    def take(self, key: bytes, level: float, now_ns: int) -> None:
        """Take one of `level` tokens."""
        self._levels[key] = (level - 1, now_ns)
        self._levels.move_to_end(key)
        if len(self._levels) > MOST_BUCKETS:
            self._levels.popitem(last=False)


class Diverted(NamedTuple):
    """A flow that the honeypot has: its first SYN and its verdict, network time."""

    flow: Flow
    t0_ns: int
    since_ns: int


@dataclass
class Dispatcher:
    """Which flows are diverted now, and whether another one may be.

    inbound(orig, resp) says whether a flow comes from outside to a watched network. `own` are the
    machine's own addresses, packed: what it answers itself passes no interface that is watched.
    """

    inbound: Callable[[bytes, bytes], bool]
    limits: Limits = field(default_factory=Limits)
    allowed: Allowed = field(default_factory=Allowed)
    own: frozenset[bytes] = frozenset()

    def __post_init__(self) -> None:
        """Begin with nothing diverted."""
        self.flows: dict[Flow, Diverted] = {}
        self.refused: Counter[str] = Counter(dict.fromkeys(REFUSALS, 0))
        self.diverted = 0
        self._sources: dict[bytes, int] = {}
        self._prefixes: dict[bytes, int] = {}
        burst = self.limits.burst_s
        self._rates = (
            Buckets(self.limits.rate, self.limits.rate * burst),
            Buckets(self.limits.prefix_rate, self.limits.prefix_rate * burst),
            Buckets(self.limits.source_rate, self.limits.source_rate * burst),
        )

    def dark(self, flow: Flow, now_ns: int, t0_ns: int = 0) -> str:
        """A dark flow at its verdict: DIVERT, or why not (one of REFUSALS, counted)."""
        answer = self._judge(flow, now_ns)
        if answer == DIVERT:
            self._add(Diverted(flow, t0_ns, now_ns))
        else:
            self.refused[answer] += 1
        return answer

    def _judge(self, flow: Flow, now_ns: int) -> str:
        orig = flow[0]
        if not self.inbound(orig, flow[2]):
            return "not_inbound"
        if flow[2] in self.own:
            return "own_address"
        if self.allowed.covers(flow):
            return "allowed"
        if flow in self.flows:
            return "known"
        prefix, limits = prefix_of(orig), self.limits
        if len(self.flows) >= limits.flows:
            return "flows_total"
        if self._prefixes.get(prefix, 0) >= limits.prefix_flows:
            return "flows_prefix"
        if self._sources.get(orig, 0) >= limits.source_flows:
            return "flows_source"
        return self._take(prefix, orig, now_ns)

    def _take(self, prefix: bytes, orig: bytes, now_ns: int) -> str:
        """A token of each bucket, or none of any."""
        total, by_prefix, by_source = self._rates
        in_total = total.level(b"", now_ns)
        if in_total < 1:
            return "rate_total"
        in_prefix = by_prefix.level(prefix, now_ns)
        if in_prefix < 1:
            return "rate_prefix"
        in_source = by_source.level(orig, now_ns)
        if in_source < 1:
            return "rate_source"
        total.take(b"", in_total, now_ns)
        by_prefix.take(prefix, in_prefix, now_ns)
        by_source.take(orig, in_source, now_ns)
        return DIVERT

    def _add(self, diverted: Diverted) -> None:
        flow = diverted.flow
        orig, prefix = flow[0], prefix_of(flow[0])
        self.diverted += 1
        self.flows[flow] = diverted
        self._sources[orig] = self._sources.get(orig, 0) + 1
        self._prefixes[prefix] = self._prefixes.get(prefix, 0) + 1

    def end(self, flow: Flow) -> Diverted | None:
        """The flow is no longer diverted: what it was, or None if it was not."""
        gone = self.flows.pop(flow, None)
        if gone is not None:
            for counter, key in ((self._sources, flow[0]), (self._prefixes, prefix_of(flow[0]))):
                counter[key] -= 1
                if not counter[key]:
                    del counter[key]
        return gone

    def now_allowed(self) -> Iterator[Flow]:
        """Diverted flows that the list of what is never diverted covers since it was changed."""
        return (flow for flow in list(self.flows) if self.allowed.covers(flow))
