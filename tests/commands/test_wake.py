"""The supervisor's bell."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

from darkflow.commands.wake import Wake

# Signals come at every moment of the loop's turn, and each must find the bell free.
STORM = """
import signal, time
from darkflow.commands.wake import Wake
wake, rung = Wake(), []
def ring(number, frame):
    rung.append(number)
    wake.set()
signal.signal(signal.SIGALRM, ring)
signal.setitimer(signal.ITIMER_REAL, 1e-4, 1.3e-4)
turns, end = 0, time.monotonic() + 2
while time.monotonic() < end:
    wake.wait(1e-4 * (turns % 3))
    turns += 1
signal.setitimer(signal.ITIMER_REAL, 0)
print(turns > 1000, len(rung) > 1000)
"""


def test_it_is_heard_once_and_also_later() -> None:
    wake = Wake()
    wake.set()
    wake.set()
    began_s = time.monotonic()
    wake.wait(5)
    assert time.monotonic() - began_s < 1
    began_s = time.monotonic()
    wake.wait(0.05)
    assert time.monotonic() - began_s > 0.04


def test_another_thread_wakes() -> None:
    wake = Wake()
    threading.Timer(0.05, wake.set).start()
    began_s = time.monotonic()
    wake.wait(5)
    assert 0.03 < time.monotonic() - began_s < 1


def test_signals_never_find_it_locked() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STORM], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("True True\n", "", 0)
