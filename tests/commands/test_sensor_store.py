"""`darkflow sensor --store`: every flow is in the store, or counted as lost, whatever happens."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import slow_disk
from commands.test_sensor import write
from conftest import skip
from running import DARKFLOW, darkflow
from sinks.test_store import wait_until
from slow_disk import SlowDisk
from wires import SensorProcess, Wire, cannot, wire
from writers import Flow, ethernet

MS = 1_000_000
QUICK = ("--hold", "200ms", "--store-flush", "50ms")


@pytest.fixture
def link() -> Iterator[Wire]:
    """A wire for one test."""
    reason = cannot()
    if reason is not None:
        skip(reason)
    with wire() as made:
        yield made


def query(store: Path, sql: str) -> list[dict[str, Any]]:
    """What `darkflow query` prints."""
    done = darkflow("query", "--store", str(store), "--format", "json", sql)
    assert (done.returncode, done.stderr) == (0, "")
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def stored(store: Path) -> int:
    """Dark flows in the store."""
    return int(query(store, "SELECT COUNT(*) AS n FROM darkflows")[0]["n"])


def send(link: Wire, folder: Path, flows: list[Flow]) -> None:
    """A SYN of each flow."""
    packets = [(at * MS, ethernet(flow.syn())) for at, flow in enumerate(flows)]
    link.replay(write(folder / "syns.pcap", packets))


def test_several_workers_share_the_store(link: Wire, tmp_path: Path) -> None:
    store = tmp_path / "store"
    words = ("-i", "w1", *QUICK, "--workers", "2", "--store", str(store))
    with (tmp_path / "log").open("wb") as log:
        sensor = link.start(str(DARKFLOW), "sensor", *words, log=log)
    wait_until(lambda: "watching" in (tmp_path / "log").read_text())
    flows = [Flow(f"198.51.100.{n % 250 + 1}", 1000 + n) for n in range(500)]
    send(link, tmp_path, flows)
    wait_until(lambda: stored(store) == 500)
    send(link, tmp_path, [Flow(orig_port=9)])
    wait_until(lambda: stored(store) == 501)
    sensor.send_signal(signal.SIGTERM)
    assert sensor.wait(10) == 0
    ports = query(store, "SELECT src_ip, src_port FROM darkflows")
    assert {(row["src_ip"], row["src_port"]) for row in ports} == {
        (flow.orig, flow.orig_port) for flow in [*flows, Flow(orig_port=9)]
    }
    assert len(ports) == 501
    (last,) = query(store, "SELECT dark, dropped_store FROM stats ORDER BY dark DESC LIMIT 1")
    assert last == {"dark": 501, "dropped_store": 0}


def test_it_ends_in_time_on_a_slow_disk_and_counts_what_it_lost(
    link: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = slow_disk.cannot()
    if reason is not None:
        skip(reason)
    disk = SlowDisk(tmp_path, 30)
    for name, value in disk.environment.items():
        monkeypatch.setenv(name, value)
    store = disk.folder / "store"
    sensor = SensorProcess(link, tmp_path, *QUICK, "--store", str(store))
    send(link, tmp_path, [Flow(orig_port=1)])
    sensor.wait_for(lambda: stored(store) == 1)
    disk.begin()
    send(link, tmp_path, [Flow(orig_port=port) for port in range(2, 8)])
    sensor.wait_for(lambda: len(sensor.lines) == 7)  # it watches on meanwhile
    status, took_s = sensor.end(signal.SIGTERM)
    disk.end()
    assert (status, took_s < 2) == (1, True)
    # Six flows, and the row of stats at the end.
    assert f"7 rows were not written to the store {store}: it was too slow" in sensor.log
    assert "dropped_store=7" in sensor.log.splitlines()[-1]
    assert stored(store) == 1


def test_a_full_disk_at_the_end_is_said_and_status_1(link: Wire, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=True)
    try:
        store = disk / "store"
        sensor = SensorProcess(link, tmp_path, *QUICK, "--store", str(store))
        (disk / "ballast").write_bytes(bytes(3 << 20))
        send(link, tmp_path, [Flow(orig_port=port) for port in range(1, 4)])
        sensor.wait_for(lambda: "No space left on device; trying again" in sensor.log)
        status, took_s = sensor.end(signal.SIGTERM)
        assert (status, took_s < 2) == (1, True)
        assert f"4 rows were not written to the store {store}: No space left" in sensor.log
        assert "dropped_store=4" in sensor.log.splitlines()[-1]
        assert stored(store) == 0
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_the_store_grows_on_when_an_interface_has_gone_and_come_back(
    link: Wire, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    sensor = SensorProcess(link, tmp_path, *QUICK, "--store", str(store))
    for turn in range(1, 4):
        send(link, tmp_path, [Flow(orig_port=port) for port in (turn, turn + 100)])
        sensor.wait_for(lambda turn=turn: stored(store) == 2 * turn)  # type: ignore[misc]
        link.cut()
        sensor.wait_for(lambda turn=turn: sensor.log.count("has gone") == turn)  # type: ignore[misc]
        link.connect()
        sensor.wait_for(lambda turn=turn: sensor.log.count("is back") == turn)  # type: ignore[misc]
    assert sensor.end(signal.SIGTERM)[0] == 0
    rows = query(store, "SELECT src_port FROM darkflows ORDER BY timestamp")
    assert sorted(row["src_port"] for row in rows) == [1, 2, 3, 101, 102, 103]
