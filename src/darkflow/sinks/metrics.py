"""What is measured about a run, each once: the store's table `stats`, Prometheus and the docs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# How the values of several workers become one.
ADD, MOST = "add", "most"


@dataclass(frozen=True)
class Metric:
    """One metric: name, counter, gauge or histogram, unit, meaning. Counters only rise in a run.

    `over`: whether workers' gauges add up or the largest counts (counters and histograms add up).
    `label`: the value is a number for each of these, a dictionary; the store keeps their sum.
    `live`: the sensor measures it; `honeypot`: only the honeypot does. A histogram is a list of
    bins that are not empty, {"le": upper edge or None, "count": n}; the sum of what was measured is
    under its name with `_sum`, if known.
    """

    name: str
    type: str
    unit: str
    meaning: str
    over: str = ADD
    label: str = ""
    live: bool = True
    honeypot: bool = False


def _of_honeypot(
    name: str, kind: str, unit: str, meaning: str, label: str = "", over: str = ADD
) -> Metric:
    return Metric(name, kind, unit, meaning, over, label, honeypot=True)


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
    Metric("adaptive_listed", "counter", "flows", "attempts to destinations that were dark often"
           " and long (`--adaptive`)"),
    Metric("adaptive_early", "counter", "flows", "those of them that were dark before T"),
    Metric("adaptive_false", "counter", "flows", "those of these that were answered by T after"
           " all"),
    Metric("adaptive_unwatched", "counter", "flows", "those whose record ended before T: nobody"
           " knows"),
    Metric("adaptive_evicted", "counter", "entries", "that `--adaptive` knew and had no room for"),
    Metric("adaptive_hold_ns", "gauge", "ns", "how long a SYN to such a destination is held now",
           MOST),
    Metric("dropped_queue", "counter", "packets", "SYNs not judged: the delay queue was full"),
    Metric("dropped_table", "counter", "flows", "forgotten after their verdict: the flow table was"
           " full"),
    Metric("dropped_sources", "counter", "sources", "forgotten for want of room, whose tools might"
           " have been told"),
    Metric("dropped_ring", "counter", "packets", "lost in the kernel's ring", label="interface"),
    Metric("dropped_frames", "counter", "packets", "frames not kept for dark.pcap"),
    Metric("dropped_summary", "counter", "entries", "not told apart in the tables", live=False),
    Metric("dropped_store", "counter", "rows", "not stored: the store could not be written"),
    Metric("dropped_events", "counter", "lines", "not written: an output was slow or failed,"
           " counted for each output"),
    Metric("dropped_pcap", "counter", "packets", "frames not written to dark.pcap: it was slow or"
           " failed"),
    Metric("scans", "counter", "scans", "that have begun"),
    Metric("backscatter", "counter", "victims", "that backscatter has told of"),
    Metric("alerts_sent", "counter", "alerts", "for each target of `--alert`"),
    Metric("alerts_repeated", "counter", "finds", "that were no alert: one of the same source and"
           " kind was sent within `--alert-window`"),
    Metric("alerts_suppressed", "counter", "finds", "that were no alert: `--alert-rate` was"
           " reached"),
    Metric("dropped_scans", "counter", "sources", "forgotten early, of scans and backscatter: too"
           " many at one time"),
    Metric("dropped_resets", "counter", "packets", "that may be backscatter, not counted: too many"
           " hosts have connections"),
    Metric("dropped_targets", "counter", "targets", "of scans, not told apart: datasketches is not"
           " installed"),
    Metric("dropped_alerts", "counter", "alerts", "not delivered"),
    Metric("dropped_digest", "counter", "sources", "of scans, forgotten before the end of their"
           " digest: too many"),
    Metric("dropped_labels", "counter", "lookups", "of an address in a damaged file of `--geoip`"),
    Metric("clamped", "counter", "packets", "too far out of order: judged at a later time"),
    Metric("queue_flows", "gauge", "flows", "in the delay queue now"),
    Metric("table_flows", "gauge", "flows", "in the flow table now"),
    Metric("engine_bytes", "gauge", "bytes", "memory of queue, table and sources now"),
    Metric("disorder_ns", "gauge", "ns", "the furthest that a packet lay behind one before it",
           MOST, live=False),
    Metric("reply_delay_ns", "histogram", "ns", "from SYN to answer, in time"),
    Metric("late_answer_delay_ns", "histogram", "ns", "from SYN to late answer"),
    Metric("retransmissions", "histogram", "packets", "dark flows by number of resent SYNs"),
    Metric("retransmission_span_ns", "histogram", "ns", "from the first to the last SYN of a dark"
           " flow"),
    Metric("interface_packets", "counter", "packets", "let through by the kernel's filter",
           label="interface"),
    Metric("dropped_card", "counter", "packets", "lost by the network card or its driver, as they"
           " tell", label="interface"),
    Metric("lag_ns", "gauge", "ns", "network time behind the clock", MOST),
    Metric("uptime_ns", "gauge", "ns", "since the sensor began", MOST),
    Metric("workers", "gauge", "threads", "that take packets"),
    Metric("store_rows", "counter", "rows", "written to the store"),
    Metric("store_rows_waiting", "gauge", "rows", "not written to the store yet"),
    Metric("store_written_timestamp_ns", "gauge", "ns", "when the store was last written, since"
           " 1970; 0: never", MOST),
    _of_honeypot("flows_diverted", "gauge", "flows", "that the honeypot has now"),
    _of_honeypot("sessions_open", "gauge", "sessions", "of them, not ended yet"),
    _of_honeypot("diverted", "counter", "flows", "given to the honeypot"),
    _of_honeypot("not_diverted", "counter", "flows", "dark, and not given to the honeypot", "why"),
    _of_honeypot("syns_replayed", "counter", "packets", "held SYNs given to the honeypot"),
    _of_honeypot("sessions", "counter", "sessions", "ended and told"),
    _of_honeypot("cuts", "counter", "flows", "taken from the honeypot before their end", "by"),
    _of_honeypot("echoes", "counter", "packets", "of the honeypot that the mirror showed again"),
    _of_honeypot("kernel_flows", "gauge", "flows", "in the kernel's sets, expired ones included"
                 " (Linux 6.16)"),
    _of_honeypot("kernel_diverted", "counter", "packets", "of clients, to the honeypot"),
    _of_honeypot("kernel_diverted_bytes", "counter", "bytes", "of these packets"),
    _of_honeypot("kernel_copied", "counter", "packets", "to the honeypot or sensor as copies"),
    _of_honeypot("kernel_answered", "counter", "packets", "of the honeypot, to clients"),
    _of_honeypot("kernel_answered_bytes", "counter", "bytes", "of these packets"),
    _of_honeypot("kernel_limited", "counter", "packets", "SYN+ACKs beyond what may be sent in a"
                 " second"),
    _of_honeypot("kernel_dropped", "counter", "packets", "of the honeypot, in no diverted flow:"
                 " held back"),
    _of_honeypot("kernel_strays", "counter", "packets", "resets of the honeypot to what it does"
                 " not know: held back"),
    _of_honeypot("kernel_cut_syn_ack", "counter", "packets", "late SYN+ACKs that cut a flow"),
    _of_honeypot("kernel_cut_rst", "counter", "packets", "late RSTs that cut a flow"),
    _of_honeypot("kernel_alive", "counter", "packets", "ACKs of hosts whose SYN was held or whose"
                 " flow was diverted"),
    _of_honeypot("kernel_kept", "counter", "packets", "late answers that cut none, as its client"
                 " had talked to the honeypot"),
    _of_honeypot("kernel_echoes", "counter", "packets", "answers of the honeypot seen again on the"
                 " mirror"),
    _of_honeypot("kernel_shielded", "counter", "packets", "ICMP errors held back"),
    _of_honeypot("kernel_reloads", "counter", "times", "that the kernel's table was gone and was"
                 " loaded anew"),
    _of_honeypot("services_running", "gauge", "services", "1 while it runs", "service"),
    _of_honeypot("service_restarts", "counter", "times", "that it ended and was started again",
                 "service"),
    _of_honeypot("responder_open", "gauge", "connections", "of the built-in responder now"),
    _of_honeypot("responder_accepted", "counter", "connections", "of the built-in responder"),
    _of_honeypot("responder_refused", "counter", "connections", "beyond"
                 " --responder-connections"),
    _of_honeypot("responder_tls_open", "gauge", "sessions", "of TLS of the built-in responder now"),
    _of_honeypot("responder_tls_refused", "counter", "sessions", "of TLS beyond --responder-tls"),
    _of_honeypot("responder_errors", "counter", "connections", "that a plugin's fault ended"),
    _of_honeypot("dropped_divert", "counter", "flows", "not diverted: too many waited for the"
                 " kernel"),
    _of_honeypot("dropped_no_room", "counter", "flows", "not diverted: the kernel's set was full,"
                 " or it refused"),
    _of_honeypot("dropped_replay_errors", "counter", "packets", "held SYNs that could not be given"
                 " to the honeypot"),
    _of_honeypot("dropped_tap", "counter", "packets", "of the honeypot's interface that no session"
                 " counts"),
    _of_honeypot("dropped_cuts", "counter", "flows", "cuts that the kernel made and could not"
                 " tell"),
    _of_honeypot("dropped_traces", "counter", "flows", "what followed their cut is not told"),
    _of_honeypot("dropped_reports", "counter", "connections", "what the responder said of them is"
                 " in no session"),
    _of_honeypot("dropped_payloads_not_kept", "counter", "packets", "of clients' first bytes:"
                 " --payload-buffer was full"),
    _of_honeypot("dropped_echoes_forgotten", "counter", "packets", "of the honeypot that a mirror"
                 " might show as the real host's"),
)  # fmt: skip


def summed(workers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """One row from those of several workers, as the table says; other keys are left out."""
    known: dict[str, Any] = {}
    rows = list(workers)
    for metric in METRICS:
        values = [row[metric.name] for row in rows if row.get(metric.name) is not None]
        if not values:
            continue
        if metric.type == "histogram":
            known[metric.name] = _bins(values)
            sums = [row[f"{metric.name}_sum"] for row in rows if f"{metric.name}_sum" in row]
            if len(sums) == len(values):
                known[f"{metric.name}_sum"] = sum(sums)
        elif metric.label:
            labels = {label for value in values for label in value}
            known[metric.name] = {
                label: sum(value.get(label, 0) for value in values) for label in sorted(labels)
            }
        else:
            known[metric.name] = max(values) if metric.over == MOST else sum(values)
    return known


def _bins(histograms: list[list[dict[str, int | None]]]) -> list[dict[str, int | None]]:
    counts: dict[int | None, int] = {}
    for histogram in histograms:
        for at in histogram:
            counts[at["le"]] = counts.get(at["le"], 0) + (at["count"] or 0)
    edges = sorted(counts, key=lambda edge: (edge is None, edge or 0))
    return [{"le": edge, "count": counts[edge]} for edge in edges]


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same row as the store keeps it: labelled metrics as their sum."""
    labelled = {metric.name for metric in METRICS if metric.label}
    return {
        name: sum(value.values()) if name in labelled and isinstance(value, dict) else value
        for name, value in values.items()
    }


def as_markdown() -> str:
    """The table as it stands in docs/store.md."""
    rows = ["| column | type | unit | meaning |", "|---|---|---|---|"]
    rows += [f"| `{m.name}` | {m.type} | {m.unit} | {m.meaning} |" for m in METRICS]
    return "\n".join(rows)
