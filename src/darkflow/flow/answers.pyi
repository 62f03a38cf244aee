from darkflow.flow.batch import Packets
from darkflow.flow.networks import Networks

class Answers:
    """Answers of watched hosts to others, as a stage of one worker sees them.

    count: all of them. first_ns: when the first one came since `forget`, network time; 0: none.
    """

    count: int
    first_ns: int
    def __init__(self, networks: Networks) -> None: ...
    def note(self, packets: Packets) -> Packets:
        """Look at a batch of rows; the batch as it came."""
    def forget(self) -> None:
        """The next one is the first."""
