"""Live scans: told while the sensor runs, ended without traffic, and the same as from a file."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import skip
from running import darkflow
from wires import Recording, SensorProcess, Wire, cannot, wire
from writers import Flow, Pcap, ethernet, ip

OPTIONS = ("--hold", "500ms", "--idle", "1s", "--scan-gap", "2s", "--backscatter-time", "0s",
           "--networks", "192.0.2.0/24")  # fmt: skip


@pytest.fixture
def link() -> Iterator[Wire]:
    """A wire of its own."""
    reason = cannot()
    if reason is not None:
        skip(reason)
    with wire() as made:
        yield made


def traffic(folder: Path) -> Path:
    """A scan of 60 hosts of which two answer, a client that finds its server, backscatter."""
    packets: list[tuple[int, bytes]] = []
    for n in range(60):
        flow = Flow("198.51.100.30", 40_000 + n, f"192.0.2.{n + 1}", 23)
        packets.append((n * 5_000_000, ethernet(flow.syn(n))))
        if n in (7, 8):
            packets.append((n * 5_000_000 + 1_000_000, ethernet(flow.answer())))
        client = Flow("198.51.100.77", 50_000 + n, "192.0.2.8", 80)
        packets.append((n * 5_000_000 + 2_000_000, ethernet(client.syn())))
        packets.append((n * 5_000_000 + 3_000_000, ethernet(client.answer())))
        echo = Flow(f"192.0.2.{100 + n}", 4444, "203.0.113.5", 80)
        packets.append((n * 5_000_000 + 4_000_000, ethernet(echo.answer())))
    path = folder / "traffic.pcap"
    path.write_bytes(Pcap(nano=True).file(packets))
    return path


def detected(lines: list[str]) -> list[dict[str, Any]]:
    """Scans and backscatter of event lines, without times, which differ by how they were taken."""
    found = []
    for document in map(json.loads, lines):
        part = document.get(document["event_type"])
        if document["event_type"] in ("scan", "backscatter"):
            kept = {k: v for k, v in part.items() if k not in ("start_ns", "end_ns", "rate")}
            found.append({"src_ip": document.get("src_ip"), **kept})
    return sorted(found, key=lambda d: (d["state"], str(d)))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_live_scans_are_those_of_the_file(link: Wire, tmp_path: Path, workers: str) -> None:
    beside = Recording(link, tmp_path / "beside.pcap")
    sensor = SensorProcess(link, tmp_path, *OPTIONS, "--workers", workers)
    link.replay(traffic(tmp_path))
    # Nothing comes after it: time alone brings the verdicts, and the gap's end.
    sensor.wait_for(lambda: sum('"end"' in line for line in sensor.lines) == 2)
    # In the file it tells that time has passed.
    last = tmp_path / "last.pcap"
    last.write_bytes(Pcap().file([(0, ethernet(ip("192.0.2.1", "192.0.2.2", 17, bytes(8))))]))
    link.replay(last)
    status, _ = sensor.end(signal.SIGTERM)
    beside.end()
    assert status == 0
    live = detected(sensor.lines)
    assert [(d["state"], d.get("src_ip") or d.get("victim_ip")) for d in live] == [
        ("begin", "198.51.100.30"), ("begin", "203.0.113.5"), ("end", "198.51.100.30"),
        ("end", "203.0.113.5"),
    ]  # fmt: skip
    end = live[2]
    assert (end["dark_targets"], end["live_targets"], end["kind"]) == (58, 2, "address_scan")
    assert (live[3]["packets"], live[3]["targets"], live[3]["answer"]) == (60, 60, "syn_ack")
    lines = tmp_path / "file.jsonl"
    done = darkflow("analyze", str(beside.path), "--events", str(lines), *OPTIONS)
    assert done.returncode == 0, done.stderr
    file = detected(lines.read_text().splitlines())
    if workers == "1":
        assert live == file
    else:
        # Which flow made it certain may differ by what two threads see first.
        assert live[2:] == file[2:]
