"""The paper's results, one line each: theirs, ours, and in plain words why they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from darkflow.analysis import paper, runs
from darkflow.analysis.evaluation import findings, outcomes
from darkflow.analysis.flows import Spread
from darkflow.analysis.page import number, several, share

Document = Mapping[str, Any]
NOTHING = "not measured"
MS = 1_000_000


@dataclass(frozen=True)
class Row:
    """One result: where it is in the paper, what it is, both figures, why they differ."""

    where: str
    what: str
    theirs: str
    ours: str
    why: str


def compared(document: Document) -> list[Row]:
    """All of them, in the paper's order; `not measured` where this run has nothing."""
    parts = document["parts"]
    network = parts.get("network", {})
    stored = network.get("store") or {}
    return [
        *_behaviour(network, stored, parts.get("forged", {})),
        *_cost(parts.get("throughput", {}), parts.get("cut", {})),
        *_operation(network, stored),
        Row("2, 3", "against lists of unused addresses",
            "a list's cost grows with the address space; a host that wakes up is called dark",
            _lists(parts.get("lists", {})),
            "What the flow table calls dark of live ones are answers slower than T. We wrote the"
            " lists ourselves, as their papers describe them."),
    ]  # fmt: skip


def _behaviour(network: Document, stored: Document, forged: Document) -> list[Row]:
    sequences = network.get("sequences", {})
    shown = sum(bool(packets) for packets in sequences.values())
    return [
        Row("Fig. 1", "normal answer, delayed answer by the honeypot, duplicate SYN+ACK",
            "three sequences", f"{shown} of 3 captured, below" if shown else NOTHING,
            "They do not: the same packets in the same order."),
        Row("4.1.1, Fig. 5", "from the first to the last SYN",
            "Linux 2.6: SYNs after 3, 6, 12, 24, 48 s, gives up at 96 s; peaks at 3 and 6 s",
            _schedule(network),
            "Today's Linux first asks about once a second, then doubles its pause; programs with a"
            " time-out of their own give up before."),
        Row("4.1.2, Fig. 6", "delay of answers at the gateway",
            "74.0% within 1 ms, 98.1% within 10 ms, 99.81% within 30 ms; 0.0029% after 5 s",
            _delays(stored),
            "A lab has no Internet behind it, so answers are quicker; the late ones are made on"
            " purpose, and are many among few. RSTs count here too."),
        Row("4.1.3, Table 1", "what follows a SYN+ACK later than T",
            "RST by client 19, RST by server 4, FIN 0, silence 23", _traces(stored),
            "Here each outcome is provoked, so the counts say that it was recognised, not how"
            " often it happens."),
        Row("4.1.3", "forged late SYN+ACK (hping3) during a download from the honeypot",
            "the established session survives", _forged(forged),
            "A setting: by default Darkflow believes the host and cuts, so that a live service is"
            " never disturbed. The other setting is the paper's."),
        Row("4.1", "choice of T", "5 s", _hold(network, stored),
            "darkflow tune asks for a share of live flows called dark that it can prove; the lab's"
            " hosts answer at once, so a shorter T would do here."),
    ]  # fmt: skip


