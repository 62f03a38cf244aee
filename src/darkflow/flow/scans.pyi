from darkflow.flow.batch import Events
from darkflow.flow.detection import Scan, ScanLimits
from darkflow.flow.networks import Networks

class Scans:
    """Takes events of an engine that `tells`, gives scans. limits: ScanLimits; seed: 16 bytes."""

    begun: int
    evicted: int
    def __init__(self, networks: Networks, limits: ScanLimits, seed: bytes = ...) -> None: ...
    def limit(self, limits: ScanLimits) -> None:
        """Other limits from now on; the number of sources stays."""
    @property
    def sources(self) -> int:
        """Records now, those of IPv6 prefixes included."""
    @property
    def lost(self) -> int:
        """Targets beyond the exact sets that no library was there to count."""
    def observe(self, events: Events) -> list[Scan]:
        """What one batch brings about, in the order of time."""
    def finish(self) -> list[Scan]:
        """The input has ended: so have all scans."""
