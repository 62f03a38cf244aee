"""The evaluation's document as a page: the paper's experiments, theirs beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from darkflow.analysis import chapters, charts, evaluated_machine, paper, runs
from darkflow.analysis.compared import MS, compared
from darkflow.analysis.evaluation import findings, outcomes
from darkflow.analysis.page import Cell, Figure, Page, Section, Table, Tile, number, share
from darkflow.analysis.plots import Mark, Plot, Series
from darkflow.analysis.tuning import share_text, time_text

Document = Mapping[str, Any]
Shown = tuple[list[str], list[Figure | Table]]

FOOT = (
    "The paper is DarkFlow (Waseda University, 2011). What it saw in a university's network, this"
    " page measures in a lab of network namespaces inside one machine: real programs and kernels,"
    " but no Internet behind them.",
    "Quartiles are the values that a quarter and three quarters of the samples stay below.",
)
SCANNERS = "scanners that met the late hosts"
SCHEDULES = {
    "kernel": "a program that leaves it to Linux",
    "curl": "curl --connect-timeout 10",
    "socket": "a program with a time-out of 3 s",
}
CURL_S = 10
SEQUENCES = {
    "normal": ("(a) normal: the host is there", "The real host answers at once."),
    "delayed": (
        "(b) delayed: nobody is there",
        "Nothing comes for T, the client asks again, and the honeypot answers in the host's name.",
    ),
    "duplicate": (
        "(c) duplicate: the host answers after the honeypot did",
        "A second SYN+ACK, with another number, reaches a client that is connected. It is cut off"
        " from the honeypot, tells the host what it knows, and the host resets it.",
    ),
}


def page(document: Document, made: datetime) -> Page:
    """Everything that was measured, and in words what was not."""
    machine = document["machine"]
    about = [
        f"made {made.astimezone(UTC):%Y-%m-%d %H:%M} UTC by Darkflow {document['darkflow']}",
        f"measured in {document['elapsed_s']:,.0f} s",
        f"{machine['processor'] or 'unknown processor'}, {machine['cores']} cores, Linux"
        f" {machine['kernel']}",
    ]
    return Page(
        "The paper's experiments, in the lab", about, _lead(document), _tiles(document),
        _sections(document), FOOT,
    )  # fmt: skip


def _lead(document: Document) -> list[str]:
    hold_s = document["parts"].get("network", {}).get("hold_s")
    hold = f" = {hold_s:g} s" if hold_s else ""
    said = [
        f"Darkflow watches connection attempts. A host that says nothing within T{hold} is taken"
        " for absent, and from then on a honeypot answers in its name; should the host speak after"
        " all, the honeypot is cut off. The paper that this comes from measured in 2011 how well"
        " that works. Here each of its experiments runs again, with today's programs, and its"
        " numbers stand beside ours.",
    ]
    if document["quick"]:
        said.append(
            "This was a quick run: T and all times are short, tables small, samples few. It shows"
            " that everything works; its numbers say little."
        )
    if document["interrupted"]:
        said.append("The run was interrupted. What had been measured by then is here.")
    return said


def _tiles(document: Document) -> list[Tile]:
    rows = compared(document)
    measured = sum(row.ours != "not measured" for row in rows)
    tiles = [Tile("of the paper's results", f"{measured} of {len(rows)}", "have a counterpart")]
    parts = document["parts"]
    if sizes := parts.get("cut", {}).get("sizes"):
        most = sizes[-1]
        tiles.append(
            Tile("cut", f"{most['first_kept_us']['median']:.0f} µs",
                 f"beside {number(most['flows'])} flows")
        )  # fmt: skip
    if sizes := parts.get("throughput", {}).get("sizes"):
        tiles.append(
            Tile("throughput", f"{100 * sizes[-1]['ratio']:.0f}%",
                 f"of an empty table's, {number(sizes[-1]['flows'])} flows")
        )  # fmt: skip
    stored = parts.get("network", {}).get("store")
    if stored:
        delays = runs.delays(findings(stored).counted)
        tiles.append(Tile("answers within 1 ms", share(delays.share(MS), 1),
                          f"of {number(delays.answers)}"))  # fmt: skip
        counts = outcomes(stored)[0]
        tiles.append(Tile("outcomes of Table 1", f"{sum(map(bool, counts.values()))} of 4", "seen"))
    return tiles


def _sections(document: Document) -> list[Section]:
    parts = document["parts"]
    network = parts.get("network", {})
    stored = network.get("store")
    return [
        overview(document),
        _or_why("sequences", "Fig. 1: three sequences", document, "network", network, _sequences),
        _or_why("clients", "4.1.1: how long clients try", document, "network", network, _clients),
        _or_why("delay", "4.1.2: how soon hosts answer", document, "network", stored, _delay),
        _or_why("late", "4.1.3: what follows a late SYN+ACK", document, "network", stored, _late),
        _or_why("forged", "4.1.3: a forged late SYN+ACK", document, "forged",
                parts.get("forged"), evaluated_machine.forged),
        _or_why("hold", "4.1: the choice of T", document, "network", stored, _hold),
        _or_why("throughput", "4.2: throughput", document, "throughput",
                parts.get("throughput"), evaluated_machine.throughput),
        _or_why("cut", "4.2: from the late answer to the cut", document, "cut",
                parts.get("cut"), evaluated_machine.cut),
        _or_why("load", "4.3.1: queue and table over time", document, "network", network, _load),
        _or_why("ports", "4.3.2: ports, sources, destinations", document, "network", stored,
                _ports),
        _or_why("losses", "What was lost in the network", document, "network", stored, _losses),
        _or_why("lists", "2, 3: against lists of addresses", document, "lists",
                parts.get("lists"), evaluated_machine.lists),
        _about(document),
    ]  # fmt: skip


def _or_why(name: str, title: str, document: Document, part: str, found: Any, of: Any) -> Section:
    """The section, or why it has no numbers."""
    if found and "failed" not in found:
        says, shown = of(found)
        return Section(name, title, says, shown)
    failed = document["parts"].get(part, {})
    why = failed.get("failed") or failed.get("unread")
    chosen = part in document["chosen"]
    reason = why or ("interrupted before" if chosen else "it was left out with --only")
    return Section(name, title, [f"Not measured: {reason}."])


def overview(document: Document) -> Section:
    """Each of the paper's results, theirs beside ours."""
    rows: list[tuple[Cell, ...]] = [
        (f"{row.where}: {row.what}", row.theirs, row.ours, row.why) for row in compared(document)
    ]
    columns = ("result in the paper", "theirs", "ours", "why they differ")
    title = "Every result of the paper's evaluation"
    return Section(
        "overview", "Theirs beside ours", (),
        [Table(title, columns, rows, codes=(), longest=400, stacked=True)],
    )  # fmt: skip


