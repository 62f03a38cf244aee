"""Who does not move is named, and nobody else."""

from __future__ import annotations

import time

import pytest

from darkflow.commands.pulse import STILL_S, Pulse


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that is set by hand."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_worker_that_stands_still(clock: list[float]) -> None:
    watched = Pulse(2)
    for second in range(20):
        clock[0] = 1000.0 + second
        watched.look([second, min(second, 5)])
        # The second one moved last at second 5.
        assert bool(watched.trouble()) == (second > 5 + STILL_S)
    assert watched.trouble() == "worker 1 has not moved for 14 s"
    watched.look([20, 6])
    assert watched.trouble() == ""


def test_a_supervisor_that_stands_still(clock: list[float]) -> None:
    watched = Pulse(1)
    watched.look([1])
    clock[0] += STILL_S
    assert watched.trouble() == ""
    clock[0] += 1
    assert watched.trouble() == "the supervisor has not moved for 11 s"


def test_a_worker_that_never_began(clock: list[float]) -> None:
    watched = Pulse(1)
    for _ in range(12):
        clock[0] += 1
        watched.look([0])
    assert watched.trouble().startswith("worker 0 ")
