"""The engine against the oracle, event by event, with times near every boundary."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkflow.flow.batch import Frames, Packets
from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from darkflow.flow.order import Reorder
from oracle import Oracle

RAW = 101
HOLD_NS, IDLE_NS = 5_000_000_000, 60_000_000_000
FLOWS = (
    (b"\x0a\0\0\1", 1000, b"\x0a\0\0\2", 22),
    (b"\x0a\0\0\2", 22, b"\x0a\0\0\1", 1000),  # the reverse flow of the first
    (b"\x0a\0\0\3", 7, b"\x0a\0\0\3", 7),  # its own reverse
    (bytes(15) + b"\1", 1000, bytes(15) + b"\2", 22),
    (b"\x0a\0\0\1", 1001, b"\x0a\0\0\2", 22),
)
FLAGS = {"syn": 2, "syn_ack": 18, "rst": 4}


def ip(src: bytes, dst: bytes, proto: int, payload: bytes, ip_id: int = 0) -> bytes:
    """An IPv4 or IPv6 packet without checksums, which nothing here looks at."""
    if len(src) == 4:
        size = 20 + len(payload)
        head = struct.pack("!BBHHHBBH", 0x45, 0, size, ip_id, 0, 64, proto, 0)
        return head + src + dst + payload
    return struct.pack("!IHBB", 6 << 28, len(payload), proto, 64) + src + dst + payload


def frame(packet: dict[str, Any]) -> bytes:
    """The bytes of an oracle's packet."""
    orig, orig_port, resp, resp_port = packet["flow"]
    kind = packet["kind"]
    if kind in ("syn_ack", "rst"):
        ends = (resp, resp_port, orig, orig_port)
    else:
        ends = packet["flow"]
    src, sport, dst, dport = ends
    flags = FLAGS.get(kind, 2)
    tcp = struct.pack("!HHIIBBHHH", sport, dport, packet["isn"], 0, 0x50, flags, 1024, 0, 0)
    whole = ip(src, dst, 6, tcp, packet["ip_id"])
    if kind != "icmp":
        return whole
    router = b"\x0a\0\0\xfe" if len(src) == 4 else bytes(15) + b"\xfe"
    error = struct.pack("!BBHI", *packet["icmp"], 0, 0) + whole
    return ip(router, src, 1 if len(src) == 4 else 58, error)


def packets_of(decoder: Decoder, packets: list[dict[str, Any]], now_ns: int) -> Packets:
    """Packet rows of an oracle's packets."""
    frames = [(p["t_ns"], RAW, frame(p)) for p in packets]
    return decoder.decode(Frames.of(frames, now_ns))


def plain(event: dict[str, Any]) -> dict[str, Any]:
    """An engine's event in the oracle's form."""
    flow = (event.pop("src"), event.pop("sport"), event.pop("dst"), event.pop("dport"))
    del event["number"], event["tool"]
    event["flow"] = flow
    return event


def engine_says(
    batches: list[list[dict[str, Any]]], end_ns: int, **options: Any
) -> tuple[list[dict[str, Any]], Engine]:
    """Events of the engine for packets in batches; each batch's time is its last packet's."""
    decoder = Decoder()
    engine = Engine(HOLD_NS, IDLE_NS, **options)
    events: list[dict[str, Any]] = []
    now_ns = -(1 << 63)
    for batch in batches:
        now_ns = max([now_ns] + [p["t_ns"] for p in batch])
        events += seen(engine, packets_of(decoder, batch, now_ns))
    for last in engine.finish(end_ns):
        events += map(plain, last.to_list())
    return events, engine


def seen(engine: Engine, packets: Packets) -> list[dict[str, Any]]:
    """All events of one batch of packets."""
    return [plain(event) for events in engine.observe(packets) for event in events.to_list()]


def oracle_says(
    packets: list[dict[str, Any]],
    end_ns: int,
    queue: int = 10**9,
    table: int = 10**9,
    tells: bool = False,
) -> Oracle:
    """The oracle that has seen the packets."""
    oracle = Oracle(HOLD_NS, IDLE_NS, queue, table)
    oracle.tells = tells
    for packet in packets:
        oracle.see(packet)
    oracle.finish(end_ns)
    return oracle


# Steps from one packet to the next: around a mirror's copy, T, idle, and what they add up to.
STEPS = [0, 1, 999_999, 1_000_000, 1_000_001, 500_000_000]
STEPS += [base + d for base in (HOLD_NS, IDLE_NS, HOLD_NS + IDLE_NS) for d in (-1, 0, 1)]


