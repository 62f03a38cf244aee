from darkflow.flow.networks import Networks

MAX_SIZE: int

class Adaptive:
    """Tells which SYNs need not be held for T."""

    hold_ns: int
    levels: int
    level: int
    listed: int
    early: int
    false_dark: int
    unwatched: int
    evicted: int
    def __init__(
        self,
        holds: tuple[int, int],
        evidence: tuple[int, int, int],
        bound: float,
        size: int,
        networks: Networks,
        seed: bytes = ...,
    ) -> None: ...
    @property
    def counters(self) -> dict[str, int]:
        """What came of it, by metric."""
    @property
    def short_hold_ns(self) -> int:
        """How long a SYN to a listed destination is held now."""
    @property
    def memory_bytes(self) -> int:
        """What both tables hold allocated."""
