"""The live sensor: load, its CPU time beside tcpdump's, the time to a verdict."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from live_programs import Listener, Sender, Sensor, Sent, Tcpdump, cannot, wire
from process import Figure
from report import MIB, Aim, Result, Table, at_most, figure

if TYPE_CHECKING:
    from pathlib import Path

    from measures import Bench

    from wires import Wire

LOAD_S, CPU_S, SETTLE_S = 8.0, 4.0, 1.0
# Until then the delay queue fills: longer than T.
FILL_S = 6.5
FLOOD_SYNS = 8_000_000
HOLD_S = 5.0
CPU_BOUND, VERDICT_BOUND_MS = 1.5, 50
NO_LIMIT = 1 << 62
IN_MODIFY = 2


def impossible(name: str) -> Result | None:
    """A missed aim that says why nothing can be measured here, or None."""
    reason = cannot()
    return Result([], [Aim(name, "measured", reason, False)]) if reason else None


@dataclass(frozen=True)
class Loaded:
    """One run under load: what was sent, what the sensor says of it, what it took."""

    sent: Sent
    state: dict[str, int]
    peak_bytes: int
    found: bool

    @property
    def unaccounted(self) -> int:
        """Packets that nothing accounts for: neither came up, nor lost in the ring and counted."""
        return abs(self.sent.wanted - self.state["packets"] - self.state["dropped_ring"])

    @property
    def unjudged(self) -> int:
        """SYNs that are neither an attempt nor counted as lost; each is of another flow."""
        counted = self.state["attempts"] + self.state["dropped_queue"]
        return max(0, self.sent.syn - counted - self.state["dropped_ring"])


def loaded(link: Wire, bench: Bench, kind: str, packets: int, seconds: float) -> Loaded:
    """Send as fast as can be, wait for the last verdict, ask the sensor."""
    sender = Sender(bench.work)
    # A flood's event lines would fill the disk; they are written all the same.
    options = ("--events", "/dev/null") if kind == "flood" else ()
    sensor = Sensor(link, bench.work, *options)
    try:
        sent = sender.send(link, kind, packets, 0, seconds)
        time.sleep(HOLD_S + SETTLE_S)
        peak_bytes = sensor.memory_bytes("VmHWM")
        sensor.stop()
        state = sensor.state()
        found = kind == "flood" or dark_as_sent(sensor, sent)
    finally:
        sensor.stop(signal.SIGKILL)
        sensor.events.unlink(missing_ok=True)
    return Loaded(sent, state, peak_bytes, found)


def dark_as_sent(sensor: Sensor, sent: Sent) -> bool:
    """Whether the event file holds the dark flows of a mix, each once and no other."""
    lines = [(line["src_ip"], line["src_port"]) for line in sensor.dark_lines()]
    return len(lines) == len(sent.dark_ports) and set(lines) == sent.dark_ports


def load(bench: Bench) -> Result:
    """The most that this machine can send: nothing is lost that is not counted."""
    if missing := impossible("live load"):
        return missing
    from measures import bound_bytes

    header = ("traffic", "packets", "packets/s", "SYNs", "SYNs judged", "SYNs not held",
              "lost in the ring", "not accounted for", "peak MiB")  # fmt: skip
    result = Result([Table("Live: load", header)])
    bound = bound_bytes(1 << 20, 1 << 20, 0) / MIB + 32
    for kind, name in (("mix", "3% SYN"), ("flood", "only SYNs")):
        runs = []
        for _ in range(bench.slow_runs):
            with wire() as link:
                packets = bench.size(FLOOD_SYNS) if kind == "flood" else NO_LIMIT
                seconds = 60.0 if kind == "flood" else max(1.0, LOAD_S * bench.scale)
                runs.append(loaded(link, bench, kind, packets, seconds))
        result.tables[0].rows.append((name, *load_cells(runs)))
        said = f"live, {name}"
        ring = max(run.state["dropped_ring"] for run in runs)
        lost = max(run.unaccounted + run.unjudged for run in runs)
        peak = max(run.peak_bytes for run in runs) / MIB
        result.aims += [
            at_most(f"{said}: lost in the ring", ring, 0, digits=0),
            at_most(f"{said}: packets or SYNs not accounted for", lost, 0, digits=0),
            at_most(f"{said}: peak memory", peak, round(bound), " MiB", 0),
        ]
        if kind == "mix":
            right = all(run.found for run in runs)
            words = "each once" if right else "wrong"
            result.aims.append(Aim(f"{said}: known dark flows", "each once", words, right))
    return result


def load_cells(runs: Sequence[Loaded]) -> list[str]:
    """Medians (least-most) of packets and rate, the median of the counters, the worst losses."""

    def middle(value: Callable[[Loaded], float]) -> str:
        return str(round(median(map(value, runs))))

    rates = Figure.of([run.sent.packets / run.sent.seconds / 1000 for run in runs])
    return [
        middle(lambda run: run.sent.packets),
        f"{figure(rates, 0)} k",
        middle(lambda run: run.sent.syn),
        middle(lambda run: run.state["attempts"]),
        middle(lambda run: run.state["dropped_queue"]),
        str(max(run.state["dropped_ring"] for run in runs)),
        str(max(run.unaccounted + run.unjudged for run in runs)),
        str(round(max(run.peak_bytes for run in runs) / MIB)),
    ]


@dataclass(frozen=True)
class Cost:
    """What listening took while traffic flowed: start and end of the program are left out."""

    cpu_ns_per_s: float
    packets_per_s: float
    wanted_per_s: float
    wakes_per_s: float
    delivery_ns: float

    @property
    def ns_per_wanted(self) -> float:
        """CPU time for each packet that passes the filter."""
        return self.cpu_ns_per_s / self.wanted_per_s

    def whole_ns(self, unheard_ns: float) -> float:
        """CPU time for a packet on the wire, with what the kernel's delivery takes longer."""
        return self.cpu_ns_per_s / self.packets_per_s + self.delivery_ns - unheard_ns


