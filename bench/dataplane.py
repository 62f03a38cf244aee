"""The data plane: how soon a late answer cuts, what a full table costs, how fast it fills."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from live_programs import BENCH
from process import Figure, run_step
from report import Aim, Result, Table, at_least, at_most, count, figure

import planes
from darkflow.divert import nft
from darkflow.divert.dispatcher import Flow
from darkflow.divert.nft import Nft
from planes import ACK, HP0_MAC, HP1_MAC, MACS, MIRROR, NOBODY, ROUTER, SYN, Stand

if TYPE_CHECKING:
    from measures import Bench

SIZES = (10_000, 100_000, 1_000_000)
# Nothing that is registered ahead of a measure goes away during it.
LONG_NS = 3600 * 10**9
PAPER_US, FLAT = 19, 1.2
STREAM_S, MIDDLE_S = 0.008, 0.003
# Around the late answer the honeypot's stream must have had the processor all the time.
GAP_NS = 30_000
TRIALS, TURNS, SECONDS = 40, 5, 0.5
SENDING_CORE, OTHER_CORE = "0", "1"
BATCHES = (1, 16, 64, 256, 1024, 4096)


def registered(first: int, last: int, version: int = 4) -> list[Flow]:
    """Flows that nobody uses: they only fill the table."""
    if version == 4:
        return [
            (
                b"\x0a" + n.to_bytes(3, "big"),
                1024 + n % 60_000,
                b"\xcb\x00\x71" + bytes([n % 250]),
                80,
            )
            for n in range(first, last)
        ]
    net, end = planes.packed("2001:db8:f::")[:12], planes.packed(planes.ABSENT[6])
    return [(net + n.to_bytes(4, "big"), 1024 + n % 60_000, end, 80) for n in range(first, last)]


class Plane:
    """A small network with the data plane in it, and a table that grows."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self.table: Nft = stand.nft(idle_ns=LONG_NS)
        self.size = 0

    def empty(self) -> None:
        """Begin with nothing registered."""
        with self.stand.at(self.stand.where):
            self.table.apply(self.stand.plan(idle_ns=LONG_NS))
        self.size = 0

    def fill(self, size: int) -> None:
        """So many flows, and those that are measured."""
        if self.table.add(registered(self.size, size)):
            raise RuntimeError("the table has no room")
        self.size = size


