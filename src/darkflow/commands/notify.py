"""What a service tells systemd: ready, reloading, stopping, still alive (sd_notify(3))."""

from __future__ import annotations

import os
import socket
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# A service manager that does not read for so long must not hold up the sensor for longer.
PATIENCE_S = 0.5


class Notifier:
    """Sends to the socket at `address`; does nothing when there is none.

    `watchdog_ns`: how soon the service manager wants to hear WATCHDOG=1, 0 for never.
    """

    def __init__(self, address: str = "", watchdog_ns: int = 0) -> None:
        self.watchdog_ns = watchdog_ns
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if address.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.settimeout(PATIENCE_S)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Notifier:
        """As NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID say, which systemd sets."""
        address = environment.get("NOTIFY_SOCKET", "")
        usec = environment.get("WATCHDOG_USEC", "")
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        wanted = bool(address) and mine and usec.isascii() and usec.isdigit() and len(usec) < 16
        return cls(address, int(usec) * 1000 if wanted else 0)

    def ready(self, status: str) -> None:
        """The start, or a reload, is done."""
        self._send("READY=1", f"STATUS={_line(status)}")

    def reloading(self) -> None:
        """A reload has begun; `ready` ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The end has begun."""
        self._send("STOPPING=1")

    def status(self, status: str) -> None:
        """A line for `systemctl status`."""
        self._send(f"STATUS={_line(status)}")

    def alive(self) -> None:
        """Put the watchdog off."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """Nothing is sent after it."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto("\n".join(lines).encode(errors="replace"), self._address)
        except OSError:
            # Nobody listens, or not now. The service goes on; what it watches matters more.
            return


class Progress:
    """Whether every worker's loop has turned since it last was found to have.

    `turns` tells how often each has; a loop turns also when there is no traffic.
    """

    def __init__(self, turns: Callable[[], Sequence[int]]) -> None:
        self._turns = turns
        self._seen: tuple[int, ...] = ()

    def __call__(self) -> bool:
        """Asked from time to time: has each turned since the last time that this was so?"""
        now = tuple(self._turns())
        moved = len(now) != len(self._seen) or all(
            a != b for a, b in zip(now, self._seen, strict=True)
        )
        if moved:
            self._seen = now
        return moved


class Watchdog:
    """Puts systemd's watchdog off at half of its time, for as long as `alive` says yes.

    It has no thread: `beat` is called by the loop that must not get stuck either, at least as
    often as every `every_s`.
    """

    def __init__(self, notifier: Notifier, alive: Callable[[], bool]) -> None:
        self._notifier = notifier
        self._alive = alive
        self._half_ns = notifier.watchdog_ns // 2
        self._next_ns = 0

    @property
    def every_s(self) -> float | None:
        """How often `beat` must be called, at least; None when nobody watches."""
        return self._half_ns / 2 / 1e9 if self._half_ns else None

    def beat(self, now_ns: int) -> bool:
        """Called from time to time (monotonic ns); False: it is due, but not all are alive."""
        if not self._half_ns or now_ns < self._next_ns:
            return True
        if not self._alive():
            return False
        self._notifier.alive()
        self._next_ns = now_ns + self._half_ns
        return True


def _line(text: str) -> str:
    return " ".join(text.split())
