"""A wire between two network namespaces, with nobody else on it: for tests of live capture."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import IO, Any

from running import DARKFLOW

QUIET = "net.ipv6.conf.all.disable_ipv6=1"


def cannot() -> str | None:
    """Why there can be no wire here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in ("ip", "tcpreplay", "tcpdump", "sysctl") if which(name) is None]
    return f"{', '.join(missing)} missing" if missing else None


class Wire:
    """Two namespaces and a veth pair: `near` sends, on `far` is listened."""

    def __init__(self, name: str) -> None:
        self.near, self.far = f"{name}-near", f"{name}-far"
        self._started: list[subprocess.Popen[bytes]] = []

    def inside(self, namespace: str, *argv: str) -> list[str]:
        """The command that runs another one in a namespace."""
        return ["ip", "netns", "exec", namespace, *argv]

    def start(self, *argv: str, log: IO[bytes] | int) -> subprocess.Popen[bytes]:
        """Start a program at the far end; it ends with the wire at the latest."""
        process = subprocess.Popen(self.inside(self.far, *argv), stderr=log)
        self._started.append(process)
        return process

    def end_all(self) -> None:
        """End what still runs."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.wait(10)

    def run(self, *argv: str) -> None:
        """Run a command to its end; it must succeed."""
        subprocess.run(argv, check=True, capture_output=True, timeout=60)

    def connect(self) -> None:
        """Lay the wire; IPv6 is off, so that the kernels themselves say nothing on it."""
        self.run("ip", "link", "add", "w0", "netns", self.near, "type", "veth",
                 "peer", "name", "w1", "netns", self.far)  # fmt: skip
        for namespace, device in ((self.near, "w0"), (self.far, "w1")):
            self.run(*self.inside(namespace, "sysctl", "-qw", QUIET))
            self.run("ip", "-n", namespace, "link", "set", device, "up", "mtu", "65000")

    def cut(self) -> None:
        """Take the wire away, with both its ends."""
        self.run("ip", "-n", self.near, "link", "del", "w0")

    def replay(self, capture: Path, *options: str, limit_s: float = 60) -> None:
        """Send a capture from the near end."""
        argv = self.inside(self.near, "tcpreplay", "-q", *options, "-i", "w0", str(capture))
        subprocess.run(argv, check=True, capture_output=True, timeout=limit_s)


@contextmanager
def wire(number: int = 0) -> Iterator[Wire]:
    """A wire that is gone afterwards, whatever happens; `number` tells those of a process apart."""
    made = Wire(f"darkflow-test-{os.getpid()}-{number}")
    for namespace in (made.near, made.far):
        made.run("ip", "netns", "add", namespace)
    try:
        made.connect()
        yield made
    finally:
        made.end_all()
        for namespace in (made.near, made.far):
            subprocess.run(["ip", "netns", "del", namespace], check=False)


class SensorProcess:
    """A running `darkflow sensor` at the far end of a wire."""

    def __init__(
        self, link: Wire, folder: Path, *options: str, interfaces: tuple[str, ...] = ("w1",)
    ) -> None:
        self.events = folder / "events.jsonl"
        self.log_path = folder / "log"
        watched = [word for name in interfaces for word in ("-i", name)]
        argv = [str(DARKFLOW), "sensor", *watched, "--events", str(self.events), *options]
        with self.log_path.open("wb") as log:
            self.process = link.start(*argv, log=log)
        self.wait_for(lambda: "watching" in self.log)

    @property
    def log(self) -> str:
        """What it has logged."""
        return self.log_path.read_text()

    @property
    def lines(self) -> list[str]:
        """Event lines so far."""
        return self.events.read_text().splitlines() if self.events.exists() else []

    @property
    def cpu_s(self) -> float:
        """CPU seconds so far."""
        ticks = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")

    def wait_for(self, there: Callable[[], bool], limit_s: float = 20) -> None:
        """Wait until it is so; fail when it does not become so."""
        end = time.monotonic() + limit_s
        while not there():
            assert time.monotonic() < end, f"nothing came of it; the log: {self.log}"
            assert self.process.poll() is None, f"it has ended: {self.log}"
            time.sleep(0.01)

    def end(self, number: int) -> tuple[int, float]:
        """Send a signal and wait for the end: (exit status, seconds)."""
        began = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(20), time.monotonic() - began


class Recording:
    """A tcpdump at the far end of a wire, which keeps what the sensor sees, with its times."""

    def __init__(
        self, link: Wire, path: Path, interface: str = "w1", immediate: bool = False
    ) -> None:
        self.path = path
        # Otherwise the kernel gives it what is in its ring once a second.
        self.settle_s = 0.1 if immediate else 1.2
        command = ["tcpdump", "-q", "-Z", "root", "-i", interface, "-B", "32768", "-U"]
        command += ["--time-stamp-precision=nano", "-w", str(path)]
        command += ["--immediate-mode"] if immediate else []
        self.process = link.start(*command, log=subprocess.PIPE)
        assert self.process.stderr is not None
        assert any(b"listening" in line for line in self.process.stderr)

    def end(self) -> None:
        """Write it to its end; nothing may have been lost."""
        time.sleep(self.settle_s)
        self.process.terminate()
        assert self.process.stderr is not None
        said = self.process.stderr.read()
        assert self.process.wait(20) == 0
        assert b"0 packets dropped by kernel" in said


def dark_flows(lines: Iterable[str]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The last line of each dark flow, by its ends and its first SYN."""
    found = {}
    for event in map(json.loads, lines):
        if event["event_type"] in ("darkflow", "darkflow_end"):
            key = tuple(event[name] for name in ("src_ip", "src_port", "dest_ip", "dest_port"))
            found[(*key, event["darkflow"]["t0_ns"])] = event["darkflow"]
    return found


def assert_same(
    live: dict[tuple[Any, ...], dict[str, Any]],
    file: dict[tuple[Any, ...], dict[str, Any]],
    what: str = "",
) -> None:
    """The same dark flows, in every field; where not, how many differ, and the first of them.

    pytest compares what differs letter by letter: minutes, with thousands of flows.
    """
    differ = sorted(key for key in live.keys() | file.keys() if live.get(key) != file.get(key))
    first = [(key, live.get(key), file.get(key)) for key in differ[:3]]
    assert not differ, f"{what}: {len(differ)} of {len(live)} and {len(file)} differ: {first}"