def _sequences(network: Document) -> tuple[list[str], list[Table]]:
    says = [
        "Packets of one connection each, as they passed the gateway's outside in this run. Who sent"
        " a SYN+ACK is known by its sequence number: the late host's are its own.",
    ]
    tables = []
    for name, (title, note) in SEQUENCES.items():
        rows = [(f"{one['t_s']:.4f} s", _arrow(one["from"]), one["what"])
                for one in network["sequences"].get(name, [])]  # fmt: skip
        tables.append(
            Table(title, ("time", "from, to", "packet"), rows, note, (),
                  "No such connection was captured.")
        )  # fmt: skip
    return says, tables


def _arrow(sender: str) -> str:
    return "client → server" if sender == "client" else f"client ← {sender}"


def _clients(network: Document) -> Shown:
    watched_s = network["watched_s"]
    says = [
        "The longer a client tries, the more surely it is still there when the honeypot answers at"
        " T. Clients connected to addresses far outside, where nobody ever answers; their SYNs were"
        f" captured at the gateway for {watched_s:,.0f} s.",
    ]
    rows: list[tuple[Cell, ...]] = []
    gave_up = {"curl": CURL_S, **network.get("gave_up", {})}
    for name, client in SCHEDULES.items():
        times = network["schedules"].get(name, [])
        until = f"{gave_up[name]:.0f} s" if name in gave_up else "later than this run"
        rows.append((client, _seconds(times), f"{times[-1]:.1f} s" if times else "–", until))
    theirs = _seconds(paper.LINUX_SYNS_S)
    rows.append(("Linux 2.6, in the paper", theirs, f"{paper.LINUX_SYNS_S[-1]} s",
                 f"{paper.LINUX_GIVES_UP_S} s"))  # fmt: skip
    columns = ("client", "SYNs after (s)", "first to last", "gives up after")
    note = (
        "One client each. Older Linux doubled its pause from the first SYN on; today's sends some"
        " at equal pauses first."
    )
    parts: list[Figure | Table] = [Table("Clients' schedules", columns, rows, note, ())]
    if network.get("store"):
        found = findings(network["store"])
        parts += [charts.retries(found), charts.spans(found)]
    return says, parts


