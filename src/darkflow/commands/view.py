"""The sensor's live view on a terminal: rates, queue and table, the last dark flows, losses."""

from __future__ import annotations

import errno
import ipaddress
import os
import time
from collections import deque

from rich.console import Console, Group, RenderableType
from rich.live import Live as Screen
from rich.table import Table
from rich.text import Text

from darkflow.commands.log import takes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

LOG_LINES = 5
RATES = (
    ("packets", "packets that came up"),
    ("attempts", "connection attempts"),
    ("answered", "answered"),
    ("refused", "refused"),
    ("dark", "dark"),
    ("late_answers", "late answers"),
)


def address(packed: bytes) -> str:
    """As people write it."""
    return str(ipaddress.ip_address(packed))


def end_of(event: Mapping[str, Any], side: str) -> str:
    """Address and port of one end of a flow."""
    where = address(event["src" if side == "s" else "dst"])
    return (
        f"[{where}]:{event[side + 'port']}" if ":" in where else f"{where}:{event[side + 'port']}"
    )


class View:
    """Shows a snapshot of numbers again and again; lines of the log run below it."""

    def __init__(self, interfaces: list[str], console: Console | None = None) -> None:
        self._interfaces = interfaces
        self._console = console or Console(stderr=True)
        try:
            self._fd: int | None = self._console.file.fileno()
        except (OSError, ValueError):
            self._fd = None
        self._screen = Screen(console=self._console, auto_refresh=False, transient=False)
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._before: dict[str, int] = {}
        self._at_s = self._began_s = time.monotonic()

    def start(self) -> None:
        """Take the terminal."""
        self._screen.start()

    def stop(self) -> None:
        """Give the terminal back; what was shown last stays."""
        self._screen.stop()

    def abandon(self) -> None:
        """The terminal has gone: what is still to be written to it goes nowhere."""
        if self._fd is not None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._fd)
            os.close(nowhere)

    def add_log(self, line: str) -> None:
        """A line of the log: shown below the numbers."""
        self._log.append(line)

    def show(self, values: Mapping[str, Any], recent: list[dict[str, Any]]) -> None:
        """Draw: counters and gauges by name, and the last dark flows; OSError: no terminal.

        A terminal that takes nothing (Ctrl-S) is not waited for.
        """
        if self._fd is not None:
            if not os.isatty(self._fd):  # it was one
                raise OSError(errno.EIO, "the terminal has gone")
            if not takes(self._fd):
                return
        now_s = time.monotonic()
        passed_s = max(now_s - self._at_s, 1e-3)
        parts: list[RenderableType] = [
            self._title(now_s),
            self._rates(values, passed_s),
            self._state(values),
        ]
        self._at_s = now_s
        self._before = {name: values[name] for name, _ in RATES}
        parts += [self._losses(values), self._flows(recent)]
        parts += [Text(line, style="yellow", overflow="fold") for line in list(self._log)]
        self._screen.update(Group(*parts), refresh=True)

    def _title(self, now_s: float) -> Text:
        minutes, seconds = divmod(int(now_s - self._began_s), 60)
        hours, minutes = divmod(minutes, 60)
        return Text(
            f"darkflow sensor on {', '.join(self._interfaces)}"
            f"   {hours}:{minutes:02}:{seconds:02}   Ctrl-C ends it",
            style="bold",
        )

    def _rates(self, values: Mapping[str, Any], passed_s: float) -> Table:
        table = Table(box=None, pad_edge=False)
        table.add_column("")
        table.add_column("in all", justify="right")
        table.add_column("per second", justify="right")
        for name, told in RATES:
            rate = (values[name] - self._before.get(name, values[name])) / passed_s
            style = "bold" if name == "dark" else ""
            table.add_row(told, f"{values[name]:,}", f"{rate:,.0f}", style=style)
        return table

    @staticmethod
    def _state(values: Mapping[str, Any]) -> Text:
        return Text(
            f"delay queue {values['queue_flows']:,} SYNs   flow table {values['table_flows']:,}"
            f" dark flows   {values['engine_bytes'] / (1 << 20):,.0f} MiB"
        )

    @staticmethod
    def _losses(values: Mapping[str, Any]) -> Text:
        lost = {
            name.removeprefix("dropped_"): count
            for name, count in values.items()
            if name.startswith("dropped_") and count
        }
        if not lost:
            return Text("nothing lost", style="green")
        told = ", ".join(f"{name} {count:,}" for name, count in lost.items())
        return Text(f"lost: {told} (docs/sensor.md says what each means)", style="bold red")

    @staticmethod
    def _flows(recent: list[dict[str, Any]]) -> Table:
        table = Table(box=None, pad_edge=False, title="last dark flows", title_justify="left")
        for column in ("first SYN (UTC)", "from", "to", "SYNs"):
            table.add_column(column)
        for event in reversed(recent):
            seconds, rest_ns = divmod(event["t0_ns"], 1_000_000_000)
            when = time.strftime("%H:%M:%S", time.gmtime(seconds)) + f".{rest_ns // 1_000_000:03}"
            table.add_row(when, end_of(event, "s"), end_of(event, "d"), str(event["syn_count"]))
        return table
