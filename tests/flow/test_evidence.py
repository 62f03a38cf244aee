"""How much evidence a bound needs: against tables, and against the exact binomial interval."""

from __future__ import annotations

import pytest

from darkflow.analysis.proportions import interval
from darkflow.flow.evidence import cases_needed
from oracle import LIMITS


def test_the_limits_are_those_of_the_tables() -> None:
    found = cases_needed(1e-9, 20)
    assert [count * 1e-9 for count in found] == pytest.approx(list(LIMITS), abs=1e-4)


@pytest.mark.parametrize("bound", [0.0001, 0.001, 0.2])
def test_with_nothing_seen_it_is_the_rule_of_three(bound: float) -> None:
    needed = cases_needed(bound, 20)[0]
    assert needed * bound == pytest.approx(3, rel=0.1)
    assert interval(0, needed)[1] <= bound
    assert interval(0, int(needed * 0.98) - 1)[1] > bound


def test_more_hits_need_more_cases() -> None:
    found = cases_needed(0.01, 20)
    assert list(found) == sorted(set(found))
    # The two-sided interval is the wider one.
    assert all(interval(hits, count)[1] < 0.0126 for hits, count in enumerate(found))
