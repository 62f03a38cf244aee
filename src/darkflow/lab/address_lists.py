"""Detectors that work from a list of unused addresses, beside the flow table, on the same packets.

    python -m darkflow.lab.address_lists cost MODE PREFIX SYNS
    python -m darkflow.lab.address_lists wake DAYS

Prints JSON: time and memory of one of MODES over a watched space; or what each detector calls dark
while hosts sleep and wake up.

The lists are plain, but no worse than they need be: NumPy does what a compiled program would, and
they are given destinations as numbers, while the flow table starts from frames.
"""

from __future__ import annotations

import json
import random
import struct
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from darkflow.flow.batch import Frames
from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine

SECOND_NS = 1_000_000_000
DAY_S = 86_400
RAW = 101
HOLD_NS, IDLE_NS = 5 * SECOND_NS, 60 * SECOND_NS
# The same traffic for every space: SYNs to random addresses of it, so many a second.
RATE = 300
BASE4, BASE6 = 0x0A000000, 0x20010DB8 << 96
LIVE_SHARE = 0.1
BATCH = 4096
# A list that is searched from its beginning gets this long and then an estimate.
LINEAR_S = 2.0


def packet(src: int, sport: int, dst: int, dport: int, flags: int) -> bytes:
    """A TCP segment without data, IPv4 or (with a large `dst`) IPv6; no checksums."""
    tcp = struct.pack("!HHIIBBHHH", sport, dport, 1, 0, 0x50, flags, 1024, 0, 0)
    if max(src, dst) < 1 << 32:
        head = struct.pack("!BBHHHBBHII", 0x45, 0, 40, 0, 0, 64, 6, 0, src, dst)
    else:
        head = struct.pack("!IHBB", 6 << 28, 20, 6, 64) + src.to_bytes(16, "big")
        head += dst.to_bytes(16, "big")
    return head + tcp


# ---- cost ------------------------------------------------------------------------------------


def offsets(bits: int, syns: int) -> list[int]:
    """Who is asked for, counted from the beginning of the space."""
    chosen = random.Random(1)
    return [chosen.getrandbits(bits) for _ in range(syns)]


def flows(bits: int, six: bool, syns: int) -> dict[str, float]:
    """The engine: from frames to verdicts."""
    base = BASE6 if six else BASE4
    source = random.Random(2)
    sources = (BASE6 + (1 << 95)) if six else 0xC6000000
    frames = [
        (n * SECOND_NS // RATE, RAW,
         packet(sources + source.getrandbits(16), 1024 + n % 60_000, base + to, 23, 2))
        for n, to in enumerate(offsets(bits, syns))
    ]  # fmt: skip
    batches = [Frames.of(frames[at : at + BATCH]) for at in range(0, syns, BATCH)]
    decoder, engine = Decoder(), Engine(HOLD_NS, IDLE_NS, seed=bytes(range(16)))
    began = time.thread_time_ns()
    for batch in batches:
        for _ in engine.observe(decoder.decode(batch)):
            pass
    spent = time.thread_time_ns() - began
    return {"ns": spent / syns, "bytes": engine.memory_bytes, "dark": engine.counters["dark"]}


def linear(bits: int, six: bool, syns: int) -> dict[str, float]:
    """As DarkPots: each destination is compared with the list, one entry after the other."""
    del six
    live = np.random.default_rng(3).random(1 << bits) < LIVE_SHARE
    listed = np.flatnonzero(~live).astype(np.uint32)
    asked = np.array(offsets(bits, syns), np.uint32)
    began, done, found = time.thread_time_ns(), 0, 0
    while done < syns and time.thread_time_ns() - began < LINEAR_S * SECOND_NS:
        found += bool((listed == asked[done]).any())
        done += 1
    return {"ns": (time.thread_time_ns() - began) / done, "bytes": listed.nbytes, "dark": found}


def ranges(bits: int, six: bool, syns: int) -> dict[str, float]:
    """The same list as sorted ranges, found by halving: what a trie of prefixes comes to."""
    del six
    live = np.random.default_rng(3).random(1 << bits) < LIVE_SHARE
    edges = np.flatnonzero(np.diff(np.concatenate([[True], live, [True]]))).astype(np.uint32)
    asked = np.array(offsets(bits, syns), np.uint32)
    began, found = time.thread_time_ns(), 0
    for at in range(0, syns, BATCH):
        found += int((np.searchsorted(edges, asked[at : at + BATCH], "right") & 1).sum())
    return {"ns": (time.thread_time_ns() - began) / syns, "bytes": edges.nbytes, "dark": found}


