"""The slow twin of the fingerprints: the same rules in plain Python, from a packet's bytes."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field

Name = tuple[str | None, str | None]

NONE: Name = (None, None)
LEVELS = (None, "low", "medium", "high")
HOUR_S = 3600
MSS_1460 = bytes([2, 4, 5, 180])
ZMAP_OPTIONS = MSS_1460 + bytes([1, 3, 3, 8, 1, 1, 4, 2])


@dataclass(frozen=True)
class Syn:
    """The first SYN of a flow; `resent`: how often the flow's later SYNs have said the same."""

    packet: bytes
    resent: int = 0

    @property
    def v4(self) -> bool:
        """Whether it is IPv4."""
        return self.packet[0] >> 4 == 4

    @property
    def source(self) -> bytes:
        """Its source address."""
        return self.packet[12:16] if self.v4 else self.packet[8:24]

    @property
    def flow(self) -> bytes:
        """Its addresses and ports."""
        assert self.tcp is not None
        return self.packet[12:20] * self.v4 + self.packet[8:40] * (not self.v4) + self.tcp[:4]

    @property
    def target(self) -> int:
        """The IPv4 destination as a number."""
        return int.from_bytes(self.packet[16:20], "big")

    @property
    def ttl(self) -> int:
        """TTL or hop limit."""
        return self.packet[8] if self.v4 else self.packet[7]

    @property
    def tcp(self) -> bytes | None:
        """The TCP header, if all of it is there."""
        tcp = self.packet[(self.packet[0] & 15) * 4 if self.v4 else 40 :]
        size = (tcp[12] >> 4) * 4
        return tcp[:size] if len(tcp) >= size else None

    def tcp_bytes(self, first: int, behind: int) -> bytes:
        """Some of the TCP header."""
        assert self.tcp is not None
        return self.tcp[first:behind]

    @property
    def has_payload(self) -> bool:
        """Whether the packet says that there is more behind its TCP header."""
        if self.v4:
            size, total = (self.packet[0] & 15) * 4, struct.unpack("!H", self.packet[2:4])[0]
        else:
            size, total = 40, 40 + struct.unpack("!H", self.packet[4:6])[0]
        return bool(total - size > (self.packet[size + 12] >> 4) * 4)

    def key(self, swapped: bool) -> int:
        """Unicornscan's key, if it was Unicornscan."""
        assert self.tcp is not None
        sport, dport, seq = struct.unpack("!HHI", self.tcp[:8])
        target = self.packet[16:20][::-1] if swapped else self.packet[16:20]
        return int(seq ^ int.from_bytes(target, "big") ^ (dport << 16 | sport))


def looks(syn: Syn) -> set[str]:
    """Tools whose SYNs look like this one, as `like ...`; `is ...`: their number is right too."""
    tcp = syn.tcp
    if tcp is None:
        return set()
    sport, dport, seq, ack, _, flags, window, _, urgent = struct.unpack("!HHIIBBHHH", tcp[:20])
    options, target = tcp[20:], syn.target
    only_syn = flags == 2 and urgent == 0 and tcp[12] & 15 == 0
    if not syn.v4:
        if ack or window != 1024 or syn.ttl <= 128 or not only_syn:
            return set()
        if options == MSS_1460:
            return {"like nmap"}
        return {"like masscan, IPv6"} if not options and not syn.resent else set()
    ip_id, fragment = struct.unpack("!HH", syn.packet[4:8])
    df = bool(fragment & 0x4000)
    found = set()
    swapped = int.from_bytes(syn.packet[16:20], "little")
    if ack == 0 and seq not in (target, swapped) and not syn.resent:
        found.add("like unicornscan")
    if not only_syn:
        return found
    if ack:
        small = max(seq, ack) < 1 << 31
        return (
            {"like hping3"} if not options and window == 512 and syn.ttl <= 64 and small else found
        )
    if not options and window == 65535 and syn.ttl > 128:
        found |= {"like zmap", "is zmap"} if ip_id == 54321 else {"like zmap"}
    if options in (b"", MSS_1460) and window == 1024 and syn.ttl > 128 and not df:
        right = ip_id == (target ^ dport ^ seq) & 0xFFFF
        found |= {"like masscan", "is masscan"} if right else {"like masscan"}
    if not options and syn.ttl <= 64 and seq == target:
        found.add("is mirai")
    if options == MSS_1460 and window in (1024, 2048, 3072, 4096) and syn.ttl <= 59 and not df:
        found = {"like nmap"}
    if options == ZMAP_OPTIONS and window == 65535 and syn.ttl <= 64 and not df:
        found |= {"like new zmap"} if 32768 <= sport <= 61000 else set()
    return found


