"""Writes events as JSON lines to files, standard output or syslog."""

from __future__ import annotations

from darkflow.flow.batch import Events
from darkflow.sinks.lines import LineFormat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from darkflow.sinks.direct import Box


class EventFile:
    """A sink that formats one worker's events and puts the lines into boxes, shared or its own."""

    def __init__(self, names: str, lines: LineFormat, boxes: Sequence[Box]) -> None:
        self.name = f"events to {names}"
        self._lines = lines
        self._boxes = boxes

    def write(self, events: Events) -> None:
        """Put one batch's lines."""
        before = self._lines.lines
        data = self._lines.format(events)
        if data:
            units = self._lines.lines - before
            for box in self._boxes:
                box.put(data, units)

    def close(self) -> None:
        """Flush; OSError if that fails."""
        for box in self._boxes:
            box.finish()
