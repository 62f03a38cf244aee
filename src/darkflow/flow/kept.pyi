class KeptFrames:
    """A list of SYN frames that await their verdict, at most `limit_bytes` large."""

    bytes_held: int
    limit_bytes: int
    dropped: int
    only_larger: bool
    def __init__(self, limit_bytes: int, only_larger: bool = False) -> None:
        """only_larger: frames of SYNs that are more than an IP header and a TCP header."""
    def take(self, last: bool = False) -> list[tuple[int, int, int, int, bytes]]:
        """Judged dark frames from the old end: (t_ns, link, digits, origlen, bytes), by time."""
