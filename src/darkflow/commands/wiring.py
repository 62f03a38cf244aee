"""The stages and sinks of a run, put together from the settings; files and live use the same."""

from __future__ import annotations

import os
import time

from darkflow.commands.adapting import adaptive_of, misfit
from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from darkflow.flow.kept import KeptFrames
from darkflow.flow.networks import Networks
from darkflow.flow.order import Reorder
from darkflow.pipeline import Pipeline

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any

    from darkflow.commands.detecting import Detecting
    from darkflow.flow.batch import Events
    from darkflow.sinks.dark_pcap import PcapFiles
    from darkflow.sinks.direct import Box
    from darkflow.sinks.frame_pcap import FramePcap
    from darkflow.sinks.outputs import Outputs
    from darkflow.sinks.records import Records
    from darkflow.sinks.sink import Sink
    from darkflow.sinks.store import Limits, Store
    from darkflow.units import WatchedRanges

STDOUT = "-"


class Forget:
    """The last sink, when frames are kept only until the sinks before it have seen the verdict."""

    name = "kept frames"

    def __init__(self, kept: KeptFrames) -> None:
        self._kept = kept

    def write(self, events: Events) -> None:
        """Let go what has got its verdict."""
        del events
        self._kept.take()

    def close(self) -> None:
        """Let go the rest."""
        self._kept.take(last=True)


def conflict(options: argparse.Namespace) -> str | None:
    """Why the outputs that are asked for cannot go together, or None."""
    outputs = [*(options.events or ()), *([options.dark_pcap] if options.dark_pcap else ())]
    to_stdout = outputs.count(STDOUT) + (1 if getattr(options, "json", False) else 0)
    if to_stdout > 1:
        return "only one of --json, --events - and --dark-pcap - can have standard output"
    for path in outputs:
        if outputs.count(path) > 1:
            return f"{path} is named twice: --events and --dark-pcap cannot share a file"
    return None


