"""Scans, backscatter and alerts of a run, put together from the settings."""

from __future__ import annotations

import time

from darkflow.sinks.detections import Detections
from darkflow.sinks.labels import Labels

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from typing import Any

    from darkflow.flow.networks import Networks
    from darkflow.sinks.direct import Box
    from darkflow.sinks.outbox import Outbox, Target
    from darkflow.sinks.sink import Sink
    from darkflow.sinks.store import Store

ALERT_BYTES = 1 << 20


def wanted(options: argparse.Namespace, settings: dict[str, Any]) -> bool:
    """Whether scans are to be told of. ValueError for options that cannot go together."""
    alerts = settings["alert"]
    if settings["digest"] is not None and not alerts:
        raise ValueError("--digest needs --alert: where it is to be sent")
    if alerts and settings["scans"] == "no":
        raise ValueError("--alert needs --scans: alerts are of scans and backscatter")
    if settings["scans"] == "auto":
        return bool(options.events or options.store or alerts)
    return bool(settings["scans"] == "yes")


def labels_of(settings: dict[str, Any]) -> Labels:
    """What --known and --geoip say; ValueError, with the file, when they cannot."""
    return Labels(settings["known"], settings["geoip"] or ())


def target_of(text: str) -> Target:
    """Where alerts go; ValueError when it is no such place."""
    if text.startswith(("http:", "https:")):
        from darkflow.sinks.webhook import Webhook, parse_url

        return Webhook(parse_url(text))
    from darkflow.sinks.syslog import Syslog, parse_address

    address = parse_address(text)
    if address is None:
        raise ValueError(f"{text!r} is no target of alerts: write https://..., syslog:/dev/log,"
                         " udp://HOST:PORT or tcp://HOST:PORT")  # fmt: skip
    return Syslog(f"alerts to {text}", address)


class Detecting:
    """The detectors, and the boxes of their alerts."""

    def __init__(
        self,
        settings: dict[str, Any],
        networks: Networks,
        seed: bytes,
        boxes: Sequence[Box],
        store: Store | None,
        say: Callable[[str], None],
    ) -> None:
        from darkflow.sinks.scan_records import ScanRecords

        self._boxes: list[Outbox] = []
        alerts = None
        self._say = say
        self._said = 0
        self.labels = labels_of(settings)
        if settings["alert"]:
            from darkflow.sinks.alerts import AlertLimits, Alerts
            from darkflow.sinks.outbox import Outbox

            targets = [target_of(text) for text in settings["alert"]]
            self._boxes = [Outbox(target, ALERT_BYTES, say) for target in targets]
            limits = AlertLimits(
                settings["alert_rate"], settings["alert_window"], settings["digest"] or 0
            )
            alerts = Alerts(self._boxes, limits)
        self._detections = Detections(
            networks, settings, seed, self.labels, ScanRecords(boxes, store), alerts
        )

    def sink(self) -> Sink:
        """For one worker."""
        return self._detections.sink()

    def limit(self, settings: dict[str, Any]) -> None:
        """The watched networks have changed."""
        self._detections.limit(settings)

    def counters(self) -> dict[str, int]:
        """By metric."""
        return self._detections.counters()

    @property
    def dropped_alerts(self) -> int:
        """Alerts that were not delivered."""
        return sum(box.dropped for box in self._boxes)

    def look(self) -> None:
        """Called now and then: an output that hangs is said, and a file that is damaged."""
        for box in self._boxes:
            box.look()
        self._say_troubles()

    def _say_troubles(self) -> None:
        for line in self.labels.troubles[self._said :]:
            self._said += 1
            self._say(line)

    def begin_close(self) -> None:
        """Nothing more comes."""
        self._say_troubles()
        for box in self._boxes:
            box.begin_close()

    def close(self, until_s: float) -> list[str]:
        """Wait until then, of the monotonic clock, for what is on its way; what was lost."""
        self.begin_close()
        lost = [box.close(until_s) for box in self._boxes]
        return [line for line in lost if line is not None]

    def close_within(self, patience_s: float) -> list[str]:
        """The same, for so long."""
        return self.close(time.monotonic() + patience_s)
