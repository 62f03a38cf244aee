"""Throws damaged frames and captures at the compiled stages and checks what must always hold.

    python tests/fuzz.py SECONDS [--seed N] [--case N] [--captures FOLDER]

Meant for the sanitizer build, where a read beyond a frame ends the run; in any build, what the
stages say must not contradict itself, nor depend on how a capture was cut into batches. A case is
made from the seed and its number alone: both are told when it fails, and `--case` repeats it.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from darkflow.flow.backscatter import Victims
from darkflow.flow.batch import Events, Frames
from darkflow.flow.decode import Decoder
from darkflow.flow.detection import BackscatterLimits, ScanLimits
from darkflow.flow.engine import Engine
from darkflow.flow.kept import KeptFrames
from darkflow.flow.networks import Networks
from darkflow.flow.order import Reorder
from darkflow.flow.scans import Scans
from darkflow.sinks.lines import LineFormat
from darkflow.sinks.summary import Summary
from darkflow.sources.records import RecordWalker
from darkflow.units import TUNNEL_NAMES
from flow import packets as p
from flow.encapsulations import ENCAPSULATIONS, inner_packet, nested, wrapped
from flow.mutations import Sample, damaged
from flow.truth_reader import truth_reader
from shortened import shortened
from slow_decode import Slow

LINKS = (1, 0, 108, 12, 14, 101, 228, 229, 113, 276)
SECOND_NS = 10**9
HEAD_BYTES = 1 << 15  # of a real capture: enough for tens of packets, and fast
READ_BYTES = 1 << 20  # longer ones take the slow reader too long
FRAMES_PER_CASE = 200
KEEP_ALL = 1 << 30
# Extremes of pcapng's clock: resolutions and offsets in seconds.
RESOLUTIONS = (0, 3, 6, 9, 12, 19, 127, 0x80, 0x8A, 0xBF, 0xC0, 0xFF)
OFFSETS = (0, 1, -1, 1 << 31, (1 << 63) - 1, -(1 << 63), 4_611_686_018, -4_611_686_019)


@dataclass
class Corpus:
    """What is damaged: frames and whole captures."""

    frames: list[Sample] = field(default_factory=list)
    files: list[bytes] = field(default_factory=list)

    @classmethod
    def built(cls) -> Corpus:
        """Builder packets: every encapsulation, every kind of row, in captures of both formats."""
        corpus = cls()
        packets = [inner_packet(family) for family in (4, 6)]
        for segment in (
            p.tcp(p.SYN | p.ACK, (2222, 1111)), p.tcp(p.RST, (2222, 1111)), p.tcp(p.ACK),
            p.tcp_options(bytes.fromhex("020405b40402080a00000001000000000103030a")),
            p.tcp(rest=bytes(100)),
        ):  # fmt: skip
            packets += [p.ipv4(segment), p.ipv6(segment)]
        packets += [
            p.ipv4(p.icmp_error(packets[0], 3), 1),
            p.ipv6(p.icmp_error(packets[1], 1), 58),
            p.ipv4(p.tcp(), options=bytes(40)),
            p.ipv6(p.extension(p.fragment(p.authentication(p.tcp(), 6), 51), 44, 1), 0),
        ]
        corpus.frames = [(1, link, p.linked(packet, link)) for link in LINKS for packet in packets]
        for name in ENCAPSULATIONS:
            for outer in (4, 6):
                corpus.frames += [(1, 1, wrapped(name, packet, outer)) for packet in packets[:2]]
        return corpus

    def add_captures(self, folder: Path) -> None:
        """Beginnings of real captures, and some frames of each."""
        for path in sorted(folder.iterdir()):
            with path.open("rb") as file:
                self.files.append(file.read(HEAD_BYTES))
            if path.stat().st_size > READ_BYTES:
                continue
            read = truth_reader().read_capture(str(path))
            self.frames += [
                (1, link, data)
                for _, (_, link, _, _, data, _) in zip(range(60), read, strict=False)
            ]


def random_frames(random: Random, corpus: Corpus) -> list[Sample]:
    """Random bytes under every link type; some begin like IP."""
    del corpus
    frames: list[Sample] = []
    for _ in range(FRAMES_PER_CASE):
        data = random.randbytes(random.choice((0, 1, 3, 14, 20, 34, 40, 54, 60, 90, 200)))
        if random.random() < 0.5:
            data = random.choice((b"\x45", b"\x60", b"\x4f", b"\2\0\0\0\x45")) + data
        link = random.choice(LINKS) if random.random() < 0.95 else random.getrandbits(26)
        frames.append((random.choice((None, 1, 2)), link, data))
    return frames


def damaged_frames(random: Random, corpus: Corpus) -> list[Sample]:
    """Frames of the corpus, and tunnels in tunnels, with damage."""
    frames: list[Sample] = []
    for _ in range(FRAMES_PER_CASE):
        t_ns, link, data = random.choice(corpus.frames)
        if random.random() < 0.2:
            depth = random.choice((2, 2, 3, 5, 8, 9))
            names = random.choices(sorted(ENCAPSULATIONS), k=depth)
            data = nested(names, inner_packet(random.choice((4, 6))), random.choices((4, 6), k=3))
            link = p.ETHERNET
        elif random.random() < 0.05:
            link = random.choice(LINKS)
        frames.append((t_ns, link, damaged(data, random, random.choice(corpus.frames)[2])))
    return frames


def decode_frames(random: Random, frames: list[Sample]) -> int:
    """Through the decoder: without tunnels as its twin says, with tunnels counted once each."""
    plain, slow = Decoder(), Slow()
    rows = [row for frame in frames if (row := slow.decode(*frame)) is not None]
    assert plain.decode(Frames.of(frames)).to_list() == rows
    undecoded = {why: count for why, count in plain.counters["undecoded"].items() if count}
    assert undecoded == slow.undecoded
    names = random.sample(TUNNEL_NAMES, random.randrange(1, len(TUNNEL_NAMES) + 1))
    decoder = Decoder(random.choice((names, ["all"])))
    decoder.decode(Frames.of(frames))
    counters = decoder.counters
    assert counters["packets"] == counters["tcp"] + sum(counters["undecoded"].values())
    return 2 * len(frames)


def built_file(random: Random, corpus: Corpus) -> bytes:
    """A capture of corpus frames; few flows, times near each other, clocks at their extremes."""
    now = random.choice((0, 1, 1_700_000_000)) * SECOND_NS
    timed: list[tuple[int, int, bytes]] = []
    links = random.sample(LINKS, random.randrange(1, 4))
    for _ in range(random.randrange(60)):
        now = max(0, now + random.choice((0, 1, 1000, SECOND_NS // 3, 5 * SECOND_NS, -SECOND_NS)))
        _, link, data = random.choice(corpus.frames)
        if link in links:
            timed.append((links.index(link), now, data))
    if random.random() < 0.4:
        return p.pcap([(t_ns, data) for _, t_ns, data in timed], links[0])
    options = []
    for _ in links:
        resolution = random.choice(RESOLUTIONS) if random.random() < 0.3 else 9
        option = p.option(9, bytes([resolution]))
        if random.random() < 0.2:
            option += p.option(14, random.choice(OFFSETS).to_bytes(8, "little", signed=True))
        options.append(option + p.option(0, b""))
    return p.pcapng(timed, links, options)


def damaged_file(random: Random, corpus: Corpus) -> bytes:
    """A capture of any origin, with damage where records, blocks or frames are."""
    data = random.choice(corpus.files) if corpus.files and random.random() < 0.5 else b""
    data = data or built_file(random, corpus)
    if random.random() < 0.8:
        # What is near the beginning reaches further: file header, interfaces, first records.
        at = random.choice((0, 0, 24, random.randrange(len(data))))
        window = random.choice((64, 512, len(data)))
        data = (
            data[:at]
            + damaged(data[at : at + window], random, random.choice(corpus.frames)[2])
            + data[at + window :]
        )
    return data


@dataclass(frozen=True)
class Settings:
    """How one capture is judged; `exact`: limits are so wide that batches make no difference."""

    tunnels: Sequence[str]
    reorder_ns: int
    hold_ns: int
    idle_ns: int
    sizes: tuple[int, int]
    exact: bool
    at_verdict: bool

    @classmethod
    def chosen(cls, random: Random) -> Settings:
        """Settings around the times of `built_file`."""
        return cls(
            random.choice(((), ("all",))),
            random.choice((0, 1, SECOND_NS, 3600 * SECOND_NS)),
            random.choice((1, SECOND_NS // 2, 5 * SECOND_NS)),
            random.choice((1, SECOND_NS, 60 * SECOND_NS)),
            random.choice(((1, 1), (3, 2), (1000, 1000))),
            random.random() < 0.8,
            random.random() < 0.5,
        )


class Judge:
    """The stages from bytes to lines, as the pipeline joins them, for one capture."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.walker = RecordWalker(0, settings.reorder_ns)
        self.kept = KeptFrames(KEEP_ALL if settings.exact else 2000)
        self.decoder = Decoder(settings.tunnels, self.kept)
        self.order = Reorder(settings.reorder_ns, 262_144 if settings.exact else 3)
        times_ns = settings.hold_ns, settings.idle_ns
        engine = Engine(*times_ns, settings.sizes, bytes(16), self.kept, True)
        networks = Networks([(bytes(4), b"\xc0\0\2\xff")], [(bytes(16), bytes(15) + b"\xff")])
        self.engine = shortened(engine, settings.idle_ns, networks, settings.at_verdict)
        self.lines = LineFormat(networks, settings.hold_ns, *(settings.at_verdict,) * 2)
        self.summary = Summary(networks, bytes(16), 1000 if settings.exact else 3)
        few = 1000 if settings.exact else 3
        self.scans = Scans(networks, ScanLimits((2, 2), (1, 1), sources=few), bytes(16))
        self.victims = Victims(networks, BackscatterLimits(2, 0, 1, 1, few), bytes(16))
        self.found: list[Any] = []
        self.text = b""
        self.events: Counter[str] = Counter()
        self.dark_frames: list[tuple[int, int, int, int, bytes]] = []

    def read(self, data: bytes, random: Random) -> None:
        """The whole capture, in pieces and batches of random sizes."""
        for frames in self._batches(data, random):
            frames.now_ns = self.walker.now_ns
            packets = self.decoder.decode(frames)
            self._take(self.engine.observe(self.order.put(packets)))
        self._take(self.engine.observe(self.order.rest()))
        self._take(self.engine.finish(self.walker.now_ns))
        self.dark_frames += self.kept.take(last=True)

    def _batches(self, data: bytes, random: Random) -> Iterator[Frames]:
        try:
            at = self.walker.start(data[:24])
        except ValueError:
            return
        end, batch, walker = at, Frames(), self.walker
        while walker.fault is None:
            if end == len(data):
                walker.finish(data[at:])
                return
            end = min(len(data), end + random.choice((1, 7, 100, 3000, len(data))))
            while walker.fault is None:
                # Nothing lies behind a piece: what is read there is reported.
                piece: Any = (ctypes.c_ubyte * (end - at)).from_buffer_copy(data[at:end])
                if walker.skip == 0:
                    at += walker.walk(piece, 0, end - at, batch, random.choice((1, 2, 50, 16384)))
                    if len(batch):
                        yield batch
                        continue
                if walker.skip:
                    count = min(walker.skip, end - at)
                    walker.skipped(count)
                    at += count
                    if at < end:
                        continue
                break

    def _take(self, turns: Iterator[Events]) -> None:
        for events in turns:
            for event in events.to_list():
                self.events[event["event"]] += 1
            self.summary.write(events)
            self.found += [*self.scans.observe(events), *self.victims.observe(events)]
            self.text += self.lines.format(events)
            self.dark_frames += self.kept.take()

    def check(self) -> None:
        """What holds of every capture."""
        found, engine = self.decoder.counters, self.engine.counters
        assert found["packets"] == found["tcp"] + sum(found["undecoded"].values())
        assert found["packets"] == self.walker.packets
        assert found["syn"] == engine["attempts"] + sum(
            engine[name] for name in ("retransmitted_or_repeated", "dropped_queue")
        )
        ended = engine["answered"] + engine["refused"] + engine["dark"] + engine["undecided"]
        assert engine["attempts"] == ended
        assert engine["dark"] == self.events["dark"] == self.events["end"]
        assert engine["late_answers"] == self.events["late_answer"]
        assert engine["undecided"] == self.events["undecided"]
        assert engine["answered"] + engine["refused"] == self.events["reached"]
        assert engine["unsolicited"] == self.events["unsolicited"]
        self.found += [*self.scans.finish(), *self.victims.finish()]
        told = Counter(found.state for found in self.found)
        assert told["begin"] == told["end"] == self.scans.begun + self.victims.begun
        assert self.scans.sources == self.victims.victims == 0
        assert sum(self.summary.by_direction.values()) == engine["dark"]
        assert self.kept.bytes_held == 0
        records = [json.loads(line) for line in self.text.splitlines()]
        assert len(records) == self.lines.lines
        whole = [r for r in records if r["event_type"] == "darkflow"]
        assert len(whole) == engine["dark"]
        assert sum(r["event_type"] == "undecided" for r in records) == engine["undecided"]
        if self.settings.exact:
            syns = {record["flow_id"]: record["darkflow"]["syn_count"] for record in whole}
            assert self.settings.at_verdict or len(self.dark_frames) >= len(syns)

    def told(self) -> tuple[Any, ...]:
        """Everything that must not depend on how the capture was cut into batches."""
        return (
            self.text, self.decoder.counters, self.engine.counters, self.walker.notes,
            self.walker.disorder_ns, self.walker.clamped, self.summary.top_ports(9),
            self.summary.top_sources(9), self.engine.retry_counts, self.dark_frames,
            self.engine.reply_delays.histogram(), self.engine.late_delays.quantile(0.5),
            sorted(map(repr, self.found)),
        )  # fmt: skip


