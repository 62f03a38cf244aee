"""Confidence intervals against exact binomial sums."""

from __future__ import annotations

from math import comb, inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkflow.analysis.proportions import interval, needed


def at_most(hits: int, cases: int, share: float) -> float:
    """Probability of so many hits or fewer, term by term."""
    return sum(comb(cases, k) * share**k * (1 - share) ** (cases - k) for k in range(hits + 1))


def test_known_values() -> None:
    # Newcombe 1998, table I: the Clopper-Pearson interval.
    assert interval(81, 263) == pytest.approx((0.2527, 0.3676), abs=5e-5)
    assert interval(15, 148) == pytest.approx((0.0578, 0.1617), abs=5e-5)
    assert interval(1, 29) == pytest.approx((0.0009, 0.1776), abs=5e-5)
    # The paper's Fig. 6: 46 of 1,579,832.
    low, high = interval(46, 1_579_832)
    assert 2.1e-5 < low < 46 / 1_579_832 < high < 3.9e-5


def test_nothing_seen_is_the_rule_of_three() -> None:
    low, high = interval(0, 30_000)
    assert low == 0
    assert high == pytest.approx(3 / 30_000, rel=2e-3)
    # A share above it would have shown itself in 95 of 100 cases.
    assert at_most(0, 300, interval(0, 300)[1]) == pytest.approx(0.05, abs=1e-3)
    assert interval(0, 0) == (0.0, 1.0)
    assert interval(0, 1) == (0.0, 1.0)


@given(st.integers(1, 200), st.integers(1, 300))
@settings(max_examples=100, deadline=None)
def test_each_tail_has_two_and_a_half_percent(hits: int, more: int) -> None:
    cases = hits + more
    low, high = interval(hits, cases)
    assert 0 <= low < hits / cases < high <= 1
    assert at_most(hits, cases, high) == pytest.approx(0.025, rel=1e-6)
    assert 1 - at_most(hits - 1, cases, low) == pytest.approx(0.025, rel=1e-6)


def test_all_of_them() -> None:
    low, high = interval(29, 29)
    assert low == pytest.approx(0.8806, abs=5e-5)
    assert high == 1


@given(st.integers(0, 50), st.integers(1, 5000), st.sampled_from([0.5, 0.1, 0.01, 1e-3]))
@settings(max_examples=50, deadline=None)
def test_so_many_are_enough_and_clearly_fewer_are_not(hits: int, more: int, bound: float) -> None:
    cases = hits + more
    enough = needed(hits, cases, bound)
    share = hits / cases
    if hits and share >= bound:
        assert enough == inf
        return
    if enough == inf:
        assert bound - share < bound / 1000
        return
    whole = int(enough)
    assert interval(round(share * whole), whole)[1] <= bound
    fewer = int(whole * 0.9)
    if fewer > cases or (hits == 0 and fewer > 0):
        # One hit less than the share's would do, so give the rounding its hit.
        assert interval(round(share * fewer) + (hits > 0), fewer)[1] > bound
