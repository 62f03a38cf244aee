from darkflow.flow.batch import Packets

class Reorder:
    """Holds rows for `reorder_ns`, at most about `limit` of them beyond what one turn brings."""

    reorder_ns: int
    limit: int
    clamped: int
    def __init__(self, reorder_ns: int, limit: int = 262_144) -> None: ...
    def __len__(self) -> int: ...
    def put(self, packets: Packets) -> Packets:
        """Take a batch in and give out the rows that are safe now, valid until the next call."""
    def restart(self) -> None:
        """Time begins anew, after `rest`."""
    def rest(self) -> Packets:
        """All that is left, at the end of all sources."""
