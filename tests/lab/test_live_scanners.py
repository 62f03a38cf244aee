"""Real scanners loose in the lab, with the sensor on the gateway: live is what the file says.

One run for all tests: nmap, masscan, zmap, hping3, curl and a worm, over IPv4 and IPv6 (as far as
a tool can), at hosts that answer, refuse and are not there. One sensor watches the wire to the
outside, one both sides of the gateway.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from darkflow.lab import topology
from darkflow.lab.namespaces import PREFIX, entered, existing
from darkflow.lab.run import MIN_SECONDS, QUIET_S, LabResult, run_lab
from running import darkflow
from wires import Recording, SensorProcess, Wire, dark_flows

ONE, BOTH = (topology.GATEWAY_OUTSIDE,), (topology.GATEWAY_OUTSIDE, "inside0")
CLOSE_NS = 1_000_000
DarkFlows = dict[tuple[Any, ...], dict[str, Any]]


class Gateway(Wire):
    """The lab's gateway as the far end of a wire."""

    def __init__(self, namespace: str) -> None:
        super().__init__("unused")
        self.far = namespace


@dataclass
class Watched:
    """What watches a run of the lab; started and ended by what the lab says it does."""

    folder: Path
    sensors: list[SensorProcess] = field(default_factory=list)
    recordings: list[Recording] = field(default_factory=list)
    ends: list[threading.Timer] = field(default_factory=list)
    gateway: str = ""

    def report(self, line: str) -> None:
        """A line of the lab's report."""
        if line.startswith("built "):
            owner = f"{PREFIX}-{os.getpid()}."
            ours = [name for name in existing() if name.startswith(owner)]
            self.start(Gateway(next(name for name in ours if name.endswith(topology.GATEWAY))))
        elif line.startswith("all have been sent"):
            # After the last verdict, before the namespaces go.
            self.ends.append(threading.Timer(QUIET_S - 0.5, self.end))
            self.ends[0].start()

    def start(self, gateway: Gateway) -> None:
        """Begin to watch."""
        self.gateway = gateway.far
        self.recordings.append(Recording(gateway, self.folder / "beside.pcap", ONE[0], True))
        for interfaces in (ONE, BOTH):
            folder = self.folder / "-".join(interfaces)
            folder.mkdir()
            self.sensors.append(SensorProcess(gateway, folder, interfaces=interfaces))

    def end(self) -> None:
        """End it, after a packet that the sensors do not see: in the file it is the time."""
        for sensor in self.sensors:
            sensor.end(signal.SIGTERM)
        with entered(self.gateway), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"end", (topology.CURL.ipv4, 9))
        for recording in self.recordings:
            recording.end()

    def dark(self, number: int) -> DarkFlows:
        """What a sensor has found."""
        return dark_flows(self.sensors[number].lines)


@pytest.fixture(scope="module")
def watched(
    real_lab: None,  # noqa: ARG001
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Watched, LabResult]:
    watches = Watched(tmp_path_factory.mktemp("scanners"))
    result = run_lab(watches.folder / "lab.pcap", MIN_SECONDS + 2, watches.report)
    watches.ends[0].join()
    assert result.failures == []
    return watches, result


def of_file(path: Path, lines: Path) -> DarkFlows:
    done = darkflow("analyze", str(path), "--events", str(lines))
    assert done.returncode == 0, done.stderr
    return dark_flows(lines.read_text().splitlines())


def alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """The same but for times, which may differ by a little.

    The kernel stamps a packet of its own TCP anew for each who listens: the lab's hosts and its
    gateway are one machine.
    """
    times = [name for name in one if name.endswith("_ns")]
    rest = [{name: flow[name] for name in flow if name not in times} for flow in (one, other)]
    near = all(abs(one[name] - other.get(name, 0)) < CLOSE_NS for name in times)
    return rest[0] == rest[1] and near


def test_live_is_what_the_file_says(watched: tuple[Watched, LabResult], tmp_path: Path) -> None:
    watches, _ = watched
    file = of_file(watches.recordings[0].path, tmp_path / "file.jsonl")
    live = watches.dark(0)
    assert len(live) > 1000
    for (*ends, _), (*others, _) in zip(sorted(live), sorted(file), strict=True):
        assert ends == others
    for one, other in zip(sorted(live), sorted(file), strict=True):
        assert alike(live[one], file[other]), one
    exact = live.keys() & file.keys()
    assert len(exact) > 1000
    assert all(live[key] == file[key] for key in exact)


def test_every_probe_at_somebody_absent_is_dark_and_no_other(
    watched: tuple[Watched, LabResult], read_segments: Callable[[Path], list[Any]]
) -> None:
    watches, result = watched
    probes = {
        (s.src, s.src_port, s.dst, s.dst_port) for s in read_segments(result.capture) if s.is_syn
    }
    absent = {
        probe for probe in probes if topology.outcome(*probe[2:]) in ("silent", "unreachable")
    }
    found = Counter(key[:4] for key in watches.dark(0))
    assert set(found) == absent
    assert set(found.values()) == {1}
    tools = {source for source, *_ in absent}
    assert tools >= {
        address
        for tool in (topology.NMAP, topology.MASSCAN, topology.PATIENT)
        for address in (tool.ipv4, tool.ipv6)
    }
    assert tools >= {topology.ZMAP.ipv4, topology.HPING3.ipv4, topology.INFECTED.ipv4}
    assert len(probes - absent) > 50


def test_both_sides_of_the_gateway_say_the_same(watched: tuple[Watched, LabResult]) -> None:
    """The gateway's own answers and ICMP errors leave it, and are not seen with two interfaces."""
    watches, _ = watched
    one, both = ({key[:4]: value for key, value in watches.dark(n).items()} for n in (0, 1))
    own = {ends for ends in both if ends[2] in topology.GATEWAY_ADDRESSES}
    assert 0 < len(own) < 20
    assert both.keys() - own == one.keys()
    assert all(both[ends]["syn_count"] == one[ends]["syn_count"] for ends in one)


def test_nothing_was_lost(watched: tuple[Watched, LabResult]) -> None:
    for sensor in watched[0].sensors:
        assert "dropped_ring=0 dropped_queue=0 dropped_table=0 clamped=0" in sensor.log
