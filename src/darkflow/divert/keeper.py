"""Keeps the honeypot's services running: one thread starts, watches, restarts and stops them.

It stays until the last has ended, as a service is killed when the thread that started it is gone;
it reads what they print and waits for their ends in one select.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
import time
from collections.abc import Mapping, Sequence
from socket import socket

from darkflow.divert.cgroups import Cgroups
from darkflow.divert.namespace import Namespace
from darkflow.divert.program import ENDED, GRACE_S, Program, Say, ServiceState
from darkflow.divert.services import Service

POLL_S = 0.05


class Keeper:
    """The services of one honeypot; `start` after its namespace is made.

    relayed: by the name of a service with a host elsewhere, the sockets inside that its relay
    serves. say(level, message, **values) writes a line of the log. failed: why its thread ended
    too early, and with it all services.
    """

    def __init__(
        self,
        services: Sequence[Service],
        namespace: Namespace,
        relayed: Mapping[str, Sequence[socket]],
        say: Say,
    ) -> None:
        self.failed: BaseException | None = None
        self._say = say
        self._relayed = relayed
        self._cgroups = Cgroups(namespace.net.name)
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._stopping = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._woken)
        self._programs = [Program(one, namespace.fd, self._selector) for one in services]
        self._thread = threading.Thread(target=self._work, name="darkflow services", daemon=True)

    def start(self) -> None:
        """Start them all; from any thread, once. OSError: an output cannot be opened."""
        users = [program.service.user for program in self._programs]
        for program in self._programs:
            sockets = self._relayed.get(program.service.name, ())
            program.prepare(self._cgroups, sockets, self._say, users)
        self._thread.start()

    def stop(self) -> None:
        """End them all, by force after 5 s, and come back when they have ended; twice is fine."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._wake()
        if self._thread.is_alive():
            self._thread.join(3 * GRACE_S)
        self._selector.close()
        for fd in (self._wake_read, self._wake_write):
            os.close(fd)
        for program in self._programs:
            program.close()
        self._cgroups.remove()

    def wait(self, limit_s: float) -> bool:
        """Wait until each listens on its ports, or has ended for good; whether that came about."""
        end_s = time.monotonic() + limit_s
        while not all(one.listens or one.state == ENDED for one in self.states()):
            if time.monotonic() > end_s or self._stopping.wait(POLL_S):
                return False
        return True

    def states(self) -> list[ServiceState]:
        """How they are now."""
        return [program.state() for program in self._programs]

    def counts(self) -> dict[str, tuple[bool, int]]:
        """By name: whether it runs, and how often it was started again."""
        return {one.service.name: (one.is_running, one.restarts) for one in self._programs}

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"\0")

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 1)

    def _work(self) -> None:
        try:
            self._keep()
        except BaseException as error:  # nothing may end this thread unseen
            self.failed = error

    def _keep(self) -> None:
        while True:
            now_s = time.monotonic()
            for program in self._programs:
                program.turn(now_s, self._stopping.is_set())
            if self._stopping.is_set() and all(one.is_over for one in self._programs):
                return
            dues = [one.next_s for one in self._programs if one.next_s is not None]
            rest_s = max(min(dues) - time.monotonic(), 0) if dues else None
            for key, _ in self._selector.select(rest_s):
                key.data()
