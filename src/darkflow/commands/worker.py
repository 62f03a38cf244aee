"""One worker of the sensor: a thread with rings, pipeline and sinks of its own."""

from __future__ import annotations

import threading
from collections import deque

from darkflow.flow.senders import Senders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from darkflow.flow.batch import Events
    from darkflow.pipeline import Pipeline
    from darkflow.sources.live import Live

SHOWN = 12


class Lookout:
    """A worker's first sink: what the supervisor wants to see of the events."""

    name = "the lookout"

    def __init__(self) -> None:
        self.senders = Senders()
        self.recent: deque[dict[str, Any]] = deque(maxlen=SHOWN)
        self.wants_recent = False

    def write(self, events: Events) -> None:
        """Look at one batch."""
        if len(events):
            self.senders.count(events)
            if self.wants_recent:
                self.recent.extend(events.last_dark(SHOWN))

    def close(self) -> None:
        """Nothing is left to do."""


class Worker:
    """Runs the pipeline over its source until the source is stopped.

    `failed` is what ended it otherwise; `ended` is called, in its thread, in any case.
    """

    def __init__(
        self,
        source: Live,
        pipeline: Pipeline,
        lookout: Lookout,
        say: Callable[[str, str], None],
        ended: Callable[[], None],
    ) -> None:
        self.source = source
        self.pipeline = pipeline
        self.lookout = lookout
        self.failed: BaseException | None = None
        self._say = say
        self._ended = ended
        source.deadline_ns = pipeline.engine.deadline_ns
        # It runs for months: of delays only the histograms, which do not grow.
        pipeline.engine.reply_delays.drop_samples()
        pipeline.engine.late_delays.drop_samples()
        self._thread = threading.Thread(target=self._run, name="darkflow worker", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self, seconds: float) -> bool:
        """Wait for the end; whether it has come."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.pipeline.run(self.source)
            while self.source.stepped_ns:
                self._start_over()
                self.pipeline.run(self.source)
            self.pipeline.finish(self.source.now_ns)
        except BaseException as error:  # the supervisor says it; nothing may end unseen
            self.failed = error
        finally:
            self.source.close()
            self._ended()

    def _start_over(self) -> None:
        """The clock was set: no hold time can be told across that."""
        engine, seconds = self.pipeline.engine, self.source.stepped_ns / 1e9
        before = engine.counters["undecided"]
        self.pipeline.start_over(self.source.now_ns)
        count = engine.counters["undecided"] - before
        self._say("warning", f"the clock was set by {seconds:+.3f} s: {count} flows are undecided")
