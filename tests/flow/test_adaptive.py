"""Shorter holds for who was dark often and long: against the oracle, and what it never does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from darkflow.flow.adaptive import Adaptive
from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from darkflow.flow.networks import Networks
from darkflow.sinks.lines import LineFormat
from flow.test_engine import FLOWS, HOLD_NS, IDLE_NS, engine_says, packets_of, plain, seen, syn
from oracle import Oracle

SECOND_NS = 1_000_000_000
OFTEN, LONG_NS, ALIVE_NS, BOUND = 2, 20 * SECOND_NS, 200 * SECOND_NS, 0.5
HOLDS_NS = (SECOND_NS, 2 * SECOND_NS, 4 * SECOND_NS)
EVIDENCE = (OFTEN, LONG_NS, ALIVE_NS)
NAMES = ("listed", "early", "false", "unwatched")
# Around every boundary, and what brings a destination onto the list within some steps.
STEPS = [0, 1, 400_000_000, 30 * SECOND_NS, 70 * SECOND_NS]
STEPS += [base + d for base in (*HOLDS_NS, HOLD_NS, LONG_NS, IDLE_NS) for d in (-1, 0, 1)]
# Many sources ask few destinations.
ASKED = [(bytes([10, 0, 1, n]), 1000, *FLOWS[0][2:]) for n in range(5)]
ASKED += [(bytes([10, 0, 1, n]), 1000, FLOWS[0][2], 23) for n in range(2)]
ASKED += [(bytes(15) + bytes([n]), 7, *FLOWS[3][2:]) for n in range(3, 5)]


def adaptive(bound: float = BOUND, **more: Any) -> Adaptive:
    """With this module's settings."""
    values: dict[str, Any] = {"size": 1 << 10, "seed": bytes(range(16))}
    values |= {"networks": Networks.everything()} | more
    return Adaptive((HOLD_NS, SECOND_NS), EVIDENCE, bound, **values)


def listened(packets: list[dict[str, Any]], for_ns: int = ALIVE_NS + 1) -> list[dict[str, Any]]:
    """The same after so much time; an answer to nothing, from elsewhere, begins it."""
    flow = (b"\1\2\3\4", 1, b"\1\2\3\5", 1)
    first = {"t_ns": packets[0]["t_ns"] - for_ns, "flow": flow, "ip_id": 0, "isn": 0}
    return [first | {"kind": "syn_ack", "icmp": (3, 1)}, *packets]


@st.composite
def traffic(draw: st.DrawFn) -> tuple[list[list[dict[str, Any]]], int]:
    """Packets that mostly nobody answers, in batches, after a time that filled the list."""
    now_ns = draw(st.sampled_from([0, 1_700_000_000_000_000_000]))
    batches: list[list[dict[str, Any]]] = [[]]
    asked = scan(draw(st.sampled_from([0, 9, 12])), 6 * SECOND_NS, begin_ns=now_ns)
    batches[0] += asked
    now_ns = asked[-1]["t_ns"] if asked else now_ns
    for _ in range(draw(st.integers(1, 40))):
        now_ns += draw(st.sampled_from(STEPS))
        if draw(st.booleans()):
            batches.append([])
        flow = draw(st.sampled_from(ASKED))
        batches[-1].append({
            "t_ns": now_ns, "flow": flow, "ip_id": 0, "isn": draw(st.sampled_from([5, 5, 6])),
            "kind": draw(st.sampled_from(["syn"] * 8 + ["syn_ack", "rst", "icmp"])),
            "icmp": (3, 1) if len(flow[0]) == 4 else (1, 3),
        })  # fmt: skip
    return batches, now_ns + draw(st.sampled_from(STEPS))


