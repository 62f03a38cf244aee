"""Delays and spans of each network against the oracle's events; what was seen for too short."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from darkflow.flow.networks import Networks
from darkflow.sinks.waits import Waits
from darkflow.units import parse_networks
from flow.test_engine import HOLD_NS, IDLE_NS, cut, oracle_says, packets_of, syn

Case = tuple[list[list[dict[str, Any]]], int]
NETWORKS = [Networks(*parse_networks(text)[1:]) for text in ("10.0.0.2/32", "10.0.0.0/30,::/64")]


def waits_of(case: Case, limit: int = 1 << 20) -> Waits:
    """What is measured in this traffic."""
    batches, end_ns = case
    decoder, engine, waits = (
        Decoder(),
        Engine(HOLD_NS, IDLE_NS, tells=True),
        Waits(NETWORKS, HOLD_NS, limit),
    )
    now_ns = -(1 << 63)
    for batch in batches:
        now_ns = max([now_ns] + [p["t_ns"] for p in batch])
        for events in engine.observe(packets_of(decoder, batch, now_ns)):
            waits.write(events)
    for events in engine.finish(end_ns):
        waits.write(events)
    waits.settle(end_ns)
    return waits


@settings(max_examples=150, deadline=None)
@given(cut())
def test_delays_and_spans_are_those_of_the_oracle(case: Case) -> None:
    waits = waits_of(case)
    batches, end_ns = case
    events = oracle_says([p for b in batches for p in b], end_ns, tells=True).events
    cut_short = 0
    for at, group in enumerate(waits.groups):
        mine = [e for e in events if (0 if e["flow"][2] == b"\x0a\0\0\2" else 1) == at]
        answered = [e for e in mine if e["event"] == "reached"]
        seen = [e for e in answered if e["t0_ns"] + HOLD_NS <= end_ns]
        cut_short += len(answered) - len(seen)
        delays = [e["t_ns"] - e["t0_ns"] for e in seen]
        delays += [e["t_ns"] - e["t0_ns"] for e in mine if e["event"] == "late_answer"]
        ends = [e for e in mine if e["event"] == "end" and e["end"] != "late_answer"]
        spans = [e["last_syn_ns"] - e["t0_ns"] for e in ends
                 if e["syn_count"] > 1 + e["duplicate_count"]]  # fmt: skip
        assert (group.delays.count, group.delays.sum_ns) == (len(delays), sum(delays))
        assert (group.spans.count, group.spans.sum_ns) == (len(spans), sum(spans))
        assert group.dark == len(ends)
    assert (waits.cut_short, waits.hurried) == (cut_short, 0)


def _answered(count: int, step_ns: int) -> Case:
    packets = []
    for n in range(count):
        flow = {"flow": (n.to_bytes(4, "big"), 9, b"\x0a\0\0\2", 22)}
        packets += [syn(n * step_ns) | flow, syn(n * step_ns + 1, kind="syn_ack") | flow]
    return [packets], count * step_ns


def test_the_last_attempts_are_left_out_at_the_boundary() -> None:
    # One a second: those at 0, 1, 2, 3, 4 s have HOLD_NS (5 s) until 9 s, those after have not.
    batches, _ = _answered(10, 1_000_000_000)
    waits = waits_of((batches, 9_000_000_000))
    assert (waits.groups[0].delays.count, waits.cut_short) == (5, 5)


def test_memory_is_bounded_and_who_is_hurried_is_counted() -> None:
    waits = waits_of(_answered(7000, 1), limit=4)
    assert (waits.hurried, waits.cut_short) == (7000 - 4, 4)
    assert waits.groups[0].delays.count == 7000 - 4


def test_waiting_answers_move_through_the_buffer() -> None:
    waits = waits_of(_answered(6000, 5_000_000))
    assert (waits.hurried, waits.cut_short, waits.groups[0].delays.count) == (0, 999, 5001)


def test_at_least_one_network_and_not_too_many() -> None:
    for number in (0, 4097):
        with pytest.raises(ValueError, match="1 to 4096 networks"):
            Waits(NETWORKS[:1] * number, HOLD_NS)
