from darkflow.flow.batch import Packets

class Echoes:
    """Takes the rows of the honeypot's interface and their echoes out of batches."""

    echoes: int
    answers: int
    forgotten: int
    def __init__(self, source: int, seed: bytes, places: int = 1 << 17) -> None: ...
    def filter(self, packets: Packets) -> Packets:
        """The same batch without them; rows must be in the order of time."""
