"""The stages and sinks of a run, put together from the settings; files and live use the same."""

from __future__ import annotations

import os

from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from darkflow.flow.kept import KeptFrames
from darkflow.flow.networks import Networks
from darkflow.flow.order import Reorder
from darkflow.pipeline import Pipeline

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from darkflow.config import WatchedRanges
    from darkflow.sinks.dark_pcap import DarkPcap
    from darkflow.sinks.event_file import EventFile
    from darkflow.sinks.sink import Sink
    from darkflow.sinks.store import Limits, Store


class Wiring:
    """What the options ask for; OSError when an output cannot be opened.

    `live`: input comes as it happens, so lines are written at the verdict and flushed at once.
    """

    def __init__(self, options: argparse.Namespace, settings: dict[str, Any], live: bool) -> None:
        self.settings = settings
        self.seed = os.urandom(16)
        self.networks = Networks.everything()
        self._watch(settings["networks"])
        self.event_file: EventFile | None = None
        self.dark_pcap: DarkPcap | None = None
        self.store: Store | None = None
        self._at_verdict = options.events_at == "verdict" or (options.events_at == "auto" and live)
        self._kept = KeptFrames(settings["frame_buffer"]) if options.dark_pcap else None
        if options.events:
            self.event_file = self._open_events(options, live)
        if self._kept is not None:
            from darkflow.sinks.dark_pcap import DarkPcap

            self.dark_pcap = DarkPcap(options.dark_pcap, self._kept, live)
        if options.store:
            self.store = self._open_store(options.store, live)

    def change(self, new: dict[str, Any]) -> None:
        """Take up settings of config.LIVE; the workers go on meanwhile."""
        self.settings = self.settings | new
        if "networks" in new:
            self._watch(new["networks"])
        if self.store is not None and any(name.startswith("store_") for name in new):
            self.store.limit(self._limits())

    def _watch(self, networks: WatchedRanges | None) -> None:
        """These networks tell a flow's direction; None: every address is one of ours."""
        if networks is None:
            self.networks.replace([(bytes(4), b"\xff" * 4)], [(bytes(16), b"\xff" * 16)])
        else:
            cidrs, ranges4, ranges6 = networks
            self.networks.replace(ranges4, ranges6, cidrs)

    def _open_events(self, options: argparse.Namespace, live: bool) -> EventFile:
        from darkflow.sinks.event_file import EventFile
        from darkflow.sinks.lines import LineFormat

        lines = LineFormat(self.networks, self.settings["hold"], self._at_verdict)
        return EventFile(options.events, lines, live)

    def _open_store(self, folder: str, live: bool) -> Store:
        from darkflow.sinks.store import Store

        # Captures can wait for a slow disk; what is live must not be made to.
        return Store(folder, None, self._limits(), patient=not live)

    def _limits(self) -> Limits:
        from darkflow.sinks.store import Limits

        return Limits(
            self.settings["store_flush"] / 1e9,
            self.settings["store_rows"],
            self.settings["store_days"],
            self.settings["store_bytes"],
        )

    def _store_sink(self) -> Sink | None:
        """The store has a sink for each pipeline, and is closed after all of them."""
        if self.store is None:
            return None
        from darkflow.sinks.columns import Columns

        return self.store.sink(Columns(self.networks, self.settings["hold"], self._at_verdict))

    def pipeline(self, first: Sink, reorder_ns: int) -> Pipeline:
        """The stages with all sinks, `first` before the others."""
        settings = self.settings
        sizes = (settings["queue_size"], settings["flow_table_size"])
        engine = Engine(settings["hold"], settings["idle"], sizes, self.seed, self._kept)
        order = Reorder(reorder_ns, settings["reorder_size"])
        outputs = (first, self.event_file, self._store_sink(), self.dark_pcap)
        sinks = [sink for sink in outputs if sink is not None]
        return Pipeline(Decoder(settings["decap"], self._kept), order, engine, sinks)