@dataclass
class Source:
    """What one source has shown."""

    last_s: int
    hits: Counter[str] = field(default_factory=Counter)
    misses: Counter[str] = field(default_factory=Counter)
    nmap: Syn | None = None
    zmap: Syn | None = None
    hping3_port: int | None = None
    masscan_id: bytes | None = None
    last: Syn | None = None
    key: tuple[int, bool] | None = None

    def count(self, rule: str, hit: bool) -> None:
        """One more; counters have eight bits and are halved together."""
        counter = self.hits if hit else self.misses
        if counter[rule] == 255:
            self.hits[rule] //= 2
            self.misses[rule] //= 2
        counter[rule] += 1

    def learn(self, syn: Syn, found: set[str]) -> None:
        """One more SYN."""
        assert syn.tcp is not None
        sport, _, seq = struct.unpack("!HHI", syn.tcp[:8])
        if "is zmap" in found:
            if self.zmap is None or self.zmap.flow != syn.flow:
                self.count("zmap", True)
            self.zmap = syn
        elif "like zmap" in found:
            self.count("zmap", False)
        if "is masscan" in found:
            if self.masscan_id != syn.packet[4:6]:
                self.count("masscan", True)
            self.masscan_id = syn.packet[4:6]
        elif "like masscan" in found:
            self.count("masscan", False)
        if "like new zmap" in found:
            self.count("new zmap", not syn.resent)
        if "like nmap" in found:
            if self.nmap is not None and self.nmap.flow != syn.flow:
                x = seq ^ int.from_bytes(self.nmap.tcp_bytes(4, 8), "big")
                self.count("nmap", x >> 16 == x & 0xFFFF and x & 0xFF00 == 0)
            self.nmap = syn
        if "like hping3" in found:
            if self.hping3_port is not None:
                self.count("hping3", 1 <= (sport - self.hping3_port) % 65536 <= 64)
            self.hping3_port = sport
        if "like unicornscan" in found:
            self._learn_key(syn)

    def _learn_key(self, syn: Syn) -> None:
        if self.key is not None and syn.key(self.key[1]) == self.key[0]:
            self.count("unicornscan", True)
            return
        last = self.last
        if last is not None and last.tcp is not None and last.tcp[4:6] != syn.tcp_bytes(4, 6):
            for swapped in (False, True):
                if syn.key(swapped) == last.key(swapped):
                    self.key = (syn.key(swapped), swapped)
                    self.hits["unicornscan"] = 1
        self.last = syn

    def name(self, syn: Syn, found: set[str]) -> Name:
        """The tool of a SYN: the surest; of several equally sure ones the first."""
        named: list[tuple[int, str]] = []
        hits, misses = self.hits, self.misses
        if "is mirai" in found:
            named.append((3, "mirai"))
        for tool in ("zmap", "masscan"):
            if f"is {tool}" in found and hits[tool] > 1 and misses[tool] <= hits[tool]:
                named.append((3, tool))
        if "like unicornscan" in found and self.key and syn.key(self.key[1]) == self.key[0]:
            named.append((3 if hits["unicornscan"] > 1 else 2, "unicornscan"))
        if "like nmap" in found and misses["nmap"] <= hits["nmap"]:
            named.append((min(hits["nmap"] + 1, 3) if hits["nmap"] else 0, "nmap"))
        if "like hping3" in found and (
            misses["hping3"] <= hits["hping3"] or (hits["hping3"] == 0 and misses["hping3"] == 1)
        ):
            named.append((min(max(hits["hping3"], 1), 3), "hping3"))
        if "like new zmap" in found and not syn.resent and misses["new zmap"] < hits["new zmap"]:
            named.append((1, "zmap"))
        if "like masscan, IPv6" in found:
            named.append((1, "masscan"))
        best = max(named, key=lambda one: one[0], default=(0, ""))
        return (best[1], LEVELS[best[0]]) if best[0] else NONE


