"""The result of one run over captures as one document: what --json prints and the tables show."""

from __future__ import annotations

from darkflow.analysis.stats import adapted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from darkflow.pipeline import Pipeline
    from darkflow.sinks.labels import Labels
    from darkflow.sinks.summary import Summary
    from darkflow.sources.captures import Captures

# The shares people ask for; each is an edge of the histogram.
SHARE_LIMITS_NS = {
    "1ms": 1_000_000,
    "10ms": 10_000_000,
    "30ms": 30_000_000,
    "1s": 1_000_000_000,
    "5s": 5_000_000_000,
}


def result(
    pipeline: Pipeline,
    source: Captures,
    summary: Summary,
    elapsed_s: float,
    top: int,
    labels: Labels | None = None,
) -> dict[str, Any]:
    """Everything that is known after (or during) a run.

    Counts are packets or flows as their names say; times are ns. The keys up to `reader_notes`
    describe the engine's view, `inside_sources` those of our own that are likely infected;
    `labels` say what is known of sources. `undecoded` and `dropped` name every loss, so that
    packets = tcp + sum(undecoded) and syn = attempts + retransmitted_or_repeated + dropped.queue.
    """
    engine = pipeline.engine.counters
    decoded = pipeline.decoder.counters
    undecoded = decoded.pop("undecoded")
    icmp_errors = decoded.pop("icmp_errors")
    dropped_queue = engine.pop("dropped_queue")
    dropped_table = engine.pop("dropped_table")
    kept = pipeline.engine.kept_frames
    return {
        "inside_sources": _inside(summary, top, labels),
        **decoded,
        **engine,
        "disorder_ns": source.disorder_ns,
        "dark_sources": summary.source_total,
        "dark_destinations": summary.destinations,
        "reply_delay_ns": {
            name: pipeline.engine.reply_delays.quantile(share)
            for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
        },
        "reader_notes": source.notes,
        "undecoded": {name: count for name, count in undecoded.items() if count},
        "dropped": {
            "queue": dropped_queue,
            "table": dropped_table,
            "sources": pipeline.engine.dropped_sources,
            "frames": kept.dropped if kept is not None else 0,
            "summary": summary.dropped,
            "clamped": source.clamped + pipeline.order.clamped,
        },
        **_adaptive(pipeline),
        "icmp_errors": icmp_errors,
        "direction": summary.by_direction,
        "reply_delay_exact": pipeline.engine.reply_delays.exact,
        **_distributions(pipeline),
        "top_ports": [
            {"port": port, "packets": packets, "flows": flows, "sources": sources}
            for port, packets, flows, sources in summary.top_ports(top)
        ],
        "top_sources": _top(summary, top, labels),
        "tools": [
            {"tool": tool, "flows": flows, "low": low, "packets": packets, "sources": sources}
            for tool, packets, flows, low, sources in summary.by_tool
        ],
        "elapsed_s": round(elapsed_s, 6),
        "packets_per_s": round(decoded["packets"] / elapsed_s) if elapsed_s > 0 else 0,
    }


def _adaptive(pipeline: Pipeline) -> dict[str, dict[str, int]]:
    """What came of shorter holds, where they were asked for."""
    values = adapted(pipeline.engine).items()
    told = {name.removeprefix("adaptive_"): value for name, value in values}
    return {"adaptive": told} if told else {}


def _inside(summary: Summary, top: int, labels: Labels | None) -> list[dict[str, Any]]:
    return [
        {"src_ip": ip, "flows": flows, "packets": packets, "ports": ports, "targets": n,
         "first_ns": first_ns, "last_ns": last_ns, **_label(labels, ip)}
        for ip, flows, packets, ports, n, first_ns, last_ns in summary.inside_sources(top)
    ]  # fmt: skip


def _top(summary: Summary, top: int, labels: Labels | None) -> list[dict[str, Any]]:
    return [
        {"src_ip": ip, "flows": flows, "packets": packets, "ports": ports, "targets": n,
         **_label(labels, ip)}
        for ip, flows, packets, ports, n in summary.top_sources(top)
    ]  # fmt: skip


def _label(labels: Labels | None, ip: str) -> dict[str, Any]:
    """What is known of a source, where that was asked for."""
    if labels is None:
        return {}
    import ipaddress

    label = labels.of(ipaddress.ip_address(ip).packed)
    return {"known": label.known, "country": label.country, "asn": label.asn}


def _distributions(pipeline: Pipeline) -> dict[str, Any]:
    """Histograms as lists of (upper edge in ns, or null beyond 120 s; count)."""
    delays = pipeline.engine.reply_delays
    retries = pipeline.engine.retry_counts
    while retries and not retries[-1]:
        retries.pop()
    return {
        "reply_delay_share": {
            name: delays.share_within(limit) for name, limit in SHARE_LIMITS_NS.items()
        },
        "reply_delay_histogram": delays.histogram(),
        "late_answer_delay_histogram": pipeline.engine.late_delays.histogram(),
        "retransmissions": {
            "flows_by_count": retries,
            "first_to_last_histogram": pipeline.engine.retry_spans.histogram(),
        },
    }
