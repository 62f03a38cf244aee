class Fingerprints:
    """The sources of dark flows, at most `limit`, and what their SYNs have shown."""

    dropped: int
    def __init__(self, limit: int, seed: bytes) -> None: ...
    def clear(self) -> None:
        """Forget all sources."""
    @property
    def memory_bytes(self) -> int:
        """What is allocated now."""
