"""What is measured, one function each: captures and commands in, tables and aims out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dataplane
import lists
import live
import promises
import report_page
import stores
from captures import BENCH, Captures, check, truth_path
from process import Command, Figure, Sample, darkflow, in_turn, python, ratio, run_step
from report import (
    COSTS,
    MIB,
    Aim,
    Result,
    Table,
    at_least,
    at_most,
    costs,
    count,
    figure,
    peak_mib,
)  # fmt: skip

# IPv4 and IPv6: the usual tcp[tcpflags] alone sees only IPv4.
FILTER = "tcp[tcpflags] & (tcp-syn|tcp-rst) != 0 or (ip6[6]==6 and ip6[53]&6!=0)"
NFSTREAM = "import sys, nfstream; print(sum(1 for _ in nfstream.NFStreamer(source=sys.argv[1])))"
STAGES = ("read", "decode", "order", "engine", "summary")
JUDGING = ("decode", "order", "engine")


@dataclass
class Bench:
    """Where to work, how large, how often."""

    work: Path
    captures: Captures
    scale: float = 1.0
    runs: int = 9
    slow_runs: int = 3
    nfstream: str = sys.executable

    def size(self, full: int) -> int:
        """The number of packets for what is `full` in a full run."""
        return max(round(full * self.scale), 1000)

    def document(self, capture: Path, *options: str) -> tuple[dict[str, Any], Sample]:
        """What `analyze --json` says of a capture, checked; and what that cost."""
        out = self.work / "document.json"
        sample = run_step(analyze(capture, *options).steps[0], self.work, out)
        document: dict[str, Any] = json.loads(out.read_text())
        check(capture, document)
        return document, sample


def analyze(capture: Path, *options: str) -> Command:
    """The command this is all about."""
    return Command(
        "darkflow analyze --json", (darkflow("analyze", "--json", *options, str(capture)),)
    )


def tcpdump(capture: Path) -> Command:
    """It only filters; what it lets through would still have to be judged."""
    return Command(
        "tcpdump, SYN/RST filter", (("tcpdump", "-r", str(capture), "-w", "/dev/null", FILTER),)
    )


def reading(capture: Path) -> Command:
    """The floor: the kernel's copying, which depends on where the page cache lies in memory."""
    return Command("dd, reads only", (("dd", f"if={capture}", "of=/dev/null", "bs=256k"),))


def peers(capture: Path, bench: Bench) -> list[Command]:
    """Other programs that look at flows."""
    records = str(bench.work / "argus.out")
    softflowd = ("-d", "-c", "none", "-p", records + ".pid", "-r", str(capture))
    return [
        Command(
            "argus, ra",
            (("argus", "-X", "-r", str(capture), "-w", records), ("ra", "-n", "-r", records)),
        ),
        Command("softflowd", (("softflowd", *softflowd),)),
    ]


def slow_peers(capture: Path, bench: Bench) -> list[Command]:
    """Those that nobody wants to wait for at 10 M packets."""
    return [
        Command(
            "tshark -z conv,tcp", (("tshark", "-n", "-q", "-z", "conv,tcp", "-r", str(capture)),)
        ),
        Command("nfstream", ((bench.nfstream, "-c", NFSTREAM, str(capture)),)),
    ]


def available(command: Command) -> bool:
    """Whether all programs of a command are there."""
    if command.name == "nfstream":
        probe = [command.steps[0][0], "-c", "import nfstream"]
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0
    return all(shutil.which(step[0]) is not None for step in command.steps)


def version(command: Command) -> str:
    """The version that a program tells of itself."""
    options = [["-h"], ["--version"]]
    if command.name == "nfstream":
        options = [["-c", "import nfstream; print(nfstream.__version__)"]]
    for words in options:
        argv = [command.steps[0][0], *words]
        said = subprocess.run(argv, capture_output=True, text=True, check=False)
        if found := re.search(r"\d+\.\d+(\.\d+)*", said.stdout + said.stderr):
            return found.group()
    return "unknown"


def comparison(
    title: str, capture: Path, others: Iterable[Command], runs: int, bench: Bench
) -> tuple[Table, dict[str, Figure]]:
    """`analyze --json` in turn with others: the table, and our CPU time over theirs."""
    ours = analyze(capture)
    wanted = list(others)
    present = [command for command in wanted if available(command)]
    absent = [command for command in wanted if command not in present]
    samples = in_turn([ours, *present], runs, bench.work)
    table = Table(title, ("program", *COSTS, "CPU of darkflow / its CPU"))
    table.rows.append((ours.name, *costs(samples[ours.name]), ""))
    ratios = {}
    for command in present:
        ratios[command.name] = ratio(samples[ours.name], samples[command.name])
        name = f"{command.name} ({version(command)})"
        cells = costs(samples[command.name])
        table.rows.append((name, *cells, figure(ratios[command.name])))
    table.rows.extend((command.name, "not installed", "", "", "") for command in absent)
    return table, ratios


