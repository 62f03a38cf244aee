"""How sure a share is that was measured on few cases: confidence intervals of a proportion."""

from __future__ import annotations

from math import ceil, exp, inf, lgamma, log, log1p

# Two-sided 95%; with nothing seen, the one-sided 95% that the rule of three is.
TAIL = 0.025
NOTHING = -log(0.05)
HALVINGS = 60


def interval(hits: int, cases: int) -> tuple[float, float]:
    """Lowest and highest share that fits `hits` of `cases`, with at least 95% confidence.

    The exact interval (Clopper, Pearson 1934); for no hits the rule of three (Hanley,
    Lippman-Hand 1983): at most -ln(0.05) / cases, that is 3 / cases. (0, 1) of no cases.
    """
    if cases == 0:
        return 0.0, 1.0
    if hits == 0:
        return 0.0, min(NOTHING / cases, 1.0)
    share = hits / cases
    # Misses are hits of the other kind, so one search serves both ends.
    return 1 - _highest(cases - hits, cases, 1 - share), _highest(hits, cases, share)


def _highest(hits: int, cases: int, share: float) -> float:
    """The share at which so few hits, or fewer, would come with probability TAIL."""
    if hits == cases:
        return 1.0
    low, high = share, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(hits, cases, middle) > TAIL else (low, middle)
    return high


def _at_most(hits: int, cases: int, share: float) -> float:
    """Probability of `hits` or fewer, for a share above hits / cases: the last term is largest."""
    if share >= 1:
        return 0.0
    ways = lgamma(cases + 1) - lgamma(hits + 1) - lgamma(cases - hits + 1)
    term = exp(ways + hits * log(share) + (cases - hits) * log1p(-share))
    total = 0.0
    for k in range(hits, -1, -1):
        total += term
        if term < total * 1e-12:
            break
        term *= k * (1 - share) / ((cases - k + 1) * share)
    return total


def needed(hits: int, cases: int, bound: float) -> float:
    """About how many cases in all bring the upper limit down to `bound`, at this share of hits.

    inf if none do: the share that was seen is not below the bound.
    """
    if hits == 0:
        return ceil(NOTHING / bound)
    share = hits / cases
    if share >= bound:
        return inf
    low = high = cases
    while interval(round(share * high), high)[1] > bound:
        low, high = high, high * 2
        if high > 1 << 60:
            return inf
    while high - low > max(low // 1000, 1):
        middle = (low + high) // 2
        fits = interval(round(share * middle), middle)[1] <= bound
        low, high = (low, middle) if fits else (middle, high)
    return high
