"""Fingerprints: the kernel names what its slow twin names; its table has limits."""

from __future__ import annotations

import ipaddress
import struct
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from judging import HOLD_NS, IDLE_NS
from scanners import (
    TOOLS,
    Dice,
    Ends,
    Made,
    Packets,
    a_run,
    ends_of,
    in_turn,
    judged,
    masscan,
    new_zmap,
    nmap,
    number_of,
    packet_of,
    unicornscan,
    zmap,
)  # fmt: skip
from slow_tools import HOUR_S, MSS_1460, ZMAP_OPTIONS, Name, SlowTools, Syn
from writers import SECOND_NS, SYN, Flow, Ip, Tcp

# ---- the twin --------------------------------------------------------------------------------

SOURCES = ["198.51.100.7", "198.51.100.8", "2001:db8::7"]
MAKERS = [make for make, _ in TOOLS.values()]
CHANGES: dict[str, list[int]] = {
    "": [0], "none": [0], "nothing": [0],
    "ttl": [59, 60, 64, 65, 128, 129, 255],
    "xor": [0x0003_0003, 0x00FF_00FF, 0x0100_0100, 0x0000_0003, 1 << 31],
    "target": [0, 1],
    "flags": [SYN | 1, SYN | 0xC0],
    "options": [0, 1, 2],
    "window": [512, 1024, 2048, 4096, 5120, 65535],
    "df": [0],
    "urgent": [1],
    "port": [32767, 32768, 61000, 61001, 39999, 40000, 60015, 60016, 1999, 2064, 2065, 2066],
    "ack": [0, 7, (1 << 31) - 1, 1 << 31],
    "ip_id": [0, 54321],
}  # fmt: skip
WAITS_S = [0] * 8 + [1, 6, HOUR_S - 1, HOUR_S, HOUR_S + 1]


def changed(made: Made, what: str, value: int) -> bytes:
    """A SYN with one part that is another's, or at an edge of a rule."""
    flow, tcp, ip = made
    swapped = int.from_bytes(ipaddress.ip_address(flow.resp).packed[:4], "little")
    seq = {"xor": tcp.seq ^ value, "target": (number_of(flow.resp), swapped)[value & 1]}
    tcp = Tcp(
        value if what == "flags" else tcp.flags,
        seq.get(what, tcp.seq) & 0xFFFFFFFF,
        value if what == "ack" else tcp.ack,
        value if what == "window" else tcp.window,
        (b"", MSS_1460, ZMAP_OPTIONS)[value] if what == "options" else tcp.options,
    )
    ip = Ip(
        value if what == "ttl" else ip.ttl,
        value if what == "ip_id" else ip.ip_id,
        df=ip.df ^ (what == "df"),
    )
    port = value if what == "port" else flow.orig_port
    packet = Flow(flow.orig, port, flow.resp, flow.resp_port).packet(tcp, ip)
    at = (40 if ":" in flow.orig else 20) + 18
    return packet[:at] + struct.pack("!H", what == "urgent") + packet[at + 2 :]


@st.composite
def runs(draw: st.DrawFn) -> Packets:
    """SYNs of one or two tools from one or two sources, some of them changed, and some waits."""
    makes = draw(st.lists(st.sampled_from(MAKERS), min_size=1, max_size=2))
    sources = draw(st.lists(st.sampled_from(SOURCES), min_size=1, max_size=2))
    dice, syns, known, t_ns = Dice(draw(st.integers(0, 1 << 16))), [], set[Ends](), SECOND_NS
    for what in draw(st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=12)):
        value = draw(st.sampled_from(CHANGES[what]))
        source, make, host = dice.choice(sources), dice.choice(makes), dice.randrange(1, 9)
        six = ":" in source
        target = f"2001:db8:b::{host:x}" if six else f"203.0.113.{host}"
        make = (nmap, masscan)[host & 1] if six else make
        packet = changed(make(dice, source, target, dice.choice([22, 23])), what, value)
        t_ns += dice.choice(WAITS_S) * SECOND_NS + 1000
        if ends_of(packet) not in known:
            known.add(ends_of(packet))
            syns.append((t_ns, packet))
    return syns


