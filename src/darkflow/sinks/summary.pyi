from darkflow.flow.batch import Events
from darkflow.flow.networks import Networks

class Summary:
    """Takes complete dark flows (end events) and answers for tables; `limit` entries per table."""

    name: str
    dropped: int
    destinations: int
    def __init__(self, networks: Networks, seed: bytes = ..., limit: int = 4_000_000) -> None: ...
    def write(self, events: Events) -> None:
        """Count the flows of one batch of events."""
    def close(self) -> None:
        """Nothing is left to do."""
    @property
    def source_total(self) -> int:
        """Number of different sources."""
    @property
    def by_direction(self) -> dict[str, int]:
        """Dark flows by direction."""
    @property
    def by_tool(self) -> list[tuple[str, int, int, int, int]]:
        """(tool, packets, flows, of them by looks alone, sources), the most flows first."""
    def top_ports(self, count: int) -> list[tuple[int, int, int, int]]:
        """(port, packets, flows, sources) of the ports with the most packets."""
    def top_sources(self, count: int) -> list[tuple[str, int, int, int, int]]:
        """(address, flows, packets, ports, targets) of those with the most flows."""
    def inside_sources(self, count: int) -> list[tuple[str, int, int, int, int, int, int]]:
        """The same of sources that sent outbound ones, with first_ns and last_ns behind them."""