def cost(link: Wire, bench: Bench, listener: Listener, rate: float) -> Cost:
    """Measure between two moments; RuntimeError if a packet was lost, as that is cheaper."""
    sender = Sender(bench.work)
    seconds = max(1.0, CPU_S * bench.scale)
    fill_s = FILL_S if bench.scale == 1 else SETTLE_S
    running = sender.start(link, "mix", NO_LIMIT, rate, fill_s + seconds + 0.5)
    time.sleep(fill_s)
    began = (time.monotonic(), listener.cpu_ns, listener.wakes)
    time.sleep(seconds)
    ended = (time.monotonic(), listener.cpu_ns, listener.wakes)
    sent = sender.sent(running)
    time.sleep(SETTLE_S)
    listener.stop(signal.SIGINT)
    lost = listener.counts()[1] if isinstance(listener, Tcpdump) else 0
    lost += listener.lost() if isinstance(listener, Sensor) else 0
    if lost:
        raise RuntimeError(f"{listener.process.args!r} lost {lost} packets")
    took_s, cpu_ns, wakes = (b - a for a, b in zip(began, ended, strict=True))
    return Cost(cpu_ns / took_s, sent.packets / sent.seconds, sent.wanted / sent.seconds,
                wakes / took_s, sent.cpu_s / sent.packets * 1e9)  # fmt: skip


def unheard_ns(link: Wire, bench: Bench) -> float:
    """CPU time that the sender and the kernel need for a packet that nobody listens to."""
    sent = Sender(bench.work).send(link, "mix", NO_LIMIT, 0, max(1.0, CPU_S * bench.scale))
    return sent.cpu_s / sent.packets * 1e9


def cpu(bench: Bench) -> Result:
    """CPU time of the sensor and of a tcpdump that only captures, in turn."""
    if missing := impossible("live CPU time"):
        return missing
    result = Result()
    runs = min(bench.runs, 5)
    listeners: dict[str, Callable[[Wire, Path], Listener]]
    listeners = {"darkflow sensor": Sensor, "tcpdump -w /dev/null": Tcpdump}
    for rate, name in ((0.0, "all that can be sent"), (50_000.0, "50 k packets/s")):
        costs: dict[str, list[Cost]] = {program: [] for program in listeners}
        whole: dict[str, list[float]] = {program: [] for program in costs}
        for _ in range(runs):
            with wire() as link:
                unheard = unheard_ns(link, bench) if not rate else 0
                for program, start in (
                    ("tcpdump -w /dev/null", Tcpdump),
                    ("darkflow sensor", Sensor),
                ):
                    costs[program].append(cost(link, bench, start(link, bench.work), rate))
                    whole[program].append(costs[program][-1].whole_ns(unheard))
        result.tables.append(cpu_table(f"Live: CPU time, 3% SYN, {name}", costs))
        if not rate:
            result.tables[-1].rows += [whole_row(*item) for item in whole.items()]
            alone = cost_ratios([[run.ns_per_wanted for run in both] for both in costs.values()])
            both = cost_ratios(list(whole.values()))
            words = "live, 3% SYN: CPU time / tcpdump's"
            result.aims += [
                at_most(f"{words}, the kernel's delivery included", both.median, CPU_BOUND),
                at_most(f"{words}, the processes alone", alone.median, CPU_BOUND),
            ]
    return result


