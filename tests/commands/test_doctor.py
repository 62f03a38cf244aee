"""`darkflow doctor` on real wires: what is wrong is found, and what is not is not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from conftest import skip
from darkflow.commands.checks import Finding
from darkflow.commands.doctor import lines_of
from running import DARKFLOW, darkflow
from wires import Wire, cannot, wire
from writers import Flow, Pcap, ethernet

MS = 1_000_000
WITHOUT = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")


@pytest.fixture
def link() -> Iterator[Wire]:
    """A wire for one test."""
    reason = cannot()
    if reason is not None:
        skip(reason)
    with wire() as made:
        yield made


def packets(count: int, syns: bool = True, answers: bool = True) -> list[tuple[int, bytes]]:
    """Flows 1 ms apart, and their answers as fast; every fifth is never answered."""
    found = []
    for number in range(count):
        flow, t = Flow(orig_port=1024 + number), number * MS
        if syns:
            found.append((t, ethernet(flow.syn())))
        if answers and number % 5:
            found.append((t + MS // 2, ethernet(flow.answer() if number % 2 else flow.reset())))
    return found


def examined(
    link: Wire, traffic: list[tuple[int, bytes]], folder: Path, *words: str
) -> tuple[int, dict[str, Any]]:
    """The exit status and the findings, by check, with this traffic while it listens."""
    capture = folder / "traffic.pcap"
    capture.write_bytes(Pcap(nano=True).file(traffic))
    argv = [str(DARKFLOW), "doctor", "-i", "w1", "--json", *words]
    process = subprocess.Popen(link.inside(link.far, *argv), stdout=subprocess.PIPE, text=True)
    try:
        if traffic:
            wait_until_it_listens(link)
            link.replay(capture)
        text, _ = process.communicate(timeout=100)
    finally:
        process.kill()
    found = json.loads(text)["findings"]
    return process.returncode, {finding["check"]: finding for finding in found}


def wait_until_it_listens(link: Wire) -> None:
    """Until a packet socket takes every protocol (3) there."""
    until = time.monotonic() + 20
    while True:
        argv = link.inside(link.far, "cat", "/proc/net/packet")
        lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        if any(line.split()[3] == "0003" for line in lines.splitlines()[1:]):
            return
        assert time.monotonic() < until, "it does not listen"
        time.sleep(0.02)


def test_both_directions(link: Wire, tmp_path: Path) -> None:
    words = ("--seconds", "5", "--networks", "192.0.2.0/24,198.51.100.0/24,203.0.113.0/24")
    status, found = examined(link, packets(150), tmp_path, *words)
    assert status == 0
    assert found["directions"]["state"] == "ok"
    told = re.search(r"([\d.]+)% of (\d+) attempts were answered", found["directions"]["found"])
    assert told is not None
    # On a busy machine the last ones have no verdict yet.
    assert 80 <= float(told[1]) <= 85
    assert 120 < int(told[2]) <= 150
    assert found["traffic"]["state"] == "ok"
    assert found["interface"]["about"] == "w1"
    assert {"state": "ok", "about": "w1"}.items() <= found["promiscuous"].items()
    assert found["networks"]["state"] == "ok"


def test_one_direction_is_named(link: Wire, tmp_path: Path) -> None:
    status, found = examined(link, packets(60, answers=False), tmp_path, "--seconds", "3")
    assert status == 1
    assert found["directions"]["state"] == "failed"
    assert "only one direction comes, that of the SYNs" in found["directions"]["found"]
    assert "both directions" in found["directions"]["mend"]


def test_the_other_direction_is_named(link: Wire, tmp_path: Path) -> None:
    status, found = examined(link, packets(60, syns=False), tmp_path, "--seconds", "3")
    assert status == 1
    assert "only one direction comes, that of the answers" in found["directions"]["found"]


def test_hosts_that_send_but_never_answer(link: Wire, tmp_path: Path) -> None:
    """Each of 250 hosts asks the next, so all are there; of their answers one is seen."""
    traffic = []
    for number in range(250):
        flow = Flow(f"192.0.2.{number}", 1024, f"192.0.2.{(number + 1) % 250}", 80)
        traffic.append((number * MS, ethernet(flow.syn())))
        if number == 100:
            traffic.append((number * MS + MS // 2, ethernet(flow.answer())))
    status, found = examined(link, traffic, tmp_path, "--seconds", "5")
    assert status == 0
    assert found["directions"]["state"] == "warning"
    assert "hosts that are seen sending hardly ever answer" in found["directions"]["found"]


def test_other_networks_than_those_that_are_seen(link: Wire, tmp_path: Path) -> None:
    words = ("--seconds", "5", "--networks", "10.0.0.0/8")
    status, found = examined(link, packets(150), tmp_path, *words)
    assert status == 0
    assert found["networks"]["state"] == "warning"
    text = r"none of (2\d|30) dark flows has an end in 10\.0\.0\.0/8"
    assert re.fullmatch(text, found["networks"]["found"])


def test_too_little_is_not_judged(link: Wire, tmp_path: Path) -> None:
    status, found = examined(link, packets(5, answers=False), tmp_path, "--seconds", "2")
    assert status == 0
    assert found["directions"]["state"] == "warning"
    assert "too little to tell" in found["directions"]["found"]


def test_silence_is_told(link: Wire, tmp_path: Path) -> None:
    status, found = examined(link, [], tmp_path, "--seconds", "1")
    assert status == 0
    assert found["traffic"]["state"] == "warning"
    assert found["traffic"]["found"].startswith("nothing came")


def test_it_ends_early_when_all_is_known(link: Wire, tmp_path: Path) -> None:
    began = time.monotonic()
    status, found = examined(link, packets(800), tmp_path, "--seconds", "60")
    assert time.monotonic() - began < 30
    assert (status, found["directions"]["state"]) == (0, "ok")


def test_an_interface_that_is_down(link: Wire, tmp_path: Path) -> None:
    link.run("ip", "-n", link.far, "link", "set", "w1", "down")
    status, found = examined(link, [], tmp_path)
    assert status == 1
    assert found["interface"]["state"] == "failed"
    assert found["interface"]["mend"] == "sudo ip link set dev w1 up"
    assert found["directions"]["state"] == "unknown"
    # What it says helps.
    link.run("ip", "-n", link.far, *found["interface"]["mend"].split()[2:])
    assert examined(link, [], tmp_path, "--seconds", "0")[1]["interface"]["state"] == "ok"


def test_a_cable_that_is_not_there(link: Wire, tmp_path: Path) -> None:
    link.run("ip", "-n", link.near, "link", "set", "w0", "down")
    status, found = examined(link, [], tmp_path, "--seconds", "0")
    assert status == 1
    assert "has no link" in found["interface"]["found"]


def test_an_interface_that_is_not_there() -> None:
    done = darkflow("doctor", "-i", "nosuch0")
    assert done.returncode == 1
    line = next(line for line in done.stdout.splitlines() if line.startswith("failed"))
    assert re.fullmatch(r"failed +interface +nosuch0: is not there; there are: .*\blo\b.*", line)


def test_without_capabilities_it_says_what_it_cannot_tell() -> None:
    if os.geteuid() != 0 or which("setpriv") is None:
        skip("setpriv needs root")
    argv = [*WITHOUT, str(DARKFLOW), "doctor", "-i", "lo", "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    assert done.stderr == ""
    assert done.returncode == 1
    found = {one["check"]: one for one in json.loads(done.stdout)["findings"]}
    assert found["permission"]["state"] == "failed"
    assert {found[name]["state"] for name in ("kernel", "promiscuous", "directions")} == {"unknown"}
    assert found["memory"]["state"] in ("ok", "warning")
    assert found["offloads"]["state"] == "ok"


def test_the_plain_form_has_no_colours_and_whole_commands() -> None:
    done = darkflow("doctor", "-i", "nosuch0", "--seconds", "0")
    assert "\x1b" not in done.stdout
    states = [line.split()[0] for line in done.stdout.splitlines() if line[:1].strip()]
    assert set(states[:-1]) <= {"ok", "warning", "failed", "unknown"}
    told = dict(zip(("ok", "warning", "failed", "unknown"), (0, 0, 0, 0), strict=True))
    for count, state in re.findall(r"(\d+) (\w+)", done.stdout.splitlines()[-1]):
        told[state] = int(count)
    assert told == {state: states[:-1].count(state) for state in told}


def test_a_terminal_gets_colours() -> None:
    code = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"
    argv = [sys.executable, "-c", code, str(DARKFLOW), "doctor", "-i", "nosuch0"]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL,
        env=os.environ | {"TERM": "xterm-256color"},
    )  # fmt: skip
    assert "\x1b[1;31mfailed" in done.stdout
    assert done.returncode == 1


def test_a_finding_as_lines() -> None:
    finding = Finding("clock", "warning", "is wrong", "set it", "here")
    assert lines_of(finding) == ("clock           here: is wrong", " " * 25 + "-> set it")
    assert lines_of(Finding("clock", "ok", "is right")) == ("clock           is right", "")


def test_the_file_of_a_sensor(tmp_path: Path) -> None:
    file = tmp_path / "darkflow.toml"
    file.write_text(f'interface = ["nosuch0"]\nstore = "{tmp_path}/store"\nworkers = 2\n')
    done = darkflow("doctor", "--config", str(file), "--json")
    found = {(one["check"], one["about"]) for one in json.loads(done.stdout)["findings"]}
    assert {("interface", "nosuch0"), ("store", f"{tmp_path}/store")} <= found
    assert done.returncode == 1


@pytest.mark.parametrize(
    "words", [["--seconds", "x"], ["--seconds", "601"], ["--networks", "10.1/8"], ["-x"]]
)
def test_wrong_usage(words: list[str]) -> None:
    done = darkflow("doctor", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
