"""Makes captures whose dark flows are known: what `make bench` and its tests read.

    traffic.py mix OUT -n 10000000     sessions, dark flows, late answers, closed ports, UDP
    traffic.py flood OUT -n 20000000   a SYN flood around a few flows whose verdicts are known
    traffic.py dark OUT -n 1000000     exactly so many dark flows
    traffic.py day OUT -n 5000000      the same, 58 a second: a day of them

OUT is a pcap, or a pcapng if its name ends so; the truth is written to OUT.json, with the names
that `darkflow analyze --json` uses. Same arguments, same bytes. The truth is taken from the rows
that were written, by the number of the flow they were made for, and never from the bytes. A capture
is made in slices of time, so its size costs disk and not memory.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from packets import ACK, FIN, PSH, RST, SYN, TCP, UDP, US, Array, CaptureWriter, Rows, empty

HOLD_US = 5 * US
SLICE_US = 10 * US
NEVER = np.iinfo(np.int64).max

# IPv4 bases of the pools; in IPv6 they are the last 32 bits. No pool reaches into another.
CLIENTS, SERVERS, PEERS = 0x0A000000, 0xC6336400, 0xC0000200
SCANNERS, DARKNET, KNOWN = 0x2D000000, 0xC6120000, 0xCB007101
SCANNED_PORTS = np.array([22, 23, 80, 443, 445, 1433, 2323, 3389, 5900, 6379, 8080], np.uint16)
SERVED_PORTS = np.array([443, 443, 443, 80, 80, 22, 25, 993, 8080], np.uint16)

# Shares of the SYNs, as at a gateway: most open a session, a third goes to nobody.
SYN_SHARE, SESSION_SHARE, DARK_SHARE, LATE_SHARE, V6_SHARE = 0.03, 0.62, 0.30, 0.01, 0.2
RESEND_US = np.array([0, 1, 3, 7], np.int64) * US
SYNS_OF_DARK = 2.5

Random = np.random.Generator


class Truth:
    """What the rows that were written amount to."""

    def __init__(self) -> None:
        self.t0 = np.empty(0, np.int64)
        self.answer = np.empty(0, np.int64)
        self.reset = np.empty(0, bool)
        self.counts = dict.fromkeys(("packets", "tcp", "syn", "synack", "rst"), 0)
        self.end = 0

    def add(self, rows: Rows) -> None:
        """Take in rows, in the order of time."""
        tcp = rows["proto"] == TCP
        flags = rows["flags"]
        reset = tcp & (flags & RST > 0)
        syn = tcp & (flags & (SYN | ACK | RST) == SYN)
        answer = tcp & (flags & (SYN | ACK | RST) == SYN | ACK)
        for name, which in (("tcp", tcp), ("syn", syn), ("synack", answer), ("rst", reset)):
            self.counts[name] += int(which.sum())
        self.counts["packets"] += len(rows)
        self.end = max(self.end, int(rows["t"].max(initial=0)))
        more = int(rows["flow"].max(initial=-1)) + 1 - len(self.t0)
        if more > 0:
            self.t0 = np.concatenate([self.t0, np.full(more, NEVER)])
            self.answer = np.concatenate([self.answer, np.full(more, NEVER)])
            self.reset = np.concatenate([self.reset, np.zeros(more, bool)])
        syn &= rows["flow"] >= 0
        answer = (answer | reset) & (rows["flow"] >= 0)
        np.minimum.at(self.t0, rows["flow"][syn], rows["t"][syn])
        np.minimum.at(self.answer, rows["flow"][answer], rows["t"][answer])
        self.reset[rows["flow"][reset]] = True

    def verdicts(self) -> dict[str, Array]:
        """Which flows have which verdict, as masks over the flows' numbers."""
        opened = self.t0 != NEVER
        t0 = np.where(opened, self.t0, 0)
        in_time = opened & (self.answer <= t0 + HOLD_US)
        decided = t0 + HOLD_US < self.end
        return {
            "attempts": opened,
            "answered": in_time & ~self.reset,
            "refused": in_time & self.reset,
            "dark": opened & ~in_time & decided,
            "undecided": opened & ~in_time & ~decided,
            "late_answers": opened & ~in_time & (self.answer != NEVER),
        }

    def document(self) -> dict[str, Any]:
        """The counts, named as in `darkflow analyze --json`."""
        verdicts = {name: int(mask.sum()) for name, mask in self.verdicts().items()}
        repeated = self.counts["syn"] - verdicts["attempts"]
        udp = self.counts["packets"] - self.counts["tcp"]
        return {
            **self.counts,
            **verdicts,
            "retransmitted_or_repeated": repeated,
            "undecoded": {"not_tcp": udp} if udp else {},
        }


def spread(counts: Array) -> tuple[Array, Array]:
    """(flow, number within the flow) of each packet, for `counts` packets a flow."""
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)


