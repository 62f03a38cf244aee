"""The metrics of a run as one row of the store's table `stats`; their names are in metrics.py."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from darkflow.flow.delays import Delays
    from darkflow.flow.engine import Engine
    from darkflow.pipeline import Pipeline


COUNTED = (
    "adaptive_listed", "adaptive_early", "adaptive_false", "adaptive_unwatched", "adaptive_evicted",
)  # fmt: skip


def adapted(engine: Engine) -> dict[str, int]:
    """What came of shorter holds, by name of metric; empty without `--adaptive`."""
    adaptive = engine.adaptive
    if adaptive is None:
        return {}
    return adaptive.counters | {"adaptive_hold_ns": adaptive.short_hold_ns}


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
        "dropped_sources": engine.dropped_sources,
        "dropped_frames": kept.dropped if kept is not None else 0,
        "clamped": pipeline.order.clamped,
        "queue_flows": queue_flows,
        "table_flows": table_flows,
        "engine_bytes": engine.memory_bytes,
        **(adapted(engine) or dict.fromkeys(COUNTED, 0) | {"adaptive_hold_ns": engine.hold_ns}),
        **_histogram("reply_delay_ns", engine.reply_delays),
        **_histogram("late_answer_delay_ns", engine.late_delays),
        "retransmissions": [
            {"le": resent if resent < len(retries) - 1 else None, "count": count}
            for resent, count in enumerate(retries)
            if count
        ],
        **_histogram("retransmission_span_ns", engine.retry_spans),
    }


def _histogram(name: str, delays: Delays) -> dict[str, Any]:
    """Bins that are not empty: upper edge, or None beyond the last, and count; and the sum."""
    bins = [{"le": edge, "count": count} for edge, count in delays.histogram()]
    return {name: bins, f"{name}_sum": delays.sum_ns}
