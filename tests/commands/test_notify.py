"""The sd_notify protocol over a real socket, and a watchdog that can bark."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from darkflow.commands.notify import Notifier, Progress, Watchdog

MS = 1_000_000


class Manager:
    """The receiving end, as systemd is."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address[0] == "@" else address)
        self.socket.settimeout(0)

    def heard(self) -> list[str]:
        """Datagrams since the last time."""
        found = []
        while True:
            try:
                found.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return found


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    """A socket with a path, and one without."""
    there = Manager(
        str(tmp_path / "notify") if request.param == "path" else f"@darkflow-test-{os.getpid()}"
    )
    yield there
    there.socket.close()


def test_every_state_as_the_protocol_wants_it(manager: Manager) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": manager.address})
    notifier.ready("watching\neth1")
    before_us = time.monotonic_ns() // 1000
    notifier.reloading()
    notifier.status("dark=3")
    notifier.alive()
    notifier.stopping()
    ready, reloading, *others = manager.heard()
    assert ready == "READY=1\nSTATUS=watching eth1"
    assert others == ["STATUS=dark=3", "WATCHDOG=1", "STOPPING=1"]
    first, _, monotonic_us = reloading.partition("\nMONOTONIC_USEC=")
    assert first == "RELOADING=1"
    assert before_us <= int(monotonic_us) <= time.monotonic_ns() // 1000
    notifier.close()
    notifier.alive()
    assert manager.heard() == []


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "@darkflow-nobody", "vsock:2:1234"])
def test_where_nobody_listens_nothing_happens(address: str) -> None:
    notifier = Notifier(address, 1)
    notifier.ready("watching")
    notifier.alive()
    notifier.close()


def test_a_manager_that_does_not_read_holds_nothing_up_for_long(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    notifier = Notifier(manager.address)
    manager.socket.settimeout(0)
    filler = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    filler.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            filler.sendto(b"x", manager.address)
    began = time.monotonic()
    notifier.alive()
    assert 0.1 < time.monotonic() - began < 2
    filler.close()
    manager.socket.close()


@pytest.mark.parametrize(
    ("environment", "watchdog_ns"),
    [
        ({}, 0),
        ({"NOTIFY_SOCKET": "/n"}, 0),
        ({"WATCHDOG_USEC": "1000"}, 0),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "1000"}, MS),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": str(os.getpid())}, MS),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}, 0),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "soon"}, 0),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": ""}, 0),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "9" * 5000}, 0),
    ],
)
def test_the_watchdog_is_on_when_it_is_asked_of_this_process(
    environment: dict[str, str], watchdog_ns: int
) -> None:
    assert Notifier.from_environment(environment).watchdog_ns == watchdog_ns


def pings(manager: Manager) -> int:
    """How often the watchdog was put off since the last time."""
    return manager.heard().count("WATCHDOG=1")


def test_the_watchdog_is_put_off_at_half_of_its_time(manager: Manager) -> None:
    watchdog = Watchdog(Notifier(manager.address, 1000 * MS), lambda: True)
    assert watchdog.every_s == 0.25
    at_ms = []
    for now_ms in range(0, 5000, 250):
        assert watchdog.beat(7_000_000 * MS + now_ms * MS)
        at_ms += [now_ms] * pings(manager)
    assert at_ms == [0, 500, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 4500]


def test_without_a_watchdog_nothing_is_asked_or_said(manager: Manager) -> None:
    watchdog = Watchdog(Notifier(manager.address), lambda: False)
    assert watchdog.every_s is None
    assert watchdog.beat(1)
    assert manager.heard() == []


def test_a_worker_that_is_stuck_lets_the_watchdog_bark(manager: Manager) -> None:
    turns = [0, 0, 0]
    watchdog = Watchdog(Notifier(manager.address, 1000 * MS), Progress(lambda: turns))
    at_ms = []
    for now_ms in range(0, 6000, 250):
        # The second is stuck from 2 s to 4 s.
        turns[0] += 1
        turns[1] += not 2000 <= now_ms < 4000
        turns[2] += 1
        answered = watchdog.beat(now_ms * MS + MS)
        at_ms += [now_ms] * pings(manager)
        assert answered or 2000 <= now_ms < 4000
    assert at_ms == [0, 500, 1000, 1500, 2000, 4000, 4500, 5000, 5500]


def test_progress_is_all_of_them_since_the_last_time() -> None:
    turns = [1, 1]
    progress = Progress(lambda: turns)
    assert progress()
    assert not progress()
    turns[0] = 2
    assert not progress()
    turns[1] = 2
    assert progress()
    assert not progress()
    assert Progress(list)()