def _seconds(times: Any) -> str:
    return ", ".join(f"{t_s:.0f}" if t_s == round(t_s) else f"{t_s:.1f}" for t_s in times) or "–"


def _delay(stored: Document) -> Shown:
    found = findings(stored)
    answers = runs.delays(found.counted).answers
    says = [
        "What Darkflow itself counted from its mirror port: the time from a SYN to its SYN+ACK or"
        f" RST, of {number(answers)} answered attempts. A lab has no Internet behind it: real"
        " servers answer within one machine, so all is quicker than the paper's, and what comes"
        " after T comes from two hosts that wait on purpose for 2 s more than T.",
    ]
    return says, [charts.answers(found), charts.answer_shares(found)]


def _late(stored: Document) -> Shown:
    found = findings(stored)
    _, untold = outcomes(stored)
    kinds = {2323: "stay with the honeypot; the host resets what it does not know",
             2324: "had given up before T", 2325: "close after the late answer",
             2326: "have left"}  # fmt: skip
    rows: dict[str, dict[str, int]] = {}
    told: dict[int, int] = {}
    for port, trace, count in stored["traces"]:
        of = rows.setdefault(kinds.get(port, SCANNERS), {})
        of[trace] = of.get(trace, 0) + count
        told[port] = told.get(port, 0) + count
    for port, answer, count in stored["cuts"]:
        if answer == "syn_ack" and count > told.get(port, 0):
            of = rows.setdefault(kinds.get(port, SCANNERS), {})
            of["silence"] = of.get("silence", 0) + count - told.get(port, 0)
    cells: list[tuple[Cell, ...]] = [
        (kind, *(of.get(name, 0) for name in charts.TRACE_NAMES)) for kind, of in rows.items()
    ]
    says = [
        "Hosts that answer 2 s after T, and clients of four kinds, each made to end in another way."
        " The outcomes are those that Darkflow's own trace wrote into its store (cut_traces), from"
        " real packets; how many of each there are was our choice, not the world's.",
    ]
    note = ""
    if untold:
        note = f"{untold} of the silent ones had been so for less than 60 s when the run ended."
    columns = ("clients that", *charts.TRACE_NAMES.values())
    return says, [
        charts.late(found), charts.trace_rows(found),
        Table("Who did what", columns, cells, note, ()),
    ]  # fmt: skip


def _hold(stored: Document) -> Shown:
    tuned = stored.get("tune")
    if not tuned:
        return ["The store had nothing to choose T by."], []
    says = [
        "T has to be long enough that no live host is taken for absent, and short enough that"
        " clients still wait. What darkflow tune says of this run's store, for at most"
        f" {share_text(tuned['bound'])} of live flows called dark: {tuned['why']}.",
        "The paper chose 5 s: nearly all hosts had answered, and Linux clients were still there.",
    ]
    rows: list[tuple[Cell, ...]] = [
        (time_text(one["hold_ns"]), one["later"], share_text(one["false_dark_high"]),
         one["waiting"])
        for one in tuned["candidates"]
    ]  # fmt: skip
    columns = ("T", "answers later", "called dark, at most (95%)", "dark flows that still try")
    note = (
        f"{number(tuned['answers'])} answered attempts, {number(tuned['dark'])} dark flows. The"
        " late answers are those of the two hosts that wait on purpose."
    )
    return says, [Table("Candidates for T", columns, rows, note, ())]