def bitmap(bits: int, six: bool, syns: int) -> dict[str, float]:
    """Dark IP learning: of each address when it was last heard (s), and how often it was asked."""
    del six
    heard = np.where(np.random.default_rng(3).random(1 << bits) < LIVE_SHARE, 700, 0)
    heard = heard.astype(np.uint32)
    asked_of = np.zeros(1 << bits, np.uint16)
    asked = np.array(offsets(bits, syns), np.uint32)
    began, found = time.thread_time_ns(), 0
    for at in range(0, syns, BATCH):
        some = asked[at : at + BATCH]
        asked_of[some] += 1
        found += int((heard[some] == 0).sum())
    spent = time.thread_time_ns() - began
    return {"ns": spent / syns, "bytes": heard.nbytes + asked_of.nbytes, "dark": found}


def learnt(bits: int, six: bool, syns: int) -> dict[str, float]:
    """Dark IP learning with entries only for who was asked: a dictionary that never forgets."""
    base = BASE6 if six else BASE4
    asked = [base + to for to in offsets(bits, syns)]
    entries: dict[int, int] = {}
    began = time.thread_time_ns()
    for to in asked:
        entries[to] = entries.get(to, 0) + 1
    spent = time.thread_time_ns() - began
    size = sys.getsizeof(entries) + len(entries) * sys.getsizeof(asked[0])
    return {"ns": spent / syns, "bytes": size, "dark": len(entries)}


MODES: dict[str, Callable[[int, bool, int], dict[str, float]]] = {
    "flows": flows, "linear": linear, "ranges": ranges, "bitmap": bitmap, "learnt": learnt,
}  # fmt: skip


def cost(mode: str, prefix: str, syns: int) -> dict[str, float]:
    """prefix: "24" to "8" of IPv4, or "v6/32"."""
    six = prefix.startswith("v6/")
    bits = 128 - int(prefix[3:]) if six else 32 - int(prefix)
    return MODES[mode](bits, six, syns)


# ---- hosts that wake up ----------------------------------------------------------------------

HOSTS = 256
ALWAYS, WOKEN, OFFICE = 100, 60, 40
ASKED_S, SCANNED_S = 600.0, 21_600.0
SLOW_SHARE, SLOW_NS = 1e-4, 6 * SECOND_NS
CLIENTS, SCANNERS = 0xC6336400, 0xCB007100
# One host in so many takes so long for each answer of its first ten minutes awake.
DROWSY, DROWSY_S = 5, 2.5


class Host:
    """When an address answers."""

    def __init__(self, number: int, chosen: random.Random) -> None:
        self.office = ALWAYS + WOKEN <= number < ALWAYS + WOKEN + OFFICE
        self.wakes_s = 0.0 if number < ALWAYS or self.office else float("inf")
        self.talks = False
        if ALWAYS <= number < ALWAYS + WOKEN:
            # Silent for a week or more; half of them send something when they wake up.
            self.wakes_s = chosen.uniform(8, 12) * DAY_S
            self.talks = number % 2 == 0

    def awake(self, t_s: float) -> bool:
        """Whether it answers now; office hours are 8 to 18."""
        if self.office:
            return 8 <= t_s % DAY_S / 3600 < 18
        return t_s >= self.wakes_s

    def awake_for_s(self, t_s: float) -> float:
        """Since when it is awake; those that are there from the beginning have always been."""
        if self.office:
            return t_s % DAY_S - 8 * 3600
        return t_s - self.wakes_s if self.wakes_s else t_s + DAY_S


# (time in s, what: "ask", "hear" or "talk", host, number of the attempt, its source, alive)
Seen = tuple[float, str, int, int, int, bool]


def attempts(
    chosen: random.Random, days: int, scanned_s: float = SCANNED_S, drowsy: bool = False
) -> tuple[list[Seen], list[bool]]:
    """Everything that passes the gateway, in the order of time; which attempts go to the living.

    scanned_s: mean time between scans of an address. drowsy: whether some wake up slowly.
    """
    seen: list[Seen] = []
    alive: list[bool] = []

    def ask(t_s: float, number: int, source: int, host: Host) -> None:
        up = host.awake(t_s)
        seen.append((t_s, "ask", number, len(alive), source, up))
        if up:
            slow = chosen.random() < SLOW_SHARE
            delay_s = SLOW_NS / SECOND_NS if slow else chosen.uniform(0.001, 0.05)
            if drowsy and number % DROWSY == 0 and host.awake_for_s(t_s) < ASKED_S:
                delay_s = DROWSY_S
            seen.append((t_s + delay_s, "hear", number, len(alive), source, up))
        alive.append(up)

    for number in range(HOSTS):
        host = Host(number, chosen)
        for t_s in _times(chosen, scanned_s, days):
            ask(t_s, number, SCANNERS + chosen.randrange(3), host)
        if host.wakes_s == float("inf"):
            continue
        if host.talks:
            seen.append((host.wakes_s, "talk", number, -1, 0, True))
        for t_s in _times(chosen, ASKED_S, days):
            # Clients ask for hosts that are there.
            if host.awake(t_s):
                ask(t_s, number, CLIENTS + chosen.randrange(200), host)
    return sorted(seen), alive


