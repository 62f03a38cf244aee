"""`darkflow honeypot` as a whole command: what it was promised to bear, in full size."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from process import Figure
from report import Aim, Result, Table, at_least, at_most, count, figure

import honeypot_loads as loads
from honeypot_wires import (
    MODES,
    Honeypot,
    Site,
    cannot,
    silent,
    site,
    state,
    written,
)

if TYPE_CHECKING:
    from measures import Bench

T_S = 0.5
HOLD = ("--hold", "500ms")
# Only the limit in all shall count where a rate is measured.
WIDE = ("--rate", "100000", "--prefix-rate", "100000", "--source-rate", "100000")
SLOWER_MS, LATE_MS, HARM_MS = 1.0, 100.0, 250.0
FILL = """
import sys
from darkflow.divert.nft import Nft
table = Nft()
size = int(sys.argv[1])
for first in range(0, size, 65536):
    some = [(b"\\x0b" + n.to_bytes(3, "big"), 1024 + n % 60000, b"\\xcb\\x00\\x71\\xc8", 80)
            for n in range(first, min(first + 65536, size))]
    assert not table.add(some)
"""


def none(name: str, value: int) -> Aim:
    """An aim that is met by 0 alone."""
    return at_most(name, value, 0, digits=0)


def live(bench: Bench, place: Site, folder: Path) -> Result:
    """A live host's ports, with Darkflow and without it in turn."""
    turns = 10
    found = loads.live(place, folder, turns, max(bench.size(10_000) // (turns * 4), 5))
    result = Result(
        [
            Table(
                f"Honeypot, {place.mode}: a live host's ports",
                ("port", "connections", "with Darkflow, ms: median, 99%", "without"),
            )
        ]
    )
    for kind in ("open", "closed"):
        quantiles = [
            found.quantile(kind, runs, share) for runs in (True, False) for share in (0.5, 0.99)
        ]
        cells = [f"{value:.2f}" for value in quantiles]
        number = len(found.took[kind, True])
        result.tables[0].rows.append(
            (kind, str(number), ", ".join(cells[:2]), ", ".join(cells[2:]))
        )
        for share, word in ((0.5, "median"), (0.99, "99% quantile")):
            result.aims.append(
                at_most(
                    f"{place.mode}: {kind} port, {word} slower by",
                    found.slower_ms(kind, share),
                    SLOWER_MS,
                    " ms",
                )
            )
    result.aims.append(
        none(f"{place.mode}: of {found.connections} connections to live ports differ", found.wrong)
    )
    return result


def cutting(bench: Bench, place: Site, folder: Path) -> Result:
    """A host that wakes up, beside an empty and a full table."""
    header = ("version", "flows registered", "late answers", "out after the answer")
    result = Result([Table(f"Honeypot, {place.mode}: a host wakes up", header)])
    for size in (1, bench.size(1_000_000)):
        honeypot = Honeypot(place, folder, *HOLD, "--flows", "1100000")
        if size > 1:
            python = str(Path(sys.executable))
            place.run(place.machine, python, "-c", FILL, str(size), limit_s=120)
        for version in (4, 6):
            woken = loads.woken(place, folder, version, 300, T_S)
            result.tables[0].rows.append(
                (f"IPv{version}", count(size), str(woken.answered), str(woken.out_after_answer))
            )
            name = f"{place.mode}, IPv{version}, {count(size)} flows: out after a late answer"
            result.aims.append(none(name, woken.out_after_answer))
            name = f"{place.mode}, IPv{version}, {count(size)} flows: first answers missing"
            result.aims.append(none(name, woken.flows - woken.honeypot_first))
        honeypot.end()
    return result


def flooding(bench: Bench, place: Site, folder: Path) -> Result:
    """10,000 new dark flows a second, and a flood as fast as it goes."""
    header = ("load", "SYNs", "SYNs/s", "flows answered", "SYN+ACKs", "s behind", "MiB resident")
    result = Result([Table(f"Honeypot, {place.mode}: new dark flows", header)])
    rows, aims = result.tables[0].rows, result.aims
    for version in (4, 6):
        honeypot = Honeypot(place, folder, *HOLD, *WIDE)
        found = loads.flood(honeypot, folder, version, bench.size(300_000), 10_000)
        rows.append(row(f"10,000/s, IPv{version}", found, honeypot))
        aims.append(
            none(f"{place.mode}, IPv{version}: of {found.sent} flows at 10,000/s lost", found.lost)
        )
        honeypot.end()
    for version, rate in ((4, 20_000), (6, 1_000)):
        honeypot = Honeypot(place, folder, *HOLD, "--rate", str(rate))
        with loads.unharmed(place) as harm:
            found = loads.flood(honeypot, folder, version, bench.size(500_000), 0)
        rows.append(row(f"flood, --rate {rate}, IPv{version}", found, honeypot))
        honeypot.end()
        name = f"{place.mode}, flood, --rate {rate}"
        most = rate * (2 + len(found.by_second))
        aims += [at_most(f"{name}: SYN+ACKs", found.syn_acks, most, digits=0), *harmed(name, harm)]
    return result


def row(what: str, found: loads.Flood, honeypot: Honeypot) -> tuple[str, ...]:
    """One load."""
    return (
        what,
        str(found.sent),
        f"{found.sent / found.took_s:.0f}",
        str(found.flows),
        str(found.syn_acks),
        f"{found.behind_s:.1f}",
        f"{loads.resident_mib(honeypot):.0f}",
    )


def harmed(name: str, harm: dict[str, float]) -> list[Aim]:
    """Live connections that went on all the while."""
    return [
        none(f"{name}: of {harm['connections']} live connections differ", int(harm["wrong"])),
        none(f"{name}: of {harm['patient']} longer than T break", int(harm["broken"])),
        at_most(f"{name}: slowest live connection", harm["worst_ms"], HARM_MS, " ms"),
    ]


def sessions(bench: Bench, place: Site, folder: Path) -> Result:
    """5,000 at one time, and 10,000 whose echoes a mirror shows."""
    header = ("version", "sessions", "open at one time", "without an answer", "s", "cuts")
    result = Result([Table(f"Honeypot, {place.mode}: sessions", header)])
    for version in (4, 6):
        honeypot = Honeypot(place, folder, *HOLD)
        cases = [(bench.size(5_000), bench.size(5_000), True)]
        cases += [(bench.size(10_000), 500, False)] if place.mode == "mirror" else []
        for total, width, hold in cases:
            told = loads.crowd(place, version, total, width, hold)
            cuts = sum(honeypot.status()["cuts"].values())
            result.tables[0].rows.append(
                (
                    f"IPv{version}",
                    str(total),
                    str(told["most"]),
                    str(total - told["answered"]),
                    f"{told['took_s']:.1f}",
                    str(cuts),
                )
            )
            name = f"{place.mode}, IPv{version}, {total} sessions"
            result.aims += [
                none(f"{name}: without an answer", total - told["answered"]),
                none(f"{name}: false cuts", cuts),
            ]
            if hold:
                result.aims.append(at_least(f"{name}: at one time", told["most"], total, digits=0))
        honeypot.end()
    return result


def killed(bench: Bench, place: Site, folder: Path) -> Result:
    """kill -9 with 10,000 flows diverted, a restart, an end."""
    before = state(place)
    honeypot = Honeypot(place, folder, *HOLD)
    with loads.unharmed(place) as harm:
        loads.flood(honeypot, folder, 4, bench.size(10_000), 5_000, rest_s=0)
        children = loads.descendants(honeypot.process.pid)
        honeypot.end(signal.SIGKILL)
        time.sleep(1)
        again = Honeypot(place, folder, *HOLD)
        children += loads.descendants(again.process.pid)
    again.end()
    loads.gone(children)
    name = f"{place.mode}: kill -9, restart, stop"
    left = int(state(place) != before)
    return Result([], [*harmed(name, harm), none(f"{name}: left behind", left)])


def connecting(bench: Bench, place: Site, folder: Path) -> Result:
    """How long after T curl is connected to an absent address."""
    honeypot = Honeypot(place, folder, *HOLD)
    result = Result([Table(f"Honeypot, {place.mode}: connected after T", ("version", "ms"))])
    for version in (4, 6):
        late_ms = []
        for number in range(1, bench.runs + 1):
            page, connected_s = place.curl(f"http://{written(silent(version, number))}/")
            if "It works!" not in page:
                raise RuntimeError("the honeypot does not answer")
            late_ms.append((connected_s - T_S) * 1000)
        whole = Figure.of(late_ms)
        result.tables[0].rows.append((f"IPv{version}", figure(whole, 0)))
        name = f"{place.mode}, IPv{version}: connected after T"
        result.aims += [
            at_least(f"{name}, soonest", whole.least, 0, " ms"),
            at_most(f"{name}, median", whole.median, LATE_MS, " ms"),
        ]
    honeypot.end()
    return result


@contextmanager
def long_queue() -> Iterator[None]:
    """A wire between namespaces is a queue of the kernel's; a card has a longer one."""
    path = Path("/proc/sys/net/core/netdev_max_backlog")
    before = path.read_text()
    path.write_text(str(max(int(before), 16_384)))
    try:
        yield
    finally:
        path.write_text(before)


PARTS: tuple[Callable[[Bench, Site, Path], Result], ...] = (
    connecting, live, cutting, flooding, sessions, killed,
)  # fmt: skip


def honeypot(bench: Bench) -> Result:
    """All of it, in both modes."""
    if reason := cannot():
        return Result([], [Aim("honeypot", "measured", reason, False)])
    whole = Result()
    for mode in MODES:
        for part in PARTS:
            folder = bench.work / f"{mode}-{part.__name__}"
            folder.mkdir()
            try:
                with long_queue(), site(mode) as place:
                    place.serve()
                    found = part(bench, place, folder)
            except (AssertionError, OSError, ValueError, RuntimeError) as error:
                # What the others have found is not lost with it.
                why = (str(error) or repr(error)).splitlines()[0]
                found = Result([], [Aim(f"{mode}, {part.__name__}", "measured", why, False)])
            whole.tables += found.tables
            whole.aims += found.aims
    return whole
