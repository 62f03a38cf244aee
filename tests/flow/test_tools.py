"""Every rule of the fingerprints on SYNs that are made by it, and where each rule ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import chain

import pytest

from darkflow.flow.batch import Frames
from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from darkflow.flow.networks import Networks
from darkflow.sinks.lines import LineFormat
from judging import HOLD_NS, IDLE_NS
from scanners import (
    TOOLS,
    Dice,
    Made,
    Make,
    a_run,
    ends_of,
    hping3,
    in_turn,
    judged,
    masscan,
    new_zmap,
    nmap,
    packet_of,
    unicornscan,
    zmap,
)  # fmt: skip
from slow_tools import HOUR_S, MSS_1460, NONE, Name
from writers import RAW, SECOND_NS, SYN, Flow, Ip, Tcp

SOURCE = "198.51.100.7"


# ---- every rule ------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", TOOLS)
def test_every_flow_of_a_run_has_its_tool_s_name(tool: str) -> None:
    make, level = TOOLS[tool]
    _, ends, dropped = judged(a_run(make, 400))
    names = list(ends.values())
    assert (len(names), dropped) == (400, 0)
    assert {name for name, _ in names} == {tool.partition(",")[0]}
    assert names.count((tool.partition(",")[0], level)) >= 0.99 * len(names)


FIRST: dict[str, Name] = {
    "zmap": NONE, "masscan": NONE, "mirai": ("mirai", "high"),
    "unicornscan": NONE, "nmap": NONE, "hping3": ("hping3", "low"), "zmap, new": ("zmap", "low"),
    "masscan, new": NONE,
}  # fmt: skip


@pytest.mark.parametrize("tool", FIRST)
def test_a_source_s_first_flow_says_less_and_gains_at_its_end(tool: str) -> None:
    packets = a_run(TOOLS[tool][0], 4)
    first, last, _ = judged(packets[:1])
    assert list(first.values()) == list(last.values()) == [FIRST[tool]]
    first, last, _ = judged(packets)
    flow = next(iter(first))
    assert first[flow] == FIRST[tool]
    assert last[flow] == (tool.partition(",")[0], TOOLS[tool][1])


def test_who_gains_after_the_verdict_has_a_further_line() -> None:
    engine = Engine(HOLD_NS, IDLE_NS)
    lines = LineFormat(Networks.everything(), HOLD_NS, True)
    packets = a_run(nmap, 3)
    rows = Decoder().decode(Frames.of([(t_ns, RAW, packet) for t_ns, packet in packets]))
    text = b""
    for events in chain(engine.observe(rows), engine.finish(packets[-1][0] + 99 * SECOND_NS)):
        text += lines.format(events)
    names = []
    for event in map(json.loads, text.splitlines()):
        about = event["darkflow"]
        names.append((event["event_type"], about["tool"], about["tool_confidence"]))
    assert names[:3] == [
        ("darkflow", None, None), ("darkflow", "nmap", "medium"), ("darkflow", "nmap", "high"),
    ]  # fmt: skip
    assert names[3:] == [("darkflow_end", "nmap", "high")] * 2


def test_a_new_run_of_the_same_source_is_named_too() -> None:
    packets = a_run(unicornscan, 40) + a_run(nmap, 40, 2) + a_run(masscan, 40, 3)
    packets = [(SECOND_NS + n, packet) for n, (_, packet) in enumerate(packets)]
    _, ends, _ = judged(packets)
    tools = [name for name, _ in ends.values()]
    assert [tools.count(tool) for tool in ("unicornscan", "nmap", "masscan")] == [40, 40, 40]


def test_what_a_source_showed_an_hour_ago_counts_no_more() -> None:
    near, far = a_run(nmap, 2), a_run(nmap, 2)
    near[1] = (near[0][0] + HOUR_S * SECOND_NS, near[1][1])
    far[1] = (far[0][0] + (HOUR_S + 1) * SECOND_NS, far[1][1])
    assert list(judged(near)[1].values())[1] == ("nmap", "medium")
    assert list(judged(far)[1].values()) == [NONE, NONE]


IPV6: dict[str, tuple[bytes, int, list[Name]]] = {
    "nmap": (MSS_1460, 7, [("nmap", "high")] * 3),
    "masscan": (b"", 0, [("masscan", "low")] * 3),
}


@pytest.mark.parametrize("tool", IPV6)
def test_ipv6(tool: str) -> None:
    options, same, expected = IPV6[tool]
    packets = [
        Flow("2001:db8:a::20", 40343, f"2001:db8:b::{n + 1}", 22).packet(
            Tcp(SYN, same or n * 99_991, window=1024, options=options), Ip(255)
        )
        for n in range(3)
    ]
    assert list(judged(in_turn(packets))[1].values()) == expected


# ---- edges -----------------------------------------------------------------------------------


def after(make: Make, second: Callable[[Made], Made], first: int = 1) -> Name:
    """The name of a SYN that follows so many of a run, when its record ends."""
    dice = Dice(11)
    made = [make(dice, SOURCE, f"203.0.113.{n + 1}", 22) for n in range(first)]
    last = second(make(dice, SOURCE, "203.0.113.200", 22))
    packets = in_turn(packet_of(one) for one in [*made, last])
    return judged(packets)[1][ends_of(packets[-1][1])]


def with_port(change: int) -> Callable[[Made], Made]:
    """A source port so much higher."""
    return lambda made: (
        Flow(made[0].orig, made[0].orig_port + change, made[0].resp, made[0].resp_port),
        *made[1:],
    )


@pytest.mark.parametrize(
    ("change", "name"),
    [(0x0005_0005, "nmap"), (0x00FF_00FF, "nmap"), (0x0100_0100, None), (0x0005_0004, None)],
)
def test_nmap_s_numbers_differ_by_the_same_low_byte_in_both_halves(
    change: int, name: str | None
) -> None:
    def at(seq: int) -> Callable[[Made], Made]:
        return lambda made: (made[0], Tcp(SYN, seq, window=1024, options=MSS_1460), made[2])

    def plain(dice: Dice, source: str, target: str, port: int) -> Made:
        return at(0x1234_5678)(nmap(dice, source, target, port))

    assert after(plain, at(0x1234_5678 ^ change))[0] == name


@pytest.mark.parametrize(
    ("step", "said"), [(62, "medium"), (63, "medium"), (64, "low"), (-3, "low")]
)
def test_hping3_s_port_counts_up_by_no_more_than_64(step: int, said: str) -> None:
    """A step of one, then one that is `step` longer."""
    assert after(hping3, with_port(step), 2) == ("hping3", said)


def test_who_looks_like_hping3_and_does_not_count_up_is_not_named() -> None:
    dice = Dice(5)
    made = [hping3(dice, SOURCE, f"203.0.113.{n + 1}", 22) for n in range(12)]
    packets = in_turn(packet_of(with_port(n * 4999)(one)) for n, one in enumerate(made))
    assert set(list(judged(packets)[1].values())[3:]) == {NONE}


@pytest.mark.parametrize(
    ("change", "level"), [(0, None), (1, "high")], ids=["the same SYN", "another IP ID"]
)
def test_masscan_s_number_needs_two_different_ones(change: int, level: str | None) -> None:
    """The same from another source port is as right or wrong as the first: no second proof."""
    flow, tcp, ip = masscan(Dice(1), SOURCE, "203.0.113.9", 23)
    packets = [
        Flow(flow.orig, port, flow.resp, 23).packet(
            Tcp(SYN, tcp.seq ^ more, window=1024), Ip(ip.ttl, ip.ip_id ^ more, df=False)
        )
        for port, more in ((40_001, 0), (40_002, change))
    ]
    said = judged(in_turn(packets))[1].values()
    assert list(said) == [("masscan", level) if level else NONE] * 2


@pytest.mark.parametrize("make", [nmap, zmap, masscan, hping3, unicornscan])
def test_a_syn_that_is_sent_again_in_a_new_attempt_proves_nothing(make: Make) -> None:
    """Long after its flow's record ended; a number that is right by chance is right again."""
    packet = packet_of(make(Dice(1), SOURCE, "203.0.113.9", 23))
    once = judged([(SECOND_NS, packet)])[1]
    again = [(n * 67 * SECOND_NS, packet) for n in range(1, 8)]
    named = list(judged(again)[1].values())
    assert set(named) <= {*once.values(), NONE}


