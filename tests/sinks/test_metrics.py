"""The table of metrics: in the docs as in the program."""

from __future__ import annotations

from pathlib import Path

from darkflow.sinks.metrics import METRICS, as_markdown

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
