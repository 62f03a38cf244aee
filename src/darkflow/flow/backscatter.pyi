from darkflow.flow.batch import Events
from darkflow.flow.detection import Backscatter, BackscatterLimits
from darkflow.flow.networks import Networks

class Victims:
    """Takes events of an engine that `tells`, gives backscatter; limits: BackscatterLimits."""

    begun: int
    evicted: int
    unjudged: int
    def __init__(
        self, networks: Networks, limits: BackscatterLimits, seed: bytes = ...
    ) -> None: ...
    def limit(self, limits: BackscatterLimits) -> None:
        """Other limits from now on; the number of victims stays."""
    @property
    def victims(self) -> int:
        """Records now."""
    @property
    def lost(self) -> int:
        """Targets beyond the exact sets that no library was there to count."""
    def observe(self, events: Events) -> list[Backscatter]:
        """What one batch brings about, in the order of time."""
    def finish(self) -> list[Backscatter]:
        """The input has ended: so has what it told of."""