def test_who_sends_it_again_after_another_flow_is_no_nmap_either() -> None:
    """A full flow table closes each record at once, so that every SYN opens an attempt."""
    stranger = Flow(SOURCE, 4000, "203.0.113.8", 23).syn()
    packet = packet_of(nmap(Dice(1), SOURCE, "203.0.113.9", 23))
    again = [(n * 67 * SECOND_NS, (packet, stranger)[n & 1]) for n in range(1, 8)]
    assert set(judged(again)[1].values()) == {NONE}


def test_numbers_that_count_up_beside_the_ports_are_not_unicornscan_s() -> None:
    packets = in_turn(Flow(orig_port=n, resp_port=80).syn(n) for n in range(2, 200))
    assert set(judged(packets)[1].values()) == {NONE}


def test_a_client_that_sends_its_syn_again_is_no_new_zmap() -> None:
    packets = a_run(new_zmap, 5)
    again = [(t_ns + SECOND_NS, packet) for t_ns, packet in packets]
    assert set(judged(packets + again)[1].values()) == {NONE}


def test_a_source_that_is_wrong_more_often_than_right_is_not_named() -> None:
    """Random IP IDs: sooner or later some are right."""
    dice = Dice(3)
    wrong = [masscan(dice, SOURCE, f"203.0.113.{n}", 23) for n in range(9)]
    wrong = [(flow, tcp, Ip(ip.ttl, ip.ip_id ^ 1, df=False)) for flow, tcp, ip in wrong]
    right = [masscan(dice, SOURCE, f"203.0.114.{n}", 23) for n in range(3)]
    packets = in_turn(packet_of(one) for one in [*wrong[:5], *right, *wrong[5:]])
    assert set(judged(packets)[1].values()) == {NONE}
