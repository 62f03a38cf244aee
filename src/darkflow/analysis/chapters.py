"""The sections of a report: what was found, in words and tables, the figures in their places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from darkflow.analysis import charts
from darkflow.analysis.findings import Findings, Rows
from darkflow.analysis.flows import SECOND_NS
from darkflow.analysis.page import (
    Cell,
    Figure,
    Section,
    Table,
    clip,
    lasting,
    listed,
    number,
    several,
    share,
    utc,
)
from darkflow.sinks.metrics import METRICS

MEANINGS = {metric.name: metric.meaning for metric in METRICS}
UNITS = {metric.name: metric.unit for metric in METRICS}
LONGEST_PAYLOAD = 120


def sections(found: Findings) -> list[Section]:
    """All of them, the likely infected hosts first."""
    return [
        inside(found), sources(found), tools(found), scans(found), ports(found), over_time(found),
        spreads(found), timing(found), late(found), backscatter(found), sessions(found),
        losses(found),
    ]  # fmt: skip


def _address_rows(rows: Rows, counts: Sequence[str], liked: bool = True) -> list[list[Cell]]:
    """Address, flows, packets, other counts, what it liked, when."""
    table: list[list[Cell]] = []
    for row in rows:
        cells: list[Cell] = [row["address"], row["flows"], row["packets"]]
        cells += [row[name] for name in counts]
        if liked:
            cells.append(listed(row["most_dest_port"] or ()))
            if "most_tool" in row:
                cells.append(listed(row["most_tool"] or ()))
        table.append([*cells, utc(row["first"]), lasting(row["last"] - row["first"])])
    return table


def _address_columns(rows: Rows, first: str, counts: Sequence[str]) -> list[str]:
    tool = ["tool"] if rows and "most_tool" in rows[0] else []
    return [first, "flows", "packets", *counts, "ports most used", *tool, "first", "lasted"]


def inside(found: Findings) -> Section:
    """Outbound dark flows: hosts of ours that are likely infected, or badly set up."""
    title = "Hosts of your own that talk to what is not there"
    directions = found.totals.directions if found.totals else {}
    if set(directions) == {"internal"}:
        text = (
            "Not known: no networks were named when this was recorded, so that every flow counts as"
            " internal. With --networks hosts inside are told from those outside."
        )
        return Section("inside", title, [text])
    says = [
        "A host inside that sends SYNs to addresses outside which nobody answers is likely"
        " infected, scans on purpose, or has an old address in its configuration. Look at these"
        " first."
    ]
    if internal := directions.get("internal"):
        says.append(f"{number(internal)} more dark flows went from inside to inside.")
    counts = ("targets", "ports")
    table = Table(
        f"Sources inside, by flows: {len(found.inside)} of {number(found.inside_number)}",
        _address_columns(found.inside, "source", counts),
        _address_rows(found.inside, counts),
        nothing="No host inside sent a SYN outside that nobody answered.",
    )
    return Section("inside", title, says, [table])


def sources(found: Findings) -> Section:
    """Who sends most to nobody, who gets most of it."""
    counts = ("targets", "ports")
    top = Table(
        f"Sources by flows: {len(found.sources)} of {number(found.outside_number)}",
        _address_columns(found.sources, "source", counts),
        _address_rows(found.sources, counts),
        "Targets and ports are counted without repetition. Times are UTC.",
        nothing="No flow was dark in this time.",
    )
    counts = ("sources", "ports")
    targets = Table(
        f"Destinations by flows: {len(found.targets)} of {number(found.per_target.keys)}",
        ["destination", "flows", "packets", *counts, "first", "lasted"],
        _address_rows(found.targets, counts, liked=False),
        "A destination far ahead of the others was reached once, or is expected to be there.",
        nothing="No flow was dark in this time.",
    )
    return Section("sources", "Who sends to nobody, and to whom", [], [top, targets])


def tools(found: Findings) -> Section:
    """By the program that made the SYNs."""
    title = "Tools"
    if found.tools is None:
        return Section("tools", title, ["Not recorded: this store knows no tools."])
    known = [row for row in found.tools if row["tool"] is not None]
    if not known:
        return Section("tools", title, ["No known tool sent these SYNs."])
    flows = sum(row["flows"] for row in found.tools)
    rows = [
        (row["tool"] or "not known", row["flows"], share(row["flows"], flows), row["packets"],
         row["sources"])
        for row in found.tools[: found.top]
    ]  # fmt: skip
    table = Table(
        "Dark flows by the tool that sent them",
        ("tool", "flows", "share", "packets", "sources"),
        rows,
        "From marks that tools leave in their SYNs. A mark can be forged.",
        codes=(),
    )
    return Section("tools", title, [], [table])


def _ended(row: Mapping[str, Any], name: str) -> str:
    return utc(row.get(name)) if row.get("state") != "begin" else "goes on"


def _values(value: object) -> str:
    """A list, or a text that is one already."""
    return listed(value) if isinstance(value, list | tuple) else "" if value is None else str(value)


def _chosen(rows: Rows, columns: Mapping[str, str]) -> tuple[list[str], list[list[Cell]]]:
    """The columns that the rows have, under their titles; lists become texts."""
    names = [name for name in columns if name in rows[0]]
    table: list[list[Cell]] = []
    for row in rows:
        cells: list[Cell] = []
        for name in names:
            value = row[name]
            if name == "start_ns":
                cells.append(utc(value))
            elif name == "end_ns":
                cells.append(_ended(row, name))
            elif name == "src_ip" and row.get("prefix_length") not in (None, 32, 128):
                cells.append(f"{value}/{row['prefix_length']}")
            elif name == "asn":
                cells.append("" if value is None else str(value))
            elif isinstance(value, int | float) and not isinstance(value, bool):
                cells.append(value)
            else:
                cells.append(_values(value).replace("_", " "))
        table.append(cells)
    return [columns[name] for name in names], table


SCAN_COLUMNS = {
    "src_ip": "source", "kind": "kind", "flows": "flows", "packets": "packets",
    "dark_targets": "dark targets", "live_targets": "live targets", "ports": "ports",
    "top_ports": "ports most used", "rate": "flows/s", "tool": "tool",
    "tool_confidence": "tool is",
    "direction": "direction", "known": "known as", "country": "country", "asn": "AS",
    "start_ns": "began", "end_ns": "ended",
}  # fmt: skip
BACKSCATTER_COLUMNS = {
    "victim_ip": "victim", "packets": "packets", "targets": "targets", "ports": "ports",
    "peak_pps": "most packets/s", "answer": "answer", "known": "known as", "country": "country",
    "asn": "AS", "start_ns": "began", "end_ns": "ended",
}  # fmt: skip


def scans(found: Findings) -> Section:
    """What was judged to be a scan."""
    title = "Scans"
    if found.scans is None:
        return Section("scans", title, ["Not recorded: this store has no table of scans."])
    rows, total = found.scans
    if not rows:
        return Section("scans", title, ["No scan was seen in this time."])
    says = "A scan is a source that tried many addresses or ports of which few answered."
    table = Table(f"Scans by flows: {len(rows)} of {number(total)}", *_chosen(rows, SCAN_COLUMNS))
    return Section("scans", title, [says], [table])


def ports(found: Findings) -> Section:
    """Table 2."""
    return Section("ports", "Ports", [], [charts.ports(found), charts.port_rows(found)])


def over_time(found: Findings) -> Section:
    """Fig. 8 and 9."""
    return Section("time", "Over time", [], [charts.load(found), charts.sizes(found)])


def spreads(found: Findings) -> Section:
    """Fig. 10 and 11."""
    parts = [charts.per_source(found), charts.per_target(found)]
    return Section("spread", "How evenly it is spread", [], parts)


def timing(found: Findings) -> Section:
    """Fig. 5 and 6: from them follows T."""
    says = [
        "Both figures answer one question: how long must Darkflow wait until it may call a flow"
        " dark? Longer than hosts need to answer, shorter than clients keep trying."
    ]
    parts: list[Figure | Table] = [
        charts.retries(found), charts.spans(found), charts.answers(found),
        charts.answer_shares(found),
    ]  # fmt: skip
    return Section("timing", "Is the hold time T right?", says, parts)


def late(found: Findings) -> Section:
    """Wrong verdicts, and what they did."""
    says = [
        "An answer after T means that the flow was called dark too early: these are the wrong"
        " verdicts."
    ]
    rows = [
        (row["dest_ip"], str(row["dest_port"]), row["answers"], _seconds(row["least_ns"]),
         _seconds(row["most_ns"]))
        for row in found.late_hosts
    ]  # fmt: skip
    hosts = Table(
        "Hosts that answered late",
        ("host", "port", "answers", "soonest", "latest"),
        rows,
        nothing="No host answered late.",
        codes=(0, 1),
    )
    parts: list[Figure | Table] = [
        hosts,
        charts.late(found),
        *([charts.trace_rows(found)] if found.traces else []),
    ]
    return Section("late", "Late answers", says, parts)


def _seconds(length_ns: int) -> str:
    return f"{length_ns / SECOND_NS:,.3f} s"


def backscatter(found: Findings) -> Section:
    """Answers to what nobody here has asked."""
    title = "Backscatter"
    if found.backscatter is None:
        text = "Not told by source: this store has no table of backscatter."
        if count := found.counted.counters["unsolicited"]:
            text += f" {number(count)} answers came to SYNs that were not seen."
        return Section("backscatter", title, [text])
    rows, total = found.backscatter
    if not rows:
        return Section("backscatter", title, ["No backscatter was seen in this time."])
    says = (
        "SYN+ACKs and RSTs that answer no SYN of yours: somebody floods these hosts with forged"
        " addresses, some of which are yours."
    )
    table = Table(
        f"Victims by packets: {len(rows)} of {number(total)}", *_chosen(rows, BACKSCATTER_COLUMNS)
    )
    return Section("backscatter", title, [says], [table])


def sessions(found: Findings) -> Section:
    """What clients said to the honeypot. All of it is theirs."""
    title = "Sessions with the honeypot"
    met = found.sessions
    if met is None:
        return Section("sessions", title, ["None in this time: no honeypot answered."])
    says = [
        f"{number(met.number)} sessions of {number(met.sources)} sources, of which"
        f" {number(met.handshakes)} completed the handshake. Texts are shown as clients sent them,"
        " cut, without what cannot be printed."
    ]
    parts = [
        Table(name, (*columns, "times", "sources"), rows, codes=(0, 1), longest=LONGEST_PAYLOAD)
        for name, columns, rows in (
            ("What they spoke", ("protocol", "service"), met.protocols),
            ("What they said first", ("port", "first bytes"), _texts(met.payloads)),
            ("Logins that they tried", ("user", "password"), met.logins),
            ("What they asked web servers for", ("method", "target"), met.requests),
        )
        if rows
    ]
    return Section("sessions", title, says, parts)


def _texts(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """A port is a name, not a number."""
    return [(str(port), *rest) for port, *rest in rows]


def losses(found: Findings) -> Section:
    """What was seen and not judged or not kept, by its counter."""
    counted = found.counted
    title = "What was lost"
    if not counted.runs:
        return Section("losses", title, ["Not known: the table stats has no row in this time."])
    rows = [(name, count, UNITS[name], MEANINGS[name]) for name, count in counted.losses.items()]
    seen = counted.counters
    says = [
        f"{number(counted.runs)} run{'s' * (counted.runs != 1)} read {number(seen['packets'])}"
        f" packets, {number(seen['tcp'])} of them TCP: {number(seen['attempts'])} connection"
        f" attempts, of which {number(seen['answered'])} were answered"
        f" ({share(seen['answered'], seen['attempts'])}), {number(seen['refused'])} refused,"
        f" {number(seen['dark'])} dark and {number(seen['undecided'])} undecided at the end."
    ]
    table = Table(
        "Losses by counter", ("counter", "number", "unit", "what was lost"), rows,
        "What was lost is in no figure above." if rows else "",
        nothing="Nothing was lost: every loss has a counter, and all of them are zero.",
    )  # fmt: skip
    return Section("losses", title, says, [table])


def lead(found: Findings) -> list[str]:
    """The result in a few sentences, and what a dark flow is."""
    dark = (
        "A dark flow is a TCP connection attempt that nobody answered within the hold time T:"
        " traffic to something that is not there. Nobody has a good reason to send much of it, so"
        " scans, worms, misconfiguration and infected hosts stand out."
    )
    if found.totals is None:
        return ["No flow was dark in this time.", dark]
    totals = found.totals
    parts = [
        f"{several(totals.flows, 'flow')} from {several(found.per_source.keys, 'source')} to"
        f" {several(found.per_target.keys, 'destination')} got no answer"
        f" in {lasting(max(totals.last_ns - totals.first_ns, 1))}."
    ]
    if found.inside:
        first = found.inside[0]
        parts.append(
            f"{several(found.inside_number, 'host')} of your own sent such flows outside, most of"
            f" all {clip(first['address'], 45)} ({number(first['flows'])} flows to"
            f" {number(first['targets'])} targets)."
        )
    if found.sources:
        first = found.sources[0]
        parts.append(
            f"The busiest source, {clip(first['address'], 45)}, made"
            f" {share(first['flows'], totals.flows)} of all."
        )
    if found.ports:
        most = [str(row["port"]) for row in found.ports[:3]]
        parts.append(f"Most wanted ports: {listed(most)}.")
    return [" ".join(parts), dark]
