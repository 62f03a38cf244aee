"""The table of addresses against the oracle's events in plain dicts and sets; its limits."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from darkflow.flow.decode import Decoder
from darkflow.flow.delays import EDGES_NS
from darkflow.flow.engine import Engine
from darkflow.flow.networks import Networks
from darkflow.sinks.endpoints import GRID_NS, Endpoints
from darkflow.units import parse_networks
from flow.test_engine import HOLD_NS, IDLE_NS, cut, oracle_says, packets_of, syn

Case = tuple[list[list[dict[str, Any]]], int]
WATCHED = "10.0.0.2/31,::2/127"


def table_of(case: Case, networks: Networks, **options: Any) -> Endpoints:
    """What the table knows after this traffic."""
    batches, end_ns = case
    decoder, engine = Decoder(), Engine(HOLD_NS, IDLE_NS, tells=True)
    table = Endpoints(networks, **options)
    now_ns = -(1 << 63)
    for batch in batches:
        now_ns = max([now_ns] + [p["t_ns"] for p in batch])
        for events in engine.observe(packets_of(decoder, batch, now_ns)):
            table.write(events)
    for events in engine.finish(end_ns):
        table.write(events)
    return table


def twin(case: Case, networks: Networks, answers_only: bool) -> dict[Any, tuple[Any, ...]]:
    """The rows by (address, port), from the oracle's events."""
    batches, end_ns = case
    events = oracle_says([p for b in batches for p in b], end_ns, tells=True).events
    found: dict[Any, list[dict[str, Any]]] = {}
    for event in events:
        _, _, resp, port = event["flow"]
        if event["event"] not in ("dark", "late_answer", "reached"):
            continue
        if networks.direction_of(resp, resp) != "internal":
            continue
        if answers_only and event["event"] == "dark":
            continue
        for key in [(resp, port)] if answers_only else [(resp, port), (resp, None)]:
            found.setdefault(key, []).append(event)
    return {key: record(of) for key, of in found.items()}


def record(events: list[dict[str, Any]]) -> tuple[Any, ...]:
    """One row's counts."""
    dark = [e for e in events if e["event"] == "dark"]
    late = [e for e in events if e["event"] == "late_answer"]
    told = [e for e in events if e["event"] == "reached"]
    delays = [e["t_ns"] - e["t0_ns"] for e in (*late, *told)]
    answers = [e["t_ns"] for e in (*late, *told)]
    edges = (-(10**30), *GRID_NS, 10**30)
    bins = tuple(sum(low < delay <= high for delay in delays) for low, high in pairwise(edges))
    return (
        len(dark), len({e["flow"][0] for e in dark}),
        min((e["t0_ns"] for e in dark), default=None),
        max((e["t0_ns"] for e in dark), default=None),
        sum(e["answer"] == "syn_ack" for e in told), sum(e["answer"] == "rst" for e in told),
        len(late), min(answers, default=None), max(answers, default=None),
        bins if delays else (),
    )  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(cut(), st.sampled_from([None, WATCHED]), st.booleans(), st.binary(min_size=16, max_size=16))
def test_the_table_is_that_of_plain_dicts(
    case: Case, watched: str | None, answers_only: bool, seed: bytes
) -> None:
    networks = Networks.everything()
    if watched is not None:
        networks = Networks(*parse_networks(watched)[1:])
    table = table_of(case, networks, seed=seed, answers_only=answers_only)
    rows = {row[:2]: row[2:] for row in table.rows()}
    assert rows == twin(case, networks, answers_only)
    assert (table.count, table.dropped) == (len(rows), 0)


def _asked(count: int) -> Case:
    """As many addresses, each asked by a source of its own, and one that answers each time."""
    base = 0x0A000000
    flows = [((base + i).to_bytes(4, "big"), 1, (base + 7 * i).to_bytes(4, "big"), 22)
             for i in range(count)]  # fmt: skip
    packets = [syn(n) | {"flow": flow} for n, flow in enumerate(flows)]
    return [packets[i : i + 16_000] for i in range(0, count, 16_000)], 2 * HOLD_NS


def test_the_table_grows_and_has_a_limit() -> None:
    whole = table_of(_asked(3000), Networks.everything())
    assert (whole.count, whole.dropped) == (6000, 0)
    assert sum(row[3] for row in whole.rows()) == 6000
    some = table_of(_asked(3000), Networks.everything(), limit=100)
    assert (some.count, some.dropped) == (100, 5900)


def test_sources_beyond_the_limit_are_counted() -> None:
    flows = [((0x0A000000 + i).to_bytes(4, "big"), 1, b"\x0b\0\0\1", 22) for i in range(50)]
    case = [[syn(n) | {"flow": flow} for n, flow in enumerate(flows)]], 2 * HOLD_NS
    table = table_of(case, Networks.everything(), limit=2)
    rows = sorted(table.rows(), key=str)
    assert [row[2] for row in rows] == [50, 50]
    assert sum(row[3] for row in rows) == 8  # four times the limit
    assert table.dropped == 100 - 8


def test_what_is_taken_is_gone_and_stays_as_it_was() -> None:
    table = table_of(_asked(2000), Networks.everything())
    before = sorted(table.rows(), key=str)
    taken = table.take()
    assert (list(table.rows()), table.count) == ([], 0)
    assert sorted(taken.rows(), key=str) == before
    assert taken.count == 4000


def test_the_candidates_are_edges_of_every_histogram() -> None:
    assert set(GRID_NS) <= set(EDGES_NS)
    assert list(GRID_NS) == sorted(GRID_NS)