def both(
    batches: list[list[dict[str, Any]]],
    end_ns: int,
    sizes: tuple[int, int] = (1 << 10, 1 << 10),
    bound: float = BOUND,
    after_ns: int = ALIVE_NS + 1,
) -> tuple[list[dict[str, Any]], Engine, Oracle]:
    """Events of the engine, the engine, and the oracle that has seen the same; they agree.

    after_ns: for how long they have listened before; 0: not at all.
    """
    if after_ns:
        batches = [listened(batches[0] or batches[1], after_ns)[:1], *batches]
    decoder, engine = Decoder(), Engine(HOLD_NS, IDLE_NS, sizes, tells=True)
    engine.adapt(adaptive(bound))
    events: list[dict[str, Any]] = []
    now_ns = -(1 << 63)
    for batch in batches:
        now_ns = max([now_ns] + [p["t_ns"] for p in batch])
        events += seen(engine, packets_of(decoder, batch, now_ns))
    for last in engine.finish(end_ns):
        events += map(plain, last.to_list())
    judge = Oracle(HOLD_NS, IDLE_NS, *sizes)
    judge.tells = True
    judge.adaptive = oracle.Adaptive(HOLDS_NS, OFTEN, LONG_NS, ALIVE_NS, bound)
    for packet in (p for batch in batches for p in batch):
        judge.see(packet)
    judge.finish(end_ns)
    assert events == judge.events
    assert engine.counters == judge.counts
    assert told(engine) == judge.adaptive.counts
    return events, engine, judge


def told(engine: Engine) -> dict[str, int]:
    """The counters, as the oracle names them."""
    assert engine.adaptive is not None
    counters = engine.adaptive.counters
    assert counters["adaptive_evicted"] == 0
    return {name: counters[f"adaptive_{name}"] for name in NAMES}


@settings(max_examples=150, deadline=None)
@given(
    traffic(), st.sampled_from([(1 << 10, 1 << 10), (3, 2)]), st.sampled_from([0.9, 0.5]),
    st.sampled_from([0, ALIVE_NS - 75 * SECOND_NS, ALIVE_NS, ALIVE_NS]),
)  # fmt: skip
def test_the_engine_is_the_oracle_with_shorter_holds(
    case: tuple[list[list[dict[str, Any]]], int], sizes: tuple[int, int], bound: float, after: int
) -> None:
    both(*case, sizes, bound, after)


def scan(
    count: int, every_ns: int, dst: tuple[bytes, int] = FLOWS[0][2:], begin_ns: int = 0
) -> list[dict[str, Any]]:
    """Sources that ask one destination one after the other."""
    return [
        syn(begin_ns + n * every_ns) | {"flow": (n.to_bytes(4, "big"), 9, *dst), "icmp": (3, 1)}
        for n in range(1, count + 1)
    ]