def so_far(values: Array, counts: Array) -> Array:
    """Sum of `values` before each packet, within its flow."""
    before = np.cumsum(values) - values
    within: Array = before - np.repeat(before[np.cumsum(counts) - counts], counts)
    return within


class Mixture:
    """Traffic as at a gateway; `slice` gives all packets of the flows that begin in one slice.

    A flow's number makes its addresses and ports, so no two flows share them.
    """

    def __init__(self, seed: int, rate_pps: float) -> None:
        self.random = np.random.default_rng(seed)
        self.packets = rate_pps * SLICE_US / US
        self.made = dict.fromkeys(("all", "session", "dark", "closed", "udp"), 0)

    def slice(self, begin_us: int) -> Rows:
        """Packets of the flows that begin within the slice; not in order, some end later."""
        syns = self.packets * SYN_SHARE
        dark = self.dark(round(syns * DARK_SHARE / SYNS_OF_DARK), begin_us)
        tcp = [
            self.sessions(round(syns * SESSION_SHARE), begin_us),
            self.closed(round(syns * (1 - SESSION_SHARE - DARK_SHARE)), begin_us),
            dark,
        ]
        left = self.packets - sum(map(len, tcp))
        return np.concatenate([*tcp, self.datagrams(max(round(left / 2), 1), begin_us)])

    def flows(self, kind: str, count: int, begin_us: int) -> tuple[Array, Array, Rows]:
        """(numbers within the kind, numbers within all, first packets) of new flows."""
        own = self.made[kind] + np.arange(count)
        every = self.made["all"] + np.arange(count)
        self.made[kind] += count
        first = empty(count)
        first["t"] = begin_us + (self.random.random(count) * SLICE_US).astype(np.int64)
        first["v6"] = self.random.random(count) < V6_SHARE
        first["seq"] = self.random.integers(0, 1 << 32, count, np.uint32)
        first["ip_id"] = self.random.integers(0, 1 << 16, count, np.uint16)
        if kind == "udp":
            first["flow"], first["proto"], first["header"] = -1, UDP, 8
        else:
            first["flow"], first["proto"], first["flags"], first["header"] = every, TCP, SYN, 40
            self.made["all"] += count
        return own, every, first

    def sessions(self, count: int, begin_us: int) -> Rows:
        """Handshake, data with acknowledgements, FINs; a few are answered at the first resend."""
        own, _, first = self.flows("session", count, begin_us)
        first["src"], first["dst"] = CLIENTS + own % 60_000, SERVERS + own % 251
        first["sport"] = 1024 + own // 60_000 % 64_000
        first["dport"] = self.random.choice(SERVED_PORTS, count)
        slow = self.random.random(count) < 0.02
        sizes = 6 + self.random.geometric(1 / 30, count)
        owner, k = spread(sizes)
        rows = first[owner]
        last = (sizes - 1)[owner] - k
        data = (k > 2) & (last > 2)
        back = (k == 1) | (last == 1) | (data & (k % 3 > 0))
        rows["flags"] = np.where(k == 0, SYN, np.where(k == 1, SYN | ACK, ACK))
        rows["flags"] |= np.where((last == 1) | (last == 2), FIN, 0).astype(np.uint8)
        rows["flags"] |= np.where(data & back, PSH, 0).astype(np.uint8)
        rows["header"] = np.where(k > 1, 32, 40)
        rows["payload"] = np.where(data & back, self.random.choice([120, 700, 1400], len(k)), 0)
        gap = np.where(k == 0, 0, self.delays(len(k), 2_000))
        gap = np.where(k == 1, self.delays(count, 30_000)[owner], gap)
        rows["t"] += so_far(gap, sizes) + gap + np.where(slow, US, 0)[owner]
        spent = rows["payload"] + (rows["flags"] & (SYN | FIN) > 0)
        ours = so_far(np.where(back, 0, spent), sizes) + first["seq"][owner]
        theirs = so_far(np.where(back, spent, 0), sizes) + (first["seq"] ^ 0x5A5A5A5A)[owner]
        rows["seq"] = np.where(back, theirs, ours) & 0xFFFFFFFF
        rows["ack"] = np.where(k == 0, 0, np.where(back, ours, theirs)) & 0xFFFFFFFF
        return np.concatenate([turn(rows, back), first[slow]])

    def dark(self, count: int, begin_us: int) -> Rows:
        """Half scanners' lone SYNs, half SYNs with three resends; a few answered after T."""
        own, _, first = self.flows("dark", count, begin_us)
        first["src"] = SCANNERS + self.random.integers(0, 3_000, count)
        first["dst"] = DARKNET + own * 7_919 % 131_072
        first["sport"] = 40_000 + own // 131_072 % 20_000
        first["dport"] = self.random.choice(SCANNED_PORTS, count)
        stack = self.random.random(count) < 0.5
        late = self.random.random(count) < LATE_SHARE
        first["header"] = np.where(stack, 40, 24)
        # Not the resend after 7 s: it could come after the late answer, and open a new attempt.
        sizes = np.where(stack, 4, 1) - (stack & late)
        owner, k = spread(sizes)
        rows = first[owner]
        rows["t"] += RESEND_US[k] + np.where(k > 0, self.delays(len(k), 5_000), 0)
        answer = first[late]
        answer["t"] += HOLD_US + US // 2 + self.delays(len(answer), 200_000)
        return np.concatenate([rows, replies(answer, SYN | ACK)])

    def closed(self, count: int, begin_us: int) -> Rows:
        """A SYN to a live host's closed port, and the RST."""
        own, _, first = self.flows("closed", count, begin_us)
        first["src"], first["dst"] = CLIENTS + 65_536 + own % 60_000, SERVERS + own % 251
        first["sport"] = 1024 + own // 60_000 % 64_000
        first["dport"] = self.random.integers(1, 1 << 16, count)
        answer = first.copy()
        answer["t"] += self.delays(count, 30_000)
        return np.concatenate([first, replies(answer, RST | ACK)])

    def datagrams(self, count: int, begin_us: int) -> Rows:
        """A UDP request and its answer."""
        own, _, first = self.flows("udp", count, begin_us)
        first["src"], first["dst"] = CLIENTS + 131_072 + own % 60_000, PEERS + own % 13
        first["sport"] = 1024 + own // 60_000 % 64_000
        first["dport"] = self.random.choice(np.array([53, 123, 443, 5060], np.uint16), count)
        first["payload"] = self.random.choice(np.array([40, 90, 300, 1200], np.uint16), count)
        answer = first.copy()
        answer["t"] += self.delays(count, 20_000)
        return np.concatenate([first, turn(answer, np.ones(count, bool))])

    def delays(self, count: int, median_us: int) -> Array:
        """Delays like round trips: log-normal, 0.1 to 900 ms."""
        value = self.random.lognormal(np.log(median_us), 0.9, count)
        return np.clip(value, 100, 900_000).astype(np.int64)


