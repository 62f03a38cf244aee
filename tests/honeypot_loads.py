"""What `darkflow honeypot` as a whole command was promised to bear: loads, and what came of them.

Tests run them small, the bench in full size; both judge what these functions give.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from honeypot_wires import (
    CLIENT4,
    CLIENT6,
    INSIDE_MAC,
    SERVER4,
    SERVER6,
    SERVER_MAC,
    Honeypot,
    Site,
    Tcpdump,
    absent,
    silent,
    until,
)

CROWD = str(Path(__file__).with_name("crowd.py"))
OPEN, CLOSED = "80", "81"
# The sequence number of crowd.py's late answers.
LATE = 0x7777
# Longer than T and what a machine needs to go on.
REST_S = 3.0
LIVE = (OPEN, CLOSED, SERVER4, SERVER6)


class Talker:
    """A program of crowd.py in the client's namespace, asked and answering line by line."""

    def __init__(self, place: Site, *words: str, at: str = "") -> None:
        self.process = place.start(at or place.client, "/usr/bin/python3", CROWD, *words,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=sys.stderr)  # fmt: skip

    def ask(self, line: str = "") -> None:
        """Give it a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Its next answer."""
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def end(self) -> dict[str, Any]:
        """Close its stdin: its last answer."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        found = self.answer()
        self.process.wait(10)
        return found


@dataclass
class Live:
    """Connections to live ports, batches with and without Darkflow in turn: ms by kind."""

    wrong: int = 0
    took: dict[tuple[str, bool], list[float]] = field(default_factory=dict)

    @property
    def connections(self) -> int:
        """Those while Darkflow ran."""
        return sum(len(some) for (_, runs), some in self.took.items() if runs)

    def slower_ms(self, kind: str, share: float) -> float:
        """How much slower it is with Darkflow, at this quantile."""
        return self.quantile(kind, True, share) - self.quantile(kind, False, share)

    def quantile(self, kind: str, runs: bool, share: float) -> float:
        """In ms; `runs`: while Darkflow ran."""
        ranked = sorted(self.took[kind, runs])
        return ranked[min(int(len(ranked) * share), len(ranked) - 1)]


def live(place: Site, folder: Path, turns: int, each: int) -> Live:
    """`turns` times: a batch without Darkflow and one with it, `each` of each port and family."""
    found = Live()
    talker = Talker(place, "batches", *LIVE)
    assert "the server" in talker.answer()["said"]
    for turn in range(turns):
        # Which one comes first changes, as what else runs here may grow or end.
        for runs in (False, True) if turn % 2 else (True, False):
            honeypot = Honeypot(place, folder) if runs else None
            # What starts or ends needs a processor for a moment.
            time.sleep(0.3)
            talker.ask(str(each))
            told = talker.answer()
            found.wrong += told["wrong"]
            for kind in ("open", "closed"):
                found.took.setdefault((kind, runs), []).extend(told[kind])
            if honeypot is not None:
                assert honeypot.end()[0] == 0
    return found


@contextmanager
def unharmed(place: Site) -> Iterator[dict[str, Any]]:
    """Live connections all the while; what came of them is in the dict afterwards."""
    talker = Talker(place, "steady", *LIVE)
    assert "the server" in talker.answer()["said"]
    found: dict[str, Any] = {}
    yield found
    found.update(talker.end())


def crowd(place: Site, version: int, total: int, width: int, hold: bool) -> dict[str, Any]:
    """Sessions with absent addresses: what came of them."""
    words = (str(version), str(total), str(width), "hold" if hold else "once", "60")
    return Talker(place, "crowd", *words).answer()


@dataclass(frozen=True)
class Flood:
    """SYNs of distinct flows, and the SYN+ACKs that came back: packets, and flows."""

    sent: int
    took_s: float
    syn_acks: int
    flows: int
    by_second: tuple[int, ...]
    # How long after the last verdict the last SYN went to the honeypot.
    behind_s: float

    @property
    def lost(self) -> int:
        """Flows without a SYN+ACK."""
        return self.sent - self.flows


def syn_acks(path: Path) -> Iterator[tuple[int, bytes, int]]:
    """Of a capture by tcpdump, in ns: (time, flow, sequence number) of TCP packets."""
    data = path.read_bytes()
    assert data[:4] == b"\x4d\x3c\xb2\xa1"
    at = 24
    while at < len(data):
        seconds, ns, length, _ = struct.unpack_from("<IIII", data, at)
        at += 16
        tcp = at + (34 if data[at + 12] == 8 else 54)
        ends = data[at + 26 : at + 34] if data[at + 12] == 8 else data[at + 22 : at + 54]
        yield (seconds * 10**9 + ns, ends + data[tcp : tcp + 4],
               int.from_bytes(data[tcp + 4 : tcp + 8], "big"))  # fmt: skip
        at += length


def back_filter(version: int) -> str:
    """For tcpdump: SYN+ACKs to the sources of crowd.py's SYNs."""
    if version == 4:
        return "dst net 10.0.0.0/8 and tcp[13] & 0x12 = 0x12"
    return "ip6 dst net 2001:db8:5::/48 and ip6[6] = 6 and ip6[53] & 0x12 = 0x12"


