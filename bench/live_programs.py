"""What live measures run: a wire, a sender that counts, programs that listen and what they cost."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any

from process import environment, run_step

BENCH = Path(__file__).resolve().parent
# The tests' wire is the bench's, too.
sys.path.append(str(BENCH.parent / "tests"))

import wires  # noqa: E402
from running import DARKFLOW  # noqa: E402
from wires import Wire, wire  # noqa: E402

__all__ = ["Listener", "Sender", "Sensor", "Sent", "Tcpdump", "Wire", "cannot", "wire"]

# What the sensor's own filter lets through, for tcpdump: behind no VLAN tag, as on this wire.
FILTER = (
    "tcp[tcpflags] & (tcp-syn|tcp-rst) != 0 or (ip6[6]==6 and ip6[53]&6!=0)"
    " or (icmp and (icmp[0]==3 or icmp[0]==4 or icmp[0]==11 or icmp[0]==12))"
    " or (ip6[6]==58 and ip6[40]>0 and ip6[40]<5)"
)
# The kernel delivers on the core that sends, so the one who listens has the other for itself.
SENDING_CORE, LISTENING_CORE = 0, 1
PATIENCE_S = 30.0


def cannot() -> str | None:
    """Why nothing can be measured live here, or None."""
    if (os.cpu_count() or 1) < 2:
        return "needs two cores"
    return wires.cannot() or (None if which("gcc") else "gcc is not installed")


@dataclass(frozen=True)
class Sent:
    """What the sender says that it has sent; its CPU time holds the kernel's delivery."""

    packets: int
    syn: int
    synack: int
    rst: int
    seconds: float
    cpu_s: float

    @property
    def wanted(self) -> int:
        """Packets that pass the filter."""
        return self.syn + self.synack + self.rst

    @property
    def dark_ports(self) -> set[tuple[str, int]]:
        """Source address and port of each dark flow of a mix (see sender.c)."""
        dark = set()
        for flow in range(7, self.syn, 15):
            tail, port = 0x0A000000 | (flow & 0xFFFFFF), 1024 + (flow >> 24) % 60000
            if flow % 5:
                source = ".".join(str(tail >> shift & 255) for shift in (24, 16, 8, 0))
            else:
                source = f"2001:db8::{tail >> 16:x}:{tail & 0xFFFF:x}"
            dark.add((source, port))
        return dark


class Sender:
    """The compiled bench/sender.c."""

    def __init__(self, work: Path) -> None:
        self.program = work / "sender"
        if not self.program.exists():
            run_step(("gcc", "-O2", str(BENCH / "sender.c"), "-o", str(self.program)), work)

    def start(self, link: Wire, *words: object) -> subprocess.Popen[str]:
        """Begin to send from the near end; words: kind, packets, rate, seconds."""
        pinned = ("taskset", "-c", str(SENDING_CORE), str(self.program), "w0", *map(str, words))
        argv = link.inside(link.near, *pinned)
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def sent(self, process: subprocess.Popen[str]) -> Sent:
        """Wait for its end; RuntimeError if it could not send."""
        out, errors = process.communicate()
        if process.returncode:
            raise RuntimeError(f"the sender ended with {process.returncode}: {errors.strip()}")
        return Sent(**json.loads(out))

    def send(self, link: Wire, *words: object) -> Sent:
        """Send everything."""
        return self.sent(self.start(link, *words))


class Listener:
    """A program on the far end, on a core of its own, and what it has cost so far."""

    def __init__(self, link: Wire, work: Path, argv: Sequence[str], ready: str) -> None:
        self.log_path = work / f"{Path(argv[0]).name}.log"
        pinned = ("taskset", "-c", str(LISTENING_CORE), *argv)
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                link.inside(link.far, *pinned), stderr=log, env=environment(work)
            )
        self.wait_for(lambda: ready in self.log)

    @property
    def log(self) -> str:
        """What it has said."""
        return self.log_path.read_text(errors="replace")

    @property
    def cpu_ns(self) -> int:
        """CPU time of all its threads, as the scheduler counts it; clock ticks are too coarse."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks)

    @property
    def wakes(self) -> int:
        """How often its threads have gone on after waiting."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/status")
        found = (
            re.search(r"\nvoluntary_ctxt_switches:\t(\d+)", task.read_text()) for task in tasks
        )
        return sum(int(match[1]) for match in found if match)

    def memory_bytes(self, name: str = "VmRSS") -> int:
        """Resident memory, or with VmHWM its peak."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        match = re.search(rf"{name}:\s+(\d+) kB", status)
        return int(match[1]) * 1024 if match else 0

    def wait_for(self, there: Callable[[], bool]) -> None:
        """Wait until it is so; RuntimeError when it does not become so."""
        end_s = time.monotonic() + PATIENCE_S
        while not there():
            if time.monotonic() > end_s or self.process.poll() is not None:
                self.stop(signal.SIGKILL)
                raise RuntimeError(f"nothing came of {self.process.args!r}: {self.log[-500:]}")
            time.sleep(0.01)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(PATIENCE_S)


class Tcpdump(Listener):
    """tcpdump with the sensor's filter, which throws away what it has captured."""

    def __init__(self, link: Wire, work: Path) -> None:
        argv = ["tcpdump", "-n", "-Z", "root", "-i", "w1", "-w", "/dev/null", FILTER]
        super().__init__(link, work, argv, "listening on")

    def counts(self) -> tuple[int, int]:
        """(packets received, packets dropped by the kernel), after its end."""
        said = [re.search(rf"(\d+) packets {what}", self.log) for what in ("received", "dropped")]
        if said[0] is None or said[1] is None:
            raise RuntimeError(f"tcpdump does not say what it has lost: {self.log[-500:]}")
        return int(said[0][1]), int(said[1][1])


class Sensor(Listener):
    """`darkflow sensor` with an event file."""

    def __init__(self, link: Wire, work: Path, *options: str) -> None:
        self.events = work / "live.jsonl"
        self.events.unlink(missing_ok=True)
        program = str(DARKFLOW)
        argv = [program, "sensor", "-i", "w1", "--events", str(self.events), *options]
        super().__init__(link, work, argv, "watching")

    def state(self) -> dict[str, int]:
        """The counters of its last line of state."""
        lines = [line for line in self.log.splitlines() if " packets=" in line]
        if not lines:
            raise RuntimeError(f"the sensor tells no state: {self.log[-500:]}")
        return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)\b", lines[-1])}

    def lost(self) -> int:
        """Everything that a limit has cost, by its last line."""
        return sum(value for name, value in self.state().items() if name.startswith("dropped_"))

    def dark_lines(self) -> list[dict[str, Any]]:
        """The verdicts in its event file."""
        with self.events.open() as file:
            lines = map(json.loads, file)
            return [line for line in lines if line["event_type"] == "darkflow"]
