"""Decides which dark flows the honeypot gets: events in, decisions out; no socket, clock or thread.

A SYN's source may be forged, so a SYN+ACK is a packet sent to somebody who perhaps never asked: how
many we send is limited in all, per prefix and per source, by token buckets, and how many flows may
be diverted at one time as well, so that one scanner cannot fill the table.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field

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
    "not_inbound", "own_address", "allowed", "known", "malformed", "rate_total", "rate_prefix",
    "rate_source", "flows_total", "flows_prefix", "flows_source",
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
        return port in self.ports or _in(resp, self.addresses) or _in(orig, self.sources)


def _in(address: bytes, ranges: tuple[tuple[bytes, bytes], ...]) -> bool:
    return any(len(first) == len(address) and first <= address <= last for first, last in ranges)


class Buckets:
    """Token buckets by key: at most `rate` a second, and `burst` at once."""

    def __init__(self, rate: int, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._levels: OrderedDict[bytes, tuple[float, int]] = OrderedDict()

    def has(self, key: bytes, now_ns: int) -> bool:
        """Whether there is a token; none is taken."""
        return self._level(key, now_ns) >= 1

    def take(self, key: bytes, now_ns: int) -> None:
        """Take one."""
        self._levels[key] = (self._level(key, now_ns) - 1, now_ns)
        self._levels.move_to_end(key)
        if len(self._levels) > MOST_BUCKETS:
            self._levels.popitem(last=False)

    def _level(self, key: bytes, now_ns: int) -> float:
        level, then_ns = self._levels.get(key, (float(self._burst), now_ns))
        passed_s = max(now_ns - then_ns, 0) / SECOND_NS
        return min(level + passed_s * self._rate, self._burst)


@dataclass(frozen=True, slots=True)
class Diverted:
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
        self._sources: Counter[bytes] = Counter()
        self._prefixes: Counter[bytes] = Counter()
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
        prefix = prefix_of(orig)
        counts = (len(self.flows), self._prefixes[prefix], self._sources[orig])
        most = (self.limits.flows, self.limits.prefix_flows, self.limits.source_flows)
        keys = (b"", prefix, orig)
        names = ("total", "prefix", "source")
        for name, count, limit in zip(names, counts, most, strict=True):
            if count >= limit:
                return f"flows_{name}"
        for name, buckets, key in zip(names, self._rates, keys, strict=True):
            if not buckets.has(key, now_ns):
                return f"rate_{name}"
        for buckets, key in zip(self._rates, keys, strict=True):
            buckets.take(key, now_ns)
        return DIVERT

    def _add(self, diverted: Diverted) -> None:
        flow = diverted.flow
        self.diverted += 1
        self.flows[flow] = diverted
        self._sources[flow[0]] += 1
        self._prefixes[prefix_of(flow[0])] += 1

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
