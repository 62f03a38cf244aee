"""How soon a late answer cuts the honeypot off, by packets' time stamps, for any table size.

A small network with the data plane in it: the honeypot sends numbered packets in a flow, the real
host's SYN+ACK comes in the middle of that, and the last number that gets out tells when it worked.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from darkflow.divert.dispatcher import Flow
from darkflow.divert.nft import Nft
from darkflow.lab import planes
from darkflow.lab.planes import ACK, HP0_MAC, HP1_MAC, MACS, MIRROR, NOBODY, SYN, Stand

# Nothing that is registered ahead of a measure goes away during it.
LONG_NS = 3600 * 10**9
STREAM_S, MIDDLE_S = 0.008, 0.003
# Around the late answer the honeypot's stream must have had the processor all the time.
GAP_NS = 30_000
SENDING_CORE, OTHER_CORE = "0", "1"
# The honeypot's stream, if no quicker program is at hand.
SENDER = (sys.executable, "-m", "darkflow.lab.numbered")


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
    whole = ["ip", "netns", "exec", stand.name(role), "setpriv", "--pdeathsig", "KILL", "--"]
    whole += ["taskset", "-c", core, *argv]
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
        self._sender.stdin.write(f"{14 + self._seq_at} {STREAM_S} {packet.hex()}\n")
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


def timed(
    kind: str,
    version: int,
    sizes: Sequence[int],
    rounds: tuple[int, int],
    sender: Sequence[str] = SENDER,
) -> dict[int, list[Trial]]:
    """Trials by size of the table (rising); rounds: turns, and trials of each size in a turn.

    sender: the program that sends the stream, as `numbered.py` does. RuntimeError when it never had
    the processor at the right time.
    """
    trials: dict[int, list[Trial]] = {size: [] for size in sizes}
    with planes.stand(kind) as stand:
        plane = Plane(stand)
        with running(stand, "hp", SENDING_CORE, *sender, "hp1") as sending:
            os.sched_setaffinity(0, {int(OTHER_CORE)})
            try:
                stream = Stream(plane, sending, version)
                for _ in range(rounds[0]):
                    plane.empty()
                    for size in trials:
                        plane.fill(size)
                        for _ in range(rounds[1]):
                            if (trial := stream.trial()) is not None:
                                trials[size].append(trial)
            finally:
                os.sched_setaffinity(0, range(os.cpu_count() or 1))
    if not all(trials.values()):
        raise RuntimeError(
            "the honeypot's stream never ran when the late answer came: a busy machine"
        )
    return trials
