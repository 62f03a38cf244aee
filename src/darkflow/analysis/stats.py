"""The metrics of a run as one row of the store's table `stats`; their names are in metrics.py."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from darkflow.flow.delays import Delays
    from darkflow.pipeline import Pipeline


def stats(pipeline: Pipeline) -> dict[str, Any]:
    """What the stages know now, by name of metric; counters since the run began."""
    engine = pipeline.engine
    decoded = pipeline.decoder.counters
    kept = engine.kept_frames
    queue_flows, table_flows = engine.sizes
    retries = engine.retry_counts
    return {
        **decoded,
        **engine.counters,
        "undecoded": sum(decoded["undecoded"].values()),
        "dropped_frames": kept.dropped if kept is not None else 0,
        "clamped": pipeline.order.clamped,
        "queue_flows": queue_flows,
        "table_flows": table_flows,
        "engine_bytes": engine.memory_bytes,
        "reply_delay_ns": _histogram(engine.reply_delays),
        "late_answer_delay_ns": _histogram(engine.late_delays),
        "retransmissions": [
            {"le": resent if resent < len(retries) - 1 else None, "count": count}
            for resent, count in enumerate(retries)
            if count
        ],
        "retransmission_span_ns": _histogram(engine.retry_spans),
    }


def add_up(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """The metrics of several workers as those of one: numbers and histogram bins are added."""
    total = dict(parts[0])
    for part in parts[1:]:
        for name, value in part.items():
            if isinstance(value, list):
                bins = {row["le"]: row["count"] for row in total[name]}
                for row in value:
                    bins[row["le"]] = bins.get(row["le"], 0) + row["count"]
                edges = sorted(bins, key=lambda edge: (edge is None, edge))
                total[name] = [{"le": edge, "count": bins[edge]} for edge in edges]
            else:
                total[name] += value
    return total


def _histogram(delays: Delays) -> list[dict[str, int | None]]:
    """Bins that are not empty: upper edge, or None beyond the last, and count."""
    return [{"le": edge, "count": count} for edge, count in delays.histogram()]
