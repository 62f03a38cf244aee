"""Backscatter against a slow twin; whose resets count; the limits; real attacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from darkflow.flow.backscatter import Victims
from darkflow.flow.batch import Events, Frames
from darkflow.flow.decode import Decoder
from darkflow.flow.detection import Backscatter, BackscatterLimits
from darkflow.flow.engine import Engine
from darkflow.flow.networks import Networks
from darkflow.flow.order import Reorder
from darkflow.sources.captures import Captures
from flow.test_engine import HOLD_NS, IDLE_NS, packets_of
from flow.test_scans import networks_of
from slow_scans import SlowVictims
from writers import RAW, Flow, Tcp

SECOND_NS = 1_000_000_000
SMALL = BackscatterLimits(5, 15 * SECOND_NS, 4, 2, 1000, 60 * SECOND_NS)
OURS = [bytes([10, 0, 0, n]) for n in range(1, 5)] + [bytes([192, 0, 2, 1])]
THEIRS = [bytes([198, 51, 100, n]) for n in (1, 2, 3)]


steps = st.sampled_from([0, 1, SECOND_NS, 3 * SECOND_NS, 3 * SECOND_NS, 9_999_999_999,
                         60 * SECOND_NS + 1, 901 * SECOND_NS])  # fmt: skip


@st.composite
def packets(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Answers to nothing, and now and then a connection."""
    t_ns, found = draw(st.sampled_from([0, -50 * SECOND_NS, 1_700_000_000 * SECOND_NS])), []
    for number in range(draw(st.integers(1, 50))):
        t_ns += draw(steps)
        ours, theirs = draw(st.sampled_from(OURS)), draw(st.sampled_from(THEIRS))
        flow = (ours, 1024 + number, theirs, draw(st.sampled_from([80, 443])))
        packet = {"t_ns": t_ns, "flow": flow, "kind": "syn", "isn": 7, "ip_id": 0}
        if draw(st.integers(0, 9)) == 0:
            found.append(packet)
        found.append(packet | {"kind": draw(st.sampled_from(["syn_ack", "syn_ack", "rst"]))})
    return found


def batches(sent: list[dict[str, Any]], each: int) -> Iterator[Events]:
    """Event batches of packets."""
    decoder, engine = Decoder(), Engine(HOLD_NS, IDLE_NS, tells=True)
    now_ns = sent[0]["t_ns"]
    for first in range(0, len(sent), each):
        some = sent[first : first + each]
        now_ns = some[-1]["t_ns"]
        yield from engine.observe(packets_of(decoder, some, now_ns))
    yield from engine.finish(now_ns)


@settings(max_examples=80, deadline=None)
@given(packets(), st.integers(1, 9), st.binary(min_size=16, max_size=16))
def test_the_kernel_tells_what_the_twin_tells(
    sent: list[dict[str, Any]], each: int, seed: bytes
) -> None:
    networks = networks_of("10.0.0.0/24")
    twin, kernel, told = SlowVictims(networks, SMALL), Victims(networks, SMALL, seed), []
    for events in batches(sent, each):
        told += kernel.observe(events)
        twin.observe(events.to_list(), events.now_ns)
    told += kernel.finish()
    twin.finish()
    assert sorted(map(repr, told)) == sorted(map(repr, twin.told))
    assert kernel.evicted == kernel.lost == kernel.victims == 0


def told_of(frames: Iterable[tuple[int, bytes]], limits: BackscatterLimits) -> list[Backscatter]:
    """What is told of raw IP packets at their times."""
    kernel = Victims(Networks.everything(), limits)
    engine = Engine(HOLD_NS, IDLE_NS, tells=True)
    rows = Decoder().decode(Frames.of([(t_ns, RAW, data) for t_ns, data in frames]))
    batches = chain(engine.observe(rows), engine.finish(rows.now_ns))
    return [*chain.from_iterable(map(kernel.observe, batches)), *kernel.finish()]


def resets(flags: int, number: int) -> list[tuple[int, bytes]]:
    """A minute and more of a victim's resets to ever other addresses."""
    return [
        (at * SECOND_NS, Flow("198.51.100.1", 80, f"10.0.0.{at + 1}", 4000).packet(
            Tcp(flags, number)))
        for at in range(90)
    ]  # fmt: skip


def test_a_reset_that_ends_a_connection_is_none() -> None:
    assert len(told_of(resets(0x14, 0), BackscatterLimits())) == 2  # of a closed port
    assert len(told_of(resets(0x04, 77), BackscatterLimits())) == 2  # answers a forged ACK
    assert told_of(resets(0x14, 77), BackscatterLimits()) == []


def test_a_reset_of_who_has_connections_is_none() -> None:
    client = Flow("198.51.100.1", 5000, "10.0.0.200", 80)
    connection = [(0, client.syn()), (1, client.answer())]
    assert told_of([*connection, *resets(0x04, 77)], BackscatterLimits()) == []
    assert len(told_of([*connection, *resets(0x14, 0)], BackscatterLimits())) == 2


