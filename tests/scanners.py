"""SYNs as scanners make them, and what Darkflow says of them."""

from __future__ import annotations

import ipaddress
import json
import struct
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from random import Random

from darkflow.flow.batch import Frames
from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from darkflow.flow.networks import Networks
from darkflow.sinks.lines import LineFormat
from judging import HOLD_NS, IDLE_NS
from running import darkflow
from slow_tools import MSS_1460, ZMAP_OPTIONS, Name
from writers import RAW, SECOND_NS, SYN, Flow, Ip, Tcp

Packets = list[tuple[int, bytes]]
Ends = tuple[str, int, str, int]
Made = tuple[Flow, Tcp, Ip]


class Dice(Random):
    """Random numbers, and hping3's counter."""

    hping3_port = 2000


def number_of(address: str) -> int:
    """An address as a number."""
    return int(ipaddress.ip_address(address))


def zmap(random: Dice, source: str, target: str, port: int) -> Made:
    """Until version 4.1."""
    flow = Flow(source, random.randrange(32768, 61001), target, port)
    return flow, Tcp(SYN, random.getrandbits(32), window=65535), Ip(250, 54321, df=False)


def new_zmap(random: Dice, source: str, target: str, port: int) -> Made:
    """From version 4.1 on, with its default options."""
    flow = Flow(source, random.randrange(32768, 61001), target, port)
    tcp = Tcp(SYN, random.getrandbits(32), window=65535, options=ZMAP_OPTIONS)
    return flow, tcp, Ip(51, random.getrandbits(16), df=False)


def masscan(random: Dice, source: str, target: str, port: int, options: bytes = b"") -> Made:
    """Its IP ID is made of target, port and sequence number."""
    seq = random.getrandbits(32)
    flow, ip_id = Flow(source, 41234, target, port), number_of(target) ^ port ^ seq
    return flow, Tcp(SYN, seq, window=1024, options=options), Ip(244, ip_id & 0xFFFF, df=False)


def masscan_with_mss(random: Dice, source: str, target: str, port: int) -> Made:
    """After version 1.3.2."""
    return masscan(random, source, target, port, MSS_1460)


def mirai(random: Dice, source: str, target: str, port: int) -> Made:
    """The sequence number is the target."""
    tcp = Tcp(SYN, number_of(target), window=random.getrandbits(16))
    return Flow(source, 23456, target, port), tcp, Ip(47, random.getrandbits(16), df=False)


def unicornscan(random: Dice, source: str, target: str, port: int) -> Made:
    """On a little-endian machine; the key is one for each source here."""
    sport = random.randrange(1024, 65536)
    swapped = int.from_bytes(ipaddress.ip_address(target).packed, "little")
    seq = 0x302F1EE5 ^ number_of(source) ^ swapped ^ (port << 16 | sport)
    tcp = Tcp(SYN, seq, window=16384, options=bytes.fromhex("0204059c0101040201030300"))
    return Flow(source, sport, target, port), tcp, Ip(60, random.getrandbits(16))


def nmap(random: Dice, source: str, target: str, port: int) -> Made:
    """All SYNs of a run have one sequence number, changed only by the number of the try."""
    tried = random.choice([0, 0, 0, 1, 2])
    seq = 0xBA2F3C92 ^ number_of(source) & 0xFFFF ^ (tried << 16 | tried)
    tcp = Tcp(SYN, seq, window=1024, options=MSS_1460)
    ip = Ip(random.randrange(30, 60), random.getrandbits(16), df=False)
    return Flow(source, 40721 + tried, target, port), tcp, ip


def hping3(random: Dice, source: str, target: str, port: int) -> Made:
    """Its source port counts up, and its acknowledgement number is set without the flag."""
    random.hping3_port += 1
    tcp = Tcp(SYN, random.getrandbits(31), random.getrandbits(31) | 1, window=512)
    ip = Ip(55, random.getrandbits(16), df=False)
    return Flow(source, random.hping3_port, target, port), tcp, ip


