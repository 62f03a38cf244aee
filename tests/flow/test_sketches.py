"""Sketches: how well they count, and that they go with their owner."""

from __future__ import annotations

from darkflow.flow.sketches import Sketches


def test_counts_are_within_three_standard_errors_and_owners_are_apart() -> None:
    sketches = Sketches()
    for n in range(30_000):
        sketches.add(1, 2, n * 0x9E3779B97F4A7C15 & (1 << 64) - 1)
        sketches.add(2, 2, n % 10)
    assert 0.93 * 30_000 < sketches.estimate(1, 2) < 1.07 * 30_000
    assert sketches.estimate(2, 2) == 10
    assert sketches.estimate(1, 1) == sketches.estimate(3, 2) == 0
    assert (len(sketches), sketches.lost) == (2, 0)
    sketches.drop(1)
    sketches.drop(9)
    assert (len(sketches), sketches.estimate(1, 2)) == (1, 0)
