"""The delay distribution against plain sorting and counting."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkflow.flow.batch import Frames
from darkflow.flow.decode import Decoder
from darkflow.flow.delays import EDGES_NS, Delays
from darkflow.flow.engine import Engine
from flow.test_engine import packets_of, seen, syn

HOLD_NS = 130_000_000_000
delays = st.lists(
    st.one_of(st.integers(0, HOLD_NS), st.sampled_from(EDGES_NS), st.integers(0, 3)), max_size=200
)


def measured(values: list[int]) -> Delays:
    """An engine's reply delays after answers with these delays."""
    decoder, engine = Decoder(), Engine(HOLD_NS, HOLD_NS)
    for number, value in enumerate(values):
        start = number * 1_000_000_000_000
        batch = [syn(start), syn(start + value, kind="syn_ack")]
        seen(engine, packets_of(decoder, batch, start + value))
    return engine.reply_delays


def test_edges_are_log_spaced_from_a_microsecond_to_two_minutes() -> None:
    assert EDGES_NS[0] == 1_000
    assert EDGES_NS[-1] == 120_000_000_000
    assert list(EDGES_NS) == sorted(set(EDGES_NS))
    assert {1_000_000, 10_000_000, 30_000_000, 1_000_000_000, 5_000_000_000} <= set(EDGES_NS)
    assert max(b / a for a, b in itertools.pairwise(EDGES_NS)) < 1.35


@settings(max_examples=100, deadline=None)
@given(delays, st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
def test_counts_shares_and_quantiles_are_exact(values: list[int], share: float) -> None:
    got = measured(values)
    assert got.count == len(values)
    assert got.exact
    ranked = sorted(values)
    expected = ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else None
    assert got.quantile(share) == expected
    for edge in (1_000_000, 30_000_000, 5_000_000_000, 120_000_000_000):
        within = sum(value <= edge for value in values)
        assert got.share_within(edge) == (within / len(values) if values else None)
    bins: dict[int | None, int] = {}
    for value in values:
        upper = next((edge for edge in EDGES_NS if value <= edge), None)
        bins[upper] = bins.get(upper, 0) + 1
    assert dict(got.histogram()) == bins


def test_beyond_the_limit_quantiles_come_from_the_histogram_and_say_so() -> None:
    engine = Engine(HOLD_NS, HOLD_NS)
    spans = engine.retry_spans  # keeps no samples at all
    decoder = Decoder()
    for number, span in enumerate([2_000_000, 9_000_000, 700_000_000]):
        start = number * 10**12
        seen(engine, packets_of(decoder, [syn(start), syn(start + span)], start + span))
    seen(engine, decoder.decode(Frames.of([], 10**15)))
    assert spans.count == 3
    assert not spans.exact
    assert spans.quantile(0.5) == 10_000_000  # the upper edge of the bin of 9 ms
    assert spans.quantile(1.0) == 700_000_000
    assert spans.max_ns == 700_000_000


def test_samples_that_are_dropped_do_not_come_back() -> None:
    got = measured([9_000_000, 9_000_000])
    assert got.exact
    got.drop_samples()
    assert not got.exact
    assert got.quantile(0.5) == 9_000_000  # the bin's upper edge, but no more than the largest
    assert got.histogram() == [(10_000_000, 2)]
    assert got.share_within(10_000_000) == 1


def test_a_limit_that_is_no_edge_is_refused() -> None:
    with pytest.raises(ValueError, match="no edge"):
        Delays().share_within(1_234)