class Wiring:
    """What the options ask for, opened once; each worker has a pipeline of its own that uses it.

    `live`: input comes as it happens, so lines are written at the verdict and flushed at once.
    `can_wait`: the input waits for slow outputs (captures, and who writes a pipe); otherwise they
    have buffers, what finds no room is lost and counted, and `say` hears of their troubles.
    OSError when an output cannot be opened, ValueError when it is none or settings do not fit.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        settings: dict[str, Any],
        live: bool,
        can_wait: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        problem = misfit(settings)
        if problem:
            raise ValueError(problem)
        self.settings = settings
        self._say = say
        self.seed = os.urandom(16)
        self.networks = Networks.everything()
        self._watch(settings["networks"])
        self.dark_pcap: PcapFiles | None = None
        self.store: Store | None = None
        # The honeypot wants SYNs whole that are more than their headers.
        self.keep_larger = False
        self._at_verdict = options.events_at == "verdict" or (options.events_at == "auto" and live)
        self._outputs: Outputs | None = None
        self._events: list[tuple[str, Box]] = []
        self._buffered = live and not can_wait
        if options.events or options.dark_pcap:
            self._outputs = outputs = self._open_outputs(live, say)
            self._events = [(text, outputs.events(text)) for text in options.events or ()]
            if options.dark_pcap:
                from darkflow.sinks.dark_pcap import PcapFiles

                self.dark_pcap = PcapFiles(options.dark_pcap, outputs.pcap, self._buffered)
        self.detecting: Detecting | None = None
        tells = self._wants_scans(options)
        if options.store:
            self.store = self._open_store(options.store, live)
        if tells:
            from darkflow.commands.detecting import Detecting

            boxes = [box for _, box in self._events]
            self.detecting = Detecting(settings, self.networks, self.seed, boxes, self.store, say)

    def _wants_scans(self, options: argparse.Namespace) -> bool:
        """Files that are named wrongly are said before anything is opened for writing."""
        settings = self.settings
        asked = options.events or options.store or settings["alert"] or settings["digest"]
        if settings["scans"] == "auto" and not asked:
            return False
        from darkflow.commands.detecting import wanted

        return wanted(options, settings)

    def change(self, new: dict[str, Any]) -> None:
        """Take up settings of config.LIVE; the workers go on meanwhile."""
        self.settings = self.settings | new
        if "networks" in new:
            self._watch(new["networks"])
            if self.detecting is not None:
                self.detecting.limit(self.settings)
        if self.store is not None and any(name.startswith("store_") for name in new):
            self.store.limit(self._limits())

    def _watch(self, networks: WatchedRanges | None) -> None:
        """These networks tell a flow's direction; None: every address is one of ours."""
        if networks is None:
            self.networks.replace([(bytes(4), b"\xff" * 4)], [(bytes(16), b"\xff" * 16)])
        else:
            cidrs, ranges4, ranges6 = networks
            self.networks.replace(ranges4, ranges6, cidrs)

    def _open_outputs(self, live: bool, say: Callable[[str], None]) -> Outputs:
        from darkflow.sinks.outputs import Outputs

        if not self._buffered:
            return Outputs(None, None, live, say)
        from darkflow.sinks.rotating_file import Rotation

        settings = self.settings
        rotation = Rotation(
            settings["rotate_size"] or 0, settings["rotate_time"] or 0, settings["rotate_keep"]
        )
        return Outputs(settings["output_buffer"], rotation, live, say)

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

    def _told(self) -> tuple[Networks, int, bool, bool]:
        """What lines and columns have to know to tell of a flow."""
        settings = self.settings
        return self.networks, settings["hold"], self._at_verdict, settings["adaptive"] is not None

    def _store_sinks(self, store: Store) -> list[Sink]:
        """The store has sinks for each pipeline, and is closed after all of them."""
        from darkflow.sinks.columns import Columns

        every_ns = self.settings["store_answered"]
        sinks: list[Sink] = [store.sink(Columns(*self._told()))]
        if every_ns:
            from darkflow.sinks.answered import Answered

            sinks.append(Answered(store, self.networks, self.seed, every_ns))
        return sinks

    def pipeline(self, first: Sink, reorder_ns: int) -> Pipeline:
        """The stages and sinks of one worker, `first` before the others."""
        settings = self.settings
        # The store first: a reader of lines that goes ends the run. Scans before the event lines,
        # whose sinks may close their files at the end.
        stored = [] if self.store is None else self._store_sinks(self.store)
        scans = [] if self.detecting is None else [self.detecting.sink()]
        sinks = [first, *stored, *scans, *self._event_sinks()]
        kept = None
        if self.dark_pcap is not None:
            from darkflow.sinks.dark_pcap import DarkPcap

            kept = KeptFrames(settings["frame_buffer"])
            sinks.append(DarkPcap(kept, self.dark_pcap))
        elif self.keep_larger:
            kept = KeptFrames(settings["frame_buffer"], only_larger=True)
            sinks.append(Forget(kept))
        sizes = tuple(settings[n] for n in ("queue_size", "flow_table_size", "tool_sources"))
        answered = self.store is not None and settings["store_answered"] > 0
        tells = self.detecting is not None or answered
        engine = Engine(settings["hold"], settings["idle"], sizes, self.seed, kept, tells)
        adaptive = adaptive_of(settings, self.networks, self.seed)
        if adaptive is not None:
            engine.adapt(adaptive)
        order = Reorder(reorder_ns, settings["reorder_size"])
        return Pipeline(Decoder(settings["decap"], kept), order, engine, sinks)

    def _event_sinks(self) -> list[Sink]:
        """Where boxes take everything one sink feeds them all; else each may fail for itself."""
        if not self._events:
            return []
        from darkflow.sinks.event_file import EventFile
        from darkflow.sinks.lines import LineFormat

        together = [self._events] if self._buffered else [[one] for one in self._events]
        return [
            EventFile(
                ", ".join(text for text, _ in group),
                LineFormat(*self._told()),
                [box for _, box in group],
            )
            for group in together
        ]

    @property
    def reader_gone(self) -> bool:
        """Whether nobody reads standard output any more, and nothing else is written."""
        only = len(self._events) + (self.dark_pcap is not None) + (self.store is not None) == 1
        return only and self._outputs is not None and self._outputs.reader_gone

    def records(self) -> Records:
        """For sessions and cuts, which no engine tells of: to the same outputs."""
        from darkflow.sinks.records import Records

        return Records(self.networks, [box for _, box in self._events], self.store)

    def frame_pcap(self, path: str) -> FramePcap:
        """All frames of the honeypot's interface, to a pcap of their own."""
        from darkflow.sinks.frame_pcap import FramePcap

        if self._outputs is None:
            self._outputs = self._open_outputs(True, self._say)
        return FramePcap(self._outputs.pcap(path))

    def counters(self) -> dict[str, int]:
        """What the outputs have lost, by metric; the store counts for itself."""
        lost = {"dropped_events": 0, "dropped_pcap": 0}
        if self._outputs is not None:
            lost |= self._outputs.counters()
        if self.dark_pcap is not None:
            lost["dropped_pcap"] += self.dark_pcap.not_written
        if self.detecting is not None:
            lost["dropped_alerts"] = self.detecting.dropped_alerts
        return lost

    def measures(self) -> dict[str, int]:
        """The same, and what was found and forgotten of scans."""
        found = {} if self.detecting is None else self.detecting.counters()
        return found | self.counters()

    def reopen(self) -> list[str]:
        """Go on in new files of the same names; a line for each that cannot be opened."""
        return [] if self._outputs is None else self._outputs.reopen()

    def look(self) -> None:
        """Called each second or so: an output that hangs is said."""
        if self._outputs is not None:
            self._outputs.look()
        if self.detecting is not None:
            self.detecting.look()

    def begin_close(self) -> None:
        """After the pipelines' end: the outputs write what waits, while other things are closed."""
        if self._outputs is not None:
            self._outputs.begin_close()
        if self.detecting is not None:
            self.detecting.begin_close()

    def close(self, until_s: float | None = None) -> list[str]:
        """Wait for that, for a second at most, and not beyond a moment; what was lost then."""
        lost = [] if self._outputs is None else self._outputs.close(until_s)
        if self.detecting is not None:
            lost += self.detecting.close(until_s if until_s is not None else time.monotonic() + 1)
        return lost
