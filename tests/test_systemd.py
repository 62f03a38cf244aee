"""The unit in contrib/systemd: checked by systemd's own tools, and run by a real systemd."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from shutil import which

import pytest

import systemd
from conftest import skip
from running import DARKFLOW
from systemd import ROOT, UNITS

EXAMPLE = ROOT / "examples" / "lab.pcap"
# systemd's measure of what a service could do to the machine, times 10: 96 is a plain service.
MOST_EXPOSED = {"sensor": 19, "honeypot": 42}
# Without any one of them something of the test below does not work.
NEEDED = {
    "sensor": {"NET_RAW"},
    "honeypot": {"NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SETUID", "SETGID", "SETPCAP", "KILL"},
}
CONFIG = """\
interface = "w1"
networks = ["203.0.113.0/24"]
store = "/var/lib/darkflow/store"
store-flush = "100ms"
events = "/var/lib/darkflow/dark.jsonl"
dark-pcap = "/var/lib/darkflow/dark.pcap"
hold = "500ms"
"""


HONEYPOT = """\
mirror = "w1"
networks = ["203.0.113.0/24"]
store = "/var/lib/darkflow/store"
events = "/var/lib/darkflow/dark.jsonl"
hold = "500ms"
control-group = "adm"

[[honeypot.service]]
name = "speaker"
ports = ["2323"]
command = ["/usr/bin/python3", "-m", "http.server", "2323"]
memory = "64MiB"
"""


@pytest.fixture(params=UNITS)
def name(request: pytest.FixtureRequest) -> str:
    """Of each unit."""
    return str(request.param)


def analyzed(name: str, tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What systemd-analyze says of the unit, with a program that is there."""
    if which("systemd-analyze") is None:
        skip("systemd is not installed")
    unit = UNITS[name]
    text = unit.read_text().replace("/opt/darkflow/bin/darkflow", str(DARKFLOW))
    (tmp_path / unit.name).write_text(text)
    command = ["systemd-analyze", *words, str(tmp_path / unit.name)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_unit_has_no_mistake(name: str, tmp_path: Path) -> None:
    done = analyzed(name, tmp_path, "verify")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_unit_may_do_little(name: str, tmp_path: Path) -> None:
    words = ("security", "--offline=yes", "--no-pager", f"--threshold={MOST_EXPOSED[name]}")
    done = analyzed(name, tmp_path, *words)
    assert done.returncode == 0, done.stdout


def test_the_unit_gives_what_is_needed(name: str) -> None:
    found = dict(re.findall(r"^(\w*Capabilit\w*)=(.*)", UNITS[name].read_text(), re.M))
    needed = {f"CAP_{one}" for one in NEEDED[name]}
    assert set(found.pop("CapabilityBoundingSet").split()) == needed
    assert found == ({"AmbientCapabilities": "CAP_NET_RAW"} if name == "sensor" else {})


def test_a_real_systemd_runs_it(tmp_path: Path) -> None:
    reason = systemd.cannot()
    if reason is not None:
        skip(reason)
    with systemd.booted(tmp_path, CONFIG) as machine:
        machine.systemctl("start")
        assert machine.shows("ActiveState") == "active"
        assert machine.shows("StatusText").startswith("watching w1: 0 attempts, 0 dark")
        machine.run("tcpreplay", "-q", "-i", "w0", "--mbps=50", str(EXAMPLE))
        state = machine.root / "var/lib/private/darkflow"
        query = (str(DARKFLOW), "query", "--store", "/var/lib/darkflow/store", "--format", "json")
        count = "SELECT COUNT(*) AS n FROM darkflows"
        machine.wait_for(lambda: '"n":1813' in machine.run(*query, count))
        pid = int(machine.shows("MainPID"))
        status = (machine.root / f"proc/{pid}/status").read_text()
        assert re.search(r"^CapEff:\s0000000000002000$", status, re.M)
        assert not re.search(r"^Uid:\s0\s", status, re.M)
        assert state.stat().st_mode & 0o777 == 0o750
        # A reload, a good one and a bad one.
        config = machine.root / systemd.CONFIG[1:]
        config.write_text(CONFIG.replace("203.0.113.0/24", "192.0.2.0/24"))
        machine.systemctl("reload")
        machine.wait_for(lambda: "info networks: changed" in machine.log)
        config.write_text("holds = 5\n")
        machine.systemctl("reload")
        machine.wait_for(lambda: 'unknown setting "holds"' in machine.log)
        assert int(machine.shows("MainPID")) == pid
        config.write_text(CONFIG)
        # Stuck: the watchdog starts it anew.
        assert machine.shows("NRestarts") == "0"
        machine.run("kill", "-STOP", str(pid))
        machine.wait_for(lambda: machine.shows("NRestarts") == "1")
        machine.wait_for(lambda: machine.shows("ActiveState") == "active")
        assert int(machine.shows("MainPID")) != pid
        machine.systemctl("stop")
        assert (machine.shows("Result"), machine.shows("ExecMainStatus")) == ("success", "0")
        assert "Traceback" not in machine.log
        assert "panicked" not in machine.log
        for line in (state / "dark.jsonl").read_text().splitlines():
            json.loads(line)


def test_a_real_systemd_runs_the_honeypot(tmp_path: Path) -> None:
    """As root with seven capabilities: dark flows are diverted, its service is in its cgroup."""
    reason = systemd.cannot()
    if reason is not None:
        skip(reason)
    group = "SupplementaryGroups=adm\n"
    with systemd.booted(tmp_path, HONEYPOT, "honeypot", group) as machine:
        machine.systemctl("start")
        shown = machine.run("stat", "-c", "%a %G", "/run/darkflow", "/run/darkflow/control.sock")
        assert shown.split("\n")[:2] == ["755 root", "660 adm"]
        assert machine.shows("StatusText").startswith("watching w1, hp0: 0 attempts")
        asked = (str(DARKFLOW), "status", "--json")
        services = json.loads(machine.run(*asked))["services"]
        assert {name: told[:7] for name, told in services.items()} == {
            "responder": "running", "speaker": "running",
        }  # fmt: skip
        pid = int(machine.shows("MainPID"))
        status = (machine.root / f"proc/{pid}/status").read_text()
        found = re.search(r"^CapBnd:\s(\w+)$", status, re.M)
        assert found is not None
        assert int(found[1], 16).bit_count() == len(NEEDED["honeypot"])
        below = f"/sys/fs/cgroup{machine.shows('ControlGroup')}"
        assert str(pid) in machine.run("cat", f"{below}/itself/cgroup.procs").split()
        assert machine.run("cat", f"{below}/darkflow-darkflow/speaker/cgroup.procs")
        machine.run("tcpreplay", "-q", "-i", "w0", "--mbps=50", str(EXAMPLE))
        machine.wait_for(lambda: json.loads(machine.run(*asked))["flows"]["diverted"] > 100)
        machine.systemctl("stop")
        assert (machine.shows("Result"), machine.shows("ExecMainStatus")) == ("success", "0")
        assert "Traceback" not in machine.log
        assert "hp0" not in machine.run("ip", "link")
        assert "darkflow" not in machine.run("nft", "list", "tables")


def test_what_is_needed_to_install_comes_with_the_program() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    for unit in UNITS.values():
        assert f'"contrib/systemd/{unit.name}"' in text
    assert '"contrib/darkflow.toml"' in text


@pytest.mark.parametrize("line", ["ProcSubset=pid", "PrivateUsers=yes", "PrivateNetwork=yes"])
def test_what_would_stop_it_is_not_in_the_unit(name: str, line: str) -> None:
    assert line not in UNITS[name].read_text().splitlines()
