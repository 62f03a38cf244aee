EDGES_NS: tuple[int, ...]

class Delays:
    """Counts delays in ns; keeps up to `sample_limit` of them for exact quantiles."""

    count: int
    max_ns: int
    sum_ns: float
    def __init__(self, sample_limit: int = 2_000_000) -> None: ...
    def drop_samples(self) -> None:
        """Only the histogram from now on: for a run without end, whose memory must not grow."""
    @property
    def exact(self) -> bool:
        """True while every delay is kept, so that quantiles are exact."""
    def quantile(self, share: float) -> int | None:
        """Delay in ns at rank int(share * count); None without delays."""
    def share_within(self, limit_ns: int) -> float | None:
        """Share of delays up to `limit_ns`, which must be a bin's edge; None without delays."""
    def histogram(self) -> list[tuple[int | None, int]]:
        """(upper edge in ns or None for beyond 120 s, count) of every bin that is not empty."""
