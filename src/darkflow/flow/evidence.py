"""How many cases show that a share keeps to a bound."""

from __future__ import annotations

from math import ceil, exp

# The chance that a share above the bound passes as one below it.
DOUBT = 0.05
HALVINGS = 60


def cases_needed(bound: float, most: float) -> tuple[int, ...]:
    """By the number of hits: how many cases show with 95% confidence that the share is `bound`.

    The upper limit of a Poisson count (Garwood 1936), which is a little above the binomial's; with
    no hits it is the rule of three: 3 / bound. As many hits as may be among `most` / bound cases.
    """
    found: list[int] = []
    while (expected := _limit(len(found))) <= most:
        found.append(ceil(expected / bound))
    return tuple(found)


def _limit(hits: int) -> float:
    """The expectation at which so few hits, or fewer, come with the chance DOUBT."""
    low, high = 0.0, 4.0 * (hits + 1)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(hits, middle) > DOUBT else (low, middle)
    return high


def _at_most(hits: int, expected: float) -> float:
    term = total = exp(-expected)
    for k in range(1, hits + 1):
        term *= expected / k
        total += term
    return total
