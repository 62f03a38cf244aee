"""The sensor's outputs on a real wire: none of them stalls it, and what is lost is counted."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import which

import pytest

from commands.test_sensor import MS, write
from conftest import skip
from outboxes import plain, wait_for
from running import darkflow
from sinks.test_rotating_file import tshark_ports
from sinks.test_syslog import MESSAGE, Server, split_by_length
from wires import SensorProcess, Wire, cannot, wire
from writers import Flow, ethernet


@pytest.fixture
def link() -> Iterator[Wire]:
    """A wire for one test."""
    reason = cannot()
    if reason is not None:
        skip(reason)
    with wire() as made:
        yield made


def syns(tmp_path: Path, count: int, first: int = 0) -> Path:
    """A capture of so many dark flows, numbered by their source port."""
    packets = [
        (n * 20_000, ethernet(Flow(orig_port=(first + n) % 65536, resp_port=1 + n // 65536).syn()))
        for n in range(count)
    ]
    return write(tmp_path / f"syns-{first}.pcap", packets)


def logged(sensor: SensorProcess, name: str) -> int:
    """A number in the last line on the state."""
    found = re.findall(rf" {name}=(\d+)", sensor.log)
    return int(found[-1]) if found else 0


def test_a_reader_that_stalls_holds_up_nothing_and_its_loss_is_counted(
    link: Wire, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    sensor = SensorProcess(
        link, tmp_path, "--hold", "200ms", "--stats", "200ms", "--output-buffer", "4MiB",
        "--events", str(pipe), "--ring-size", "64MiB",
    )  # fmt: skip
    count = 20_000
    link.replay(syns(tmp_path, count), "--topspeed")
    sensor.wait_for(lambda: logged(sensor, "dark") == count)
    # The file beside the pipe has every line, though nobody reads the pipe.
    sensor.wait_for(lambda: len(sensor.lines) == count)
    said = re.compile(r"cannot write events to \S+pipe: it (is too slow|takes nothing); trying")
    sensor.wait_for(lambda: said.search(sensor.log) is not None)
    status, took_s = sensor.end(signal.SIGTERM)
    assert (status, took_s < 2) == (1, True)
    assert re.search(r"error events to \S+pipe: \d+ lines could not be written: ", sensor.log)
    data = os.read(reader, 1 << 20)
    os.close(reader)
    in_pipe = data[: data.rfind(b"\n") + 1].count(b"\n")
    assert logged(sensor, "dropped_events") + in_pipe == count
    assert in_pipe > 50


def test_standard_output_that_nobody_reads_on_ends_it_quietly(link: Wire, tmp_path: Path) -> None:
    words = ["darkflow", "sensor", "-i", "w1", "--hold", "200ms", "--events", "-"]
    log = tmp_path / "log"
    with log.open("wb") as file:
        sensor = subprocess.Popen(
            link.inside(link.far, *words), stdout=subprocess.PIPE, stderr=file
        )
    wait_for(lambda: "watching" in log.read_text())
    assert sensor.stdout is not None
    link.replay(syns(tmp_path, 1))
    assert json.loads(sensor.stdout.readline())["src_port"] == 0
    sensor.stdout.close()
    link.replay(syns(tmp_path, 1, 1))
    assert sensor.wait(20) == 141


def test_files_rotate_and_reopen_and_every_flow_is_there_once(link: Wire, tmp_path: Path) -> None:
    out = tmp_path / "dark.pcap"
    sensor = SensorProcess(
        link, tmp_path, "--hold", "200ms", "--rotate-size", "256KiB", "--rotate-keep", "1000",
        "--dark-pcap", str(out), "--stats", "200ms", "--workers", "2",
    )  # fmt: skip
    count = 12_000
    moved = []
    for first in range(0, count, 3000):
        link.replay(syns(tmp_path, 3000, first), "--pps", "20000")
        for path in (sensor.events, out):
            moved.append(path.rename(tmp_path / f"moved-{first}-{path.name}"))
        sensor.process.send_signal(signal.SIGHUP)
        sensor.wait_for(lambda: sensor.log.count("reopened") == len(moved) // 2)
        tshark_ports(out)
    sensor.wait_for(lambda: logged(sensor, "dark") == count)
    wait_for(lambda: not list(tmp_path.glob("*Z.jsonl")) and not list(tmp_path.glob("*Z.pcap")))
    assert sensor.end(signal.SIGTERM)[0] == 0
    assert len(list(tmp_path.glob("events-*.zst"))) > 5
    lines = b"".join(plain(path) for path in tmp_path.glob("*events*json*"))
    assert sorted(json.loads(line)["src_port"] for line in lines.splitlines()) == list(range(count))
    ports = [port for path in tmp_path.glob("*dark*pcap*") for port in tshark_ports(path)]
    assert sorted(ports) == list(range(count))


def test_syslog_and_a_file_at_once(link: Wire, tmp_path: Path) -> None:
    # The sensor lives in a namespace of its own, where only a Unix socket leads out.
    path = tmp_path / "socket"
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(path))
        bound.settimeout(20)
        sensor = SensorProcess(link, tmp_path, "--hold", "200ms", "--events", f"syslog:{path}")
        link.replay(syns(tmp_path, 3))
        texts = []
        for _ in range(3):
            found = MESSAGE.fullmatch(bound.recv(65536))
            assert found is not None
            texts.append(found["text"].decode())
        sensor.wait_for(lambda: sensor.lines == texts)
        assert sensor.end(signal.SIGTERM)[0] == 0


def test_a_started_sensor_appends(link: Wire, tmp_path: Path) -> None:
    for first in range(2):
        sensor = SensorProcess(link, tmp_path, "--hold", "200ms")
        link.replay(syns(tmp_path, 1, first))
        sensor.wait_for(lambda count=first + 1, on=sensor: len(on.lines) == count)  # type: ignore[misc]
        sensor.process.send_signal(signal.SIGKILL)
        sensor.process.wait(20)
    assert [json.loads(line)["src_port"] for line in sensor.lines] == [0, 1]


def test_a_line_is_in_the_file_soon_after_its_verdict(link: Wire, tmp_path: Path) -> None:
    sensor = SensorProcess(link, tmp_path, "--hold", "500ms")
    link.replay(syns(tmp_path, 1))
    sensor.wait_for(lambda: bool(sensor.lines))
    late_ns = time.time_ns() - json.loads(sensor.lines[0])["darkflow"]["verdict_ns"]
    assert 0 < late_ns < 1000 * MS
    sensor.end(signal.SIGTERM)


def test_analyze_sends_syslog_too(tmp_path: Path) -> None:
    server = Server()
    capture = write(
        tmp_path / "c.pcap",
        [(0, ethernet(Flow(orig_port=7).syn())), (9_000 * MS, ethernet(b""))],
    )
    assert darkflow("analyze", str(capture), "--events", server.text).returncode == 0
    wait_for(lambda: split_by_length(b"".join(server.received))[0])
    (message,) = split_by_length(server.received[0])[0]
    found = MESSAGE.fullmatch(message)
    assert found is not None
    assert json.loads(found["text"])["src_port"] == 7
    server.die()
    done = darkflow("analyze", str(capture), "--events", server.text)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"darkflow: cannot write {server.text}: Connection refused\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--events", "-", "--dark-pcap", "-"), "can have standard output"),
        (("--events", "a", "--events", "a"), "a is named twice"),
        (("--events", "udp://x"), "needs host and port"),
        (("--events", "/missing/a"), "/missing/a: No such file or directory"),
    ],
)
def test_what_cannot_be_written_is_one_line(words: tuple[str, ...], said: str) -> None:
    if os.geteuid() != 0 or which("ip") is None:
        skip("watching an interface needs root")
    done = darkflow("sensor", "-i", "lo", *words)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert said in done.stderr