def whole(bench: Bench) -> Result:
    """The whole process beside tcpdump."""
    result = Result()
    for full, bound in ((1_000_000, 1.0), (10_000_000, 0.6)):
        size = bench.size(full)
        capture = bench.captures.reference(size)
        bench.document(capture)
        title = f"{count(size)} packets"
        commands = [tcpdump(capture), reading(capture)]
        table, ratios = comparison(title, capture, commands, bench.runs, bench)
        result.tables.append(table)
        name = f"CPU time at {count(size)} packets / tcpdump's"
        if tcpdump(capture).name in ratios:
            result.aims.append(at_most(name, ratios["tcpdump, SYN/RST filter"].median, bound))
        else:
            result.aims.append(Aim(name, f"<= {bound:g}", "tcpdump is not installed", False))
    return result


def others(bench: Bench) -> Result:
    """The whole process beside programs that keep flows."""
    result = Result()
    size = bench.size(1_000_000)
    capture = bench.captures.reference(size)
    commands = [*peers(capture, bench), *slow_peers(capture, bench)]
    title = f"{count(size)} packets, other programs"
    result.tables.append(comparison(title, capture, commands, bench.slow_runs, bench)[0])
    size = bench.size(10_000_000)
    capture = bench.captures.reference(size)
    title = f"{count(size)} packets, other programs"
    table, ratios = comparison(title, capture, peers(capture, bench), bench.slow_runs, bench)
    result.tables.append(table)
    name = f"argus' CPU time at {count(size)} packets / darkflow's"
    if "argus, ra" in ratios:
        result.aims.append(at_least(name, 1 / ratios["argus, ra"].median, 20))
    else:
        result.aims.append(Aim(name, ">= 20", "argus is not installed", False))
    return result


def engine(bench: Bench) -> Result:
    """Each stage's CPU time in one process, on one core."""
    capture = bench.captures.reference(bench.size(10_000_000))
    out = bench.work / "stages.json"
    passes = []
    for turn in range(bench.runs + 1):
        run_step(python(str(BENCH / "stages.py"), str(capture)), bench.work, out)
        if turn:
            passes.append(json.loads(out.read_text()))
    packets = passes[0]["packets"]
    title = f"Stages in one process, {count(packets)} packets"
    table = Table(title, ("stage", "CPU s", "ns per packet", "M packets/s"))
    for name, stages in (
        *((name, (name,)) for name in STAGES),
        ("decode + order + engine", JUDGING),
        ("all", STAGES),
    ):
        spent = Figure.of([sum(one[stage] for stage in stages) for one in passes])
        each_ns = spent.median / packets * 1e9
        rate = packets / spent.median / 1e6
        table.rows.append((name, figure(spent), f"{each_ns:.1f}", f"{rate:.0f}"))
        if stages is JUDGING:
            aim = at_least("engine in process, M packets/s on one core", rate, 30)
    return Result([table], [aim])


def formats(bench: Bench) -> Result:
    """The same packets as pcap and as pcapng."""
    size = bench.size(10_000_000)
    pair = []
    for suffix in ("pcap", "pcapng"):
        capture = bench.captures.get("mix", size, suffix)
        bench.document(capture)
        pair.append(Command(suffix, analyze(capture).steps))
    samples = in_turn(pair, bench.runs, bench.work)
    table = Table(f"{count(size)} packets, file formats", ("format", *COSTS))
    table.rows.extend((name, *costs(runs)) for name, runs in samples.items())
    times = ratio(samples["pcapng"], samples["pcap"])
    return Result([table], [at_most("CPU time of pcapng / pcap", times.median, 1.3)])


def memory(bench: Bench) -> Result:
    """Peak memory does not follow the capture's size."""
    result = Result([Table("Peak memory", ("packets", "capture MiB", *COSTS))])
    for full in (1_000_000, 10_000_000, 30_000_000):
        size = bench.size(full)
        capture = bench.captures.get("mix", size)
        bench.document(capture)
        samples = in_turn([analyze(capture)], bench.slow_runs, bench.work)
        (runs,) = samples.values()
        mib = f"{capture.stat().st_size / MIB:.0f}"
        result.tables[0].rows.append((count(size), mib, *costs(runs)))
        if full > 1_000_000:
            name = f"peak memory at {count(size)} packets"
            result.aims.append(at_most(name, peak_mib(runs), 120, " MiB", 0))
        bench.captures.remove()
    return result


