"""What the pipeline asks of a sink for events."""

from __future__ import annotations

from typing import Protocol

from darkflow.flow.batch import Events


class Sink(Protocol):
    """Where events go; `name` says in messages what is written where."""

    name: str

    def write(self, events: Events) -> None:
        """Take one batch of events, which is valid only during the call."""

    def close(self) -> None:
        """Write out what is left."""