def holds(events: list[dict[str, Any]]) -> list[int]:
    """How long each dark flow was held, in seconds."""
    return [(e["t_ns"] - e["t0_ns"]) // SECOND_NS for e in events if e["event"] == "dark"]


def answer(packet: dict[str, Any], after_ns: int, kind: str = "syn_ack") -> dict[str, Any]:
    """The answer to a SYN."""
    return packet | {"t_ns": packet["t_ns"] + after_ns, "kind": kind}


def test_first_it_must_be_shown_that_it_costs_little() -> None:
    events, engine, _ = both([scan(14, 10 * SECOND_NS)], 300 * SECOND_NS)
    # Dark from 15 s on, for long at 35 s; 6 attempts show that the share is below one half.
    assert holds(events) == [5] * 9 + [1] * 5
    assert told(engine) == {"listed": 11, "early": 5, "false": 0, "unwatched": 0}
    events, engine, _ = both([scan(14, 10 * SECOND_NS)], 300 * SECOND_NS, bound=0.1)
    assert holds(events) == [5] * 14
    assert told(engine) == {"listed": 11, "early": 0, "false": 0, "unwatched": 0}


def test_before_it_has_listened_for_the_time_that_is_set_nothing_is_shortened() -> None:
    """Who was heard last before the program began may be alive by that setting."""
    asked = scan(40, 10 * SECOND_NS)
    events, engine, _ = both([asked], 900 * SECOND_NS, after_ns=0)
    early = [
        e["t0_ns"] for e in events if e["event"] == "dark" and e["t_ns"] - e["t0_ns"] < HOLD_NS
    ]
    assert min(early) == asked[0]["t_ns"] + ALIVE_NS
    assert told(engine)["listed"] == 37  # and watched, so that there is evidence by then
    assert engine.adaptive is not None
    assert engine.adaptive.short_hold_ns == SECOND_NS
    _, engine, _ = both([asked[:20]], 300 * SECOND_NS, after_ns=0)
    assert engine.adaptive is not None
    assert engine.adaptive.short_hold_ns == HOLD_NS


def test_who_answered_is_held_for_t_on_every_port_for_the_time_that_is_set() -> None:
    first = scan(14, 10 * SECOND_NS)
    wakes = answer(first[-1], 500_000_000, "rst")
    other = [p | {"flow": (*p["flow"][:3], 23)}
             for p in scan(40, 10 * SECOND_NS, begin_ns=wakes["t_ns"])]  # fmt: skip
    events, engine, _ = both([[*first, wakes, *other]], 900 * SECOND_NS)
    after = [e for e in events if e["event"] == "dark" and e["flow"][3] == 23]
    early = [e["t0_ns"] - wakes["t_ns"] for e in after if e["t_ns"] - e["t0_ns"] < HOLD_NS]
    assert min(early) == ALIVE_NS + 10 * SECOND_NS
    assert holds(after) == [5] * 20 + [1] * 20
    assert told(engine)["false"] == 0


def test_answers_that_answer_nothing_show_life_too() -> None:
    packets = scan(14, 10 * SECOND_NS)
    packets.insert(-1, packets[-1] | {"t_ns": packets[-1]["t_ns"] - 1, "kind": "syn_ack"})
    events, _, _ = both([packets], 300 * SECOND_NS)
    assert holds(events)[-2:] == [1, 5]


def test_the_first_answer_of_a_host_that_wakes_up_saves_the_others() -> None:
    packets = scan(12, 10 * SECOND_NS)
    crowd = [p | {"t_ns": 125 * SECOND_NS, "flow": (bytes([9, 9, 9, n]), *p["flow"][1:])}
             for n, p in enumerate(scan(8, 1))]  # fmt: skip
    answers = [answer(p, 900_000_000 + n * 300_000_000) for n, p in enumerate(crowd)]
    _, engine, _ = both([[*packets, *crowd, *answers]], 400 * SECOND_NS)
    # Its first answer comes in time, so the others wait for theirs, up to T.
    assert engine.counters["late_answers"] == 0
    assert engine.counters["answered"] == len(crowd)
    assert told(engine)["false"] == 0
    answers = [answer(p, 1_100_000_000 + n * 300_000_000) for n, p in enumerate(crowd)]
    _, engine, _ = both([[*packets, *crowd, *answers]], 400 * SECOND_NS)
    assert told(engine)["false"] == len(crowd)


def test_false_ones_bring_a_longer_hold_and_then_t() -> None:
    packets = []
    for host in range(40):
        asked = scan(4, 20 * SECOND_NS, (bytes([10, 1, 0, host]), 80), host * 7 * SECOND_NS)
        packets += asked
        if host >= 30:
            packets.append(answer(asked[-1], 1_500_000_000))
    packets.sort(key=lambda p: p["t_ns"])
    again = scan(4, 20 * SECOND_NS, begin_ns=packets[-1]["t_ns"])
    events, engine, judge = both([[*packets, *again]], 900 * SECOND_NS, bound=0.2)
    assert judge.adaptive is not None
    assert told(engine)["false"] > 0
    assert judge.adaptive.falses[0] > judge.adaptive.falses[1] == 0
    assert engine.adaptive is not None
    # Answers after 1.5 s speak against a hold of 1 s, not of 2 s.
    assert engine.adaptive.short_hold_ns == 2 * SECOND_NS
    assert holds(events)[-2:] == [2, 2]
    late = [p | {"t_ns": p["t_ns"] + 2_900_000_000} if p["kind"] == "syn_ack" else p
            for p in packets]  # fmt: skip
    late.sort(key=lambda p: p["t_ns"])
    events, engine, _ = both([[*late, *again]], 900 * SECOND_NS, bound=0.2)
    assert engine.adaptive is not None
    assert engine.adaptive.short_hold_ns == HOLD_NS
    assert holds(events)[-4:] == [5, 5, 5, 5]


def hosts(count: int, false: int, after_ns: int) -> list[dict[str, Any]]:
    """As many hosts as make cases of themselves, one after the other; so many of them answer."""
    packets = []
    for host in range(count):
        asked = scan(3, 20 * SECOND_NS, (bytes([10, 1, 0, host]), 80), host * 7 * SECOND_NS)
        packets += asked
        if host < false:
            packets.append(answer(asked[-1], after_ns))
    return sorted(packets, key=lambda p: p["t_ns"])


@pytest.mark.parametrize(("false", "last"), [(9, [5, 1]), (8, [1, 1])])
def test_old_evidence_fades_but_half_a_false_one_counts_whole(false: int, last: list[int]) -> None:
    # Of 0.9 the window is 22 cases: 11 remain, 4 false ones need so many and 5 need 12.
    packets = hosts(22, false, 4_500_000_000)
    again = scan(4, 20 * SECOND_NS, begin_ns=packets[-1]["t_ns"] + 70 * SECOND_NS)
    events, _, judge = both([[*packets, *again]], 900 * SECOND_NS, bound=0.9)
    assert judge.adaptive is not None
    assert holds([e for e in events if e["t0_ns"] >= again[2]["t_ns"]]) == last


def test_what_is_held_already_waits_for_t_when_its_hold_is_used_no_more() -> None:
    packets = hosts(6, 0, 0)
    awake = hosts(6, 0, 0)[-1]["t_ns"] + 70 * SECOND_NS
    first = scan(4, 20 * SECOND_NS, (b"\x0a\2\0\1", 80), awake)
    other = scan(4, 20 * SECOND_NS, (b"\x0a\2\0\2", 80), awake + SECOND_NS)
    events, engine, _ = both(
        [sorted([*packets, *first, *other, answer(first[-1], 1_500_000_000)],
                key=lambda p: p["t_ns"])], 900 * SECOND_NS, bound=0.5,
    )  # fmt: skip
    assert engine.adaptive is not None
    assert told(engine)["false"] == 1
    # It was opened under a hold of 1 s; half a second later 2 s are in use.
    assert holds([e for e in events if e["flow"] == other[-1]["flow"]]) == [5]


def test_a_crossing_retransmission_after_the_short_hold_opens_nothing() -> None:
    packets = scan(14, 10 * SECOND_NS)
    packets += [answer(packets[-1], 500_000_000), answer(packets[-1], HOLD_NS, "syn")]
    _, engine, _ = both([packets], 300 * SECOND_NS)
    assert engine.counters["attempts"] == 14
    packets[-1]["t_ns"] += 1
    _, engine, _ = both([packets], 300 * SECOND_NS)
    assert engine.counters["attempts"] == 15


def test_off_it_changes_nothing() -> None:
    packets = scan(14, 10 * SECOND_NS)
    events, engine = engine_says([packets], 300 * SECOND_NS)
    assert engine.adaptive is None
    assert holds(events) == [5] * 14


@settings(max_examples=50, deadline=None)
@given(traffic(), st.binary(min_size=16, max_size=16))
def test_whatever_is_forgotten_no_living_address_gets_a_shorter_hold(
    case: tuple[list[list[dict[str, Any]]], int], seed: bytes
) -> None:
    packets = listened([p for batch in case[0] for p in batch])
    engine = Engine(HOLD_NS, IDLE_NS)
    engine.adapt(adaptive(0.9, size=1, seed=seed))
    events = seen(engine, packets_of(Decoder(), packets, packets[-1]["t_ns"]))
    heard = [(p["t_ns"], p["flow"][2]) for p in packets if p["kind"] in ("syn_ack", "rst")]
    for e in events:
        if e["event"] == "dark" and e["t_ns"] - e["t0_ns"] < HOLD_NS:
            assert not [t for t, who in heard
                        if who == e["flow"][2] and 0 <= e["t_ns"] - t <= ALIVE_NS]  # fmt: skip


def test_an_address_that_had_to_be_forgotten_still_counts_as_alive() -> None:
    packets = scan(40, 10 * SECOND_NS)
    lives = packets[0] | {"t_ns": 1, "kind": "rst", "flow": (b"\1\1\1\1", 1, FLOWS[0][2], 99)}
    crowd = [lives | {"t_ns": 2 + n, "flow": (b"\1\1\1\1", 1, bytes([10, 3, 0, n]), 99)}
             for n in range(3)]  # fmt: skip
    engine = Engine(HOLD_NS, IDLE_NS)
    small = adaptive(0.9, size=1)
    engine.adapt(small)
    events = seen(engine, packets_of(Decoder(), listened([lives, *crowd, *packets]), 1 << 40))
    assert small.evicted == 1
    found = [(e["t0_ns"], e["t_ns"]) for e in events if e["event"] == "dark"]
    early = [t0_ns for t0_ns, t_ns in found if t_ns - t0_ns < HOLD_NS]
    # It was heard at 1 ns: listed, and a case, from 210 s on; four cases are needed.
    assert min(early) == ALIVE_NS + 50 * SECOND_NS


def test_memory_is_bounded_and_what_is_lost_is_counted() -> None:
    small = adaptive(size=8)
    engine = Engine(HOLD_NS, IDLE_NS)
    engine.adapt(small)
    packets = [syn(n) | {"flow": (b"\x0a\0\0\1", 9, n.to_bytes(4, "big"), 80)}
               for n in range(1000)]  # fmt: skip
    seen(engine, packets_of(Decoder(), packets, 20 * SECOND_NS))
    assert small.evicted == 1000 - 8
    before = small.memory_bytes
    lone = [p | {"kind": "rst", "t_ns": 21 * SECOND_NS} for p in packets]
    seen(engine, packets_of(Decoder(), lone, 21 * SECOND_NS))
    assert small.evicted == 2000 - 8 - 9
    assert small.memory_bytes == before == 8 * 32 + 3 * 64


def test_only_watched_addresses_are_learnt() -> None:
    ours = Networks([(b"\x0a\1\0\0", b"\x0a\1\0\xff")], [])
    engine = Engine(HOLD_NS, IDLE_NS)
    engine.adapt(adaptive(networks=ours))
    packets = scan(14, 10 * SECOND_NS)
    seen(engine, packets_of(Decoder(), packets, 400 * SECOND_NS))
    assert told(engine)["listed"] == 0


def test_deadlines_sizes_and_restart_count_every_queue() -> None:
    decoder, engine = Decoder(), Engine(HOLD_NS, IDLE_NS)
    engine.adapt(adaptive())
    packets = scan(12, 10 * SECOND_NS)
    last_ns = packets[-1]["t_ns"]
    seen(engine, packets_of(decoder, listened(packets), last_ns))
    assert engine.deadline_ns() == last_ns + SECOND_NS + 1
    assert engine.sizes[0] == 1
    answered = answer(packets[-1], 500_000_000)
    seen(engine, packets_of(decoder, [answered], last_ns + SECOND_NS + 1))
    assert engine.sizes[0] == 1
    seen(engine, packets_of(decoder, [], last_ns + HOLD_NS + 1))
    assert engine.sizes[0] == 0
    engine.restart()
    again = scan(12, 10 * SECOND_NS)
    seen(engine, packets_of(decoder, listened(again), last_ns))
    assert engine.deadline_ns() == last_ns + SECOND_NS + 1  # it had to be learnt anew, and was


def test_lines_tell_the_hold_that_was_used() -> None:
    engine, lines = Engine(HOLD_NS, IDLE_NS), LineFormat(Networks.everything(), HOLD_NS, True, True)
    engine.adapt(adaptive())
    text = b"".join(
        lines.format(events)
        for events in engine.observe(
            packets_of(Decoder(), listened(scan(14, 10 * SECOND_NS)), 1 << 40)
        )
    )
    flows = [json.loads(line)["darkflow"] for line in text.splitlines()]
    assert [flow["hold_ns"] // SECOND_NS for flow in flows] == [5] * 9 + [1] * 5
    assert all(flow["verdict_ns"] - flow["t0_ns"] == flow["hold_ns"] for flow in flows)


@pytest.mark.parametrize(
    "changed",
    [{"holds": (5, 0)}, {"holds": (5, 5)}, {"evidence": (0, 1, 1)}, {"evidence": (1, 0, 1)},
     {"evidence": (1, 1, 0)}, {"bound": 0.0}, {"bound": 1.0}, {"size": 0}],
)  # fmt: skip
def test_what_cannot_be_is_refused(changed: dict[str, Any]) -> None:
    values: dict[str, Any] = {"holds": (5, 1), "evidence": (1, 1, 1), "bound": 0.1, "size": 1}
    values |= {"networks": Networks.everything()} | changed
    with pytest.raises(ValueError, match=r"adaptive|hold"):
        Adaptive(**values)


def test_an_engine_takes_it_only_if_it_can_watch_until_t() -> None:
    for engine in (Engine(HOLD_NS - 1, IDLE_NS), Engine(HOLD_NS, HOLD_NS - 1)):
        with pytest.raises(ValueError, match="idle"):
            engine.adapt(adaptive())
