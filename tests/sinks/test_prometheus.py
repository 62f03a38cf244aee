"""The page for Prometheus, read by the parser of Prometheus' own client library."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric as Family
from prometheus_client.parser import text_string_to_metric_families

from darkflow.flow.delays import EDGES_NS
from darkflow.sinks.metrics import METRICS, Metric
from darkflow.sinks.prometheus import BUCKETS_NS, escaped, prometheus_name, render


def example(metric: Metric) -> Any:
    """A value of its kind that is not 0."""
    if metric.type == "histogram":
        return [{"le": 1, "count": 2}, {"le": 3, "count": 5}, {"le": None, "count": 1}]
    return {'et"h\\0': 7, "eth1": 8} if metric.label else 9


def families(values: dict[str, Any]) -> dict[str, Family]:
    """The page's metrics by the names that the parser gives them: without `_total`."""
    return {family.name: family for family in text_string_to_metric_families(render(values))}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_is_on_the_page_as_prometheus_wants_it(metric: Metric) -> None:
    name = prometheus_name(metric).removesuffix("_total")
    family = families({metric.name: example(metric)})[name]
    assert family.type == metric.type
    assert metric.meaning in family.documentation
    # Base units, https://prometheus.io/docs/practices/naming/
    assert not name.endswith(("_ns", "_ms", "_us", "_kib", "_mib", "_count", "_sum", "_bucket"))
    assert name.endswith("_seconds") == (metric.unit == "ns")
    if metric.label:
        assert {sample.labels[metric.label]: sample.value for sample in family.samples} == {
            'et"h\\0': 7, "eth1": 8,
        }  # fmt: skip
    elif metric.type != "histogram":
        (sample,) = family.samples
        assert sample.value == pytest.approx(9e-9 if metric.unit == "ns" else 9)
        assert sample.name.endswith("_total") == (metric.type == "counter")


def test_a_metric_that_is_not_known_is_not_there() -> None:
    assert not [name for name in families({"packets": None}) if name == "darkflow_packets"]


def test_buckets_are_cumulative_and_exact() -> None:
    bins = [
        {"le": EDGES_NS[0], "count": 3},  # 1 us: below the first bucket
        {"le": 1_200_000, "count": 5},  # within the bucket up to 2 ms
        {"le": 2_000_000, "count": 7},
        {"le": 120_000_000_000, "count": 11},  # beyond the last bucket
        {"le": None, "count": 13},
    ]
    found = families({"reply_delay_ns": bins, "reply_delay_ns_sum": 2_500_000_000.0})
    samples = found["darkflow_reply_delay_seconds"].samples
    at = {s.labels["le"]: s.value for s in samples if s.name.endswith("_bucket")}
    assert len(at) == len(BUCKETS_NS) + 1
    counts = [at["0.00001"], at["0.001"], at["0.002"], at["0.005"], at["100"], at["+Inf"]]
    assert counts == [3, 3, 15, 15, 15, 39]
    others = {s.name.rpartition("_")[2]: s.value for s in samples if not s.labels}
    assert others == {"count": 39, "sum": 2.5}
    edges = [float(le) for le in at]
    assert edges == sorted(edges)
    assert list(at.values()) == sorted(at.values())


def test_every_bucket_ends_where_a_bin_ends() -> None:
    assert set(BUCKETS_NS) <= set(EDGES_NS)


def test_no_sum_where_none_is_known() -> None:
    samples = families({"retransmissions": [{"le": 0, "count": 3}, {"le": None, "count": 1}]})[
        "darkflow_retransmissions"
    ].samples
    assert not [sample for sample in samples if sample.name.endswith("_sum")]
    assert samples[0].labels["le"] == "0"
    assert [sample.value for sample in samples][-2:] == [4, 4]
    assert {sample.value for sample in samples[:-2]} == {3}


def test_labels_are_escaped() -> None:
    assert escaped('a"b\\c\nd') == 'a\\"b\\\\c\\nd'


def test_the_process_is_described() -> None:
    found = {name: family.samples[0] for name, family in families({}).items()}
    assert 10e6 < found["process_resident_memory_bytes"].value < 2e9
    assert found["process_cpu_seconds"].value > 0
    assert time.time() - 86_400 < found["process_start_time_seconds"].value < time.time() + 1
    assert found["process_open_fds"].value <= len([*Path("/proc/self/fd").iterdir()]) + 5
    assert found["process_threads"].value >= 1
    assert found["darkflow_build_info"].labels["version"]


def test_times_since_1970_keep_their_digits() -> None:
    page = render({"store_written_timestamp_ns": 1_780_000_000_123_456_789})
    assert "darkflow_store_written_timestamp_seconds 1780000000.123456789\n" in page