def turn(rows: Rows, back: Array) -> Rows:
    """The rows, those of `back` with source and destination exchanged."""
    for one, other in (("src", "dst"), ("sport", "dport")):
        rows[one], rows[other] = (
            np.where(back, rows[other], rows[one]),
            np.where(back, rows[one], rows[other]),
        )
    return rows


def replies(rows: Rows, flags: int) -> Rows:
    """SYNs made into what answers them."""
    rows["flags"], rows["header"] = flags, 40 if flags & SYN else 20
    rows["ack"] = rows["seq"] + np.uint32(1)
    rows["seq"] = 0 if flags & RST else rows["seq"] ^ np.uint32(0x5A5A5A5A)
    return turn(rows, np.ones(len(rows), bool))


def mix(packets: int, seed: int, rate_pps: float) -> Iterator[Rows]:
    """Exactly so many packets of the mixture, slice by slice, in the order of time."""
    source = Mixture(seed, rate_pps)
    waiting = empty(0)
    begin = 0
    while packets:
        rows = np.concatenate([waiting, source.slice(begin)])
        begin += SLICE_US
        rows = rows[np.argsort(rows["t"], kind="stable")]
        cut = int(np.searchsorted(rows["t"], begin))
        now, waiting = rows[: min(cut, packets)], rows[cut:].copy()
        packets -= len(now)
        yield now


def timer(t_us: int) -> Rows:
    """One datagram, so that network time goes on to then."""
    row = empty(1)
    row["t"], row["flow"], row["proto"], row["header"], row["payload"] = t_us, -1, UDP, 8, 40
    row["src"], row["dst"], row["sport"], row["dport"] = CLIENTS, PEERS, 123, 123
    return row


def dark(flows: int, seed: int, rate_pps: float) -> Iterator[Rows]:
    """Exactly so many dark flows, one SYN each."""
    random = np.random.default_rng(seed)
    for begin in range(0, flows, 1 << 18):
        number = np.arange(begin, min(begin + (1 << 18), flows))
        rows = empty(len(number))
        rows["t"], rows["flow"] = number * US / rate_pps, number
        rows["proto"], rows["flags"], rows["header"] = TCP, SYN, 40
        rows["src"] = SCANNERS + random.integers(0, 50_000, len(number))
        rows["dst"] = DARKNET + number * 7_919 % 131_072
        rows["sport"] = 20_000 + number // 131_072
        rows["dport"] = random.choice(SCANNED_PORTS, len(number))
        rows["seq"] = random.integers(0, 1 << 32, len(number), np.uint32)
        rows["v6"] = random.random(len(number)) < V6_SHARE
        yield rows
    yield timer(int(flows * US / rate_pps) + HOLD_US + US)