def judge_file(random: Random, data: bytes) -> int:
    """A capture through all stages, twice in different pieces."""
    settings = Settings.chosen(random)
    judges = [Judge(settings), Judge(settings)]
    for judge in judges:
        judge.read(data, random)
        judge.check()
    if settings.exact:
        assert judges[0].told() == judges[1].told()
    return sum(judge.walker.packets for judge in judges)


def run_case(seed: int, number: int, corpus: Corpus) -> int:
    """One case; how many frames went through."""
    random = Random(f"{seed}/{number}")
    match number % 4:
        case 0:
            return decode_frames(random, random_frames(random, corpus))
        case 1:
            return decode_frames(random, damaged_frames(random, corpus))
        case _:
            return judge_file(random, damaged_file(random, corpus))


def fuzz(seconds: float, seed: int, corpus: Corpus, first: int = 0) -> tuple[int, int]:
    """Cases for some time; (cases, frames). A failure names the seed and the case."""
    number = first

    def say() -> None:
        sys.stderr.write(f"fuzz: seed {seed}, case {number}: repeat with --seed and --case\n")
        sys.stderr.flush()

    _on_death(say)
    until = time.monotonic() + seconds
    frames = 0
    while number == first or time.monotonic() < until:
        try:
            frames += run_case(seed, number, corpus)
        except BaseException:
            say()
            raise
        number += 1
    return number - first, frames


