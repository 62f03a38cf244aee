"""The sensor as a service: what systemd hears, what a reload changes, as whom it may run."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from conftest import skip
from darkflow.commands.log import Log
from darkflow.commands.service import Service
from running import DARKFLOW, darkflow
from systemd import open_folders
from wires import SensorProcess, Wire, cannot, wire
from writers import Flow, Pcap, ethernet

NOBODY = "65534"


@pytest.fixture
def link() -> Iterator[Wire]:
    """A wire for one test."""
    reason = cannot()
    if reason is not None:
        skip(reason)
    with wire() as made:
        yield made


class Manager:
    """What systemd is to a service: a socket that it is told of, and a watchdog."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        path.chmod(0o777)
        self.socket.settimeout(0)
        self.heard: list[tuple[float, str]] = []

    def listen(self, seconds: float = 0) -> list[str]:
        """What was said until now, or within so many seconds more."""
        end = time.monotonic() + seconds
        while True:
            try:
                self.heard.append((time.monotonic(), self.socket.recv(4096).decode()))
            except BlockingIOError:
                if time.monotonic() >= end:
                    return [text for _, text in self.heard]
                time.sleep(0.005)

    def said(self, beginning: str) -> bool:
        """Whether something that begins so was said."""
        return any(text.startswith(beginning) for text in self.listen())


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """Every program that is started from now on tells it."""
    there = Manager(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    yield there
    there.socket.close()


def syn(tmp_path: Path, port: int) -> Path:
    """A capture of one SYN."""
    path = tmp_path / f"{port}.pcap"
    path.write_bytes(Pcap(nano=True).file([(0, ethernet(Flow(orig_port=port).syn()))]))
    return path


def test_it_tells_ready_alive_and_stopping(
    link: Wire, tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    began = time.monotonic()
    sensor = SensorProcess(link, tmp_path, "--stats", "500ms")
    sensor.wait_for(lambda: manager.said("READY=1\nSTATUS=watching w1: 0 attempts, 0 dark, "))
    assert manager.heard[-1][0] - began < 2
    manager.listen(4.5)
    alive_s = [at for at, text in manager.heard if text == "WATCHDOG=1"]
    # At half of the 2 s, looked at every half second; a busy machine may add to that.
    gaps_s = [later - at for at, later in itertools.pairwise(alive_s)]
    assert 3 <= len(alive_s) <= 7
    assert all(0.7 < gap_s < 2 for gap_s in gaps_s), gaps_s
    assert manager.said("STATUS=watching w1: ")
    assert sensor.end(signal.SIGTERM)[0] == 0
    assert manager.listen()[-1] == "STOPPING=1"
    assert manager.listen().count("STOPPING=1") == 1


def test_a_sensor_that_is_stuck_is_silent(
    link: Wire, tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    sensor = SensorProcess(link, tmp_path)
    sensor.wait_for(lambda: manager.said("WATCHDOG=1"))
    sensor.process.send_signal(signal.SIGSTOP)
    manager.listen(0.2)
    before = manager.listen().count("WATCHDOG=1")
    assert manager.listen(1.5).count("WATCHDOG=1") == before
    sensor.process.send_signal(signal.SIGCONT)
    sensor.wait_for(lambda: manager.listen().count("WATCHDOG=1") > before)
    assert sensor.end(signal.SIGTERM)[0] == 0


def test_one_worker_that_is_stuck_is_enough(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "2000")
    turns = [1, 1]
    said: list[str] = []
    log = Log()
    log.write = said.append
    service = Service(argparse.Namespace(config=None), {}, log, lambda: turns)
    assert service.every_s == 0.0005
    for moving, heard in ((True, 3), (False, 3), (True, 6)):
        for _ in range(3):
            time.sleep(0.001)
            turns = [turns[0] + 1, turns[1] + moving]
            service.beat()
        assert manager.listen().count("WATCHDOG=1") == heard
    (line,) = said
    assert line.endswith("error a worker makes no progress: the watchdog is left to bark")


def configured(tmp_path: Path, text: str) -> Path:
    """A configuration file of this text."""
    path = tmp_path / "darkflow.toml"
    path.write_text(text)
    return path


def test_a_reload_changes_what_can_change(link: Wire, tmp_path: Path, manager: Manager) -> None:
    path = configured(tmp_path, 'hold = "200ms"\nstats = "1h"\nnetworks = ["10.0.0.0/8"]\n')
    sensor = SensorProcess(link, tmp_path, "--config", str(path))
    link.replay(syn(tmp_path, 1))
    sensor.wait_for(lambda: len(sensor.lines) == 1)
    assert " state " not in sensor.log
    (tmp_path / "events.jsonl").rename(tmp_path / "first.jsonl")
    path.write_text('hold = "300ms"\nstats = "100ms"\nnetworks = ["192.0.2.0/24"]\n')
    manager.listen()
    manager.heard.clear()
    sensor.process.send_signal(signal.SIGHUP)
    sensor.wait_for(lambda: "reopened the output files" in sensor.log)
    sensor.wait_for(lambda: manager.said("READY=1"))
    first, *others = manager.listen()
    assert first.startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert others[0].startswith("READY=1")
    assert f"warning hold: changed in {path}, takes effect at the next start\n" in sensor.log
    assert f"info networks: changed in {path}\n" in sensor.log
    sensor.wait_for(lambda: " state " in sensor.log)
    link.replay(syn(tmp_path, 2))
    sensor.wait_for(lambda: len(sensor.lines) == 1)
    assert sensor.end(signal.SIGTERM)[0] == 0
    before = json.loads((tmp_path / "first.jsonl").read_text())
    after = json.loads(sensor.lines[0])
    assert (before["direction"], after["direction"]) == ("transit", "inbound")
    held_ns = after["darkflow"]["verdict_ns"] - after["darkflow"]["t0_ns"]
    assert held_ns == 200_000_000  # still the old one


def test_a_broken_file_leaves_all_as_it_was(link: Wire, tmp_path: Path, manager: Manager) -> None:
    path = configured(tmp_path, 'hold = "200ms"\nnetworks = ["192.0.2.0/24"]\n')
    sensor = SensorProcess(link, tmp_path, "--config", str(path))
    sensor.wait_for(lambda: manager.said("READY=1"))
    path.write_text('networks = ["10.0.0.0/8"]\nholds = 5\n')
    manager.heard.clear()
    sensor.process.send_signal(signal.SIGHUP)
    sensor.wait_for(lambda: manager.said("READY=1"))
    (line,) = [line for line in sensor.log.splitlines() if " error " in line]
    assert line.endswith(
        f'error {path}: unknown setting "holds": did you mean "hold"?; the old settings stay'
    )
    link.replay(syn(tmp_path, 1))
    sensor.wait_for(lambda: len(sensor.lines) == 1)
    assert json.loads(sensor.lines[0])["direction"] == "inbound"
    assert sensor.end(signal.SIGTERM)[0] == 0


def as_service_user(*argv: str) -> list[str]:
    """The command run as an ordinary user, with the capability of the unit and no other."""
    sets = ("--inh-caps", "--ambient-caps", "--bounding-set")
    given = [word for name in sets for word in (name, "-all,+net_raw")]
    ids = ("--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--no-new-privs")
    return ["setpriv", *ids, *given, *argv]


def test_it_runs_as_an_ordinary_user_with_one_capability(
    link: Wire, tmp_path: Path, manager: Manager
) -> None:
    if which("setpriv") is None:
        skip("setpriv is not installed")
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, int(NOBODY), int(NOBODY))
    for parent in (tmp_path, *list(tmp_path.parents)[:-1]):
        if parent.owner() == "root" and parent != Path("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o055)
    path = configured(
        tmp_path,
        f'interface = "w1"\nhold = "200ms"\nstore = "{state}/store"\nevents = "{state}/e.jsonl"\n'
        f'dark-pcap = "{state}/dark.pcap"\nstore-flush = "100ms"\ndecap = true\n',
    )
    log = tmp_path / "log"
    argv = as_service_user(str(DARKFLOW), "sensor", "--config", str(path))
    # (`ip netns exec` has made a mount namespace.)
    with log.open("wb") as errors:
        process = link.start("sh", "-ec", f'{open_folders()}\nexec "$@"', "sh", *argv, log=errors)
    end = time.monotonic() + 20
    while not manager.said("READY=1"):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end
    status = Path(f"/proc/{process.pid}/status").read_text()
    told: dict[str, Any] = dict(line.split(":\t", 1) for line in status.splitlines())
    assert told["Uid"].split() == [NOBODY] * 4
    assert int(told["CapEff"], 16) == int(told["CapBnd"], 16) == 1 << 13
    # Without CAP_NET_ADMIN too it sees what is not addressed to it.
    shown = subprocess.run(
        ["ip", "-n", link.far, "-d", "link", "show", "w1"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "promiscuity 1 " in shown.stdout
    link.replay(syn(tmp_path, 1))
    events = state / "e.jsonl"
    query = ("query", "--store", str(state / "store"), "--format", "json")
    while darkflow(*query, "SELECT 1 AS n FROM darkflows").stdout != '[{"n":1}]\n':
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert json.loads(events.read_text())["src_port"] == 1
    assert (state / "dark.pcap").stat().st_size > 40
    assert (state / "store").owner() == "nobody"
    for line in log.read_text().splitlines():
        assert " info " in line


def test_without_capabilities_one_line_says_what_is_missing(link: Wire, tmp_path: Path) -> None:
    if which("setpriv") is None:
        skip("setpriv is not installed")
    argv = [word.replace(",+net_raw", "") for word in as_service_user()]
    for words, needed in (
        ((), "CAP_NET_RAW"),
        (("--timestamps", "hardware"), "CAP_NET_RAW and CAP_NET_ADMIN"),
    ):
        command = link.inside(link.far, *argv, str(DARKFLOW), "sensor", "-i", "w1", *words)
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr == f"darkflow: w1: watching an interface needs {needed}: run as root\n"
