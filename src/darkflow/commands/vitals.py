"""What the sensor knows of itself, of all workers together: for the log, the store, Prometheus."""

from __future__ import annotations

import time

from darkflow.analysis.stats import stats
from darkflow.commands.pulse import Pulse
from darkflow.sinks.metrics import flat, summed
from darkflow.sources.interface import card_counters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from darkflow.commands.worker import Worker
    from darkflow.sinks.store import Store


class Vitals:
    """May be asked from any thread, while the workers work; `losses` are those of the outputs."""

    def __init__(
        self,
        names: list[str],
        workers: Sequence[Worker],
        store: Store | None,
        losses: Callable[[], dict[str, int]] = dict,
    ) -> None:
        self.pulse = Pulse(len(workers))
        # What else is measured, by name of metric.
        self.more: Callable[[], dict[str, Any]] = dict
        self._names = names
        self._workers = workers
        self._store = store
        self._losses = losses
        self._cards = card_counters()
        self._dropped_card = dict.fromkeys(names, 0)
        self._began_s = time.monotonic()

    def look(self) -> None:
        """Called by the supervisor each second: do the workers move, have cards lost packets?"""
        self._add_card_drops()
        self.pulse.look([worker.source.turns for worker in self._workers])

    def dropped_ring(self) -> dict[str, int]:
        """Packets that found no room in the rings, by interface."""
        total = dict.fromkeys(self._names, 0)
        for worker in self._workers:
            for name, count in worker.source.dropped_ring.items():
                total[name] += count
        return total

    def dropped_card(self) -> dict[str, int]:
        """Packets that cards and their drivers have lost since the sensor began."""
        return dict(self._dropped_card)

    def _add_card_drops(self) -> None:
        """An interface that has gone and come back counts from 0 again; what was lost stays."""
        cards = card_counters()
        called = self._workers[0].source.called if self._workers else {}
        for name in self._names:
            now = cards.get(called.get(name, name))
            if now is not None:
                before = self._cards.get(name, (0, 0))[1]
                self._dropped_card[name] += now[1] - before if now[1] >= before else now[1]
                self._cards[name] = now

    def stats(self) -> dict[str, Any]:
        """All metrics now, as the log and the store tell them: numbers and histograms."""
        return flat(self.metrics())

    def metrics(self) -> dict[str, Any]:
        """The same by interface where they are (see Metric)."""
        values = summed([stats(worker.pipeline) for worker in self._workers])
        values["dropped_ring"] = self.dropped_ring()
        values["dropped_card"] = self.dropped_card()
        values["interface_packets"] = packets = dict.fromkeys(self._names, 0)
        for worker in self._workers:
            for name, count in worker.source.packets.items():
                packets[name] += count
        now_ns = min(worker.source.now_ns for worker in self._workers)
        if now_ns > 0:  # before its first turn a source has no time
            values["lag_ns"] = max(time.time_ns() - now_ns, 0)
        values["uptime_ns"] = round((time.monotonic() - self._began_s) * 1e9)
        values["workers"] = len(self._workers)
        values |= self._losses() | self.more()
        return values | (self._store.metrics() if self._store is not None else {})
