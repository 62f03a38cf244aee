"""What was lost that bears on who answers: one line for each counter that is not zero."""

from __future__ import annotations

from collections.abc import Mapping

LINES = {
    "dropped_queue": "{} SYNs were not judged: raise --queue-size",
    "dropped_table": "{} dark flows had no room in the flow table: their late answers were not seen"
    " (raise --flow-table-size)",
}


def lost(counters: Mapping[str, int]) -> list[str]:
    """From the counters of an engine, or of the runs of a store."""
    return [line.format(counters[name]) for name, line in LINES.items() if counters.get(name)]
