"""What a run of the honeypot's lab has shown, as tables and a few sentences."""

from __future__ import annotations

import os
import sys
from typing import IO, TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from darkflow.analysis.tables import PLAIN_WIDTH

if TYPE_CHECKING:
    from darkflow.lab.show import Found, Shown

NAMES = {
    "198.51.100.11": "curl, ssh and others, patient clients",
    "2001:db8:a::11": "the same",
    "198.51.100.20": "nmap",
    "2001:db8:a::20": "nmap",
    "198.51.100.30": "masscan",
    "2001:db8:a::30": "masscan",
    "198.51.100.40": "zmap",
    "198.51.100.50": "hping3",
    "203.0.113.66": "an infected host of our own, outbound",
}
MOST_SAID = 44
TRACES = {
    "rst_by_client": "a reset by the client",
    "rst_by_server": "a reset by the host",
    "fin": "an ordinary end",
    "silence": "nothing",
}


def show(shown: Shown, out: IO[str], terminal: bool) -> None:
    """Print it."""
    console = Console(
        file=out, force_terminal=terminal or None, width=None if terminal else PLAIN_WIDTH,
        highlight=False, no_color=not terminal,
    )  # fmt: skip

    def headed(title: str, *lines: str) -> None:
        console.print()
        console.print(title, style="bold")
        for line in lines:
            console.print(Text(line), soft_wrap=True)

    _verdicts(console, shown)
    _sources(console, shown.found)
    _sessions(console, shown.found)
    headed("What masscan got on ports 22 and 80", *_banners(shown))
    headed("What curl got from hosts that are not there", *_pages(shown))
    headed("The host that answers 2 s after T", *_slow(shown))
    headed("The live server", *_live(shown))
    headed("Where to look next", *_next(shown))


def _table(first: str, number: str, words: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column(first, no_wrap=True)
    table.add_column(number, justify="right", no_wrap=True)
    table.add_column(words, no_wrap=True)
    return table


def _verdicts(console: Console, shown: Shown) -> None:
    engine = shown.status.get("engine", {})
    console.print()
    console.print("Connection attempts", style="bold")
    table = _table("verdict", "attempts", "meaning")
    for name, meaning in (
        ("answered", "the host itself took the connection"),
        ("refused", "the host itself refused it"),
        ("dark", "nobody said anything within T"),
    ):
        table.add_row(name, f"{engine.get(name, 0):,}", meaning)
    console.print(table)
    flows = shown.status.get("flows", {})
    console.print(
        f"{flows.get('diverted', 0):,} dark flows from outside went to the honeypot",
        soft_wrap=True,
    )


def _sources(console: Console, found: Found) -> None:
    console.print()
    console.print("Who sent dark flows", style="bold")
    table = _table("source", "flows", "")
    for address, count in found.dark.most_common(10):
        table.add_row(address, f"{count:,}", NAMES.get(address, ""))
    console.print(table)


def _sessions(console: Console, found: Found) -> None:
    console.print()
    console.print("What clients said to the honeypot", style="bold")
    table = _table("protocol", "sessions", "for example")
    said = {proto: event for (_, proto), event in reversed(found.spoke.items())}
    for proto, count in found.sessions.most_common(10):
        words = said[proto]["session"]["payload_printable"] if proto in said else ""
        if proto == "half open":
            words = "(a SYN scan: no handshake)"
        table.add_row(proto, f"{count:,}", Text(words[:MOST_SAID]))
    console.print(table)


def _banners(shown: Shown) -> list[str]:
    absent = sorted(shown.banners.items())
    lines = [f"from {len(absent)} addresses at which nobody is, for example"]
    lines += [
        f"    {address:28} {banner[:44]}" for address, banner in sorted({*absent[:1], *absent[-1:]})
    ]
    lines += [
        f"    {address:28} {banner[:44]}  (the live server's own)"
        for address, banner in sorted(shown.live_banners.items())
    ]
    return lines


def _pages(shown: Shown) -> list[str]:
    return [f"    {address:28} {said}" for address, said in sorted(shown.pages.items())]


def _slow(shown: Shown) -> list[str]:
    cuts = [cut for cut in shown.found.cuts if cut["cut"]["answer"]]
    kernel = sum(cut["cut"]["cut_by"] == "kernel" for cut in cuts)
    followed = ", ".join(
        f"{count} {TRACES.get(trace, trace)}" for trace, count in shown.found.traces.most_common()
    )
    delays_s = sorted((cut["cut"]["answered_ns"] - cut["cut"]["t0_ns"]) / 1e9 for cut in cuts)
    when = f"; they came {delays_s[0]:.2f} to {delays_s[-1]:.2f} s after the SYN" if cuts else ""
    lines = [
        f"was answered for by the honeypot first; its own SYN+ACKs ended {len(cuts)} flows,"
        f" {kernel} of them in the kernel, in the SYN+ACK's own packet{when}",
    ]
    return lines + ([f"what followed: {followed}"] if followed else [])


def _live(shown: Shown) -> list[str]:
    lost = [f"{name} {count}" for name, count in shown.status.get("losses", {}).items() if count]
    return [
        f"answered {shown.pages_answered} of {shown.pages_asked} requests itself;"
        f" {shown.found.answered_live} of its flows were taken for dark",
        f"lost on the way, of packets, verdicts and sessions: {', '.join(lost) or 'nothing'}",
    ]


def _next(shown: Shown) -> list[str]:
    program, folder = os.path.relpath(sys.argv[0]), shown.place.folder
    sql = (
        "SELECT dest_port, app_proto, COUNT(*) AS n FROM sessions"
        " GROUP BY dest_port, app_proto ORDER BY n DESC"
    )
    return [
        f'{program} query --store {folder}/store "{sql}"',
        f"{program} report --store {folder}/store -o {folder}/report.html",
        f"{program} export --store {folder}/store --format jsonl --since 1h -o {folder}/dark.jsonl",
        f"less {folder}/events.jsonl        every event; {folder}/programs: what each program said",
        f"sudo {program} lab up        the same lab, to play with: shell, attack, status, down",
    ]