def resent(syns: Packets, draws: set[int]) -> Packets:
    """Some of them come again, each when its flow's record has ended for certain."""
    wait_ns = syns[-1][0] + 2 * (HOLD_NS + IDLE_NS)
    return [(t_ns + wait_ns, packet) for n, (t_ns, packet) in enumerate(syns) if n in draws]


def expected_of(syns: Packets) -> tuple[dict[Ends, Name], dict[Ends, Name]]:
    """What the twin says of attempts of one SYN each, at the verdicts and at the ends."""
    tools, first, last = SlowTools(), dict[Ends, Name](), dict[Ends, Name]()
    steps: list[tuple[int, int, int]] = []
    for n, (t_ns, _) in enumerate(syns):
        steps += [(t_ns + HOLD_NS, 0, n), (t_ns + HOLD_NS + IDLE_NS, 1, n)]
    for t_ns, end, n in sorted(steps):
        packet = syns[n][1]
        ends, syn = ends_of(packet), Syn(packet)
        if end:
            last[ends] = tools.end(syn, first[ends])
        else:
            first[ends] = tools.verdict(syn, t_ns // SECOND_NS)
    return first, last


@given(runs(), st.sets(st.integers(0, 11), max_size=4))
@settings(max_examples=400, deadline=None)
def test_the_kernel_names_what_the_twin_names(syns: Packets, again: set[int]) -> None:
    syns = syns + resent(syns, again)
    first, last = expected_of(syns)
    assert judged(syns, seed=bytes(range(16))) == (first, last, 0)


def test_long_runs_of_mixed_tools_are_named_as_by_the_twin() -> None:
    random, packets = Dice(7), list[bytes]()
    for n in range(1500):
        make = random.choice([masscan, unicornscan, unicornscan, nmap, zmap, new_zmap])
        target = f"203.0.{random.randrange(4)}.{random.randrange(256)}"
        packets.append(packet_of(make(random, SOURCES[n % 2], target, random.choice([22, 23]))))
    syns = in_turn(packets)
    first, last = expected_of(syns)
    assert judged(syns) == (first, last, 0)


# ---- limits ----------------------------------------------------------------------------------


def test_a_full_table_forgets_who_has_shown_least_and_counts_it() -> None:
    scan, random = a_run(masscan, 10), Dice(3)
    strangers = [
        packet_of(zmap(random, f"10.1.{n >> 8}.{n & 255}", "203.0.113.9", 80)) for n in range(200)
    ]
    packets = [p for _, p in scan[:5]] + strangers + [p for _, p in scan[5:]]
    timed = [(SECOND_NS + n, packet) for n, packet in enumerate(packets)]
    few, many = judged(timed, 100), judged(timed)
    assert (few[2], many[2]) == (101, 0)
    assert list(few[0].values())[-5:] == [("masscan", "high")] * 5
    assert few[1] == many[1]


@pytest.mark.parametrize("sources", [1, 2, 7, 1 << 18])
def test_names_do_not_depend_on_the_seed(sources: int) -> None:
    random, packets = Dice(sources), list[bytes]()
    for n in range(600):
        make = random.choice(MAKERS)
        source = f"10.2.0.{random.randrange(12)}"
        packets.append(packet_of(make(random, source, f"203.0.113.{n % 256}", 1 + n // 256)))
    timed = in_turn(packets)
    said = [judged(timed, sources, bytes([seed]) * 16) for seed in range(3)]
    assert said[0] == said[1] == said[2]
    assert (said[0][2] > 0) == (sources < 12)


def test_tables_grow() -> None:
    random = Dice(5)
    sources = [f"10.{n >> 11}.{n >> 3 & 255}.{n & 7}" for n in range(2000)]
    timed = [
        (SECOND_NS + n, packet_of(zmap(random, source, "203.0.113.9", port)))
        for n, (port, source) in enumerate(product((80, 81), sources))
    ]
    timed += [(6 * SECOND_NS, packet_of(nmap(random, "10.9.9.9", "203.0.113.9", 80)))]
    _, ends, dropped = judged(timed, 4096)
    assert dropped == 0
    assert list(ends.values()).count(("zmap", "high")) == 4000
