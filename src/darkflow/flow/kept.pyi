class KeptFrames:
    """A list of SYN frames that await their verdict, at most `limit_bytes` large."""

    bytes_held: int
    limit_bytes: int
    dropped: int
    def __init__(self, limit_bytes: int) -> None: ...
    def take(self, last: bool = False) -> list[tuple[int, int, int, int, bytes]]:
        """Judged dark frames from the old end: (t_ns, link, digits, origlen, bytes), by time."""
