from darkflow.flow.batch import Events, Packets

class Senders:
    """Addresses that send, and dark flows to them, since the last `turn`."""

    def note(self, packets: Packets) -> Packets:
        """Note the sources of a batch of rows; the batch as it came."""
    def count(self, events: Events) -> None:
        """Count those dark flows of a batch whose destination has been seen sending."""
    def turn(self) -> tuple[int, bool]:
        """A new window; (dark flows to senders, whether they can be told) of the one that ends."""
