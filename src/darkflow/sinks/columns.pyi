from darkflow.flow.batch import Events
from darkflow.flow.networks import Networks
from darkflow.sinks.arrow import Rows

class Columns:
    """Sorts the events of batches into the columns of the tables of events."""

    count: int
    def __init__(
        self, networks: Networks, hold_ns: int, at_verdict: bool = False, adaptive: bool = False
    ) -> None: ...
    def add(self, events: Events) -> None:
        """Append the rows of one batch."""
    def rows_in(self, events: Events) -> int:
        """How many rows a batch makes."""
    def take(self) -> dict[str, Rows]:
        """The rows by table, tables without rows left out; from then on they are the caller's."""
    @staticmethod
    def empty(table: str) -> Rows:
        """No rows: the columns of a table."""
