"""The bench of address lists: what its detectors call dark, and that it writes its section."""

from __future__ import annotations

import random

import lists
import pytest

from darkflow.lab import address_lists
from darkflow.lab.address_lists import DAY_S, DarkIpLearning, DarkPots, Host

ASLEEP, OFFICE = address_lists.ALWAYS, address_lists.ALWAYS + address_lists.WOKEN


def test_learning_lists_who_was_silent_for_a_day_and_forgets_at_the_first_packet() -> None:
    detector = DarkIpLearning()
    assert not detector.dark(0, 1, 7)
    assert not detector.dark(DAY_S - 1, 1, 8)
    assert detector.dark(DAY_S, 1, 8)
    assert not detector.dark(2 * DAY_S, 2, 7)
    assert not detector.dark(4 * DAY_S, 2, 7)  # one source only
    detector.hear(4 * DAY_S, 1)
    assert not detector.dark(4 * DAY_S, 1, 8)


def test_darkpots_makes_its_list_of_yesterday() -> None:
    detector = DarkPots()
    assert not detector.dark(0, 1, 7)
    assert not detector.dark(1, 2, 7)
    detector.hear(2, 2)
    assert detector.dark(DAY_S, 1, 7)
    assert not detector.dark(DAY_S, 2, 7)
    detector.hear(DAY_S, 1)
    assert detector.dark(DAY_S + 1, 1, 7)
    assert not detector.dark(2 * DAY_S, 1, 7)


def test_hosts_sleep_and_wake_up() -> None:
    chosen = random.Random(1)
    assert Host(0, chosen).awake(0)
    asleep, office = Host(ASLEEP, chosen), Host(OFFICE, chosen)
    assert not asleep.awake(7.9 * DAY_S)
    assert asleep.awake(12.1 * DAY_S)
    assert not office.awake(7 * 3600)
    assert office.awake(DAY_S + 9 * 3600)
    assert not Host(address_lists.HOSTS - 1, chosen).awake(99 * DAY_S)


def test_the_flow_table_errs_only_where_an_answer_is_slower_than_t(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(address_lists, "ALWAYS", 10)
    monkeypatch.setattr(address_lists, "WOKEN", 5)
    monkeypatch.setattr(address_lists, "HOSTS", 30)
    monkeypatch.setattr(address_lists, "SLOW_SHARE", 0.01)
    seen, alive = address_lists.attempts(random.Random(1), 1)
    asked = {number: t_s for t_s, what, _, number, _, _ in seen if what == "ask"}
    heard = {number: t_s for t_s, what, _, number, _, _ in seen if what == "hear"}
    slow = {number for number, t_s in heard.items() if t_s - asked[number] > 5}
    found = address_lists.by_flow(seen, len(alive))
    assert slow
    assert {n for n, dark in enumerate(found) if dark and alive[n]} == slow
    assert all(dark for dark, up in zip(found, alive, strict=True) if not up)


def test_every_mode_says_what_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address_lists, "LINEAR_S", 0.01)
    for mode in lists.NAMES:
        row = address_lists.cost(mode, "20", 2000)
        assert row["ns"] > 0
        assert row["bytes"] > 0
        assert row["dark"] > 0
    # The same flows are open, whatever the space: the same memory.
    sizes = {address_lists.cost("flows", space, 2000)["bytes"] for space in lists.SPACES}
    assert len(sizes) == 1
