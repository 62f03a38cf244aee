"""What runs counted: periods, several runs, histograms, over time; against slow plain sums."""

from __future__ import annotations

import random
from typing import Any

import pytest

from darkflow.analysis import runs
from reporting import NOON_NS, SECOND_NS, histogram, moment, stats_row

MS = 1_000_000
Rows = list[dict[str, Any]]


def rising(run: str, count: int, seed: int) -> Rows:
    """A live run with a row each minute, whose counters rise by chance."""
    chance = random.Random(seed)
    attempts = dark = 0
    rows = []
    for at in range(count):
        attempts += chance.randrange(1000)
        dark += chance.randrange(300)
        values: dict[str, Any] = {
            "queue_flows": chance.randrange(50),
            "table_flows": chance.randrange(900),
        }
        rows.append(
            stats_row(run, 60 * (at + 1), attempts=attempts, dark=dark, uptime_ns=at + 1, **values)
        )
    return rows


def test_a_period_is_the_last_row_less_the_one_before_it() -> None:
    before = [stats_row("a", 0, packets=100, dropped_queue=1,
                        reply_delay_ns=histogram((MS, 5), (None, 1)))]  # fmt: skip
    last = [
        stats_row("a", 60, packets=150, dropped_queue=4, clamped=0,
                  reply_delay_ns=histogram((MS, 7), (10 * MS, 2), (None, 1))),
        stats_row("b", 60, packets=1000, dropped_store=9, reply_delay_ns=histogram((MS, 10))),
    ]  # fmt: skip
    found = runs.counted(last, before)
    assert (found.runs, found.counters["packets"]) == (2, 1050)
    assert found.losses == {"dropped_queue": 3, "dropped_store": 9}
    assert found.histograms["reply_delay_ns"] == [(MS, 12), (10 * MS, 2)]
    assert runs.counted([], []).runs == 0


def test_delays_as_in_the_papers_figure_6() -> None:
    row = stats_row(
        "a", 60,
        reply_delay_ns=histogram((MS, 740), (10 * MS, 241), (30 * MS, 17)),
        late_answer_delay_ns=histogram((7 * SECOND_NS, 1), (None, 1)),
    )  # fmt: skip
    delays = runs.delays(runs.counted([row], []))
    assert (delays.answers, delays.late) == (1000, 2)
    assert [delays.share(limit * MS) for limit in (1, 10, 30)] == [0.74, 0.981, 0.998]
    assert delays.cumulative() == [
        (MS, 0.74), (10 * MS, 0.981), (30 * MS, 0.998), (7 * SECOND_NS, 0.999),
    ]  # fmt: skip
    assert runs.delays(runs.counted([], [])).share(MS) == 0


def test_only_runs_with_enough_rows_tell_how_things_went() -> None:
    rows = [*rising("live", 3, 1), stats_row("file", 30, attempts=9), *rising("short", 2, 2)]
    random.Random(0).shuffle(rows)
    found = runs.live_runs(rows)
    assert list(found) == ["live"]
    assert [row["timestamp"] for row in found["live"]] == sorted(
        row["timestamp"] for row in found["live"]
    )
    assert runs.usual_gap_ns(found) == 60 * SECOND_NS
    assert runs.usual_gap_ns({}) == 0


@pytest.mark.parametrize("step_s", [30, 60, 120, 600])
@pytest.mark.parametrize("from_s", [0, 240, 250])
def test_rates_and_sizes(step_s: int, from_s: int) -> None:
    rows = {"a": rising("a", 20, 1), "b": rising("b", 12, 2)}
    rows["b"][0]["uptime_ns"] = None
    first_ns, last_ns = NOON_NS + from_s * SECOND_NS, NOON_NS + 1200 * SECOND_NS
    found = runs.rates(rows, first_ns, last_ns, step_s * SECOND_NS)
    assert found.moments_ns[0] == NOON_NS + from_s // step_s * step_s * SECOND_NS
    assert len(found.moments_ns) == 1200 // step_s - from_s // step_s + 1
    for at, edge in enumerate(found.moments_ns):
        begin, end = moment(max(edge, first_ns)), moment(edge + step_s * SECOND_NS)
        sums = dict.fromkeys(("attempts", "dark", "queue_flows", "table_flows"), 0)
        for of_run in rows.values():
            here = [n for n, row in enumerate(of_run) if begin <= row["timestamp"] < end]
            for name in ("attempts", "dark"):
                for n in here:
                    # Nobody knows since when the first row of b counts.
                    first = of_run[0][name] if of_run[0]["uptime_ns"] is None else 0
                    sums[name] += of_run[n][name] - (of_run[n - 1][name] if n else first)
            for name in ("queue_flows", "table_flows"):
                sums[name] += max((of_run[n][name] for n in here), default=0)
        assert found.added[at] == pytest.approx(sums["attempts"] / step_s)
        assert found.forwarded[at] == pytest.approx(sums["dark"] / step_s)
        assert (found.queue[at], found.table[at]) == (sums["queue_flows"], sums["table_flows"])


def test_times_keep_their_microseconds() -> None:
    t_ns = NOON_NS + 123_456_000
    assert runs.nanoseconds(moment(NOON_NS).replace(microsecond=123_456)) == t_ns
