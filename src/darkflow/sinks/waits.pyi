from collections.abc import Sequence

from darkflow.flow.batch import Events
from darkflow.flow.delays import Delays
from darkflow.flow.networks import Networks

class Group:
    """What is known of one network."""

    delays: Delays
    spans: Delays
    dark: int

class Waits:
    """Takes events of an engine that tells answers and whose T is `longest_ns`."""

    name: str
    groups: list[Group]
    cut_short: int
    hurried: int
    def __init__(
        self, networks: Sequence[Networks], longest_ns: int, limit: int = 1 << 20
    ) -> None: ...
    def write(self, events: Events) -> None:
        """Take the events of one batch."""
    def close(self) -> None:
        """Nothing is left to do; `settle` must be called with the end of the input."""
    def settle(self, end_ns: int) -> None:
        """The input has ended at `end_ns`: who was not watched for long enough is left out."""
