"""What a honeypot counts, of all its parts together: `darkflow status`, Prometheus, the store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from darkflow.commands.honeypot import Honeypot

# Of the sensor's metrics, those that the status shows.
ENGINE = ("attempts", "answered", "refused", "dark", "late_answers", "queue_flows", "table_flows")
# A loss's metric is called as the loss, and begins with this.
LOSS = "dropped_"


class Figures:
    """May be asked from any thread, while all of it works."""

    def __init__(self, honeypot: Honeypot) -> None:
        self._honeypot = honeypot
        self._began_s = time.monotonic()

    def losses(self) -> dict[str, int]:
        """What the honeypot has lost, beside what the sensor's part of it has."""
        honeypot = self._honeypot
        plane, tap, joiner = honeypot.plane, honeypot.tap, honeypot.joiner
        return {
            "dropped_divert": plane.dropped_divert,
            "no_room": plane.no_room,
            "replay_errors": plane.replay_errors,
            "dropped_tap": tap.dropped,
            "dropped_cuts": honeypot.reader.lost,
            "dropped_traces": honeypot.traces.untold,
            "dropped_reports": joiner.reports_lost + honeypot.place.reports_lost,
            "payloads_not_kept": tap.tracker.payloads_not_kept,
            "echoes_forgotten": sum(echoes.forgotten for echoes in honeypot.echoes),
        }

    def metrics(self) -> dict[str, Any]:
        """By name of metric (see Metric)."""
        honeypot, place = self._honeypot, self._honeypot.place
        dispatcher = honeypot.dispatcher
        kernel = place.kernel_stats()
        sets = [kernel.pop(name) for name in ("flows4", "flows6") if name in kernel]
        found: dict[str, Any] = {
            "flows_diverted": len(dispatcher.flows),
            "sessions_open": honeypot.tap.open_sessions,
            "diverted": dispatcher.diverted,
            "not_diverted": dict(dispatcher.refused),
            "syns_replayed": honeypot.plane.replayed,
            "sessions": honeypot.sessions,
            "cuts": dict(honeypot.cuts),
            "echoes": self._echoes(),
            "kernel_reloads": place.reloads,
            **{f"kernel_{name}": count for name, count in kernel.items()},
            **place.services_metrics(),
        }
        if sets:
            found["kernel_flows"] = sum(sets)
        for name, count in self.losses().items():
            found[name if name.startswith(LOSS) else LOSS + name] = count
        return found

    def _echoes(self) -> int:
        return sum(echoes.echoes for echoes in self._honeypot.echoes)

    def status(self) -> dict[str, Any]:
        """What `darkflow status` shows."""
        honeypot, place = self._honeypot, self._honeypot.place
        plane, dispatcher = honeypot.plane, honeypot.dispatcher
        stats = honeypot.supervisor.vitals.stats()
        lost = {n: v for n, v in stats.items() if n.startswith(LOSS) and v is not None}
        losses = self.losses()
        shown = {name for name in lost if name.removeprefix(LOSS) in losses}
        return {
            "uptime_s": round(time.monotonic() - self._began_s, 1),
            "mode": place.plan.mode,
            "interfaces": ", ".join(place.watched),
            "diverting": honeypot.trouble or "yes",
            "flows": {
                "diverted_now": len(dispatcher.flows),
                "sessions_open": honeypot.tap.open_sessions,
                "diverted": dispatcher.diverted,
                "sessions_ended": honeypot.sessions,
                "syns_replayed": plane.replayed,
            },
            "engine": {name: stats[name] for name in ENGINE},
            "cuts": dict(honeypot.cuts),
            "not_diverted": {name: count for name, count in dispatcher.refused.items() if count},
            "kernel": place.kernel_stats(),
            "echoes": self._echoes(),
            "services": place.services_status(),
            "losses": {n: v for n, v in lost.items() if n not in shown} | losses,
        }
