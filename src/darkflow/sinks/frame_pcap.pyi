from darkflow.flow.batch import Frames
from darkflow.sinks.direct import Box

class FramePcap:
    """Writes Ethernet frames with times in ns, from any thread; others are counted.

    put: frames given to the box, which counts those that it drops.
    """

    put: int
    not_written: int
    def __init__(self, box: Box) -> None: ...
    def write(self, frames: Frames) -> None:
        """All frames of a batch, in pieces of some PUT_BYTES, so that one loss is not the whole."""
