"""Signals end a run between batches; a second one has its usual effect."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from darkflow.commands.interrupt import Interruptible
from darkflow.flow.batch import Frames


class Endless:
    """A source that gives a signal to its own process, in a wait or not."""

    now_ns = 7

    def __init__(self, number: int, waits: bool) -> None:
        self.number = number
        self.waits = waits
        self.ended = False

    def __iter__(self) -> Iterator[Frames]:
        try:
            while True:
                yield Frames()
                if self.waits:
                    os.kill(os.getpid(), self.number)
                    time.sleep(10)
        finally:
            self.ended = True


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    kept = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    for number, handler in kept:
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_breaks_a_wait(number: int) -> None:
    source = Endless(number, waits=True)
    stoppable = Interruptible(source)
    began = time.monotonic()
    assert len(list(stoppable)) == 1
    assert time.monotonic() - began < 5
    assert stoppable.signal == number
    assert stoppable.now_ns == 7
    assert source.ended


def test_a_signal_during_work_waits_for_its_end() -> None:
    stoppable = Interruptible(Endless(signal.SIGINT, waits=False))
    worked = 0
    for _ in stoppable:
        os.kill(os.getpid(), signal.SIGINT)
        worked += 1  # the signal does not keep this from happening
    assert worked == 1
    assert stoppable.signal == signal.SIGINT


def test_the_second_ctrl_c_is_the_usual_one() -> None:
    batches = iter(Interruptible(Endless(signal.SIGINT, waits=False)))
    next(batches)
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
