"""Alerts: few, each about one source, and a digest of all that was found; time is the network's.

What is sent is one JSON document a line; where to (webhook.py, syslog.py) is its boxes' business.
"""

from __future__ import annotations

import json
from collections import Counter, OrderedDict
from dataclasses import dataclass

from darkflow.sinks.scan_records import text_of, timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from darkflow.flow.detection import Backscatter, Scan
    from darkflow.sinks.labels import Label
    from darkflow.sinks.outbox import Outbox

MINUTE_NS = 60_000_000_000
# Sources of which is remembered that an alert was sent.
REMEMBERED = 65_536
TOP = 5


@dataclass(frozen=True, slots=True)
class AlertLimits:
    """rate: alerts in a minute. window_ns: one for a source and kind. digest_ns: 0 for none."""

    rate: int = 10
    window_ns: int = 60 * MINUTE_NS
    digest_ns: int = 0


class Alerts:
    """Decides which of the things that are found are alerts, and sends them."""

    def __init__(self, boxes: Sequence[Outbox], limits: AlertLimits) -> None:
        self.sent = 0
        # Found, and no alert: one was sent before, or too many.
        self.repeated = self.suppressed = 0
        self._boxes = tuple(boxes)
        self._limits = limits
        self._told: OrderedDict[tuple[str, bytes], int] = OrderedDict()
        self._tokens = float(limits.rate)
        self._filled_ns: int | None = None
        self._from_ns: int | None = None
        self._now_ns = 0
        self._period: Counter[str] = Counter()
        self._sources: Counter[str] = Counter()

    @property
    def dropped(self) -> int:
        """Alerts that no box could deliver."""
        return sum(box.dropped for box in self._boxes)

    def scan(self, scan: Scan, label: Label, line: bytes) -> None:
        """A scan has begun or ended, or a source of our own looks infected."""
        if scan.state == "end":
            self._period["scans_ended"] += 1
            self._sources[text_of(scan.source)] += scan.dark_targets
            return
        who = text_of(scan.source)
        if scan.prefix_length in (48, 64):
            who += f"/{scan.prefix_length}"
        where = f"ports {scan.top_ports}" if scan.ports > 1 else f"port {scan.top_ports}"
        if scan.state == "inside":
            text = f"{who} of ours tries {scan.dark_targets} addresses outside that do not answer"
            self._alert("inside", scan.source, scan.end_ns, f"{text}, {where}", label, line)
            return
        self._period[scan.kind] += 1
        kind = scan.kind.replace("_", " ")
        text = f"{who}: {kind} ({scan.direction}), {scan.dark_targets} dark targets, {where}"
        self._alert("scan", scan.source, scan.end_ns, text, label, line)

    def backscatter(self, found: Backscatter, label: Label, line: bytes) -> None:
        """Somebody is attacked, or is no longer."""
        if found.state == "end":
            self._period["backscatter_ended"] += 1
            return
        text = (
            f"{text_of(found.victim)} is attacked with forged addresses of ours: {found.packets}"
            f" answers to {found.targets} of them, from port {found.ports}"
        )
        self._alert("backscatter", found.victim, found.end_ns, text, label, line)

    def _alert(
        self, kind: str, address: bytes, t_ns: int, text: str, label: Label, line: bytes
    ) -> None:
        self._period[kind] += 1
        self._now_ns = max(self._now_ns, t_ns)
        if label.known is not None:
            self._period["known"] += 1
            return
        if self._is_repeated((kind, address)):
            self.repeated += 1
            self._period["repeated"] += 1
            return
        if not self._may_send():
            self.suppressed += 1
            self._period["suppressed"] += 1
            return
        self._remember((kind, address))
        self.sent += 1
        self._period["sent"] += 1
        self._send("alert", t_ns, {"kind": kind, "text": text, "event": json.loads(line)})

    def _is_repeated(self, key: tuple[str, bytes]) -> bool:
        told_ns = self._told.get(key)
        return told_ns is not None and self._now_ns - told_ns < self._limits.window_ns

    def _remember(self, key: tuple[str, bytes]) -> None:
        self._told[key] = self._now_ns
        self._told.move_to_end(key)
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)

    def _may_send(self) -> bool:
        rate = self._limits.rate
        if self._filled_ns is not None:
            gone_ns = max(0, self._now_ns - self._filled_ns)
            self._tokens = min(rate, self._tokens + rate * gone_ns / MINUTE_NS)
        self._filled_ns = self._now_ns
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def pass_time(self, now_ns: int) -> None:
        """Network time has come to this; a digest may be due."""
        if not self._limits.digest_ns or now_ns < 0:
            return
        self._now_ns = max(self._now_ns, now_ns)
        if self._from_ns is None:
            self._from_ns = self._now_ns
        elif self._now_ns - self._from_ns >= self._limits.digest_ns:
            self._digest(self._from_ns)

    def finish(self) -> None:
        """The input has ended: so has the last period."""
        if self._from_ns is not None:
            self._digest(self._from_ns)
            self._from_ns = None

    def _digest(self, from_ns: int) -> None:
        counts = self._period
        kinds = {name: counts[name] for name in ("address_scan", "port_scan", "random_scan")}
        top = [
            {"src_ip": name, "dark_targets": count}
            for name, count in self._sources.most_common(TOP)
        ]
        text = (
            f"{counts['scan']} scans, {counts['inside']} sources of ours, {counts['backscatter']}"
            " attacked"
        )
        self._send("digest", self._now_ns, {
            "kind": "digest", "text": text, "from": timestamp(from_ns),
            "scans": kinds, "scans_ended": counts["scans_ended"], "top_sources": top,
            "inside": counts["inside"], "backscatter": counts["backscatter"],
            "backscatter_ended": counts["backscatter_ended"], "known": counts["known"],
            "alerts": {name: counts[name] for name in ("sent", "repeated", "suppressed")},
        })  # fmt: skip
        self._from_ns = self._now_ns
        self._period = Counter()
        self._sources = Counter()

    def _send(self, event_type: str, t_ns: int, body: dict[str, Any]) -> None:
        # Time and type first: syslog.py reads them there.
        document = {"timestamp": timestamp(t_ns), "event_type": event_type, **body}
        line = json.dumps(document, separators=(",", ":")).encode() + b"\n"
        for box in self._boxes:
            box.put(line, 1)