def flood(
    honeypot: Honeypot, folder: Path, version: int, total: int, rate: float, rest_s: float = 1.5
) -> Flood:
    """Send the SYNs, wait until all are judged and `rest_s` more, and count what came back."""
    place, path = honeypot.site, folder / f"back{version}-{time.monotonic_ns()}.pcap"
    dump = Tcpdump(place, path, place.client, "c0", "-s", "96", back_filter(version))
    talker = Talker(place, "syns", str(version), "0", str(total), str(rate))
    assert talker.answer()["ready"] == total
    dark = honeypot.status()["engine"]["dark"]
    talker.ask()
    told = talker.answer()
    last, since_s = dark, time.monotonic()

    def judged() -> bool:
        """All of them; or no more come, of a flood that was too much for the capture."""
        nonlocal last, since_s
        status = honeypot.status()
        if status["engine"]["dark"] != last:
            last, since_s = status["engine"]["dark"], time.monotonic()
        lost = status["losses"]["dropped_ring"] + status["losses"]["dropped_card"]
        return bool(last >= dark + total or (lost and time.monotonic() - since_s > REST_S))

    honeypot.wait_for(judged, 60)
    began_s = time.monotonic()

    def diverted() -> bool:
        flows = honeypot.status()["flows"]
        lost = honeypot.status()["losses"]
        told = flows["syns_replayed"] + lost["replay_errors"] + lost["no_room"]
        return bool(told >= flows["diverted"])

    # Decided, and waiting for the kernel: a busy machine answers late.
    honeypot.wait_for(diverted, 60)
    behind_s = time.monotonic() - began_s
    time.sleep(rest_s)
    dump.stop()
    seen = list(syn_acks(path))
    path.unlink()
    first = seen[0][0] if seen else 0
    seconds = Counter((t_ns - first) // 10**9 for t_ns, _, _ in seen)
    by_second = tuple(seconds[n] for n in range(max(seconds, default=0) + 1))
    flows = len({flow for _, flow, _ in seen})
    return Flood(told["sent"], told["took_s"], len(seen), flows, by_second, behind_s)


@dataclass(frozen=True)
class Woken:
    """Flows with an absent host that wakes up: how many it answered, and what left meanwhile."""

    flows: int
    honeypot_first: int
    answered: int
    out_after_answer: int
    without_answer: int
    again_without_answer: int


def woken(place: Site, folder: Path, version: int, total: int, hold_s: float) -> Woken:
    """The host answers two thirds half a second after T, before the honeypot speaks again."""
    neigh = "".join(
        f"ip neigh replace {one} lladdr {SERVER_MAC} dev inside\n"
        for one in (absent(version, n) for n in range(1, 62))
    )
    place.run(place.router, "sh", "-ec", neigh)
    waker = Talker(
        place, "waker", "s0", str(version), str(hold_s + 0.5), str(hold_s + 4), at=place.server
    )
    assert waker.answer()["ready"]
    path = folder / f"woken{version}.pcap"
    what = "ip src net 203.0.113.0/24 and tcp" if version == 4 else (
        "ip6 src net 2001:db8:b::/64 and ip6[6] = 6")  # fmt: skip
    dump = Tcpdump(place, path, place.client, "c0", "-s", "96", what)
    talker = Talker(place, "syns", str(version), "0", str(total), "2000", "absent")
    talker.answer()
    talker.ask()
    talker.answer()
    time.sleep(hold_s + 2.5)
    dump.stop()
    honeypots: dict[bytes, list[int]] = {}
    real: dict[bytes, int] = {}
    for t_ns, flow, number in syn_acks(path):
        if number == LATE:
            real[flow] = t_ns
        else:
            honeypots.setdefault(flow, []).append(t_ns)
    after = sum(t_ns > real[flow] for flow in real for t_ns in honeypots.get(flow, ()))
    rest = [times for flow, times in honeypots.items() if flow not in real]
    first = sum(flow not in real or times[0] < real[flow] for flow, times in honeypots.items())
    return Woken(total, first, len(real), after, total - len(real),
                 sum(len(times) == 2 for times in rest))  # fmt: skip


def forge_syn_ack(place: Site, version: int, port: int, from_port: int) -> None:
    """hping3, which knows IPv4 only; a program of ours in IPv6."""
    if version == 6:
        words = (silent(6, 9), CLIENT6, str(from_port), str(port))
        Talker(place, "forge", INSIDE_MAC, *words, at=place.server).answer()
        return
    place.run(place.server, "hping3", "-q", "-c", "1", "-S", "-A", "-a", silent(4, 9), "-s",
              str(from_port), "-k", "-p", str(port), CLIENT4, check=False)  # fmt: skip


# Sent from a shell in the honeypot: prints how many attempts were made.
ESCAPE = """
import os, socket, subprocess, sys
tried = 0
for address in sys.argv[1:]:
    six = ":" in address
    family = socket.AF_INET6 if six else socket.AF_INET
    for port in (22, 53, 80, 443):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(family, kind) as one:
                one.setblocking(False)
                tried += 1
                try:
                    one.connect((address, port))
                    one.send(b"out")
                except OSError:
                    pass
    echo = bytes([128 if six else 8, 0, 0, 0, 0, 1, 0, 1])
    echo = echo if six else echo[:2] + b"\\xf7\\xfd" + echo[4:]
    with socket.socket(family, socket.SOCK_RAW, 58 if six else 1) as one:
        tried += 1
        try:
            one.sendto(echo, (address, 0))
        except OSError:
            pass
print(tried)
"""


def resident_mib(honeypot: Honeypot) -> float:
    """What it holds of memory, without its services."""
    text = Path(f"/proc/{honeypot.process.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def descendants(pid: int) -> list[int]:
    """Its children and theirs."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            found += [child, *descendants(child)]
    return found


def cgroups() -> set[str]:
    """Darkflow's, of all that run here."""
    return {str(path) for path in Path("/sys/fs/cgroup").rglob("*darkflow*")}


def alive(pids: list[int]) -> list[int]:
    """Those that still run."""
    return [pid for pid in pids if Path(f"/proc/{pid}/exe").exists()]


def gone(pids: list[int]) -> None:
    """Until they all have ended."""
    until(lambda: not alive(pids), 5, lambda: str(alive(pids)))