def _load(network: Document) -> Shown:
    samples, every_s = network["samples"], network["sample_s"]
    if len(samples) < 2:
        return ["Too few samples were taken."], []
    marks = _marks(network["scans"])
    times = [row["t_s"] for row in samples]
    pairs = list(pairwise(samples))
    added = [max(after["attempts"] - before["attempts"], 0) for before, after in pairs]
    forwarded = [max(after["diverted"] - before["diverted"], 0) for before, after in pairs]
    says = [
        f"Darkflow's counters, read every {every_s:g} s for {times[-1]:.0f} s ({len(samples)}"
        " samples). Ordinary visitors come all the time; the dashed lines are where scanners"
        f" began. A flow is forgotten {network['idle_s']:g} s after its last packet, so the table"
        " is empty again that long after the last scan.",
    ]
    series8 = [
        Series("SYNs into the queue", times, [*added, added[-1]], "steps"),
        Series("forwarded", times, [*forwarded, forwarded[-1]], "steps", "second"),
    ]
    series9 = [
        Series("delay queue", times, [row["queue_flows"] for row in samples], "steps"),
        Series("flow table", times, [row["table_flows"] for row in samples], "steps", "second"),
    ]
    what8 = f"SYNs into the queue and forwarded, in {every_s:g} s"
    return says, [
        Figure(
            "Fig. 8: SYNs taken into the queue and forwarded",
            f"New attempts, and dark flows given to the honeypot, in each {every_s:g} s.",
            "A spike at each scan; what is forwarded follows T later. Visitors of the live server"
            " go into the queue too and are never forwarded.",
            paper.FIG8,
            Plot("fig8", f"Fig. 8: {what8}", "seconds", "flows", series8, marks=marks),
        ),
        Figure(
            "Fig. 9: size of the delay queue and of the flow table",
            "How many flows were in each at the moment of the sample.",
            "The queue empties T after a scan, the table when its flows have been idle.",
            paper.FIG9,
            Plot("fig9", "Fig. 9: flows in queue and table", "seconds", "flows", series9,
                 marks=marks),
        ),
    ]  # fmt: skip


def _marks(scans: Any) -> list[Mark]:
    """One for each moment at which scanners begin, with the first one's name."""
    at: dict[float, str] = {}
    for at_s, tool in scans:
        at.setdefault(at_s, tool)
    return [Mark(at_s, tool, "muted") for at_s, tool in sorted(at.items())]


def _ports(stored: Document) -> Shown:
    found = findings(stored)
    says = [
        "Whoever scans here is one of a handful of programs, each from an address of its own, over"
        " networks of a few hundred addresses. The shape is that of scans; the numbers are as small"
        " as the lab.",
    ]
    return says, [
        charts.ports(found), charts.port_rows(found), charts.per_source(found),
        charts.per_target(found),
    ]  # fmt: skip


def _losses(stored: Document) -> Shown:
    shown = chapters.losses(findings(stored))
    return list(shown.says), list(shown.parts)


def _about(document: Document) -> Section:
    machine, parts = document["machine"], document["parts"]
    rows: list[tuple[Cell, ...]] = [
        (name, f"{found['elapsed_s']:.0f} s", found.get("failed", "")) for name, found in
        parts.items()
    ]  # fmt: skip
    says = [
        f"Everything ran on {machine['cores']} cores, which clients, hosts, scanners, router and"
        f" Darkflow share; Python {machine['python']}, Linux {machine['kernel']}. No packet left"
        " the machine. What else the machine did at the time shows in throughput and latency.",
    ]
    says += [f"In the network, one program failed: {line}." for line in
             parts.get("network", {}).get("failures", [])]  # fmt: skip
    return Section("about", "How this was measured", says, [
        Table("Parts of the run", ("part", "took", "failed"), rows, codes=())
    ])  # fmt: skip