def events(bench: Bench) -> Result:
    """An event line for each of many dark flows."""
    size = bench.size(1_000_000)
    capture = bench.captures.get("dark", size)
    bench.document(capture)
    out = bench.work / "events.jsonl"
    command = Command(
        "analyze --events", (darkflow("analyze", "--events", str(out), str(capture)),)
    )
    commands = [analyze(capture), command]
    samples = in_turn(commands, min(bench.runs, 5), bench.work)
    with out.open("rb") as file:
        lines = sum(1 for _ in file)
    if lines != size:
        raise RuntimeError(f"{lines} event lines for {size} dark flows")
    table = Table(f"{count(size)} dark flows", ("command", *COSTS, "output MiB"))
    for name, runs in samples.items():
        written = f"{out.stat().st_size / MIB:.0f}" if name == command.name else ""
        table.rows.append((name, *costs(runs), written))
    out.unlink()
    wall = Figure.of([sample.wall_s for sample in samples[command.name]])
    name = f"--events for {count(size)} dark flows"
    return Result([table], [at_most(name, wall.median, 4, " s")])


def bound_bytes(queue: int, table: int, summary: int) -> int:
    """The most memory that these settings allow, as docs/performance.md explains it."""

    def entries(most: int) -> int:
        return 1 << (2 * most).bit_length()

    slots = queue + table
    # A table that doubles needs the old one until the new one is filled.
    index, sources = 8 * entries(slots), 48 * entries(summary)
    distinct = 8 * entries(3 * summary)
    return (96 << 20) + 192 * slots + (index + sources + distinct) * 3 // 2


def flood(bench: Bench) -> Result:
    """More SYNs than there are slots: memory keeps its bound, held flows get their verdicts."""
    syns = bench.size(20_000_000)
    capture = bench.captures.get("flood", syns)
    truth = json.loads(truth_path(capture).read_text())
    header = ("slots of queue, table", "SYNs judged", "SYNs not held", *COSTS, "bound MiB")
    result = Result([Table(f"Flood of {count(syns)} SYNs", header)])
    for part in (1, 4):
        slots = max(round((1 << 20) * bench.scale) // part, 1 << 13)
        summary = max(round(4_000_000 * bench.scale) // part, 1 << 15)
        sizes = {"queue": slots, "flow-table": slots, "summary": summary}
        options = [word for name in sizes for word in (f"--{name}-size", str(sizes[name]))]
        document, sample = bench.document(capture, *options)
        lost = document["dropped"]["queue"]
        judged = document["attempts"] + document["retransmitted_or_repeated"]
        dark = {top["src_ip"]: top["flows"] for top in document["top_sources"]}
        right = (
            judged + lost == truth["syn"] and dark.get(truth["known_source"]) == truth["known_dark"]
        )
        bound = bound_bytes(slots, slots, summary) / MIB
        cells = (str(judged), str(lost), *costs([sample]), f"{bound:.0f}")
        result.tables[0].rows.append((f"{slots}, {slots}", *cells))
        name = f"flood, {slots} slots each"
        known = truth["answered"] + truth["refused"] + truth["known_dark"]
        said = "as known" if right else "wrong"
        result.aims += [
            Aim(f"{name}: verdicts of {known} known flows, losses", "as known", said, right),
            at_most(f"{name}: peak memory", sample.peak_bytes / MIB, round(bound), " MiB", 0),
        ]
    return result


def start(bench: Bench) -> Result:
    """What a user waits for when there is nothing to do."""
    small = bench.captures.get("mix", 1000)
    commands = [
        Command("python -c pass", (python("-c", "pass"),)),
        Command("darkflow --help", (darkflow("--help"),)),
        Command("analyze, 1000 packets", (darkflow("analyze", str(small)),)),
        Command("analyze --json, 1000 packets", analyze(small).steps),
    ]
    samples = in_turn(commands, max(bench.runs, 3), bench.work)
    table = Table("Start", ("command", *COSTS))
    table.rows.extend((name, *costs(runs)) for name, runs in samples.items())
    aims = [
        at_most(name, Figure.of([run.wall_s for run in samples[name]]).median, bound, " s")
        for name, bound in (("darkflow --help", 0.3), ("analyze, 1000 packets", 0.5))
    ]
    return Result([table], aims)


# In this order; after those of one line the captures are not needed any more.
MEASURES: dict[str, tuple[Callable[[Bench], Result], bool]] = {
    "start": (start, False),
    "whole": (whole, False),
    "others": (others, False),
    "engine": (engine, True),
    "formats": (formats, True),
    "memory": (memory, True),
    "events": (events, True),
    "flood": (flood, True),
    "store": (stores.store, True),
    "live-load": (live.load, False),
    "live-cpu": (live.cpu, False),
    "live-latency": (live.latency, False),
    "report": (report_page.page, True),
    "plane": (dataplane.plane, False),
    "honeypot": (promises.honeypot, False),
    "addresses": (lists.addresses, False),
}
