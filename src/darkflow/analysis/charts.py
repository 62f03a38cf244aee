"""The paper's figures from what was found: a plot, what it shows, what to look for, the paper's."""

from __future__ import annotations

from darkflow.analysis import paper, runs
from darkflow.analysis.findings import Findings
from darkflow.analysis.flows import SECOND_NS, Spread
from darkflow.analysis.page import Figure, Table, lasting, number, share, utc
from darkflow.analysis.plots import Mark, Plot, Series, duration

NO_FLOWS = "no flow was dark in this time."
MS = 1_000_000
TRACE_NAMES = {
    "rst_by_client": "RST by the client",
    "rst_by_server": "RST by the server",
    "fin": "FIN",
    "silence": "silence for 60 s",
}


def retries(found: Findings) -> Figure:
    """Fig. 5."""
    bins: dict[int, int] = {}
    for tenths, count in found.spans:
        bins[tenths // 5] = bins.get(tenths // 5, 0) + count
    plot = None
    if bins:
        x = [at / 2 for at in sorted(bins)]
        plot = Plot(
            "fig5", "Fig. 5: from the first to the last SYN", "seconds, in halves", "flows",
            [Series("flows", x, [bins[at] for at in sorted(bins)], "stems")],
            y_scale="log",
            marks=[Mark(3, "3 s"), Mark(6, "6 s: peaks in the paper")],
        )  # fmt: skip
    flows = found.totals.flows if found.totals else 0
    return Figure(
        "Fig. 5: time from the first to the last SYN of a flow",
        "How long a client kept trying, for flows with more than one SYN"
        f" ({number(flows - found.alone)} of {number(flows)}).",
        "Peaks are operating systems and their schedules. A flow with one SYN only is the mark of"
        " a scanner that keeps no state.",
        paper.FIG5,
        plot,
        NO_FLOWS if not flows else "no flow sent a second SYN.",
    )


def spans(found: Findings) -> Table:
    """The peaks of Fig. 5 as numbers."""
    whole: dict[int, int] = {}
    for tenths, count in found.spans:
        whole[(tenths + 5) // 10] = whole.get((tenths + 5) // 10, 0) + count
    most = sorted(whole.items(), key=lambda one: (-one[1], one[0]))[:8]
    flows = found.alone + sum(whole.values())
    rows = [("one SYN only", found.alone, share(found.alone, flows))]
    rows += [(f"about {second} s", count, share(count, flows)) for second, count in sorted(most)]
    title = "From the first to the last SYN: the eight most frequent, by full seconds"
    return Table(title, ("time", "flows", "share"), rows if flows else [], codes=())


def answers(found: Findings) -> Figure:
    """Fig. 6."""
    delays = runs.delays(found.counted)
    points = delays.cumulative()
    plot = None
    hold_ns = found.totals.hold_ns if found.totals else 5 * SECOND_NS
    if points:
        # So far at least, to show where T lies.
        points.append((max(points[-1][0], 2 * hold_ns), points[-1][1]))
        plot = Plot(
            "fig6", "Fig. 6: from SYN to answer", "delay", "share of the answers",
            [
                Series("here", [x for x, _ in points], [y for _, y in points], "steps"),
                Series(
                    "in the paper",
                    [x for x, _ in paper.SYN_ACK_WITHIN], [y for _, y in paper.SYN_ACK_WITHIN],
                    "points", "paper",
                ),
            ],
            x_scale="duration", y_scale="share",
            marks=[Mark(hold_ns, f"T = {duration(hold_ns)}", "second")],
        )  # fmt: skip
    return Figure(
        "Fig. 6: time from a SYN to its answer",
        "The share of answers (SYN+ACK or RST) that came within a time, as seen where Darkflow"
        " stands.",
        "The curve has to be flat well before T: then T is long enough, and no live host is taken"
        " for dark. What lies right of T was answered late.",
        paper.FIG6,
        plot,
        "no answer was counted. The table stats has no row in this time, or the mirror carries one"
        " direction only (darkflow doctor tells).",
    )


def answer_shares(found: Findings) -> Table:
    """Fig. 6 beside the paper's numbers."""
    delays = runs.delays(found.counted)
    rows = [
        (f"within {limit_ns // MS} ms", share(delays.share(limit_ns), 1), share(theirs, 1))
        for limit_ns, theirs in paper.SYN_ACK_WITHIN
    ]
    late = f"{number(delays.late)} ({share(delays.late, delays.answers)})"
    theirs = f"{paper.LATE_SYN_ACKS} ({share(paper.LATE_SYN_ACKS, paper.SYN_ACKS)})"
    rows.append(("after T", late, theirs))
    rows.append(("answers", number(delays.answers), number(paper.SYN_ACKS)))
    note = "The paper counts SYN+ACKs; here RSTs are answers too."
    if found.late_syn_acks:
        note += f" SYN+ACKs after more than 5 s: {number(found.late_syn_acks)}."
    title = "Answers within a time"
    return Table(title, ("", "here", "in the paper"), rows if delays.answers else [], note, ())


def load(found: Findings) -> Figure:
    """Fig. 8: from the counters of sensors, or from the dark flows alone."""
    shows, plot, step = "", None, ""
    if found.rates is not None:
        rates, times = found.rates, found.rates.moments_ns
        step = lasting(rates.step_ns)
        shows = f"SYNs taken into the delay queue, and flows forwarded, in steps of {step}."
        series = [
            Series("SYNs into the queue", times, rates.added, "steps"),
            Series("dark flows forwarded", times, rates.forwarded, "steps", "second"),
        ]
    elif found.times is not None:
        times, a_second = found.times.moments_ns, found.times.step_ns / SECOND_NS
        step = lasting(found.times.step_ns)
        shows = (
            f"Flows that became dark, and so were forwarded, in steps of {step}. How many SYNs went"
            " into the queue over time is not known of captures, which have one row of counters"
            " each."
        )
        dark = [count / a_second for count in found.times.dark]
        while len(dark) > 2 and not dark[-2]:
            dark.pop()
        times = times[: len(dark)]
        series = [Series("dark flows forwarded", times, dark, "steps", "second")]
    if shows:
        title = "Fig. 8: SYNs into the queue, dark flows forwarded"
        plot = Plot("fig8", title, "UTC", "per second", series, x_scale="time")
    return Figure(
        "Fig. 8: SYNs taken into the queue and forwarded, over time",
        shows or "SYNs that were taken into the delay queue and flows that were forwarded.",
        "Spikes of what is forwarded are scans. If both curves rise together, much of all new"
        " traffic goes to nobody.",
        paper.FIG8,
        plot,
        NO_FLOWS,
    )


def sizes(found: Findings) -> Figure:
    """Fig. 9, from the same two sources."""
    shows, plot, series = "", None, []
    if found.rates is not None:
        rates, times = found.rates, found.rates.moments_ns
        shows = (
            "Flows in the delay queue and in the flow table, the most in steps of"
            f" {lasting(rates.step_ns)}, as the sensor counted them."
        )
        series = [
            Series("delay queue", times, rates.queue, "steps"),
            Series("flow table", times, rates.table, "steps", "second"),
        ]
    elif found.times is not None:
        moments = found.times.moments_ns
        shows = (
            "Dark flows in the delay queue and in the flow table, the most in steps of"
            f" {lasting(found.times.step_ns)}, worked out from their times with 60 s until an idle"
            " flow is forgotten. Flows that were answered are not in it."
        )
        series = [
            Series("delay queue, dark flows only", moments, found.times.held, "steps"),
            Series("flow table", moments, found.times.table, "steps", "second"),
        ]
    if series:
        title = "Fig. 9: flows in the queue and in the table"
        plot = Plot("fig9", title, "UTC", "flows", series, x_scale="time")
    return Figure(
        "Fig. 9: size of the delay queue and of the flow table, over time",
        shows or "Flows in the delay queue and in the flow table.",
        "The peaks say how large --queue-size and --flow-table-size have to be. A flat top is a"
        " limit that was reached: then the losses below are not zero.",
        paper.FIG9,
        plot,
        NO_FLOWS,
    )


def _spread(name: str, title: str, of: str, spread: Spread, marks: list[Series]) -> Plot | None:
    points = spread.cumulative()
    if not points:
        return None
    # From the ground up, so that a single value can be seen.
    points.insert(0, (points[0][0], 0.0))
    return Plot(
        name, title, "packets", f"share of the {of}",
        [Series("here", [x for x, _ in points], [y for _, y in points], "steps"), *marks],
        x_scale="log", y_scale="share",
    )  # fmt: skip


def per_source(found: Findings) -> Figure:
    """Fig. 10."""
    theirs = Series(
        "in the paper",
        [x for x, _ in paper.SOURCES_WITHIN], [y for _, y in paper.SOURCES_WITHIN],
        "points", "paper",
    )  # fmt: skip
    spread, title = found.per_source, "Fig. 10: packets per source"
    return Figure(
        "Fig. 10: packets that a source sent to nobody",
        f"The share of the {number(found.per_source.keys)} sources that sent so many SYNs of dark"
        " flows or fewer.",
        "The few sources at the right end sent most of it: they are scanners, and blocking them"
        " takes most of the noise away.",
        paper.FIG10 + (f" Here it is {share(spread.share(0, 20), 1)}." if spread.keys else ""),
        _spread("fig10", title, "sources", spread, [theirs]),
        NO_FLOWS,
    )


def per_target(found: Findings) -> Figure:
    """Fig. 11."""
    theirs = Series("in the paper", [10], [paper.TARGETS_10], "points", "paper")
    spread = found.per_target
    title = "Fig. 11: packets per destination"
    here = ""
    if spread.keys:
        here = (
            f" Here: {share(spread.share(0, 10), 1)} got 10 or fewer,"
            f" {share(spread.share(20, 40), 1)} got 20 to 40, {number(spread.number(10_001))} more"
            " than 10,000."
        )
    return Figure(
        "Fig. 11: packets that a destination got and did not answer",
        f"The share of the {number(spread.keys)} destinations that got so many SYNs of dark flows"
        " or fewer.",
        "A steep rise is an even scan over all addresses. Destinations far to the right are wanted"
        " for a reason: a service that was moved or switched off, or a name that still points"
        " there.",
        paper.FIG11 + here,
        _spread("fig11", title, "destinations", spread, [theirs]),
        NO_FLOWS,
    )


def late(found: Findings) -> Figure:
    """Table 1."""
    names = list(TRACE_NAMES.values())
    plot = None
    if found.traces:
        ours = [found.traces.get(name, 0) for name in TRACE_NAMES]
        theirs = [paper.TRACES[name] for name in TRACE_NAMES]
        plot = Plot(
            "table1", "Table 1: what followed a late SYN+ACK", "flows", "",
            [
                Series("here", range(len(ours)), ours),
                Series("in the paper", range(len(ours)), theirs, role="paper"),
            ],
            names=names,
        )  # fmt: skip
    return Figure(
        "Table 1: what followed a late SYN+ACK",
        "What the client or the server did first after a SYN+ACK that came after T and took the"
        f" flow from the honeypot ({number(sum(found.traces.values()))} flows).",
        "A RST by the client means that it had the honeypot's connection and dropped the late"
        " answer. Many FINs would mean that real connections were cut.",
        paper.TABLE1,
        plot,
        "no late SYN+ACK took a flow from a honeypot. Only darkflow honeypot has something to cut.",
    )


def trace_rows(found: Findings) -> Table:
    """Table 1 in numbers."""
    rows = [
        (name, found.traces.get(key, 0), paper.TRACES[key]) for key, name in TRACE_NAMES.items()
    ]
    note = f"Others: {number(rest)}." if (rest := _other_traces(found)) else ""
    return Table("Table 1 in numbers", ("after the SYN+ACK", "here", "in the paper"), rows, note,
                 ())  # fmt: skip


def _other_traces(found: Findings) -> int:
    return sum(count for name, count in found.traces.items() if name not in TRACE_NAMES)


def ports(found: Findings) -> Figure:
    """Table 2 as a plot."""
    most = found.ports[:12]
    plot = None
    if most:
        plot = Plot(
            "table2", "Table 2: ports by packets and sources", "number, logarithmic", "",
            [
                Series("packets", range(len(most)), [row["packets"] for row in most]),
                Series("sources", range(len(most)), [row["sources"] for row in most],
                       role="second"),
            ],
            x_scale="log", names=[str(row["port"]) for row in most],
        )  # fmt: skip
    return Figure(
        "Table 2: destination ports by packets and unique sources",
        f"The most wanted of the {number(found.port_number)} ports: SYNs of dark flows, and how"
        " many sources sent them.",
        "Many packets from few sources is a scan; many sources with a few packets each is a worm"
        " or a botnet.",
        paper.TABLE2,
        plot,
        NO_FLOWS,
    )


def port_rows(found: Findings) -> Table:
    """Table 2 in numbers."""
    rows = []
    for row in found.ports:
        theirs = paper.PORTS.get(row["port"])
        said = f"{number(theirs[0])} / {number(theirs[1])}" if theirs else ""
        rows.append((str(row["port"]), row["packets"], row["sources"], row["flows"], said))
    columns = ("port", "packets", "unique sources", "flows", "paper: packets / sources")
    return Table("Table 2 in numbers", columns, rows)


def period(found: Findings) -> str:
    """From when to when, in words."""
    if found.totals is None:
        return "no dark flow"
    first_ns, last_ns = found.totals.first_ns, found.totals.last_ns
    return f"{utc(first_ns)} to {utc(last_ns)} UTC ({lasting(last_ns - first_ns)})"
