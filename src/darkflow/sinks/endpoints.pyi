from collections.abc import Iterator
from typing import Any

from darkflow.flow.batch import Events
from darkflow.flow.networks import Networks

GRID_NS: tuple[int, ...]

class Endpoints:
    """Takes events, answers in time included (Engine(tells=True)), of watched destinations."""

    name: str
    count: int
    dropped: int
    last_ns: int
    def __init__(
        self,
        networks: Networks,
        seed: bytes = ...,
        limit: int = 4_000_000,
        answers_only: bool = False,
    ) -> None: ...
    def write(self, events: Events) -> None:
        """Count the events of one batch."""
    def close(self) -> None:
        """Nothing is left to do."""
    def take(self) -> Endpoints:
        """Everything counted until now, as a table of its own; this one begins anew."""
    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Each record as a tuple of analysis.addresses.Endpoint, in no order."""
