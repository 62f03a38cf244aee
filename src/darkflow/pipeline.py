"""The loop: frames in, verdicts out."""

from __future__ import annotations

from darkflow.flow.batch import Events, Packets
from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from darkflow.flow.order import Reorder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from darkflow.sinks.sink import Sink
    from darkflow.sources.source import Source


class Pipeline:
    """Source, decode, order, engine, sinks.

    A sink that fails is left out from then on, and `troubles` says so: a full disk must not cost
    what the others can still tell.
    """

    def __init__(
        self, decoder: Decoder, order: Reorder, engine: Engine, sinks: Sequence[Sink]
    ) -> None:
        self.decoder = decoder
        self.order = order
        self.engine = engine
        self.sinks = list(sinks)
        # What else looks at packets, or takes some out, before the engine sees them.
        self.stages: list[Callable[[Packets], Packets]] = []
        self.troubles: list[str] = []

    def run(self, source: Source) -> None:
        """Judge everything that the source brings."""
        for frames in source:  # bytes valid until the next turn
            packets = self.order.put(self.decoder.decode(frames))
            for stage in self.stages:
                packets = stage(packets)
            for events in self.engine.observe(packets):
                self._write(events)

    def _judge_rest(self, now_ns: int) -> None:
        packets = self.order.rest()
        for stage in self.stages:
            packets = stage(packets)
        for events in self.engine.observe(packets):
            self._write(events)
        for events in self.engine.finish(now_ns):
            self._write(events)

    def start_over(self, now_ns: int) -> None:
        """Time ends at `now_ns` and begins anew (the clock was set): no flow lasts across that."""
        self._judge_rest(now_ns)
        self.order.restart()
        self.engine.restart()

    def finish(self, now_ns: int) -> None:
        """The source has ended at `now_ns`: last verdicts, sinks closed."""
        self._judge_rest(now_ns)
        for sink in list(self.sinks):
            try:
                sink.close()
            except OSError as error:
                self._leave_out(sink, error)

    def _write(self, events: Events) -> None:
        for sink in list(self.sinks):
            try:
                sink.write(events)
            except OSError as error:
                self._leave_out(sink, error)

    def _leave_out(self, sink: Sink, error: OSError) -> None:
        if isinstance(error, BrokenPipeError):
            raise error
        self.sinks.remove(sink)
        self.troubles.append(f"cannot write {sink.name}: {error.strerror or error}")