@st.composite
def traffic(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Packets of few flows in the order of time."""
    now_ns = draw(st.sampled_from([0, -3_000_000_000, 1_700_000_000_000_000_000]))
    packets: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(1, 40))):
        now_ns += draw(st.sampled_from(STEPS))
        packets.append({
            "t_ns": now_ns,
            "flow": draw(st.sampled_from(FLOWS)),
            "kind": draw(st.sampled_from(["syn", "syn", "syn", "syn_ack", "rst", "icmp"])),
            "isn": draw(st.sampled_from([5, 5, 5, 6])),
            "ip_id": 0,
            "icmp": draw(st.sampled_from([(3, 1), (3, 13)])),
        })  # fmt: skip
        flow = packets[-1]["flow"]
        if len(flow[0]) == 4:
            packets[-1]["ip_id"] = draw(st.sampled_from([9, 9, 10]))
        else:
            packets[-1]["icmp"] = (1, 3)
    return packets


@st.composite
def cut(draw: st.DrawFn) -> tuple[list[list[dict[str, Any]]], int]:
    """The same traffic in batches of any size, and when the capture ends."""
    packets = draw(traffic())
    batches: list[list[dict[str, Any]]] = [[]]
    for packet in packets:
        if draw(st.booleans()):
            batches.append([])
        batches[-1].append(packet)
    return batches, packets[-1]["t_ns"] + draw(st.sampled_from(STEPS))


@settings(max_examples=500, deadline=None)
@given(cut(), st.booleans())
def test_engine_is_the_oracle_event_by_event(
    case: tuple[list[list[dict[str, Any]]], int], tells: bool
) -> None:
    batches, end_ns = case
    packets = [p for batch in batches for p in batch]
    oracle = oracle_says(packets, end_ns, tells=tells)
    events, engine = engine_says(batches, end_ns, seed=bytes(range(16)), tells=tells)
    assert events == oracle.events
    assert engine.counters == oracle.counts
    assert engine.reply_delays.count == len(oracle.delays)
    if oracle.delays:
        assert engine.reply_delays.max_ns == max(oracle.delays)
        ranked = sorted(oracle.delays)
        for share in (0.5, 0.99):
            rank = min(len(ranked) - 1, int(share * len(ranked)))
            assert engine.reply_delays.quantile(share) == ranked[rank]


@settings(max_examples=200, deadline=None)
@given(cut(), st.integers(1, 4), st.integers(1, 4))
def test_limits_drop_what_the_oracle_drops(
    case: tuple[list[list[dict[str, Any]]], int], queue: int, table: int
) -> None:
    batches, end_ns = case
    packets = [p for batch in batches for p in batch]
    oracle = oracle_says(packets, end_ns, queue, table)
    events, engine = engine_says(batches, end_ns, sizes=(queue, table))
    assert events == oracle.events
    assert engine.counters == oracle.counts
    c = engine.counters
    syns = sum(p["kind"] == "syn" for p in packets)
    assert syns == c["attempts"] + c["retransmitted_or_repeated"] + c["dropped_queue"]
    assert c["attempts"] == c["answered"] + c["refused"] + c["dark"] + c["undecided"]


@settings(max_examples=80, deadline=None)
@given(cut(), st.binary(min_size=16, max_size=16))
def test_events_do_not_depend_on_the_seed(
    case: tuple[list[list[dict[str, Any]]], int], seed: bytes
) -> None:
    batches, end_ns = case
    assert engine_says(batches, end_ns, seed=seed)[0] == engine_says(batches, end_ns)[0]


def syn(t_ns: int, flow: int = 0, **more: Any) -> dict[str, Any]:
    """A SYN of one of FLOWS."""
    base = {"t_ns": t_ns, "flow": FLOWS[flow], "kind": "syn", "isn": 5, "ip_id": 9}
    return {**base, "icmp": None, **more}


@pytest.mark.parametrize(
    ("answer_ns", "verdict"),
    [(HOLD_NS - 1, "answered"), (HOLD_NS, "answered"), (HOLD_NS + 1, "dark")],
)
def test_an_answer_counts_up_to_t_and_not_one_nanosecond_later(
    answer_ns: int, verdict: str
) -> None:
    packets = [syn(0), syn(answer_ns, kind="syn_ack")]
    events, engine = engine_says([packets], answer_ns)
    assert engine.counters[verdict] == 1
    expected = ["dark", "end", "late_answer"] if verdict == "dark" else []
    assert [event["event"] for event in events] == expected


def test_time_alone_brings_the_verdict() -> None:
    decoder, engine = Decoder(), Engine(HOLD_NS, IDLE_NS)
    assert seen(engine, packets_of(decoder, [syn(0)], 0)) == []
    assert seen(engine, packets_of(decoder, [], HOLD_NS)) == []
    events = seen(engine, packets_of(decoder, [], HOLD_NS + 1))
    assert [(event["event"], event["t_ns"]) for event in events] == [("dark", HOLD_NS)]


def test_many_flows_through_growing_tables() -> None:
    """The index and the pool grow, and slots are used again, without losing a flow."""
    decoder, engine = Decoder(), Engine(HOLD_NS, IDLE_NS)
    count, dark, answered = 60_000, 0, 0
    for start in range(0, count, 10_000):
        batch = []
        for number in range(start, start + 10_000):
            flow = (number.to_bytes(4, "big"), 1024, b"\x0a\0\0\2", 22)
            batch.append(syn(number * 1_000_000, flow=0) | {"flow": flow})
            if number % 3 == 0:
                batch.append(batch[-1] | {"kind": "syn_ack"})
        events = seen(engine, packets_of(decoder, batch, batch[-1]["t_ns"]))
        dark += sum(event["event"] == "dark" for event in events)
    for batch_of_events in engine.finish(count * 1_000_000 + HOLD_NS + 1):
        assert len(batch_of_events) <= 4096 + 2
        dark += sum(event["event"] == "dark" for event in batch_of_events.to_list())
    answered = engine.counters["answered"]
    assert (dark, answered) == (count * 2 // 3, count // 3)
    assert engine.sizes == (0, 0)
    assert engine.counters["unsolicited"] == 0


def test_flows_are_found_while_others_leave() -> None:
    """Deleting from the index must not hide what was pushed past the deleted."""
    decoder, engine = Decoder(), Engine(HOLD_NS, IDLE_NS)
    count, step_ns = 40_000, 500_000

    def flow(number: int) -> tuple[bytes, int, bytes, int]:
        return (number.to_bytes(4, "big"), 1024, b"\x0a\0\0\2", 22)

    packets = [syn(number * step_ns) | {"flow": flow(number)} for number in range(count)]
    # Each is answered shortly before T, while older ones expire one by one.
    packets += [p | {"kind": "syn_ack", "t_ns": p["t_ns"] + 4_900_000_000} for p in packets]
    packets.sort(key=lambda p: p["t_ns"])
    for start in range(0, len(packets), 8000):
        batch = packets[start : start + 8000]
        seen(engine, packets_of(decoder, batch, batch[-1]["t_ns"]))
    assert engine.counters["answered"] == count
    assert engine.counters["unsolicited"] == 0


@pytest.mark.parametrize(
    ("syns", "quoted", "kept"),
    [([5], 5, True), ([5], 6, False), ([5, 6], 6, True), ([5, 6], 5, True), ([5, 5], 6, False)],
)
def test_an_icmp_error_must_quote_a_syn_of_the_flow(
    syns: list[int], quoted: int, kept: bool
) -> None:
    packets = [syn(at, isn=isn) for at, isn in enumerate(syns)]
    packets.append(syn(10, kind="icmp", isn=quoted, icmp=(3, 13)))
    packets.append(syn(11, kind="icmp", isn=quoted, icmp=(3, 1)))  # the first reason stays
    events, engine = engine_says([packets], HOLD_NS + 10)
    assert events[-1]["icmp"] == ((3, 13) if kept else None)
    assert engine.counters["icmp_unsolicited"] == (0 if kept else 2)
    assert engine.counters["icmp_unreachable"] == kept


def test_memory_stays_within_the_limits_in_a_flood() -> None:
    decoder, engine = Decoder(), Engine(HOLD_NS, IDLE_NS, sizes=(5000, 3000))
    for start in range(0, 200_000, 10_000):
        batch = [
            syn(number * 10_000) | {"flow": (number.to_bytes(4, "big"), 1, b"\x0a\0\0\2", 22)}
            for number in range(start, start + 10_000)
        ]
        seen(engine, packets_of(decoder, batch, batch[-1]["t_ns"]))
        assert engine.memory_bytes <= (8 * 1024 + 1024) * 192 + 65_536 * 8
    assert engine.counters["attempts"] + engine.counters["dropped_queue"] == 200_000


@pytest.mark.parametrize(
    "bad",
    [{"hold_ns": 0}, {"idle_ns": 0}, {"sizes": (0, 1)}, {"sizes": (1, 1 << 30)}, {"seed": b"x"}],
)
def test_settings_that_cannot_be_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Engine(**{"hold_ns": 1, "idle_ns": 1, **bad})


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_disorder_within_the_limit_changes_nothing(data: st.DataObject) -> None:
    """Reorder gives the engine the packets by time, however they arrive within the limit."""
    packets = [
        syn(t, data.draw(st.integers(0, 4)), kind=data.draw(st.sampled_from(["syn", "syn_ack"])))
        for t in data.draw(st.lists(st.integers(0, 12_000_000_000), min_size=1, max_size=30))
    ]
    for number, packet in enumerate(packets):
        packet["isn"] = number
    shaken = sorted(packets, key=lambda p: p["t_ns"] + data.draw(st.integers(0, 1_000_000_000)))
    order, decoder, engine = Reorder(1_000_000_000), Decoder(), Engine(HOLD_NS, IDLE_NS)
    events, now_ns = [], -(1 << 63)
    for packet in shaken:
        now_ns = max(now_ns, packet["t_ns"])
        rows = order.put(packets_of(decoder, [packet], now_ns))
        events += seen(engine, rows)
    events += seen(engine, order.rest())
    events += [plain(event) for last in engine.finish(now_ns) for event in last.to_list()]
    # Packets with equal times stay in the order of arrival.
    by_time = sorted(shaken, key=lambda p: p["t_ns"])
    assert events == oracle_says(by_time, now_ns).events
    assert order.clamped == 0
