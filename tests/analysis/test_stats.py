"""The row of `stats`: every metric of the table, with the numbers of the result document."""

from __future__ import annotations

from pathlib import Path

from darkflow.analysis.result import result
from darkflow.analysis.stats import stats
from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from darkflow.flow.networks import Networks
from darkflow.flow.order import Reorder
from darkflow.pipeline import Pipeline
from darkflow.sinks.metrics import METRICS
from darkflow.sinks.summary import Summary
from darkflow.sources.captures import Captures
from judging import HOLD_NS, IDLE_NS

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "lab.pcap"


def test_the_row_says_what_the_document_says() -> None:
    source, summary = Captures([str(EXAMPLE)], 10**9), Summary(Networks.everything())
    source.open()
    pipeline = Pipeline(Decoder(), Reorder(10**9), Engine(HOLD_NS, IDLE_NS), [summary])
    pipeline.run(source)
    pipeline.finish(source.now_ns)
    row, document = stats(pipeline), result(pipeline, source, summary, 1.0, 10)
    # The others know the source, the summary, the store, the outputs, the scans and the clock.
    assert {m.name for m in METRICS if not m.honeypot} - set(row) == {
        "dropped_store", "dropped_ring", "dropped_summary", "disorder_ns", "interface_packets",
        "dropped_card", "lag_ns", "uptime_ns", "workers", "store_rows", "store_rows_waiting",
        "store_written_timestamp_ns", "dropped_events", "dropped_pcap", "scans", "backscatter",
        "dropped_scans", "dropped_resets", "dropped_targets", "dropped_alerts", "alerts_sent",
        "alerts_repeated",
        "alerts_suppressed", "dropped_digest", "dropped_labels",
    }  # fmt: skip
    for name in (
        "packets",
        "syn",
        "dark",
        "answered",
        "icmp_errors",
        "late_answers",
    ):
        assert row[name] == document[name]
    assert row["undecoded"] == sum(document["undecoded"].values())
    assert row["dropped_queue"] == document["dropped"]["queue"]
    pairs = [(b["le"], b["count"]) for b in row["reply_delay_ns"]]
    assert pairs == document["reply_delay_histogram"]
    above = sum(b["le"] * b["count"] for b in row["reply_delay_ns"])
    assert above / 2 < row["reply_delay_ns_sum"] <= above
    assert sum(b["count"] for b in row["retransmissions"]) == row["dark"]
    assert row["queue_flows"] == row["table_flows"] == 0
