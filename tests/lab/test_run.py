"""A short run of the real lab, and the recorded one: both hold what the scenario promises."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from darkflow.lab import run as run_module
from darkflow.lab import topology
from darkflow.lab.namespaces import PREFIX, existing
from darkflow.lab.run import MIN_SECONDS, LabResult, can_run, run_lab

EXAMPLE = Path(__file__).parents[2] / "examples" / "lab.pcap"
MSS_1460 = bytes.fromhex("020405b4")
VERDICT_S = 5.0


@dataclass(frozen=True)
class Recording:
    """A capture of the lab: its TCP segments (`conftest.Segment`), and those that are SYNs."""

    path: Path
    segments: list[Any]

    def syns(self, source: str) -> list[Any]:
        return [s for s in self.segments if s.is_syn and s.src == source]

    def verdicts(self) -> Iterator[tuple[str, str, int, str]]:
        """Source, destination, port and end of each flow that begins with a SYN."""
        flows = defaultdict(list)
        for s in self.segments:
            flows[s.src, s.src_port, s.dst, s.dst_port].append(s)
        for (src, src_port, dst, dst_port), segments in flows.items():
            back = flows.get((dst, dst_port, src, src_port), [])
            if not segments[0].is_syn:
                continue
            if any(s.is_syn_ack for s in back):
                yield src, dst, dst_port, "answered"
            else:
                yield src, dst, dst_port, "refused" if any(s.is_rst for s in back) else "dark"


@pytest.fixture(scope="module")
def result(
    real_lab: None,  # noqa: ARG001
    tmp_path_factory: pytest.TempPathFactory,
) -> LabResult:
    path = tmp_path_factory.mktemp("lab") / "lab.pcap"
    return run_lab(path, MIN_SECONDS)


@pytest.fixture(scope="module", params=["recorded", "fresh"])
def recording(
    request: pytest.FixtureRequest, read_segments: Callable[[Path], list[Any]]
) -> Recording:
    path = EXAMPLE if request.param == "recorded" else request.getfixturevalue("result").capture
    return Recording(path, read_segments(path))


def test_all_programs_did_their_part(result: LabResult) -> None:
    assert result.failures == []
    assert result.requests_sent == 2 * int((MIN_SECONDS - run_module.QUIET_S - 1.0) * 3)
    assert result.requests_answered == result.requests_sent
    assert result.packets_dropped == 0
    assert result.elapsed_s < MIN_SECONDS + 5.0


def test_nothing_stays_behind(result: LabResult) -> None:
    assert result.capture.exists()
    assert not [name for name in existing() if name.startswith(f"{PREFIX}-{os.getpid()}.")]


def test_tcpdump_reads_every_packet(result: LabResult) -> None:
    read = subprocess.run(
        ["tcpdump", "-n", "-r", str(result.capture)], capture_output=True, text=True, check=True
    )
    assert len(read.stdout.splitlines()) == result.packets_captured


def test_the_capture_outlasts_the_last_verdict(recording: Recording) -> None:
    last_syn_s = max(s.time_s for s in recording.segments if s.is_syn)
    data = recording.path.read_bytes()
    assert _last_packet_time_s(data) > last_syn_s + VERDICT_S + 1.0


def test_every_flow_ends_as_the_topology_says(recording: Recording) -> None:
    seen: Counter[tuple[str, bool]] = Counter()
    for src, dst, dst_port, verdict in recording.verdicts():
        expected = topology.outcome(dst, dst_port)
        is_dark = expected in ("silent", "unreachable")
        assert verdict == ("dark" if is_dark else expected), (src, dst, dst_port)
        seen[expected, ":" in dst] += 1
    for expected in ("answered", "refused", "silent", "unreachable"):
        for is_ipv6 in (False, True):
            assert seen[expected, is_ipv6] >= 1


def test_the_visitors_pages_are_answered_in_both_families(recording: Recording) -> None:
    for source, server in (
        (topology.CURL.ipv4, topology.WEB.ipv4),
        (topology.CURL.ipv6, topology.WEB.ipv6),
    ):
        asked = {s.src_port for s in recording.syns(source)}
        answered = {
            s.dst_port
            for s in recording.segments
            if s.is_syn_ack and (s.src, s.dst) == (server, source)
        }
        assert len(asked) >= 10
        assert asked == answered


def test_zmap(recording: Recording) -> None:
    syns = recording.syns(topology.ZMAP.ipv4)
    assert len({s.dst for s in syns}) == 256
    for s in syns:
        assert (s.ip_id, s.window, s.options, s.ttl) == (54321, 65535, b"", 255)


def test_masscan(recording: Recording) -> None:
    syns = recording.syns(topology.MASSCAN.ipv4)
    assert len({(s.dst, s.dst_port) for s in syns}) == 512
    for s in syns:
        assert s.ip_id == (int(IPv4Address(s.dst)) ^ s.dst_port ^ s.seq) & 0xFFFF
        assert (s.window, s.options, s.ttl) == (1024, b"", 255)
    assert len({s.dst for s in recording.syns(topology.MASSCAN.ipv6)}) == 64


@pytest.mark.parametrize("source", [topology.NMAP.ipv4, topology.NMAP.ipv6])
def test_nmap(recording: Recording, source: str) -> None:
    syns = recording.syns(source)
    assert len(syns) >= 100
    for s in syns:
        assert (s.window, s.options) == (1024, MSS_1460)
        # Only the IPv4 header gets a random TTL; an IPv6 SYN of nmap's starts at 255.
        assert s.ttl == 255 if ":" in source else 37 <= s.ttl <= 59
    # The sequence numbers of one nmap process differ by a mask: here one process per network.
    near = [s for s in syns if topology.contains(topology.ON_LINK_NETWORKS, s.dst)]
    for one, other in combinations(near[:50], 2):
        x = one.seq ^ other.seq
        assert x >> 16 == x & 0xFFFF
        assert x & 0xFF00 == 0


def test_hping3(recording: Recording) -> None:
    syns = recording.syns(topology.HPING3.ipv4)
    assert len(syns) == 150
    for s in syns:
        assert (s.window, s.options, s.ttl, s.dst_port) == (512, b"", 64, 445)
        assert s.ack != 0


def test_backscatter_answers_no_syn(recording: Recording) -> None:
    source = topology.BACKSCATTER.ipv4
    assert len([s for s in recording.segments if s.is_syn_ack and s.src == source]) == 60
    assert not recording.syns(source)


def test_the_patient_clients_kernel_sends_again(recording: Recording) -> None:
    for source in (topology.PATIENT.ipv4, topology.PATIENT.ipv6):
        silent = [
            s for s in recording.syns(source) if topology.contains(topology.SILENT_NETWORKS, s.dst)
        ]
        assert len({(s.src_port, s.seq) for s in silent}) == 1
        assert len(silent) >= 3


def test_the_worm_goes_out(recording: Recording) -> None:
    assert len({s.dst for s in recording.syns(topology.INFECTED.ipv4)}) == 30


def test_the_recorded_capture_is_small() -> None:
    assert EXAMPLE.stat().st_size < 2_000_000


def test_the_recorded_capture_is_described(read_segments: Callable[[Path], list[Any]]) -> None:
    recorded = Recording(EXAMPLE, read_segments(EXAMPLE))
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for src, dst, dst_port, verdict in recorded.verdicts():
        counted[src][verdict] += 1
        counted[src]["silent"] += topology.outcome(dst, dst_port) == "silent"
    columns = ("answered", "refused", "dark", "silent")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in _lines(EXAMPLE.parent)]
    described = {row[0]: row[2:] for row in rows if len(row) == 7 and row[0] in counted}
    assert described == {
        src: [*(str(counts[column]) for column in columns), str(len(recorded.syns(src)))]
        for src, counts in counted.items()
    }


def _lines(directory: Path) -> list[str]:
    return (directory / "README.md").read_text().splitlines()


def test_too_short_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"takes at least 11\.5 s, not 3"):
        run_lab(tmp_path / "lab.pcap", 3.0)


@pytest.mark.usefixtures("real_lab")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_takes_all_down(number: signal.Signals, tmp_path: Path) -> None:
    script = """