def test_who_had_connections_half_an_hour_ago_is_a_stranger_again() -> None:
    client = Flow("198.51.100.1", 5000, "10.0.0.200", 80)
    others = [
        (minute * 60 * SECOND_NS, Flow("10.0.0.77", 9, "203.0.113.9", 80).answer())
        for minute in (10, 20, 30)
    ]
    connection = [(0, client.syn()), (1, client.answer()), *others]
    for minutes, count in ((12, 0), (40, 2)):
        later = [(t_ns + minutes * 60 * SECOND_NS, data) for t_ns, data in resets(0x04, 77)]
        assert len(told_of(sorted(connection + later), BackscatterLimits())) == count


def after(quiet_ns: int) -> int:
    """What is told of a flood of resets so long after a lone connection of its sender."""
    client = Flow("198.51.100.1", 5000, "10.0.0.200", 80)
    later = [(t_ns + quiet_ns, data) for t_ns, data in resets(0x04, 77)]
    return len(told_of([(0, client.syn()), (1, client.answer()), *later], BackscatterLimits()))


def test_a_silence_keeps_nobody_known_for_longer_than_half_an_hour() -> None:
    assert [after(minutes * 60 * SECOND_NS) for minutes in (10, 29, 31, 300)] == [0, 0, 2, 2]


def test_while_most_seem_to_have_connections_resets_are_not_judged_but_counted() -> None:
    kernel = Victims(Networks.everything(), BackscatterLimits())
    engine = Engine(HOLD_NS, IDLE_NS, tells=True)
    frames: list[tuple[int, int, bytes]] = []
    syn, answer = Flow().syn(), Flow().answer()
    for n in range(72_000):
        orig, resp = (0x64400000 + n).to_bytes(4, "big"), (0xAC100000 + n).to_bytes(4, "big")
        frames.append((n, RAW, syn[:12] + orig + resp + syn[20:]))
        frames.append((n, RAW, answer[:12] + resp + orig + answer[20:]))
    frames += [(SECOND_NS + t_ns, RAW, data) for t_ns, data in resets(0x04, 77)]
    decoder, told = Decoder(), []
    for first in range(0, len(frames), 10_000):
        rows = decoder.decode(Frames.of(frames[first : first + 10_000]))
        told += [b for events in engine.observe(rows) for b in kernel.observe(events)]
    assert told == []
    assert 0 < kernel.unjudged <= 90


def test_victims_are_limited_and_the_forgotten_counted() -> None:
    limits = BackscatterLimits(victims=64)
    attack = [(t, data) for t, data in resets(0x14, 0)]
    noise = [
        (at * 100_000_000, Flow("10.0.0.9", 1, f"100.64.{at >> 8}.{at & 255}", 80).answer())
        for at in range(890)
    ]
    kernel = Victims(Networks.everything(), limits)
    engine = Engine(HOLD_NS, IDLE_NS, tells=True)
    frames = sorted(attack + noise)
    rows = Decoder().decode(Frames.of([(t, RAW, data) for t, data in frames]))
    told = [b for events in engine.observe(rows) for b in kernel.observe(events)]
    assert [(b.state, b.victim) for b in told] == [("begin", bytes([198, 51, 100, 1]))]
    assert kernel.victims == 64
    assert kernel.evicted > 700


def of_capture(path: Path, limits: BackscatterLimits) -> tuple[list[Backscatter], Engine]:
    """What is told of a capture, and its engine."""
    source = Captures([str(path)], SECOND_NS)
    source.open()
    decoder, reorder = Decoder(), Reorder(SECOND_NS)
    engine, kernel = Engine(HOLD_NS, IDLE_NS, tells=True), Victims(Networks.everything(), limits)
    told: list[Backscatter] = []
    for frames in source:
        for events in engine.observe(reorder.put(decoder.decode(frames))):
            told += kernel.observe(events)
    for events in chain(engine.observe(reorder.rest()), engine.finish(source.now_ns)):
        told += kernel.observe(events)
    return told + kernel.finish(), engine


def test_real_captures_hold_one_victim_and_it_is_one(captures: Path) -> None:
    found = {
        path.name: told
        for path in captures.iterdir()
        if ".pcap" in path.name and (told := of_capture(path, BackscatterLimits())[0])
    }
    assert set(found) == {"stopddos_syn_optionally_ack.pcap"}
    begin, end = found["stopddos_syn_optionally_ack.pcap"]
    assert (begin.state, end.state) == ("begin", "end")
    assert (end.victim, end.packets, end.ports) == (bytes([75, 136, 225, 254]), 396, "21")
    assert (end.answer, end.minute) == ("syn_ack", 30)


def test_a_reflection_of_a_moment_shows_with_limits_of_its_size(captures: Path) -> None:
    """0.15 s of some 5,000 reflectors: none has the 25 packets that make a victim."""
    path = captures / "stopddos_synack_reflection.pcap"
    told, engine = of_capture(path, BackscatterLimits(3, 0, 3))
    assert sum(b.state == "begin" for b in told) == sum(b.state == "end" for b in told) > 40
    assert engine.counters["dark"] == 0
    assert engine.counters["unsolicited"] == 7669
