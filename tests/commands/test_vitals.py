"""`darkflow sensor --metrics` on a real wire: Prometheus reads what the sensor has counted."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import Metric as Family
from prometheus_client.parser import text_string_to_metric_families

from conftest import skip
from darkflow.commands import vitals
from darkflow.sinks.metrics import METRICS
from darkflow.sinks.prometheus import prometheus_name
from running import darkflow
from wires import SensorProcess, Wire, cannot, wire
from writers import Flow, Pcap, ethernet

MS = 1_000_000
ASK = """
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=5)
connection.request("GET", sys.argv[3])
answer = connection.getresponse()
print(answer.status, answer.read().decode(), end="")
"""


@pytest.fixture
def link() -> Iterator[Wire]:
    """A wire for one test, with loopback at its far end."""
    reason = cannot()
    if reason is not None:
        skip(reason)
    with wire() as made:
        made.run("ip", "-n", made.far, "link", "set", "lo", "up")
        yield made


def ask(link: Wire, path: str, host: str = "127.0.0.1", port: int = 9465) -> tuple[int, str]:
    """Status and body."""
    argv = link.inside(link.far, sys.executable, "-c", ASK, host, str(port), path)
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 0, done.stderr
    status, _, body = done.stdout.partition(" ")
    return int(status), body


def page(link: Wire) -> dict[str, Family]:
    """The metrics by the parser's name: without `_total`."""
    status, body = ask(link, "/metrics")
    assert status == 200
    return {family.name: family for family in text_string_to_metric_families(body)}


def value(found: dict[str, Family], name: str) -> float:
    """The one value of a metric."""
    (sample,) = found[f"darkflow_{name}"].samples
    return sample.value


def traffic(tmp_path: Path) -> Path:
    """30 flows: every third is answered 10 ms later, every third refused, every third dark."""
    packets: list[tuple[int, bytes]] = []
    for number in range(30):
        # Other addresses go to other workers.
        flow, t = Flow(f"192.0.2.{number}", 1000 + number), number * 5 * MS
        packets.append((t, ethernet(flow.syn())))
        if number % 3 < 2:
            answer = flow.answer() if number % 3 == 0 else flow.reset()
            packets.append((t + 10 * MS, ethernet(answer)))
    path = tmp_path / "traffic.pcap"
    path.write_bytes(Pcap(nano=True).file(sorted(packets)))
    return path


@pytest.mark.parametrize("workers", [1, 2])
def test_prometheus_reads_what_the_sensor_counts(link: Wire, tmp_path: Path, workers: int) -> None:
    words = (
        "--hold",
        "1s",
        "--store",
        str(tmp_path / "store"),
        "--store-flush",
        "100ms",
        "--metrics",
        "9465",
    )
    sensor = SensorProcess(link, tmp_path, *words, "--workers", str(workers), "--stats", "500ms")
    link.replay(traffic(tmp_path))
    sensor.wait_for(lambda: "dark=10 " in sensor.log)
    time.sleep(1.2)  # drops are asked for once a second, and rows flushed
    found = page(link)
    expected = {"packets": 50, "syn": 30, "synack": 10, "rst": 10, "attempts": 30}
    expected |= {"answered": 10, "refused": 10, "dark": 10, "workers": workers}
    assert {name: value(found, name) for name in expected} == expected
    assert found["darkflow_interface_packets"].samples[0].labels == {"interface": "w1"}
    assert value(found, "interface_packets") >= 50
    samples = found["darkflow_reply_delay_seconds"].samples
    delays = {sample.name.rpartition("_")[2]: sample.value for sample in samples}
    assert delays["count"] == 20
    # 10 ms each, as tcpreplay keeps them on a machine that is busy.
    assert 0.15 < delays["sum"] < 2
    of_sensor = [metric for metric in METRICS if metric.live and not metric.honeypot]
    names = {prometheus_name(metric).removesuffix("_total") for metric in of_sensor}
    assert names <= set(found)
    assert 0 <= value(found, "lag_seconds") < 2
    assert 1 < value(found, "uptime_seconds") < 60
    assert value(found, "store_rows") > 10
    written_s = value(found, "store_written_timestamp_seconds")
    assert time.time() - 10 < written_s <= time.time()
    # The log tells the same.
    sensor.end(signal.SIGTERM)
    last = dict(re.findall(r"(\w+)=(\d+)", sensor.log.splitlines()[-1]))
    told = ("packets", "attempts", "answered", "refused", "dark")
    assert {name: int(last[name]) for name in told} == {name: expected[name] for name in told}


def test_health_and_slow_clients(link: Wire, tmp_path: Path) -> None:
    sensor = SensorProcess(link, tmp_path, "--hold", "200ms", "--metrics", ":9465")
    assert ask(link, "/healthz") == (200, "ok\n")
    slow = link.start(
        sys.executable, "-c",
        "import socket,time\n"
        "s=[socket.create_connection(('127.0.0.1',9465)) for _ in range(50)]\n"
        "[one.send(b'GET /m') for one in s]\n"
        "time.sleep(30)", log=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(0.5)
    link.replay(traffic(tmp_path))
    sensor.wait_for(lambda: len(sensor.lines) == 10)
    began = time.monotonic()
    assert value(page(link), "dark") == 10
    assert time.monotonic() - began < 2
    slow.kill()
    assert sensor.end(signal.SIGTERM)[0] == 0


def test_over_ipv6(link: Wire, tmp_path: Path) -> None:
    link.run(*link.inside(link.far, "sysctl", "-qw", "net.ipv6.conf.lo.disable_ipv6=0"))
    sensor = SensorProcess(link, tmp_path, "--metrics", "[::1]:9465")
    assert ask(link, "/healthz", "::1") == (200, "ok\n")
    assert sensor.end(signal.SIGTERM)[0] == 0


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = darkflow("sensor", "-i", "lo", "--metrics", address)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert (
        "CAP_NET_RAW" in done.stderr
        or f"--metrics {address}: Address already in use" in done.stderr
    )


@pytest.mark.parametrize("word", ["0", "65536", "::1:9465x", "example.org:80", "1.2.3:80", "::1"])
def test_a_bad_address_is_one_line(word: str) -> None:
    done = darkflow("sensor", "-i", "lo", f"--metrics={word}")
    assert done.returncode == 2
    assert "--metrics" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_what_a_card_has_lost_stays_counted_when_it_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # It goes and comes back; is renamed for a while.
    counts = [(9, 100), (9, 103), None, (9, 2), (9, 5), None, (9, 6)]
    told = iter({"eth1": count} if count else {} for count in counts)
    monkeypatch.setattr(vitals, "card_counters", lambda: next(told))
    asked = vitals.Vitals(["eth1"], [], None)
    found = []
    for _ in range(6):
        asked.look()
        found.append(asked.dropped_card()["eth1"])
    assert found == [3, 3, 5, 8, 8, 9]