_kept_callbacks: list[Any] = []


def _on_death(say: Callable[[], None]) -> None:
    """A sanitizer ends the process: let it tell the case before. Each of them has its own end."""
    callback = ctypes.CFUNCTYPE(None)(say)
    _kept_callbacks.append(callback)
    for library in os.environ.get("LD_PRELOAD", "").split():
        loaded = ctypes.CDLL(library)
        if hasattr(loaded, "__sanitizer_set_death_callback"):
            loaded.__sanitizer_set_death_callback(callback)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("seconds", type=float)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9)
    parser.add_argument("--case", type=int, help="run only this case")
    parser.add_argument("--captures", type=Path, help="folder of real captures to damage, too")
    options = parser.parse_args()
    faulthandler.enable()
    corpus = Corpus.built()
    if options.captures:
        corpus.add_captures(options.captures)
    only = options.case is not None
    begun = time.monotonic()
    cases, frames = fuzz(0 if only else options.seconds, options.seed, corpus, options.case or 0)
    took = time.monotonic() - begun
    sys.stdout.write(
        f"fuzz: seed {options.seed}: {cases} cases, {frames} frames in {took:.0f} s"
        f" ({cases / took:.0f} cases/s, {frames / took:.0f} frames/s): nothing found\n"
    )


if __name__ == "__main__":
    main()