Make = Callable[[Dice, str, str, int], Made]
TOOLS: dict[str, tuple[Make, str]] = {
    "zmap": (zmap, "high"), "masscan": (masscan, "high"), "mirai": (mirai, "high"),
    "unicornscan": (unicornscan, "high"), "nmap": (nmap, "high"), "hping3": (hping3, "high"),
    "zmap, new": (new_zmap, "low"), "masscan, new": (masscan_with_mss, "high"),
}  # fmt: skip


def packet_of(made: Made) -> bytes:
    """The bytes."""
    flow, tcp, ip = made
    return flow.packet(tcp, ip)


def a_run(make: Make, flows: int, seed: int = 1, source: str = "198.51.100.7") -> Packets:
    """So many SYNs to a network and some ports, 1 ms apart, in random order."""
    random = Dice(seed)
    targets = [(f"203.0.{n >> 8}.{n & 255}", port) for n in range(512) for port in (22, 23, 80)]
    random.shuffle(targets)
    return [
        (SECOND_NS + n * 1_000_000, packet_of(make(random, source, *targets[n])))
        for n in range(flows)
    ]


def judged(
    packets: Packets, sources: int = 1 << 18, seed: bytes = bytes(16)
) -> tuple[dict[Ends, Name], dict[Ends, Name], int]:
    """Tools by flow at the verdict and at the end, and how many sources were forgotten."""
    lines = [LineFormat(Networks.everything(), HOLD_NS, at_verdict) for at_verdict in (True, False)]
    engine = Engine(HOLD_NS, IDLE_NS, (1 << 12, 1 << 12, sources), seed)
    rows = Decoder().decode(Frames.of([(t_ns, RAW, packet) for t_ns, packet in packets]))
    said: tuple[dict[Ends, Name], dict[Ends, Name]] = ({}, {})
    for events in chain(engine.observe(rows), engine.finish(packets[-1][0] + 99 * SECOND_NS)):
        for names, form in zip(said, lines, strict=True):
            for event in map(json.loads, form.format(events).splitlines()):
                if event["event_type"] == "darkflow":
                    ends = tuple(event[n] for n in ("src_ip", "src_port", "dest_ip", "dest_port"))
                    about = event["darkflow"]
                    names[ends] = (about["tool"], about["tool_confidence"])
    return *said, engine.dropped_sources


def ends_of(packet: bytes) -> Ends:
    """The ends of a flow."""
    size, at = (4, 12) if packet[0] >> 4 == 4 else (16, 8)
    ports = struct.unpack_from("!HH", packet, at + 2 * size)
    orig, resp = (str(ipaddress.ip_address(packet[i : i + size])) for i in (at, at + size))
    return orig, ports[0], resp, ports[1]


def in_turn(packets: Iterable[bytes]) -> Packets:
    """The first SYN of each flow, 1 us apart."""
    syns = {ends_of(packet): packet for packet in packets}
    return [(SECOND_NS + n * 1000, packet) for n, packet in enumerate(syns.values())]


# ---- real ones: on a wire of the tests, and in the example ----

SOURCES = {"nmap": 20, "masscan": 30, "zmap": 40, "hping3": 50}
Counts = dict[str, Counter[tuple[str | None, str | None]]]


def address(tool: str, v6: bool = False) -> str:
    """Where a tool sends from."""
    return f"2001:db8:a::{SOURCES[tool]}" if v6 else f"198.51.100.{SOURCES[tool]}"


def named(path: Path, lines: Path) -> Counts:
    """Dark and undecided flows of a capture by source, and by tool and confidence."""
    done = darkflow("analyze", str(path), "--events", str(lines))
    assert done.returncode in (0, 1), done.stderr
    found: Counts = {}
    for event in map(json.loads, lines.read_text().splitlines()):
        if event["event_type"] in ("darkflow", "undecided"):
            about = event["darkflow"]
            counts = found.setdefault(event["src_ip"], Counter())
            counts[about["tool"], about["tool_confidence"]] += 1
    return found
