"""Each figure's numbers against slow plain ones, flows that were told twice included."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkflow.analysis import flows
from darkflow.analysis.flows import Groups, Spread, Totals
from reporting import HOLD_NS, IDLE_NS, NOON_NS, SECOND_NS, dark_frame, dark_rows, final, moment

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module", params=[0, 1, 400])
def rows(request: pytest.FixtureRequest) -> Rows:
    """What a sensor has written of so many flows."""
    return dark_rows(request.param, seed=request.param)


@pytest.fixture(scope="module")
def every(rows: Rows) -> pl.LazyFrame:
    """The same as the report asks it."""
    return flows.dark_flows(dark_frame(rows))


def packets_by(rows: Rows, column: str) -> Counter[str]:
    """SYNs by the values of a column."""
    counts: Counter[str] = Counter()
    for row in final(rows):
        counts[row[column]] += row["syn_count"]
    return counts


def test_a_flow_is_one_row_with_its_last_counts(rows: Rows, every: pl.LazyFrame) -> None:
    found = sorted(every.select("flow_id", "syn_count", "last_syn_ns").collect().rows())
    assert found == sorted((r["flow_id"], r["syn_count"], r["last_syn_ns"]) for r in final(rows))


def test_totals(rows: Rows, every: pl.LazyFrame) -> None:
    last = final(rows)
    if not last:
        assert flows.totals(every) is None
        return
    assert flows.totals(every) == Totals(
        len(last),
        sum(row["syn_count"] for row in last),
        sum(row["icmp_type"] is not None for row in last),
        min(row["t0_ns"] for row in last),
        max(max(row["verdict_ns"], row["last_syn_ns"]) for row in last),
        HOLD_NS,
        dict(Counter(row["direction"] for row in last)),
    )


@pytest.mark.parametrize(
    ("column", "by"), [("src_ip", flows.by_source), ("dest_ip", flows.by_target)]
)
def test_packets_of_an_address(rows: Rows, every: pl.LazyFrame, column: str, by: Any) -> None:
    expected = Counter(packets_by(rows, column).values())
    assert by(every).spread == Spread(sorted(expected.items()))


@given(st.lists(st.integers(1, 12_000)), st.integers(0, 50), st.none() | st.integers(0, 50))
def test_shares_of_a_spread(values: list[int], least: int, most: int | None) -> None:
    spread = Spread(sorted(Counter(values).items()))
    inside = [v for v in values if v >= least and (most is None or v <= most)]
    assert (spread.keys, spread.number(least, most)) == (len(values), len(inside))
    assert spread.share(least, most) == (len(inside) / len(values) if values else 0)
    for packets, share in spread.cumulative():
        assert share == pytest.approx(sum(v <= packets for v in values) / len(values))


def test_ports(rows: Rows, every: pl.LazyFrame) -> None:
    last = final(rows)
    packets, sources = packets_by(rows, "dest_port"), defaultdict(set)
    for row in last:
        sources[row["dest_port"]].add(row["src_ip"])
    counts = Counter(row["dest_port"] for row in last)
    order = sorted(packets, key=lambda port: (-packets[port], port))
    expected = [
        {"port": p, "flows": counts[p], "packets": packets[p], "sources": len(sources[p])}
        for p in order[:3]
    ]
    assert flows.by_port(every, 3) == (expected, len(packets))


def test_the_most_and_their_details(rows: Rows, every: pl.LazyFrame) -> None:
    last = final(rows)
    keys = flows.by_source(every).most(4)
    found = flows.details(every, "src_ip", keys, "dest_ip", "targets")
    counts = Counter(row["src_ip"] for row in last)
    assert [row["flows"] for row in found] == sorted(counts.values(), reverse=True)[:4]
    for row in found:
        liked = {name: row.pop(f"most_{name}") or [] for name in ("dest_port", "tool")}
        of = [one for one in last if one["src_ip"] == row["address"]]
        assert row == {
            "address": row["address"], "flows": len(of), "packets": sum(r["syn_count"] for r in of),
            "first": min(r["t0_ns"] for r in of), "last": max(r["last_syn_ns"] for r in of),
            "targets": len({r["dest_ip"] for r in of}), "ports": len({r["dest_port"] for r in of}),
        }  # fmt: skip
        for name, values in liked.items():
            counted = Counter(one[name] for one in of if one[name] is not None)
            assert values == sorted(counted, key=lambda value: (-counted[value], value))[:3]


def test_two_addresses_with_the_same_flows_stay_two() -> None:
    groups = Groups(pl.DataFrame({"key": [3, 1, 2], "flows": [5, 5, 1], "packets": [5, 5, 1]}))
    assert groups.most(2) == [3, 1]


def test_tools(rows: Rows, every: pl.LazyFrame) -> None:
    last = final(rows)
    found = {row.pop("tool"): row for row in flows.by_tool(every)}
    assert found == {
        tool: {
            "flows": len(of := [row for row in last if row["tool"] == tool]),
            "packets": sum(row["syn_count"] for row in of),
            "sources": len({row["src_ip"] for row in of}),
        }
        for tool in {row["tool"] for row in last}
    }


def test_from_the_first_to_the_last_syn(rows: Rows, every: pl.LazyFrame) -> None:
    last = final(rows)
    again = [row for row in last if row["syn_count"] - row["duplicate_count"] > 1]
    spans = Counter((row["last_syn_ns"] - row["t0_ns"]) * 10 // SECOND_NS for row in again)
    assert flows.retry_spans(every) == (len(last) - len(again), sorted(spans.items()))


def levels_at(last: Rows, t_ns: int) -> tuple[int, int]:
    """Flows in the queue and in the table just before a moment."""
    held = sum(row["t0_ns"] < t_ns <= row["verdict_ns"] for row in last)
    ends = [(row["verdict_ns"], max(row["verdict_ns"], row["last_syn_ns"])) for row in last]
    return held, sum(dark < t_ns <= end + IDLE_NS for dark, end in ends)


@pytest.mark.parametrize("spread_s", [20, 600, 40_000])
@pytest.mark.parametrize("count", [1, 200])
def test_over_time(count: int, spread_s: int) -> None:
    rows = dark_rows(count, seed=count, spread_s=spread_s)
    last = final(rows)
    every = flows.dark_flows(dark_frame(rows))
    found = flows.totals(every)
    assert found is not None
    times = flows.over_time(every, found)
    assert times.step_ns == flows.step_for(found.first_ns, found.last_ns + IDLE_NS)
    assert sum(times.begun) == sum(times.dark) == len(last)
    assert times.moments_ns[-1] >= found.last_ns + IDLE_NS - times.step_ns
    fine_ns = min(times.step_ns, flows.FINE_NS)
    for at, moment_ns in enumerate(times.moments_ns):
        end_ns = moment_ns + times.step_ns
        assert times.begun[at] == sum(moment_ns <= row["t0_ns"] < end_ns for row in last)
        assert times.dark[at] == sum(moment_ns <= row["verdict_ns"] < end_ns for row in last)
        read = [levels_at(last, t_ns) for t_ns in range(moment_ns, end_ns + 1, fine_ns)]
        assert times.held[at] == max(held for held, _ in read)
        assert times.table[at] == max(table for _, table in read)


@given(st.integers(0, 1 << 60), st.integers(0, 1 << 60), st.integers(1, 10**12))
def test_steps_are_few(first_ns: int, length_ns: int, least_ns: int) -> None:
    step_ns = flows.step_for(first_ns, first_ns + length_ns, least_ns)
    assert step_ns % SECOND_NS == 0
    assert length_ns // step_ns <= flows.MOST_STEPS
    if least_ns <= flows.STEPS_NS[-1]:
        assert step_ns >= least_ns


def test_a_period_begins_with_its_first_and_ends_before_its_last_moment() -> None:
    rows = dark_rows(400, seed=1)
    for since_s, until_s in (
        (None, None),
        (120, 300),
        (300, 300),
        (0, 1),
        (None, 300),
        (120, None),
    ):
        since, until = (
            None if at is None else moment(NOON_NS) + timedelta(seconds=at)
            for at in (since_s, until_s)
        )
        for row, at_s in zip(rows, (120, 300), strict=False):
            row["timestamp"] = moment(NOON_NS) + timedelta(seconds=at_s)
        found = flows.within(dark_frame(rows), since, until).collect()["timestamp"].to_list()
        expected = [
            row["timestamp"]
            for row in rows
            if (since is None or since <= row["timestamp"])
            and (until is None or row["timestamp"] < until)
        ]
        assert sorted(found) == sorted(expected)
