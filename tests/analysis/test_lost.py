"""What is said of counters of losses."""

from __future__ import annotations

from darkflow.analysis.lost import LINES, lost
from darkflow.flow.engine import Engine
from darkflow.sinks.metrics import METRICS


def test_a_line_for_each_loss_and_none_for_none() -> None:
    assert lost({}) == lost({"dropped_queue": 0, "packets": 9}) == []
    assert lost({"dropped_table": 3, "dropped_queue": 2}) == [
        "2 SYNs were not judged: raise --queue-size",
        "3 dark flows had no room in the flow table: their late answers were not seen"
        " (raise --flow-table-size)",
    ]


def test_the_counters_are_those_of_the_engine_and_of_the_store() -> None:
    assert LINES.keys() <= Engine(1, 1).counters.keys()
    assert LINES.keys() <= {metric.name for metric in METRICS}