def known_flows(count: int, first: int, begin_us: int) -> Rows:
    """`count` answered, `count` refused and `count` dark flows that begin within 1.9 s.

    Every other answer comes at once, the others only 3 to 4.8 s later.
    """
    number = first + np.arange(3 * count)
    rows = empty(3 * count)
    kind = np.arange(3 * count) % 3
    rows["t"] = begin_us + np.arange(3 * count) * 1_900_000 // (3 * count)
    rows["flow"], rows["proto"], rows["flags"], rows["header"] = number, TCP, SYN, 40
    rows["src"], rows["dst"] = KNOWN + kind, SERVERS + number % 251
    rows["sport"], rows["dport"] = 1024 + number % 60_000, 443
    rows["seq"] = number * 40_503 & 0xFFFFFFFF
    answered, refused, silent = (rows[kind == i] for i in range(3))
    resent = silent.copy()
    resent["t"] += 3 * US
    wait = np.where(np.arange(count) % 2, 30_000, np.linspace(3 * US, 4.8 * US, count))
    parts = [rows, resent]
    for opened, flags in ((answered, SYN | ACK), (refused, RST | ACK)):
        answer = opened.copy()
        answer["t"] += wait.astype(np.int64)
        parts.append(replies(answer, flags))
    merged = np.concatenate(parts)
    return merged[np.argsort(merged["t"], kind="stable")]


def flood(syns: int, seed: int, rate_pps: float, known: int = 1000) -> Iterator[Rows]:
    """SYNs from spoofed sources to a /16; known flows are held when it comes, others follow it."""
    random = np.random.default_rng(seed)
    begin_us = 2 * US
    waiting = known_flows(known, 0, 0)
    for done in range(0, syns, 1 << 20):
        number = np.arange(done, min(done + (1 << 20), syns))
        rows = empty(len(number))
        rows["t"], rows["flow"] = begin_us + number * US / rate_pps, -1
        rows["proto"], rows["flags"], rows["header"] = TCP, SYN, 20
        rows["src"] = random.integers(0x01000000, 0xA0000000, len(number), np.uint32)
        rows["dst"] = DARKNET + random.integers(0, 1 << 16, len(number), np.uint32)
        rows["sport"] = random.integers(1024, 1 << 16, len(number))
        rows["dport"] = 80
        rows["seq"] = random.integers(0, 1 << 32, len(number), np.uint32)
        both = np.concatenate([waiting, rows])
        both = both[np.argsort(both["t"], kind="stable")]
        cut = int(np.searchsorted(both["t"], rows["t"][-1], side="right"))
        waiting = both[cut:]
        yield both[:cut]
    yield waiting
    after_us = begin_us + int(syns * US / rate_pps) + HOLD_US + US
    yield known_flows(known, 3 * known, after_us)
    yield timer(after_us + 2 * HOLD_US)


def flood_truth(truth: Truth) -> dict[str, Any]:
    """Only the known flows have verdicts that the settings do not change."""
    document = truth.document()
    names = ("packets", "tcp", "syn", "synack", "rst", "answered", "refused", "undecoded")
    known = {name: document[name] for name in names}
    return {**known, "known_dark": document["dark"], "known_source": "203.0.113.3"}


MAKERS: dict[str, Callable[[int, int, float], Iterator[Rows]]] = {
    "mix": mix,
    "flood": flood,
    "dark": dark,
    "day": dark,
}
RATES = {"mix": 50_000.0, "flood": 1_488_000.0, "dark": 100_000.0, "day": 5_000_000 / 86_400}
SIZES = {"mix": 10_000_000, "flood": 20_000_000, "dark": 1_000_000, "day": 5_000_000}


def write(kind: str, out: Path, count: int, seed: int = 1, rate_pps: float = 0) -> dict[str, Any]:
    """Write a capture and its truth; the truth."""
    make = MAKERS[kind]
    truth = Truth()
    with out.open("wb") as file:
        writer = CaptureWriter(file, out.suffix == ".pcapng")
        for rows in make(count, seed, rate_pps or RATES[kind]):
            truth.add(rows)
            writer.write(rows)
    document = flood_truth(truth) if kind == "flood" else truth.document()
    Path(f"{out}.json").write_text(json.dumps(document, indent=1) + "\n")
    return document


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=sorted(SIZES))
    parser.add_argument("out", type=Path)
    parser.add_argument("-n", "--count", type=int, help="packets, SYNs or flows")
    parser.add_argument("--rate", type=float, default=0, help="packets/s of network time")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    count = options.count or SIZES[options.kind]
    print(json.dumps(write(options.kind, options.out, count, options.seed, options.rate)))


if __name__ == "__main__":
    main()
