"""Looks for scans and backscatter in the events of all workers, and writes and alerts of them."""

from __future__ import annotations

import threading

from darkflow.flow.backscatter import Victims
from darkflow.flow.batch import Events
from darkflow.flow.detection import (
    BackscatterLimits,
    ScanLimits,
    scaled_backscatter,
    scaled_scans,
)
from darkflow.flow.scans import Scans

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from darkflow.flow.detection import Backscatter, Scan
    from darkflow.flow.networks import Networks
    from darkflow.sinks.alerts import Alerts
    from darkflow.sinks.labels import Labels
    from darkflow.sinks.scan_records import ScanRecords


def limits_of(settings: dict[str, Any]) -> tuple[ScanLimits, BackscatterLimits]:
    """What the settings ask for, scaled to the watched networks unless they say otherwise."""
    gaps = (settings["scan_gap"], settings["scan_gap6"])
    targets = (settings["scan_targets"], settings["scan_targets6"])
    inside, sources = settings["inside_targets"], settings["scan_sources"]
    scans = ScanLimits(targets, targets, gaps, inside, sources)
    backscatter = BackscatterLimits(
        settings["backscatter_packets"],
        settings["backscatter_time"],
        settings["backscatter_rate"],
        victims=settings["backscatter_victims"],
        gap_ns=settings["scan_gap"],
    )
    if not settings["scan_scale"]:
        return scans, backscatter
    networks = settings["networks"]
    return scaled_scans(scans, networks), scaled_backscatter(backscatter, networks)


class Detections:
    """The detectors, which all workers share: one source's flows are dealt out among them."""

    def __init__(
        self,
        networks: Networks,
        settings: dict[str, Any],
        seed: bytes,
        labels: Labels,
        records: ScanRecords,
        alerts: Alerts | None,
    ) -> None:
        scans, backscatter = limits_of(settings)
        self.labels = labels
        self.alerts = alerts
        self._scans = Scans(networks, scans, seed)
        self._victims = Victims(networks, backscatter, seed)
        self._records = records
        self._lock = threading.Lock()
        self._sinks = 0

    def sink(self) -> DetectionSink:
        """A sink for one more worker."""
        self._sinks += 1
        return DetectionSink(self)

    def limit(self, settings: dict[str, Any]) -> None:
        """Other networks: other limits, from now on."""
        scans, backscatter = limits_of(settings)
        with self._lock:
            self._scans.limit(scans)
            self._victims.limit(backscatter)

    def observe(self, events: Events) -> None:
        """One batch of one worker."""
        with self._lock:
            scans, victims = self._scans.observe(events), self._victims.observe(events)
            if self.alerts is not None:
                # What this batch tells is of a digest's next period if that has begun with it.
                self.alerts.pass_time(events.first_ns)
            self._tell(scans, victims)
            if self.alerts is not None:
                self.alerts.pass_time(events.now_ns)

    def worker_ends(self) -> None:
        """The last of them ends the scans."""
        with self._lock:
            self._sinks -= 1
            if self._sinks == 0:
                self._tell(self._scans.finish(), self._victims.finish())
                if self.alerts is not None:
                    self.alerts.finish()

    def _tell(self, scans: list[Scan], victims: list[Backscatter]) -> None:
        for scan in scans:
            label = self.labels.of(scan.source, scan.prefix_length)
            line = self._records.scan(scan, label)
            if self.alerts is not None:
                self.alerts.scan(scan, label, line)
        for victim in victims:
            label = self.labels.of(victim.victim)
            line = self._records.backscatter(victim, label)
            if self.alerts is not None:
                self.alerts.backscatter(victim, label, line)

    def counters(self) -> dict[str, int]:
        """By metric."""
        alerts = self.alerts
        return {
            "scans": self._scans.begun,
            "backscatter": self._victims.begun,
            "alerts_sent": 0 if alerts is None else alerts.sent,
            "alerts_repeated": 0 if alerts is None else alerts.repeated,
            "alerts_suppressed": 0 if alerts is None else alerts.suppressed,
            "dropped_scans": self._scans.evicted + self._victims.evicted,
            "dropped_resets": self._victims.unjudged,
            "dropped_targets": self._scans.lost + self._victims.lost,
            "dropped_digest": 0 if alerts is None else alerts.forgotten,
            "dropped_labels": self.labels.failed,
        }


class DetectionSink:
    """One worker's way to the detectors."""

    name = "scans"

    def __init__(self, detections: Detections) -> None:
        self._detections = detections

    def write(self, events: Events) -> None:
        """As in Sink."""
        self._detections.observe(events)

    def close(self) -> None:
        """As in Sink."""
        self._detections.worker_ends()