def _cost(throughput: Document, cut: Document) -> list[Row]:
    rates, cuts = NOTHING, NOTHING
    if sizes := throughput.get("sizes"):
        rates = "; ".join(
            f"{row['mbit_s']['median']:,.0f} Mbit/s beside {number(row['flows'])}"
            f" (ratio {row['ratio']:.2f})"
            for row in sizes
        )
    if sizes := cut.get("sizes"):
        cuts = "; ".join(
            f"{row['first_kept_us']['median']:.0f} µs at {number(row['flows'])}"
            for row in (sizes[0], *sizes[len(sizes) // 2 : len(sizes) // 2 + 1], sizes[-1])
        )
    return [
        Row("4.2", "throughput with a full table against an empty one",
            "950.2 Mbit/s on 1000Base-T with 100,000 flows, same as empty", rates,
            "No wire here: all ends share the machine's cores, so only the ratio can be compared."
            " Half a second each; other work on the machine shows."),
        Row("4.2, Fig. 7", "from the real host's answer until the honeypot is blocked",
            "19 µs at 1 comparison, 92 µs at 10,000, linear", cuts,
            "Darkflow's kernel looks a flow up in a hash set instead of comparing it with each"
            " entry, so the time does not grow with the table."),
    ]  # fmt: skip


def _operation(network: Document, stored: Document) -> list[Row]:
    return [
        Row("4.3.1, Fig. 8", "SYNs added to the queue and forwarded, over time",
            "spikes at scans", _spikes(network),
            "The scans are ours, at known times."),
        Row("4.3.1, Fig. 9", "sizes of queue and table, every 10 s; 60 s until idle flows go",
            "more than 100,000 records without a change of load", _sizes(network),
            "A few scanners at 250 packets a second fill less than a campus. What a million flows"
            " cost is above, under 4.2."),
        Row("4.3.2, Table 2", "ports by packets and unique sources",
            "445 leads: 3,234,928 packets of 384,803 hosts", _ports(stored),
            "A lab has a handful of scanners and no botnet: few sources, many packets each."),
        Row("Fig. 10", "packets per source", "98% of the sources send 20 or fewer",
            _spread(stored.get("per_source"), "sources", ((0, 20, "20 or fewer"),)),
            "Almost all sources here are scanners; the Internet's are mostly one-time senders."),
        Row("Fig. 11", "packets per destination address",
            "30% get 10 or fewer, 50% get 20 to 40, 12 addresses more than 10,000",
            _spread(stored.get("per_target"), "addresses",
                    ((0, 10, "10 or fewer"), (20, 40, "20 to 40"))),
            "Three minutes instead of months: each address is met by a few scans."),
    ]  # fmt: skip


def _schedule(network: Document) -> str:
    times = network.get("schedules", {}).get("kernel")
    if not times:
        return NOTHING
    said = ", ".join(f"{t_s:.0f}" for t_s in times[1:])
    curl = network["schedules"].get("curl") or [0.0]
    end_s = network.get("gave_up", {}).get("kernel")
    end = f"gives up at {end_s:.0f} s" if end_s else f"watched for {network['watched_s']:.0f} s"
    return (
        f"Linux: SYNs after {said} s, {end}; curl with a time-out of 10 s: the last after"
        f" {curl[-1]:.0f} s"
    )


def _delays(stored: Document) -> str:
    if not stored:
        return NOTHING
    delays = runs.delays(findings(stored).counted)
    if not delays.answers:
        return NOTHING
    within = ", ".join(
        f"{share(delays.share(limit_ns), 1)} within {limit_ns // MS} ms"
        for limit_ns, _ in paper.SYN_ACK_WITHIN
    )
    return f"{within}; {number(delays.late)} of {number(delays.answers)} after T"


def _traces(stored: Document) -> str:
    if not stored:
        return NOTHING
    counts, _ = outcomes(stored)
    names = {"rst_by_client": "RST by client", "rst_by_server": "RST by server", "fin": "FIN",
             "silence": "silence"}  # fmt: skip
    return ", ".join(f"{said} {counts.get(name, 0)}" for name, said in names.items())


def _forged(forged: Document) -> str:
    settings = forged.get("settings")
    if not settings:
        return NOTHING
    return "; ".join(
        f"{name}: it {'survives' if one['survived'] else 'is cut'}"
        for name, one in settings.items()
    )


def _hold(network: Document, stored: Document) -> str:
    tuned = stored.get("tune")
    if not tuned:
        return NOTHING
    used = f"the run used {network['hold_s']:g} s, the default is 5 s"
    if tuned["hold_ns"] is None:
        return f"none could be proved from this run; {used}"
    return f"{tuned['hold_ns'] / 1e9:g} s would do here; {used}"


def _spikes(network: Document) -> str:
    samples = network.get("samples") or []
    if len(samples) < 2:
        return NOTHING
    rises = [b["attempts"] - a["attempts"] for a, b in pairwise(samples)]
    usual = sorted(rises)[len(rises) // 4]
    return (
        f"up to {number(max(rises))} SYNs in {network['sample_s']:g} s at a scan,"
        f" about {number(usual)} between scans"
    )


def _sizes(network: Document) -> str:
    samples = network.get("samples") or []
    if not samples:
        return NOTHING
    queue, table = (max(row[name] for row in samples) for name in ("queue_flows", "table_flows"))
    last = samples[-1]["table_flows"]
    return (
        f"most in the queue {number(queue)}, in the table {number(table)}; {number(last)} in the"
        f" table at the end"
    )


def _ports(stored: Document) -> str:
    if not stored or not stored["ports"]:
        return NOTHING
    return "; ".join(
        f"{row['port']}: {number(row['packets'])} packets of {several(row['sources'], 'host')}"
        for row in stored["ports"][:3]
    )


def _spread(counts: Any, what: str, ranges: tuple[tuple[int, int, str], ...]) -> str:
    if not counts:
        return NOTHING
    spread = Spread([(packets, keys) for packets, keys in counts])
    said = ", ".join(f"{share(spread.share(low, high), 1)} {text}" for low, high, text in ranges)
    return f"of {number(spread.keys)} {what}: {said}"


def _lists(lists: Document) -> str:
    if not lists.get("cost"):
        return NOTHING
    ours = [row["ns"] for row in lists["cost"] if row["detector"] == "flows"]
    one = [row["ns"] for row in lists["cost"] if row["detector"] == "linear"]
    wake = lists["wake"]
    woken = ", ".join(
        f"{name} {wake[key]['false']:,} and {share(wake[key]['right'], wake[key]['absent'])}"
        for key, name in (("flows", "flow table"), ("learning", "Dark IP learning"),
                          ("darkpots", "DarkPots"))
    )  # fmt: skip
    return (
        f"flow table {min(ours):,.0f} to {max(ours):,.0f} ns a SYN whatever the space, a list read"
        f" entry by entry {min(one):,.0f} to {max(one):,.0f}; of {wake['flows']['live']:,} live"
        f" attempts called dark, and share of dark ones found: {woken}"
    )
