"""Alerts: few, each about one source, and a digest of all that was found; time is the network's.

What is sent is one JSON document a line; where to (webhook.py, syslog.py) is its boxes' business.
"""

from __future__ import annotations

import json
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass

from darkflow.flow.detection import BACK_NS
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
# Sources that a digest counts: beyond them the smaller half is forgotten.
COUNTED = 65_536
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
        # Sources that a digest has forgotten before its end.
        self.forgotten = 0
        self._told: OrderedDict[tuple[str, bytes, int], int] = OrderedDict()
        # When the last ones were sent, as many as a minute may have.
        self._sent_ns: deque[int] = deque(maxlen=limits.rate)
        self._from_ns: int | None = None
        self._now_ns = 0
        # By kinds, and by what became of them: a dozen names.
        self._period: Counter[str] = Counter()
        # Dark targets by address and length of prefix.
        self._sources: Counter[tuple[bytes, int]] = Counter()

    @property
    def dropped(self) -> int:
        """Alerts that no box could deliver."""
        return sum(box.dropped for box in self._boxes)

    def scan(self, scan: Scan, label: Label, line: bytes) -> None:
        """A scan has begun or ended, or a source of our own looks infected."""
        if scan.state == "end":
            self._period["scans_ended"] += 1
            self._count_source(scan)
            return
        # Its SYNs are older than its verdicts, so this is never later than network time.
        self._advance(scan.end_ns)
        who = text_of(scan.source)
        if scan.prefix_length < 8 * len(scan.source):
            who += f"/{scan.prefix_length}"
        where = f"ports {scan.top_ports}" if scan.ports > 1 else f"port {scan.top_ports}"
        if scan.state == "inside":
            name = "inside"
            text = f"{who} of ours tries {scan.dark_targets} addresses outside that do not answer"
        else:
            name = "scan"
            self._period[scan.kind] += 1
            kind = scan.kind.replace("_", " ")
            text = f"{who}: {kind} ({scan.direction}), {scan.dark_targets} dark targets"
        if self._is_alert((name, scan.source, scan.prefix_length), label):
            self._alert(name, scan.end_ns, f"{text}, {where}", line)

    def backscatter(self, found: Backscatter, label: Label, line: bytes) -> None:
        """Somebody is attacked, or is no longer."""
        if found.state == "end":
            self._period["backscatter_ended"] += 1
            return
        self._advance(found.end_ns)
        text = (
            f"{text_of(found.victim)} is attacked with forged addresses of ours: {found.packets}"
            f" answers to {found.targets} of them, from port {found.ports}"
        )
        if self._is_alert(("backscatter", found.victim, 8 * len(found.victim)), label):
            self._alert("backscatter", found.end_ns, text, line)

    def _is_alert(self, key: tuple[str, bytes, int], label: Label) -> bool:
        """Whether what was found of (kind, address, length of prefix) is one; it is counted."""
        self._period[key[0]] += 1
        if label.known is not None:
            self._period["known"] += 1
            return False
        if self._is_repeated(key):
            self.repeated += 1
            self._period["repeated"] += 1
            return False
        if not self._may_send():
            self.suppressed += 1
            self._period["suppressed"] += 1
            return False
        self._remember(key)
        self.sent += 1
        self._period["sent"] += 1
        return True

    def _alert(self, kind: str, t_ns: int, text: str, line: bytes) -> None:
        self._send("alert", t_ns, {"kind": kind, "text": text, "event": json.loads(line)})

    def _is_repeated(self, key: tuple[str, bytes, int]) -> bool:
        told_ns = self._told.get(key)
        return told_ns is not None and self._now_ns - told_ns < self._limits.window_ns

    def _remember(self, key: tuple[str, bytes, int]) -> None:
        self._told[key] = self._now_ns
        self._told.move_to_end(key)
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)

    def _may_send(self) -> bool:
        """Whether the minute that ends now has had fewer than it may have."""
        rate = self._limits.rate
        if rate == 0:
            return False
        if len(self._sent_ns) == rate and self._now_ns - self._sent_ns[0] < MINUTE_NS:
            return False
        self._sent_ns.append(self._now_ns)
        return True

    def _count_source(self, scan: Scan) -> None:
        if not self._limits.digest_ns:
            return
        self._sources[scan.source, scan.prefix_length] += scan.dark_targets
        if len(self._sources) > COUNTED:
            kept = self._sources.most_common(COUNTED // 2)
            forgotten = len(self._sources) - len(kept)
            self._sources = Counter(dict(kept))
            self.forgotten += forgotten
            self._period["sources_forgotten"] += forgotten

    def pass_time(self, now_ns: int) -> None:
        """Network time has come to this; a digest may be due. Another clock's time begins anew."""
        if now_ns < 0:
            return
        if now_ns + BACK_NS < self._now_ns:
            self.finish()
            self._now_ns = now_ns
            self._told.clear()
            self._sent_ns.clear()
        self._advance(now_ns)

    def _advance(self, now_ns: int) -> None:
        """Time goes on, never back, and ends periods; those without finds have no digest."""
        self._now_ns = max(self._now_ns, now_ns)
        period_ns = self._limits.digest_ns
        if not period_ns:
            return
        if self._from_ns is None:
            self._from_ns = self._now_ns
        periods = (self._now_ns - self._from_ns) // period_ns
        if periods:
            self._digest(self._from_ns, self._from_ns + period_ns)
            self._from_ns += periods * period_ns

    def finish(self) -> None:
        """The input has ended: so has the last period."""
        if self._from_ns is not None:
            self._digest(self._from_ns, self._now_ns)
            self._from_ns = None

    def _digest(self, from_ns: int, to_ns: int) -> None:
        counts = self._period
        if not counts:
            return
        kinds = {name: counts[name] for name in ("address_scan", "port_scan", "random_scan")}
        top = [
            {"src_ip": text_of(address), "prefix_length": length, "dark_targets": count}
            for (address, length), count in self._sources.most_common(TOP)
        ]
        text = (
            f"{counts['scan']} scans, {counts['inside']} sources of ours, {counts['backscatter']}"
            " attacked"
        )
        self._send("digest", to_ns, {
            "kind": "digest", "text": text, "from": timestamp(from_ns),
            "scans": kinds, "scans_ended": counts["scans_ended"], "top_sources": top,
            "sources_forgotten": counts["sources_forgotten"],
            "inside": counts["inside"], "backscatter": counts["backscatter"],
            "backscatter_ended": counts["backscatter_ended"], "known": counts["known"],
            "alerts": {name: counts[name] for name in ("sent", "repeated", "suppressed")},
        })  # fmt: skip
        self._period = Counter()
        self._sources = Counter()

    def _send(self, event_type: str, t_ns: int, body: dict[str, Any]) -> None:
        # Time and type first: syslog.py reads them there.
        document = {"timestamp": timestamp(t_ns), "event_type": event_type, **body}
        line = json.dumps(document, separators=(",", ":")).encode() + b"\n"
        for box in self._boxes:
            box.put(line, 1)