def _times(chosen: random.Random, every_s: float, days: int) -> Iterator[float]:
    t_s = chosen.expovariate(1 / every_s)
    while t_s < days * DAY_S:
        yield t_s
        t_s += chosen.expovariate(1 / every_s)


class DarkIpLearning:
    """An address is on the list when 2 sources asked for it and it said nothing for a day; whatever
    it sends takes it off at once."""

    silence_s = DAY_S

    def __init__(self) -> None:
        self._since: dict[int, float] = {}
        self._sources: dict[int, set[int]] = {}

    def hear(self, t_s: float, host: int) -> None:
        """A packet from the address."""
        self._since[host] = t_s
        self._sources[host] = set()

    def dark(self, t_s: float, host: int, source: int) -> bool:
        """Whether a SYN to the address is dark, at once."""
        since = self._since.setdefault(host, t_s)
        sources = self._sources.setdefault(host, set())
        sources.add(source)
        return len(sources) >= 2 and t_s - since >= self.silence_s


class DarkPots(DarkIpLearning):
    """The list is made once a day from the day's log: who was asked and said nothing in it."""

    def __init__(self) -> None:
        super().__init__()
        self._day = 0
        self._asked: set[int] = set()
        self._heard: set[int] = set()
        self._list: list[int] = []

    def _turn(self, t_s: float) -> None:
        if t_s // DAY_S > self._day:
            self._day = int(t_s // DAY_S)
            self._list = sorted(self._asked - self._heard)
            self._asked, self._heard = set(), set()

    def hear(self, t_s: float, host: int) -> None:
        """A packet from the address; it counts for tomorrow's list."""
        self._turn(t_s)
        self._heard.add(host)

    def dark(self, t_s: float, host: int, source: int) -> bool:
        """Whether today's list has it."""
        del source
        self._turn(t_s)
        self._asked.add(host)
        return host in self._list


def by_list(detector: DarkIpLearning, seen: list[Seen], count: int) -> list[bool]:
    """Which attempts a list calls dark."""
    found = [False] * count
    for t_s, what, host, number, source, _ in seen:
        if what == "ask":
            found[number] = detector.dark(t_s, host, source)
        else:
            detector.hear(t_s, host)
    return found


def by_flow(seen: list[Seen], count: int) -> list[bool]:
    """Which attempts the engine calls dark; each has a source port and ISN-free flow of its own."""
    found = [False] * count
    numbers: dict[tuple[bytes, int, bytes, int], list[tuple[int, int]]] = {}
    decoder, engine = Decoder(), Engine(HOLD_NS, IDLE_NS, seed=bytes(range(16)))

    def judge(frames: list[tuple[int, int, bytes]]) -> None:
        for events in engine.observe(decoder.decode(Frames.of(frames))):
            note(events.verdicts())

    def note(verdicts: list[Any]) -> None:
        for late, _, t0_ns, flow, *_ in verdicts:
            if not late:
                found[dict(numbers[flow])[t0_ns]] = True

    frames: list[tuple[int, int, bytes]] = []
    for t_s, what, host, number, source, _ in seen:
        t_ns = int(t_s * SECOND_NS)
        if what == "talk":
            continue
        sport, end = 1024 + number % 60_000, BASE4 + host
        if what == "ask":
            flow = (source.to_bytes(4, "big"), sport, end.to_bytes(4, "big"), 80)
            numbers.setdefault(flow, []).append((t_ns, number))
            frames.append((t_ns, RAW, packet(source, sport, end, 80, 2)))
        else:
            frames.append((t_ns, RAW, packet(end, 80, source, sport, 18)))
        if len(frames) == BATCH:
            judge(frames)
            frames = []
    judge(frames)
    for events in engine.finish(int(seen[-1][0] + DAY_S) * SECOND_NS):
        note(events.verdicts())
    return found


def wake(days: int) -> dict[str, dict[str, int]]:
    """By detector: attempts to the living and to nobody, and how many of each are called dark."""
    seen, alive = attempts(random.Random(4), days)
    hosts = {number: host for _, what, host, number, _, _ in seen if what == "ask"}
    named = {
        "flows": by_flow(seen, len(alive)),
        "learning": by_list(DarkIpLearning(), seen, len(alive)),
        "darkpots": by_list(DarkPots(), seen, len(alive)),
    }
    return {
        name: {
            "live": sum(alive),
            "absent": len(alive) - sum(alive),
            "false": sum(dark and up for dark, up in zip(found, alive, strict=True)),
            "right": sum(dark and not up for dark, up in zip(found, alive, strict=True)),
            "hosts": len({hosts[n] for n, dark in enumerate(found) if dark and alive[n]}),
        }
        for name, found in named.items()
    }


if __name__ == "__main__":
    if sys.argv[1] == "cost":
        sys.stdout.write(f"{json.dumps(cost(sys.argv[2], sys.argv[3], int(sys.argv[4])))}\n")
    else:
        sys.stdout.write(f"{json.dumps(wake(int(sys.argv[2])))}\n")
