"""Sections of the evaluation's page that come from experiments of their own: cost and the cut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from darkflow.analysis import paper
from darkflow.analysis.page import Cell, Figure, Table, number, several
from darkflow.analysis.plots import Plot, Series

Document = Mapping[str, Any]
Shown = tuple[list[str], list[Figure | Table]]

SETTINGS = {
    "cuts": "the real host's answer always cuts (--late-answer cuts, the default)",
    "unless-established": "not if the client has talked (--late-answer unless-established)",
}
DETECTORS = {
    "flows": "flow table (Darkflow)",
    "linear": "list, entry by entry (DarkPots)",
    "ranges": "list as sorted ranges",
    "bitmap": "a record per address (Dark IP learning)",
    "learnt": "a record per address that was asked for",
}
WAKE = {
    "flows": "flow table (Darkflow)",
    "learning": "Dark IP learning",
    "darkpots": "DarkPots, a list a day",
}
MIB = 1 << 20


def forged(found: Document) -> Shown:
    """The hping3 experiment."""
    says = [
        "A client downloads page after page in one connection from the honeypot, which answers for"
        " a host that is not there. Then hping3 sends one SYN+ACK in that host's name, from where"
        " it would stand. An attacker who can forge packets could do that to take clients away from"
        " a honeypot. Darkflow has both answers as a setting: by default the real host is always"
        " believed, as no live service may ever be disturbed.",
    ]
    rows: list[tuple[Cell, ...]] = [
        (
            SETTINGS.get(name, name), one["bytes_before"], _seen(one), one["bytes_after"],
            "goes on" if one["survived"] else "is cut",
        )
        for name, one in found["settings"].items()
    ]  # fmt: skip
    columns = (
        "setting", "bytes before", "Darkflow, of the forged packet", "bytes after", "the download",
    )  # fmt: skip
    note = (
        f"One download for each setting, T = {found['hold_s']:g} s, watched for"
        f" {found['after_s']:g} s after the forged packet. In the paper the established"
        " session survived."
    )
    return says, [Table("The download and the forged SYN+ACK", columns, rows, note, ())]


def _seen(one: Document) -> str:
    """What Darkflow itself says of the forged packet."""
    if one["cuts"]:
        return f"saw it, cut ({', '.join(one['cuts'])})"
    return "saw it, kept the flow" if one["kept"] else "saw nothing of it"


def throughput(found: Document) -> Shown:
    """4.2, throughput."""
    sizes = found["sizes"]
    says = [
        "One TCP connection from a client through the router to the honeypot, with so many flows"
        f" in the kernel's table; {several(sizes[0]['runs'], 'connection')} of"
        f" {found['seconds']:g} s for each size, the sizes in turn. There is no wire: all"
        " ends share the cores, so Mbit/s say how fast this machine is, and only the ratio can be"
        " compared.",
    ]
    rows: list[tuple[Cell, ...]] = [
        (
            number(row["flows"]), _middle(row["mbit_s"], 0), f"{row['ratio']:.2f}",
            f"{row['cpu_ratio']:.2f}", row["runs"],
        )
        for row in sizes
    ]  # fmt: skip
    columns = ("flows in the table", "Mbit/s (quartiles)", "ratio to 1 flow",
               "ratio for a CPU second", "connections")  # fmt: skip
    note = (
        f"Ratios are medians, turn by turn. In the paper: {paper.THROUGHPUT_MBIT_S} Mbit/s on"
        f" 1000Base-T with {number(paper.THROUGHPUT_FLOWS)} flows, the same as empty."
    )
    names = [number(row["flows"]) for row in sizes]
    plot = Plot(
        "throughput", "Throughput beside a table of so many flows", "Mbit/s", "",
        [Series("median", range(len(sizes)), [row["mbit_s"]["median"] for row in sizes])],
        names=names,
    )  # fmt: skip
    figure = Figure(
        "Throughput of a diverted connection",
        "Mbit/s of the middle connection, by how many flows are registered.",
        "Bars of the same length: a hash table's cost does not grow with what is in it.",
        f"{paper.THROUGHPUT_MBIT_S} Mbit/s, the wire's own limit, with the table full or empty.",
        plot,
    )
    return says, [figure, Table("Throughput in numbers", columns, rows, note, ())]


def cut(found: Document) -> Shown:
    """4.2, Fig. 7."""
    sizes = found["sizes"]
    says = [
        "The honeypot sends numbered packets as fast as it can; in the middle of that the real"
        " host's SYN+ACK comes. The kernel stamps both with its time. The last number that got out"
        " left before the cut, the first that stayed behind came after it: the cut lies between."
        " Trials in which the stream paused at that moment are left out.",
    ]
    rows: list[tuple[Cell, ...]] = [
        (
            number(row["flows"]), _middle(row["last_out_us"], 1), _middle(row["first_kept_us"], 1),
            f"{row['trials']} of {row['tried']}",
        )
        for row in sizes
    ]  # fmt: skip
    columns = ("flows in the table", "last packet out, µs", "first packet kept, µs", "trials used")
    note = (
        "Median (quartiles). The honeypot's sender is a Python program with some microseconds"
        " between packets, which the times include; make bench has a quicker one."
    )
    x = [row["flows"] for row in sizes]
    plot = Plot(
        "fig7", "Fig. 7: from the late answer to the cut", "flows in the table, logarithmic", "µs",
        [
            Series("here, at the latest", x, [row["first_kept_us"]["median"] for row in sizes]),
            Series("in the paper", [at for at, _ in paper.CUT_US], [us for _, us in paper.CUT_US],
                   "points", "paper"),
        ],
        x_scale="log",
    )  # fmt: skip
    figure = Figure(
        "Fig. 7: from the real host's late answer until the honeypot is blocked",
        "Time of the first packet of the honeypot that stayed behind, after the late answer.",
        "Ours is flat: the late answer's own packet removes the flow from a hash set. The paper"
        " compared one entry after the other.",
        "19 µs at 1 comparison, 92 µs at 10,000, linear in between.",
        plot,
    )
    return says, [figure, Table("Fig. 7 in numbers", columns, rows, note, ())]


def lists(found: Document) -> Shown:
    """Sections 2 and 3."""
    spaces = list(dict.fromkeys(row["space"] for row in found["cost"]))
    ns: dict[str, dict[str, float]] = {}
    size: dict[str, dict[str, float]] = {}
    for row in found["cost"]:
        ns.setdefault(row["detector"], {})[row["space"]] = row["ns"]
        size.setdefault(row["detector"], {})[row["space"]] = row["bytes"]
    headings = tuple(f"IPv6 {one[2:]}" if one.startswith("v6") else f"/{one}" for one in spaces)

    def rows_of(
        of: dict[str, dict[str, float]], divide: float, digits: int
    ) -> list[tuple[Cell, ...]]:
        return [
            (DETECTORS[name], *(f"{row[at] / divide:,.{digits}f}" if at in row else "–"
                                for at in spaces))
            for name, row in of.items()
        ]  # fmt: skip

    woken: list[tuple[Cell, ...]] = []
    for name, row in found["wake"].items():
        right = 100 * row["right"] / row["absent"] if row["absent"] else 0
        woken.append((WAKE[name], f"{row['false']:,} of {row['live']:,}", row["hosts"],
                      f"{right:.1f}%"))  # fmt: skip
    says = [
        "Other systems keep a list of addresses that are not used, and compare each packet's"
        f" destination with it. The same {number(found['syns'])} SYNs to watched networks of"
        f" several sizes, one run each, and {found['days']} days of 256 hosts, some of which sleep"
        " and wake up, in fast motion.",
    ]
    cost_note = (
        "–: a list of that space has 2^96 entries. The lists are given destinations as numbers,"
        " the flow table whole frames to decode: compare along a row, not along a column."
    )
    return says, [
        Table("CPU time of a SYN, ns, by watched space", ("detector", *headings),
              rows_of(ns, 1, 0), cost_note, ()),
        Table("Memory, MiB, by watched space", ("detector", *headings), rows_of(size, MIB, 3),
              codes=()),
        Table("Hosts that sleep and wake up",
              ("detector", "live attempts called dark", "hosts that were hit",
               "dark attempts found"), woken, codes=()),
    ]  # fmt: skip


def _middle(row: Mapping[str, float], digits: int) -> str:
    return f"{row['median']:,.{digits}f} ({row['low']:,.{digits}f} to {row['high']:,.{digits}f})"
