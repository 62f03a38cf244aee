"""Scans and backscatter as event lines and as rows of the store; fields.py says what is in them."""

from __future__ import annotations

import socket
import time

from darkflow.sinks.fields import FIELDS
from darkflow.sinks.signature import tool_words
from darkflow.sinks.templates import Template

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from darkflow.flow.detection import Backscatter, Scan
    from darkflow.sinks.direct import Box
    from darkflow.sinks.labels import Label
    from darkflow.sinks.store import Store
    from darkflow.sinks.templates import Value

SECOND_NS = 1_000_000_000
DAY_US = 86_400_000_000
DIGITS = 9
MINUTE_S = 60


def text_of(address: bytes) -> str:
    """A packed address as text."""
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)


def timestamp(t_ns: int) -> str:
    """RFC 3339 in UTC with nine decimals."""
    second, fraction = divmod(t_ns, SECOND_NS)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(second))}.{fraction:09}Z"


def _template(event: str) -> Template:
    return Template([f.name for f in FIELDS if event in f.events])


class ScanRecords:
    """Gives them to boxes for event lines and to a store, as far as there are any."""

    def __init__(self, boxes: Sequence[Box], store: Store | None) -> None:
        self._boxes = tuple(boxes)
        self._rows = store.rows() if store is not None else None
        self._scan, self._backscatter = _template("scan"), _template("backscatter")

    def scan(self, scan: Scan, label: Label) -> bytes:
        """Write a scan, but not what is only an alert; its line."""
        span_s = max((scan.end_ns - scan.start_ns) / SECOND_NS, 1.0)
        values = (
            "scan", text_of(scan.source), "TCP", scan.direction, scan.prefix_length, scan.state,
            scan.kind, scan.start_ns, scan.end_ns, scan.flows, scan.packets, scan.dark_targets,
            scan.live_targets, scan.ports, scan.top_ports, round(scan.flows / span_s, 3),
            *tool_words(scan.tool, scan.sureness), scan.trw, label.known, label.country, label.asn,
        )  # fmt: skip
        if scan.state == "inside":
            return self._scan.line((timestamp(scan.end_ns), *values))
        return self._give("scans", self._scan, scan.end_ns, values)

    def backscatter(self, found: Backscatter, label: Label) -> bytes:
        """Write backscatter; its line."""
        values = (
            "backscatter", "TCP", text_of(found.victim), found.state, found.start_ns, found.end_ns,
            found.packets, found.targets, found.ports, round(found.minute / MINUTE_S, 3),
            found.answer, label.known, label.country, label.asn,
        )  # fmt: skip
        return self._give("backscatter", self._backscatter, found.end_ns, values)

    def _give(self, table: str, template: Template, t_ns: int, values: tuple[Value, ...]) -> bytes:
        line = template.line((timestamp(t_ns), *values))
        for box in self._boxes:
            try:
                box.put(line, 1)
            except OSError:
                # The sink of the other events has the same box, and says it; the store goes on.
                self._boxes = tuple(one for one in self._boxes if one is not box)
        if self._rows is not None:
            t_us = t_ns // 1000
            self._rows.add(table, (t_us, *values, DIGITS, t_us // DAY_US))
        return line
