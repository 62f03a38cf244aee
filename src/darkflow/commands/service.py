"""The sensor as a service: it tells systemd how it is, and reads its file again when asked to."""

from __future__ import annotations

import time

from darkflow.commands.notify import Notifier, Progress, Watchdog
from darkflow.commands.reload import as_key, reread

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from typing import Any

    from darkflow.commands.log import Log


class Service:
    """What the supervisor's loop calls; without systemd and without --config it does nothing.

    `turns` tells how often each worker's loop has turned: one that is stuck lets the watchdog bark.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        settings: dict[str, Any],
        log: Log,
        turns: Callable[[], Sequence[int]],
    ) -> None:
        self._options = options
        self._settings = settings
        self._log = log
        self._notifier = Notifier.from_environment()
        self._watchdog = Watchdog(self._notifier, Progress(turns))
        self._stuck = False

    @property
    def every_s(self) -> float:
        """How often `beat` must be called at least."""
        return self._watchdog.every_s or float("inf")

    def beat(self) -> None:
        """Put the watchdog off when that is due, unless a worker is stuck."""
        alive = self._watchdog.beat(time.monotonic_ns())
        if not alive and not self._stuck:
            self._log("error", "a worker makes no progress: the watchdog is left to bark")
        self._stuck = not alive

    def ready(self, status: str) -> None:
        """The start, or a reload, is done."""
        self._notifier.ready(status)

    def status(self, status: str) -> None:
        """A line for `systemctl status`."""
        self._notifier.status(status)

    def stopping(self) -> None:
        """The end has begun."""
        self._notifier.stopping()

    def reload(self) -> dict[str, Any]:
        """Read the file of --config again: the settings that are new and apply now.

        What is wrong with it, and what has to wait for a start, is logged.
        """
        self._notifier.reloading()
        path = self._options.config
        if not path:
            return {}
        try:
            found = reread(self._options, self._settings)
        except ValueError as error:
            self._log("error", f"{error}; the old settings stay")
            return {}
        self._settings = found.settings
        for name in found.later:
            self._log(
                "warning", f"{as_key(name)}: changed in {path}, takes effect at the next start"
            )
        for name in found.live:
            self._log("info", f"{as_key(name)}: changed in {path}")
        return {name: found.settings[name] for name in found.live}