@contextmanager
def running(stand: Stand, role: str, core: str, *argv: str) -> Iterator[subprocess.Popen[str]]:
    """A program inside that has said that it is ready."""
    whole = ["taskset", "-c", core, "ip", "netns", "exec", stand.name(role), *argv]
    process = subprocess.Popen(
        whole, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        if said(process) != "ready":
            raise RuntimeError(f"{argv} does not start")
        yield process
    finally:
        process.kill()
        process.wait()


def said(process: subprocess.Popen[str]) -> str:
    """Its next line."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


@dataclass(frozen=True)
class Trial:
    """One late answer in the middle of a stream, in ns from when it came in."""

    # The last packet that left, and the first one that had to stay: the cut lies between.
    last_out_ns: int
    first_kept_ns: int
    out_after: int


class Stream:
    """The honeypot's numbered packets, and what is seen of them on both sides of the cut."""

    def __init__(self, plane: Plane, sender: subprocess.Popen[str], version: int) -> None:
        stand = plane.stand
        self._plane = plane
        self._sender = sender
        self._version = version
        self._port = 20_000
        self._seq_at = 24 if version == 4 else 44
        mirrored = stand.kind == MIRROR
        self._late = stand.seen(stand.where, "mirror" if mirrored else "inside")
        self._before = stand.seen(stand.where, "hp0")
        # What has left: on its way out of the machine that Darkflow is on.
        self._after = stand.seen("gw" if mirrored else "out", "way" if mirrored else "o0")

    def trial(self) -> Trial | None:
        """One flow's end, or None if the stream had stopped just then."""
        self._port += 1
        orig, resp = NOBODY[self._version], planes.ABSENT[self._version]
        flow = (planes.packed(orig), self._port, planes.packed(resp), 80)
        back = planes.turned(flow)
        self._plane.table.add([flow])
        for tap in (self._late, self._before, self._after):
            tap.read()
            tap.packets.clear()
        packet = planes.frame(planes.tcp_packet(back, ACK, 0, 7), HP0_MAC, HP1_MAC)
        late = planes.frame(planes.tcp_packet(back, SYN | ACK, 5, 6), MACS["inside"], MACS["i0"])
        assert self._sender.stdin is not None
        print(14 + self._seq_at, STREAM_S, packet.hex(), file=self._sender.stdin)
        end_s = time.perf_counter() + MIDDLE_S
        while time.perf_counter() < end_s:
            pass
        self._plane.stand.send("in", "i0", late)
        said(self._sender)
        return self._judged()

    def _judged(self) -> Trial | None:
        came = [t_ns for t_ns, p in self._late.read() if planes.flags_of(p) == SYN | ACK]
        before, after = self._numbered(self._before), dict(self._numbered(self._after))
        if len(came) != 1 or not after:
            return None
        last = max(after)
        kept = [t_ns for number, t_ns in before if number > last]
        near = [t_ns - came[0] for _, t_ns in before if abs(t_ns - came[0]) < GAP_NS]
        if not kept or not near or min(near) > 0 or max(near) < 0:
            return None
        out_after = sum(t_ns > came[0] for t_ns in after.values())
        return Trial(after[last] - came[0], min(kept) - came[0], out_after)

    def _numbered(self, tap: planes.Tap) -> list[tuple[int, int]]:
        """(sequence number, time) of the stream's packets."""
        return [
            (struct.unpack_from("!I", packet, self._seq_at)[0], t_ns)
            for t_ns, packet in tap.read()
            if packet[0] >> 4 == self._version and planes.flags_of(packet) == ACK
        ]


def cutting(bench: Bench) -> Result:
    """From the late answer to the cut, by the packets' time stamps."""
    program = bench.work / "stream"
    run_step(("gcc", "-O2", str(BENCH / "stream.c"), "-o", str(program)), bench.work)
    header = ("network", "flows registered", "late answers", "last packet out, us",
              "first packet kept, us", "out after the answer, most")  # fmt: skip
    result = Result([Table("Data plane: from the late answer to the cut", header)])
    for kind, version in ((ROUTER, 4), (MIRROR, 6)):
        trials = timed(bench, kind, version, program)
        for size, some in trials.items():
            result.tables[0].rows.append((f"{kind}, IPv{version}", count(size), *cells(some)))
        middles = {size: median(t.first_kept_ns for t in some) for size, some in trials.items()}
        name = f"cut, {kind}, IPv{version}"
        most = max(trials)
        result.aims += [
            at_most(f"{name}: median, every size", max(middles.values()) / 1000, PAPER_US, " us"),
            at_most(f"{name}: {count(most)} flows / 1 flow", middles[most] / middles[1], FLAT),
        ]
    return result


def timed(bench: Bench, kind: str, version: int, program: Path) -> dict[int, list[Trial]]:
    """Trials by size of the table; all sizes in turn."""
    trials: dict[int, list[Trial]] = {1: [], **{bench.size(size): [] for size in SIZES}}
    with planes.stand(kind) as stand:
        plane = Plane(stand)
        with running(stand, "hp", SENDING_CORE, str(program), "hp1") as sender:
            os.sched_setaffinity(0, {int(OTHER_CORE)})
            stream = Stream(plane, sender, version)
            for _ in range(1 if bench.scale < 1 else TURNS):
                plane.empty()
                for size in trials:
                    plane.fill(size)
                    for _ in range(12 if bench.scale < 1 else TRIALS):
                        if (trial := stream.trial()) is not None:
                            trials[size].append(trial)
            os.sched_setaffinity(0, range(os.cpu_count() or 1))
    if not all(trials.values()):
        raise RuntimeError(
            "the honeypot's stream never ran when the late answer came: a busy machine"
        )
    return trials


def cells(trials: Sequence[Trial]) -> tuple[str, ...]:
    """How many, the last packet out, the first one kept, the most that left after the answer."""
    return (
        str(len(trials)),
        quartiles([trial.last_out_ns / 1000 for trial in trials]),
        quartiles([trial.first_kept_ns / 1000 for trial in trials]),
        str(max(trial.out_after for trial in trials)),
    )


def quartiles(values: Sequence[float]) -> str:
    """Median (first and third quartile)."""
    ranked = sorted(values)
    low, high = ranked[len(ranked) // 4], ranked[len(ranked) * 3 // 4]
    return f"{median(ranked):.1f} ({low:.1f}-{high:.1f})"


@dataclass(frozen=True)
class Carried:
    """One connection: what it carried, and the processors' time for it."""

    mbit_s: float
    cpu_ns_per_byte: float


def carrying(bench: Bench) -> Result:
    """What a TCP connection carries to the honeypot, and to a live host, beside a full table."""
    header = ("network", "connection", "flows registered", "Mbit/s", "CPU ns for 1 kB",
              "Mbit per CPU second / empty table's")  # fmt: skip
    result = Result([Table("Data plane: throughput, one packet a frame", header)])
    for kind in (ROUTER, MIRROR):
        carried = connections(bench, kind)
        for (what, size), runs in carried.items():
            pairs = zip(carried[what, 1], runs, strict=True)
            ratio = Figure.of([empty.cpu_ns_per_byte / run.cpu_ns_per_byte for empty, run in pairs])
            rate = figure(Figure.of([run.mbit_s for run in runs]), 0)
            cost = figure(Figure.of([run.cpu_ns_per_byte * 1000 for run in runs]), 0)
            shown = "no table" if size == 0 else count(size)
            cell = figure(ratio, 2) if size != 1 else ""
            result.tables[0].rows.append((kind, what, shown, rate, cost, cell))
            for bound_size, bound in ((100_000, 0.97), (1_000_000, 0.9)):
                if size == bench.size(bound_size):
                    name = f"throughput, {kind}, {what}, {count(size)} flows / empty"
                    result.aims.append(at_least(name, ratio.median, bound, digits=2))
    return result


def connections(bench: Bench, kind: str) -> dict[tuple[str, int], list[Carried]]:
    """By connection and size of the table, turn by turn; 0: there is no table at all."""
    runs: dict[tuple[str, int], list[Carried]] = {}
    tcp = str(BENCH / "tcp.py")
    with planes.stand(kind) as stand:
        stand.without_offload()
        plane = Plane(stand)
        sinks = (running(stand, role, OTHER_CORE, sys.executable, tcp, "sink", "80")
                 for role in ("hp", "in"))  # fmt: skip
        with next(sinks) as dark, next(sinks) as live:
            numbers = iter(range(20_000, 60_000))
            seconds = str(SECONDS if bench.scale == 1 else 0.1)

            def carry(what: str) -> Carried:
                port, diverted = str(next(numbers)), what == "diverted"
                if diverted:
                    plane.table.add([planes.flow_of(4, int(port))])
                target = planes.ABSENT[4] if diverted else planes.LIVE[4]
                before_ns = softirq_ns()
                argv = ["taskset", "-c", SENDING_CORE, sys.executable, tcp, "source"]
                sent = stand.run("out", *argv, planes.CLIENT[4], port, target, "80", seconds)
                mbit_s, total, busy_s = map(float, said(dark if diverted else live).split())
                cpu_ns = (float(sent) + busy_s) * 1e9 + softirq_ns() - before_ns
                return Carried(mbit_s, cpu_ns / total)

            for _ in range(2 if bench.scale < 1 else bench.runs):
                with stand.at(stand.where):
                    plane.table.remove()
                runs.setdefault(("live", 0), []).append(carry("live"))
                plane.empty()
                for size in (1, bench.size(100_000), bench.size(1_000_000)):
                    plane.fill(size)
                    for what in ("diverted", "live"):
                        runs.setdefault((what, size), []).append(carry(what))
    return dict(sorted(runs.items()))


def softirq_ns() -> int:
    """CPU time of the kernel's threads that go on with packets when there are too many at once."""
    found = 0
    for thread in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (thread / "comm").read_text().startswith("ksoftirqd/"):
                found += int((thread / "schedstat").read_text().split()[0])
    return found


def adding(bench: Bench) -> Result:
    """How many flows a second are registered and cut, by the size of a transaction."""
    header = ("flows a transaction", "IPv4, k flows/s", "IPv6, k flows/s", "ms a transaction",
              "cut, k flows/s")  # fmt: skip
    result = Result([Table("Data plane: registering flows, 500 k of them there already", header)])
    usual = nft.BATCH
    with planes.stand(ROUTER) as stand:
        plane = Plane(stand)
        plane.fill(bench.size(500_000))
        speeds: dict[int, list[list[float]]] = {size: [] for size in BATCHES}
        for _ in range(min(bench.runs, 5)):
            for size in BATCHES:
                nft.BATCH = size
                speeds[size].append(speed(plane.table, 1024 if size == 1 else 16_384))
        nft.BATCH = usual
    for size, runs in speeds.items():
        four, six, cut = (Figure.of([run[at] / 1000 for run in runs]) for at in range(3))
        row = (
            str(size),
            figure(four, 0),
            figure(six, 0),
            f"{size / four.median:.2f}",
            figure(cut, 0),
        )
        result.tables[0].rows.append(row)
        if size == usual:
            result.aims.append(
                at_least("registering, flows/s", four.median * 1000, 100_000, digits=0)
            )
    return result


def speed(table: Nft, number: int) -> list[float]:
    """Flows a second: IPv4 and IPv6 registered, both cut."""
    both = [registered(600_000, 600_000 + number, version) for version in (4, 6)]

    def took(call: Callable[[], object]) -> float:
        began_s = time.perf_counter()
        call()
        return time.perf_counter() - began_s

    added = [number / took(lambda some=some: table.add(some)) for some in both]  # type: ignore[misc]
    return [*added, 2 * number / took(lambda: table.delete(both[0] + both[1]))]


def plane(bench: Bench) -> Result:
    """All of it."""
    if reason := planes.cannot():
        return Result([], [Aim("data plane", "measured", reason, False)])
    whole = Result()
    for part in (cutting, carrying, adding):
        found = part(bench)
        whole.tables += found.tables
        whole.aims += found.aims
    return whole
