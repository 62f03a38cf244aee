from darkflow.flow.batch import Events
from darkflow.flow.networks import Networks

class LineFormat:
    """Writes the events of a batch as JSON lines."""

    lines: int
    def __init__(
        self, networks: Networks, hold_ns: int, at_verdict: bool = False, adaptive: bool = False
    ) -> None: ...
    def format(self, events: Events) -> bytes:
        """The lines of one batch, each ended by a newline."""