import signal, sys
from pathlib import Path
from darkflow.lab.run import run_lab
signal.signal(signal.SIGINT, signal.default_int_handler)
run_lab(Path(sys.argv[1]), report=lambda line: print(line, flush=True))
"""
    argv = [sys.executable, "-c", script, str(tmp_path / "lab.pcap")]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as run:
        assert run.stdout is not None
        assert next(line for line in run.stdout if "nmap:" in line)
        run.send_signal(number)
        assert run.wait(15.0) != 0
    assert not [name for name in existing() if name.startswith(f"{PREFIX}-{run.pid}.")]


def test_why_it_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert can_run() == "the lab needs root, to make network namespaces"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(run_module, "find_spec", lambda _: object())
    monkeypatch.setattr(run_module, "missing_programs", lambda: ["nmap", "zmap"])
    assert can_run() == "the lab needs more programs: apt-get install nmap zmap"
    monkeypatch.setattr(run_module, "missing_programs", list)
    monkeypatch.setattr(run_module, "built", _refuses)
    assert str(can_run()).endswith("is this a container? no network namespaces")
    monkeypatch.setattr(run_module, "find_spec", lambda _: None)
    assert can_run() == "the lab needs pyroute2: pip install 'darkflow[lab]'"


def _refuses(_: topology.Topology) -> None:
    raise OSError("no network namespaces")


def _last_packet_time_s(data: bytes) -> float:
    offset, time_s = 24, 0.0
    while offset < len(data):
        seconds, micros, length = (
            int.from_bytes(data[offset + i : offset + i + 4], "little") for i in (0, 4, 8)
        )
        time_s = seconds + micros / 1e6
        offset += 16 + length
    return time_s
