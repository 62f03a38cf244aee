"""What is measured about a run, each once: the store's table `stats` and its docs follow it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One metric: name, counter, gauge or histogram, unit, meaning. Counters only rise in a run."""

    name: str
    type: str
    unit: str
    meaning: str


METRICS: tuple[Metric, ...] = (
    Metric("packets", "counter", "packets", "read"),
    Metric("tcp", "counter", "packets", "with a TCP header"),
    Metric("undecoded", "counter", "packets", "without one"),
    Metric("syn", "counter", "packets", "SYNs: no ACK, no RST"),
    Metric("synack", "counter", "packets", "SYN+ACKs: no RST"),
    Metric("rst", "counter", "packets", "RSTs"),
    Metric("icmp_errors", "counter", "packets", "ICMP errors that quote a TCP packet"),
    Metric("icmp_unsolicited", "counter", "packets", "those of them that quote no open attempt"),
    Metric("unsolicited", "counter", "packets", "answers to no SYN that was seen"),
    Metric("attempts", "counter", "flows", "answered + refused + dark + undecided"),
    Metric("retransmitted_or_repeated", "counter", "packets", "SYNs of attempts open already"),
    Metric("answered", "counter", "flows", "a SYN+ACK came in time"),
    Metric("refused", "counter", "flows", "a RST came in time"),
    Metric("dark", "counter", "flows", "nothing came in time"),
    Metric("undecided", "counter", "flows", "the input ended before the hold time had passed"),
    Metric("late_answers", "counter", "flows", "answered after the verdict"),
    Metric("icmp_unreachable", "counter", "flows", "dark flows for which an ICMP error came"),
    Metric("dropped_queue", "counter", "packets", "SYNs not judged: the delay queue was full"),
    Metric("dropped_table", "counter", "flows", "forgotten after their verdict: the flow table was"
           " full"),
    Metric("dropped_ring", "counter", "packets", "lost in the kernel's ring"),
    Metric("dropped_frames", "counter", "packets", "frames not kept for dark.pcap"),
    Metric("dropped_summary", "counter", "entries", "not told apart in the tables"),
    Metric("dropped_store", "counter", "rows", "not stored: the store could not be written"),
    Metric("clamped", "counter", "packets", "too far out of order: judged at a later time"),
    Metric("queue_flows", "gauge", "flows", "in the delay queue now"),
    Metric("table_flows", "gauge", "flows", "in the flow table now"),
    Metric("engine_bytes", "gauge", "bytes", "memory of queue and table now"),
    Metric("disorder_ns", "gauge", "ns", "the furthest that a packet lay behind one before it"),
    Metric("reply_delay_ns", "histogram", "ns", "from SYN to answer, in time"),
    Metric("late_answer_delay_ns", "histogram", "ns", "from SYN to late answer"),
    Metric("retransmissions", "histogram", "packets", "dark flows by number of resent SYNs"),
    Metric("retransmission_span_ns", "histogram", "ns", "from the first to the last SYN of a dark"
           " flow"),
)  # fmt: skip


def as_markdown() -> str:
    """The table as it stands in docs/store.md."""
    rows = ["| column | type | unit | meaning |", "|---|---|---|---|"]
    rows += [f"| `{m.name}` | {m.type} | {m.unit} | {m.meaning} |" for m in METRICS]
    return "\n".join(rows)
