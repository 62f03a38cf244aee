"""`darkflow sensor` on a real wire: live is what a file of the same packets says."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import skip
from running import darkflow
from wires import Recording, SensorProcess, Wire, assert_same, cannot, dark_flows, wire
from writers import LINUX_OPTIONS, Flow, Pcap, ethernet, icmp_error, ip

MS = 1_000_000
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "lab.pcap"


@pytest.fixture
def link() -> Iterator[Wire]:
    """A wire for one test."""
    reason = cannot()
    if reason is not None:
        skip(reason)
    with wire() as made:
        yield made


def write(path: Path, packets: list[tuple[int, bytes]]) -> Path:
    """A capture of Ethernet frames."""
    path.write_bytes(Pcap(nano=True).file(packets))
    return path


def pace(tmp_path: Path) -> Path:
    """Flows of every kind, over IPv4 and IPv6, with VLAN tags and without, in 3 s."""
    packets: list[tuple[int, bytes]] = []
    for number in range(60):
        t, tags = number * 50 * MS, [[], [(0x8100, 5)], [(0x88A8, 7), (0x8100, 5)]][number % 3]
        ends = ("2001:db8::1", 1000 + number, "2001:db8:1::2", 22)
        flow = Flow(*ends) if number % 2 else Flow(orig_port=1000 + number)
        router = "2001:db8::fe" if number % 2 else "203.0.113.254"
        packets.append((t, ethernet(flow.syn(options=LINUX_OPTIONS), tags)))
        answer = [b"", flow.answer(), flow.reset(), icmp_error(router, flow.syn()), b"", b""]
        if answer[number % 6]:
            packets.append((t + 10 * MS, ethernet(answer[number % 6], tags)))
        if number % 5 == 0:
            packets.append((t + 20 * MS, ethernet(flow.syn(), tags)))
    return write(tmp_path / "pace.pcap", sorted(packets))


def test_live_is_what_the_file_says(link: Wire, tmp_path: Path) -> None:
    beside = Recording(link, tmp_path / "beside.pcap")
    sensor = SensorProcess(link, tmp_path)
    for capture in (pace(tmp_path), EXAMPLE):
        link.replay(capture)
    time.sleep(5.5)
    status, took_s = sensor.end(signal.SIGTERM)
    beside.end()
    assert (status, took_s < 2) == (0, True)
    lines = tmp_path / "file.jsonl"
    done = darkflow("analyze", str(beside.path), "--json", "--events", str(lines))
    live, file = dark_flows(sensor.lines), dark_flows(lines.read_text().splitlines())
    assert len(file) > 1800
    assert_same(live, file)
    document = json.loads(done.stdout)
    assert f"dark={document['dark']} " in sensor.log
    assert f"answered={document['answered']} refused={document['refused']} " in sensor.log
    assert "dropped_ring=0 dropped_queue=0 dropped_table=0 clamped=0" in sensor.log


def test_the_store_gets_what_the_lines_say_and_the_state(link: Wire, tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    words = ("--hold", "1s", "--store", store, "--store-flush", "100ms", "--stats", "500ms")
    sensor = SensorProcess(link, tmp_path, *words)
    link.replay(write(tmp_path / "one.pcap", [(0, ethernet(Flow().syn()))]))
    sensor.wait_for(lambda: len(sensor.lines) == 1)
    query = ("query", "--store", store, "--format", "json")
    sensor.wait_for(lambda: darkflow(*query, "SELECT 1 FROM darkflows").stdout != "[]\n")
    exported = darkflow("export", "--store", store, "--format", "jsonl").stdout
    assert [json.loads(line) for line in exported.splitlines()] == [json.loads(sensor.lines[0])]
    status, took_s = sensor.end(signal.SIGTERM)
    assert (status, took_s < 2) == (0, True)
    found = json.loads(darkflow(*query, "SELECT dark, dropped_store FROM stats").stdout)
    assert len(found) >= 2
    assert found[-1]["dropped_store"] == 0
    assert max(row["dark"] for row in found) == 1


# Not a whole second, after which the sensor looks around in any case.
@pytest.mark.parametrize("hold", ["400ms", "1500ms"])
def test_the_verdict_comes_at_t_though_the_link_is_silent(
    link: Wire, tmp_path: Path, hold: str
) -> None:
    sensor = SensorProcess(link, tmp_path, "--hold", hold)
    link.replay(write(tmp_path / "one.pcap", [(0, ethernet(Flow().syn()))]))
    sensor.wait_for(lambda: len(sensor.lines) == 1)
    late_ns = time.time_ns() - json.loads(sensor.lines[0])["darkflow"]["verdict_ns"]
    sensor.end(signal.SIGTERM)
    # 50 ms are allowed; the rest is for the test, which looks every 10 ms on a busy machine.
    assert 0 < late_ns < 90 * MS


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_and_says_what_is_undecided(
    link: Wire, tmp_path: Path, number: int
) -> None:
    store = str(tmp_path / "store")
    sensor = SensorProcess(link, tmp_path, "--stats", "100ms", "--store", store)
    link.replay(write(tmp_path / "one.pcap", [(0, ethernet(Flow().syn()))]))
    sensor.wait_for(lambda: "attempts=1 " in sensor.log)
    status, took_s = sensor.end(number)
    assert status == 0
    assert took_s < 2
    assert "undecided=1 " in sensor.log.splitlines()[-1]
    (event,) = map(json.loads, sensor.lines)
    assert event["event_type"] == "undecided"
    assert 0 < event["undecided"]["held_ns"] < 5_000 * MS
    exported = darkflow("export", "--store", store, "--format", "jsonl", "--table", "undecided")
    assert json.loads(exported.stdout) == event
    query = ("query", "--store", store, "--format", "json")
    assert darkflow(*query, "SELECT COUNT(*) AS n FROM darkflows").stdout == '[{"n":0}]\n'
    sql = "SELECT undecided FROM stats ORDER BY timestamp DESC LIMIT 1"
    assert json.loads(darkflow(*query, sql).stdout) == [{"undecided": 1}]


def test_hangup_goes_on_in_a_new_file(link: Wire, tmp_path: Path) -> None:
    sensor = SensorProcess(link, tmp_path, "--hold", "200ms")
    link.replay(write(tmp_path / "one.pcap", [(0, ethernet(Flow(orig_port=1).syn()))]))
    sensor.wait_for(lambda: len(sensor.lines) == 1)
    moved = sensor.events.rename(tmp_path / "moved.jsonl")
    sensor.process.send_signal(signal.SIGHUP)
    sensor.wait_for(lambda: "reopened" in sensor.log)
    link.replay(write(tmp_path / "two.pcap", [(0, ethernet(Flow(orig_port=2).syn()))]))
    sensor.wait_for(lambda: len(sensor.lines) == 1)
    sensor.end(signal.SIGTERM)
    assert json.loads(moved.read_text())["src_port"] == 1
    assert json.loads(sensor.lines[0])["src_port"] == 2


def test_hangup_without_a_folder_keeps_the_old_file(link: Wire, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    sensor = SensorProcess(link, folder, "--hold", "200ms", "--stats", "200ms")
    moved = folder.rename(tmp_path / "moved")
    sensor.log_path = moved / "log"
    sensor.process.send_signal(signal.SIGHUP)
    sensor.wait_for(lambda: "cannot reopen" in sensor.log)
    link.replay(write(tmp_path / "one.pcap", [(0, ethernet(Flow().syn()))]))
    sensor.wait_for(lambda: (moved / "events.jsonl").read_text().count("\n") == 1)
    # It still looks around: the state is logged on.
    sensor.wait_for(lambda: "dark=1 " in sensor.log)
    assert sensor.end(signal.SIGTERM)[0] == 0


def test_a_full_disk_is_said_when_it_happens(link: Wire, tmp_path: Path) -> None:
    sensor = SensorProcess(link, tmp_path, "--hold", "200ms", "--events", "/dev/full")
    link.replay(write(tmp_path / "one.pcap", [(0, ethernet(Flow().syn()))]))
    sensor.wait_for(
        lambda: (
            "cannot write events to /dev/full: No space left on device; trying again" in sensor.log
        )
    )
    assert sensor.end(signal.SIGTERM)[0] == 1


def test_an_interface_that_goes_and_comes_back(link: Wire, tmp_path: Path) -> None:
    sensor = SensorProcess(link, tmp_path, "--hold", "200ms")
    link.cut()
    sensor.wait_for(lambda: "interface w1 has gone" in sensor.log)
    link.connect()
    sensor.wait_for(lambda: "interface w1 is back" in sensor.log)
    link.replay(write(tmp_path / "one.pcap", [(0, ethernet(Flow().syn()))]))
    sensor.wait_for(lambda: len(sensor.lines) == 1)
    assert sensor.end(signal.SIGTERM)[0] == 0


def test_an_interface_that_is_set_down_and_up(link: Wire, tmp_path: Path) -> None:
    sensor = SensorProcess(link, tmp_path, "--hold", "200ms")
    link.run("ip", "-n", link.far, "link", "set", "w1", "down")
    sensor.wait_for(lambda: "interface w1: Network is down" in sensor.log)
    before_s = sensor.cpu_s
    time.sleep(1)
    assert sensor.cpu_s - before_s < 0.5  # it waits, and does not spin
    link.run("ip", "-n", link.far, "link", "set", "w1", "up")
    link.run("ip", "-n", link.near, "link", "set", "w0", "up")
    link.replay(write(tmp_path / "one.pcap", [(0, ethernet(Flow().syn()))]))
    sensor.wait_for(lambda: len(sensor.lines) == 1)
    assert sensor.log.count("Network is down") == 1
    assert sensor.end(signal.SIGTERM)[0] == 0


def test_a_mirror_of_one_direction_is_said(link: Wire, tmp_path: Path) -> None:
    syns = [(n * MS, ethernet(Flow(orig_port=n + 1).syn())) for n in range(120)]
    sensor = SensorProcess(link, tmp_path, "--stats", "200ms", "--hold", "300ms")
    link.replay(write(tmp_path / "half.pcap", syns))
    sensor.wait_for(lambda: "only one direction" in sensor.log)
    sensor.end(signal.SIGTERM)
    assert sensor.log.count("only one direction") == 1


def test_tunnels_and_dark_pcap(link: Wire, tmp_path: Path) -> None:
    inner = ethernet(Flow().syn())
    vxlan = bytes.fromhex("0800000000002a00") + inner
    datagram = struct.pack("!HHHH", 50000, 4789, 8 + len(vxlan), 0) + vxlan
    frame = ethernet(ip("192.0.2.1", "192.0.2.2", 17, datagram))
    out = tmp_path / "dark.pcap"
    sensor = SensorProcess(link, tmp_path, "--hold", "200ms", "--decap", "--dark-pcap", str(out))
    link.replay(write(tmp_path / "one.pcap", [(0, frame)]))
    sensor.wait_for(lambda: len(sensor.lines) == 1)
    sensor.end(signal.SIGTERM)
    assert out.read_bytes()[40:] == frame


def test_what_cannot_be_watched_is_one_line() -> None:
    if os.geteuid() != 0:
        done = darkflow("sensor", "-i", "lo")
        assert "CAP_NET_RAW" in done.stderr
    else:
        done = darkflow("sensor", "-i", "nosuch0")
        assert "nosuch0" in done.stderr
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert darkflow("sensor").returncode == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("-i", "lo", "-i", "lo"), "lo is named twice"),
        (("-i", "any"), "any: give each interface an -i of its own"),
        (("-i", "lo", "--ring-size", "900GiB", "--workers", "64"), "do not fit into"),
    ],
)
def test_what_would_count_wrongly_or_harm_is_refused(words: tuple[str, ...], told: str) -> None:
    done = darkflow("sensor", *words)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert told in done.stderr


def test_two_taps_of_one_direction_each(link: Wire, tmp_path: Path) -> None:
    """SYNs come on one interface, their answers on the other."""
    link.run("ip", "link", "add", "w2", "netns", link.near, "type", "veth",
             "peer", "name", "w3", "netns", link.far)  # fmt: skip
    for namespace, device in ((link.near, "w2"), (link.far, "w3")):
        link.run("ip", "-n", namespace, "link", "set", device, "up", "mtu", "65000")
    sensor = SensorProcess(link, tmp_path, "--hold", "1s", interfaces=("w1", "w3"))
    flows = [Flow(orig_port=n + 1) for n in range(200)]
    syns = write(tmp_path / "syns", [(n * MS, ethernet(f.syn())) for n, f in enumerate(flows)])
    answers = [(n * MS, ethernet(f.answer())) for n, f in enumerate(flows) if n % 2]
    link.replay(syns)
    back = write(tmp_path / "answers", answers)
    argv = link.inside(link.near, "tcpreplay", "-q", "-i", "w2", str(back))
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    sensor.wait_for(lambda: len(sensor.lines) == 100)
    assert sensor.end(signal.SIGTERM)[0] == 0
    assert "answered=100 refused=0 dark=100 undecided=0 " in sensor.log
    assert all(json.loads(line)["src_port"] % 2 for line in sensor.lines)