class SlowTools:
    """Every source, for ever."""

    def __init__(self) -> None:
        self.sources: dict[bytes, Source] = {}

    def verdict(self, syn: Syn, now_s: int) -> Name:
        """A flow is dark: what its tool is, as far as is known now."""
        found = looks(syn)
        if not found - {"is mirai", "like masscan, IPv6"}:
            return Source(now_s).name(syn, found)
        source = self.sources.get(syn.source)
        if source is None or now_s - source.last_s > HOUR_S:
            source = self.sources[syn.source] = Source(now_s)
        source.last_s = now_s
        source.learn(syn, found)
        return source.name(syn, found)

    def end(self, syn: Syn, said: Name) -> Name:
        """Its record ends: what is known of its source by now, if that is better.

        `syn.resent` counts what has come since the verdict.
        """
        source = self.sources.get(syn.source)
        found = looks(syn)
        if source is None or said[1] == "high" or not found - {"is mirai", "like masscan, IPv6"}:
            return said
        named = source.name(syn, found)
        if LEVELS.index(named[1]) > LEVELS.index(said[1]) or said[1] == "low":
            return named
        return said


def alone(packet: bytes, resent: int = 0) -> Name:
    """The tool of a source's only flow."""
    return SlowTools().verdict(Syn(packet, resent), 0)


def ttl_start(ttl: int) -> int:
    """What it was before the way here."""
    return next(start for start in (32, 64, 128, 255) if ttl <= start)


def _options(options: bytes) -> tuple[list[str], int, int, set[str]]:
    """(names, MSS, window scale, quirks)."""
    names, size, scale, quirks = list[str](), 0, 0, set[str]()
    rest = options
    while rest:
        kind = rest[0]
        if kind == 0:
            names.append(f"eol+{len(rest) - 1}")
            quirks |= {"opt+"} if any(rest) else set()
            break
        length = 1 if kind == 1 else rest[1] if len(rest) > 1 else 0
        if length == 0 or length > len(rest) or (kind > 1 and length < 2):
            names.append(f"?{kind}")
            quirks.add("bad")
            break
        known = {(1, 1): "nop", (2, 4): "mss", (3, 3): "ws", (4, 2): "sok", (8, 10): "ts"}
        names.append("sack" if kind == 5 else known.get((kind, length), f"?{kind}"))
        value = rest[2:length]
        if names[-1] == "mss":
            size = int.from_bytes(value, "big")
        elif names[-1] == "ws":
            scale = value[0]
        elif names[-1] == "ts":
            quirks = quirks - {"ts1-", "ts2+"}
            quirks |= set() if any(value[:4]) else {"ts1-"}
            quirks |= {"ts2+"} if any(value[4:]) else set()
        rest = rest[length:]
    return names, size, scale, quirks | ({"exws"} if scale > 14 else set())


def signature(packet: bytes) -> str | None:
    """The text that describes a SYN."""
    syn = Syn(packet)
    tcp = syn.tcp
    if tcp is None:
        return None
    _, _, seq, ack, offset, flags, window, _, urgent = struct.unpack("!HHIIBBHHH", tcp[:20])
    names, size, scale, found = _options(tcp[20:])
    if syn.v4:
        ip_id, fragment = struct.unpack("!HH", packet[4:8])
        df, traffic, flow = fragment & 0x4000, packet[1], 0
        reserved = fragment & 0x8000
        ip_options = (packet[0] & 15) * 4 - 20
    else:
        (first,) = struct.unpack("!I", packet[:4])
        ip_id, df, traffic, flow, reserved, ip_options = 1, 0, first >> 20, first & 0xFFFFF, 0, 0
    quirks = {
        "df": df, "id+": df and ip_id, "id-": syn.v4 and not df and not ip_id,
        "ecn": flags & 0xC0 or traffic & 3, "0+": offset & 15 or reserved, "flow": flow,
        "seq-": seq == 0, "ack+": ack, "uptr+": urgent and not flags & 0x20,
        "urgf+": flags & 0x20, "pushf+": flags & 8,
    }  # fmt: skip
    order = ["ts1-", "ts2+", "opt+", "exws", "bad"]
    said = [name for name, there in quirks.items() if there] + [q for q in order if q in found]
    return (
        f"{packet[0] >> 4}:{ttl_start(syn.ttl)}:{ip_options}:{size}:{window},{scale}:"
        f"{','.join(names)}:{','.join(said)}:{'+' if syn.has_payload else '0'}"
    )
