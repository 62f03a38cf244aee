"""An engine whose holds get shorter with little evidence, for traffic of any kind."""

from __future__ import annotations

from darkflow.flow.adaptive import Adaptive
from darkflow.flow.engine import Engine
from darkflow.flow.networks import Networks


def shortened(engine: Engine, idle_ns: int, networks: Networks, wanted: bool) -> Engine:
    """The same, with `--adaptive`, if that is wanted and can be."""
    if wanted and 1 < engine.hold_ns <= idle_ns:
        # Nothing is shortened before so much time was seen, nor by what was seen longer ago.
        holds = (engine.hold_ns, max(engine.hold_ns // 5, 1))
        engine.adapt(Adaptive(holds, (1, 1, 5 * engine.hold_ns), 0.9, 8, networks))
    return engine
