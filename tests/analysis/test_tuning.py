"""Which T is chosen, and what is said when none can be."""

from __future__ import annotations

from typing import Any

import pytest

from darkflow.analysis.tuning import Waiting, share_text, time_text, tuned

GRID_NS = (1_000_000_000, 3_000_000_000, 5_000_000_000)


def say(answers: int, later: tuple[int, int, int], bound: float = 1e-4) -> dict[str, Any]:
    """The document of one network in which 300 of 1000 dark flows resent a SYN."""
    measured = Waiting("192.0.2.0/24", answers, later, 1000, 300, (200, 150, 75), {})
    return tuned(measured, GRID_NS, bound)


def test_the_first_t_that_keeps_to_the_bound_is_chosen() -> None:
    document = say(100_000, (50, 2, 0))
    assert document["hold_ns"] == 3_000_000_000
    assert document["more_answers_needed"] is None
    one, two, three = document["candidates"]
    assert one["false_dark"] == pytest.approx(50 / 100_000)
    assert one["false_dark_low"] < 50 / 100_000 < one["false_dark_high"]
    assert two["false_dark_high"] <= 1e-4
    assert three["false_dark_high"] == pytest.approx(3 / 100_000, rel=2e-3)
    assert (two["waiting_share"], two["waiting_share_of_resent"]) == (0.15, 0.5)
    assert document["why"] == (
        "3s: of 100,000 answered attempts 2 came later, so with 95% confidence at most 0.0072% of"
        " live flows are called dark, within 0.01%; at 1s it could be 0.066%; 50.0% of the 300"
        " clients that resend a SYN are still there then"
    )


def test_too_little_data_says_how_much_more() -> None:
    document = say(1000, (0, 0, 0))
    assert document["hold_ns"] is None
    assert document["more_answers_needed"] == 28_958
    assert document["why"] == (
        "too little was seen: 192.0.2.0/24 needs 28,958 more answered attempts (of 1,000 now)"
        " before any T can be shown to keep to 0.01%"
    )
    # One more than is said to be needed is enough, and so is that number itself; one fewer not.
    assert say(1000 + 28_958, (0, 0, 0))["hold_ns"] == 1_000_000_000
    assert say(1000 + 28_957, (0, 0, 0))["hold_ns"] is None


def test_nothing_at_all() -> None:
    document = tuned(Waiting("::/0", 0, (0, 0, 0), 0, 0, (0, 0, 0), {}), GRID_NS, 1e-4)
    assert document["hold_ns"] is None
    assert document["more_answers_needed"] == 29_958
    assert document["candidates"][0]["false_dark"] is None
    assert document["candidates"][0]["waiting_share"] is None


def test_a_network_whose_hosts_are_too_slow_is_told_so() -> None:
    document = say(10_000, (500, 400, 300))
    assert (document["hold_ns"], document["more_answers_needed"]) == (None, None)
    assert document["why"].startswith(
        "no T up to 5s keeps to 0.01%: of 10,000 answered attempts 300 came later than that (3%)"
    )


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0%"), (1.0, "100%"), (0.5, "50.0%"), (1e-4, "0.01%"), (2.9117e-5, "0.0029%"),
     (0.0981, "9.8%"), (1e-7, "0.00001%")],
)  # fmt: skip
def test_shares_for_people(share: float, text: str) -> None:
    assert share_text(share) == text


def test_times_for_people() -> None:
    assert [time_text(ns) for ns in (100_000_000, 1_500_000_000, 30_000_000_000)] == [
        "0.1s", "1.5s", "30s",
    ]  # fmt: skip