def cost_ratios(values: Sequence[Sequence[float]]) -> Figure:
    """Ours over theirs, turn by turn."""
    return Figure.of([ours / theirs for ours, theirs in zip(*values, strict=True)])


def whole_row(program: str, ns: Sequence[float]) -> Sequence[str]:
    """The row of what a packet takes of the whole machine."""
    return (f"{program}, with the kernel's delivery", "", "", figure(Figure.of(ns), 0), "", "")


def cpu_table(title: str, costs: dict[str, list[Cost]]) -> Table:
    """Both programs."""
    header = ("program", "k packets/s", "CPU ms in 1 s", "ns per packet",
              "ns per packet that passes the filter", "wake-ups in 1 s")  # fmt: skip
    table = Table(title, header)
    values: tuple[tuple[Callable[[Cost], float], int], ...] = (
        (lambda run: run.packets_per_s / 1000, 0),
        (lambda run: run.cpu_ns_per_s / 1e6, 2),
        (lambda run: run.cpu_ns_per_s / run.packets_per_s, 1),
        (lambda run: run.ns_per_wanted, 0),
        (lambda run: run.wakes_per_s, 0),
    )
    for name, runs in costs.items():
        cells = [
            figure(Figure.of([value(run) for run in runs]), digits) for value, digits in values
        ]
        table.rows.append((name, *cells))
    return table


class Changes:
    """Waits until a file is written to (inotify(7)), for a time that is precise."""

    def __init__(self, path: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init()
        if libc.inotify_add_watch(self._fd, str(path).encode(), IN_MODIFY) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))

    def wait_ns(self) -> int:
        """The time of the next change."""
        os.read(self._fd, 4096)
        return time.time_ns()

    def close(self) -> None:
        """Look no longer."""
        os.close(self._fd)


def delays_ms(link: Wire, bench: Bench, turns: int) -> list[float]:
    """From T after a lone SYN's time stamp to its line in the event file."""
    sender = Sender(bench.work)
    # What is dark is soon forgotten, so that the same flow can come again.
    sensor = Sensor(link, bench.work, "--hold", "400ms", "--idle", "100ms")
    changes = Changes(sensor.events)
    came_ns = []
    try:
        for _ in range(turns):
            time.sleep(0.3 + random.random() * 0.1)
            sender.send(link, "flood", 1, 0, 1)
            came_ns.append(changes.wait_ns())
        sensor.stop()
        due_ns = [line["darkflow"]["verdict_ns"] for line in sensor.dark_lines()]
    finally:
        changes.close()
        sensor.stop(signal.SIGKILL)
    return [(came - due) / 1e6 for came, due in zip(came_ns, due_ns, strict=True)]


def latency(bench: Bench) -> Result:
    """When the verdict of a SYN is written on a link that has fallen silent."""
    if missing := impossible("live, silent link"):
        return missing
    with wire() as link:
        found = sorted(delays_ms(link, bench, 30 if bench.scale == 1 else 5))
    header = ("SYNs", "least ms", "median ms", "90% ms", "most ms")
    cells = (found[0], median(found), found[len(found) * 9 // 10], found[-1])
    title = "Live: from T to the event's line, silent link"
    table = Table(title, header, [(str(len(found)), *(f"{value:.1f}" for value in cells))])
    name = "live, silent link: verdict written after T, the latest of 30"
    return Result([table], [at_most(name, found[-1], VERDICT_BOUND_MS, " ms", 1)])
