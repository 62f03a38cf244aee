"""When something is a scan or backscatter: the limits, and how a watched prefix scales them.

The published numbers: Zeek's simple-scan has 25 targets (host and port) in 15 min; Richter, Gasser
and Berger (2022) have 100 targets and a gap of 1 h for IPv6; CAIDA's RSDoS, on a telescope of a /9
and a /10, has 25 packets, 60 s, and 30 packets in a minute that slides by 10 s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from darkflow.units import WatchedRanges

SECOND_NS = 1_000_000_000
# Time that goes back so far is another clock's: what was known ends there.
BACK_NS = 10 * SECOND_NS
# A tenth of what is watched, five at least, is enough for a scan of a small prefix.
TENTH, FEWEST_HOSTS = 10, 5
# Below a telescope's size, and never lower than what retransmissions of one answer can reach.
TELESCOPE = (1 << 23) + (1 << 22)
FEWEST_PACKETS, FEWEST_RATE, FEWEST_TARGETS = 10, 6, 3


@dataclass(frozen=True, slots=True)
class ScanLimits:
    """Pairs are IPv4, IPv6. targets: different dark (address, port) pairs; hosts: of the watched.

    gap_ns: without a dark flow for so long, a scan has ended. inside: dark hosts outside of a
    source of our own. sources: kept at one time.
    """

    targets: tuple[int, int] = (25, 100)
    hosts: tuple[int, int] = (25, 100)
    gap_ns: tuple[int, int] = (900 * SECOND_NS, 3600 * SECOND_NS)
    inside: int = 10
    sources: int = 65_536


@dataclass(frozen=True, slots=True)
class BackscatterLimits:
    """CAIDA's rule: packets in all, how long, and packets in the busiest sliding minute.

    targets: different addresses of ours. victims: kept at one time. gap_ns: as for scans.
    """

    packets: int = 25
    span_ns: int = 60 * SECOND_NS
    rate: int = 30
    targets: int = 1
    victims: int = 16_384
    gap_ns: int = 900 * SECOND_NS


@dataclass(frozen=True, slots=True)
class Scan:
    """What is known of a scan: the fields `scan.*`. state: "begin", "end" or "inside".

    source: packed address, or the beginning that prefix_length says and zeros. start_ns, end_ns:
    first and last SYN of dark flows; both events of a scan have the start that its beginning told.
    flows, packets: attempts that were judged, and their SYNs.
    tool, sureness: numbers of tools.pxd, as the verdicts said; of the tool of most dark flows.
    """

    source: bytes
    prefix_length: int
    state: str
    kind: str
    start_ns: int
    end_ns: int
    flows: int
    packets: int
    dark_targets: int
    live_targets: int
    ports: int
    top_ports: str
    trw: str
    direction: str
    tool: int = 0
    sureness: int = 0


@dataclass(frozen=True, slots=True)
class Backscatter:
    """What is known of an attacked host: the fields `backscatter.*`. state: "begin" or "end".

    victim: packed address. minute: packets of the busiest sliding minute.
    """

    victim: bytes
    state: str
    start_ns: int
    end_ns: int
    packets: int
    targets: int
    ports: str
    minute: int
    answer: str


def sizes_of(networks: WatchedRanges | None) -> tuple[int, int]:
    """How many IPv4 and IPv6 addresses are watched; all of them where none are named."""
    if networks is None:
        return 1 << 32, 1 << 128
    _, *families = networks
    four, six = (
        sum(int.from_bytes(last, "big") - int.from_bytes(first, "big") + 1 for first, last in one)
        for one in families
    )
    return four, six


def scaled_scans(limits: ScanLimits, networks: WatchedRanges | None) -> ScanLimits:
    """A prefix with fewer addresses than ten times the limit needs fewer of them to be scanned."""
    four, six = (
        min(limit, max(FEWEST_HOSTS, -(-size // TENTH)))
        for limit, size in zip(limits.targets, sizes_of(networks), strict=True)
    )
    return replace(limits, hosts=(four, six))


def scaled_backscatter(
    limits: BackscatterLimits, networks: WatchedRanges | None
) -> BackscatterLimits:
    """The part of what a telescope would see, but not less than the fewest that mean something.

    As fewer packets are asked for, they must go to different addresses.
    """
    four, six = sizes_of(networks)
    if four >= TELESCOPE:
        return limits
    return replace(
        limits,
        packets=min(limits.packets, max(FEWEST_PACKETS, limits.packets * four // TELESCOPE)),
        rate=min(limits.rate, max(FEWEST_RATE, limits.rate * four // TELESCOPE)),
        targets=max(limits.targets, min(FEWEST_TARGETS, max(four, six))),
    )
