"""The table of metrics: in the docs as in the program, and how workers' values become one."""

from __future__ import annotations

from pathlib import Path

from darkflow.sinks.metrics import ADD, METRICS, MOST, as_markdown, flat, summed

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_docs_hold_the_table() -> None:
    assert as_markdown() in (DOCS / "store.md").read_text()


def test_every_metric_is_described_once() -> None:
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names))
    for metric in METRICS:
        assert metric.meaning
        assert metric.unit
        assert metric.type in ("counter", "gauge", "histogram")
        assert metric.over in (ADD, MOST)
        assert metric.over == ADD or metric.type == "gauge"


def test_workers_add_up() -> None:
    one = {
        "packets": 3, "queue_flows": 5, "lag_ns": 70, "dropped_ring": {"eth0": 1, "eth1": 2},
        "reply_delay_ns": [{"le": 10, "count": 1}, {"le": 30, "count": 2}],
        "reply_delay_ns_sum": 50.0, "of no metric": 1,
    }  # fmt: skip
    two = {
        "packets": 4, "queue_flows": 6, "lag_ns": 40, "dropped_ring": {"eth0": 10},
        "reply_delay_ns": [
            {"le": 20, "count": 4}, {"le": 30, "count": 8}, {"le": None, "count": 1},
        ],
        "reply_delay_ns_sum": 7.0,
    }  # fmt: skip
    assert summed([one, two]) == {
        "packets": 7, "queue_flows": 11, "lag_ns": 70, "dropped_ring": {"eth0": 11, "eth1": 2},
        "reply_delay_ns": [
            {"le": 10, "count": 1}, {"le": 20, "count": 4}, {"le": 30, "count": 10},
            {"le": None, "count": 1},
        ],
        "reply_delay_ns_sum": 57.0,
    }  # fmt: skip


def test_a_sum_that_one_worker_does_not_know_is_not_known() -> None:
    known = {"reply_delay_ns": [{"le": 10, "count": 1}], "reply_delay_ns_sum": 9.0}
    unknown = {"reply_delay_ns": [{"le": 10, "count": 1}]}
    assert summed([known, unknown]) == {"reply_delay_ns": [{"le": 10, "count": 2}]}
    assert summed([]) == {}


def test_the_store_keeps_sums_of_labels() -> None:
    assert flat({"dropped_ring": {"a": 1, "b": 2}, "packets": 3}) == {
        "dropped_ring": 3,
        "packets": 3,
    }
    assert flat({"dropped_ring": 7}) == {"dropped_ring": 7}
