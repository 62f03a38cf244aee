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
from systemd import UNIT

EXAMPLE = UNIT.parents[2] / "examples" / "lab.pcap"
# systemd's measure of what a service could do to the machine, times 10: 96 is a plain service.
MOST_EXPOSED = 19
CONFIG = """\
interface = "w1"
networks = ["203.0.113.0/24"]
store = "/var/lib/darkflow/store"
store-flush = "100ms"
events = "/var/lib/darkflow/dark.jsonl"
dark-pcap = "/var/lib/darkflow/dark.pcap"
hold = "500ms"
"""


def analyzed(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What systemd-analyze says of the unit, with a program that is there."""
    if which("systemd-analyze") is None:
        skip("systemd is not installed")
    text = UNIT.read_text().replace("/opt/darkflow/bin/darkflow", str(DARKFLOW))
    (tmp_path / UNIT.name).write_text(text)
    command = ["systemd-analyze", *words, str(tmp_path / UNIT.name)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_unit_has_no_mistake(tmp_path: Path) -> None:
    done = analyzed(tmp_path, "verify")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_unit_may_do_little(tmp_path: Path) -> None:
    words = ("security", "--offline=yes", "--no-pager", f"--threshold={MOST_EXPOSED}")
    done = analyzed(tmp_path, *words)
    assert done.returncode == 0, done.stdout


def test_the_unit_gives_one_capability() -> None:
    found = re.findall(r"^(\w*Capabilit\w*)=(.*)", UNIT.read_text(), re.M)
    assert found == [
        ("AmbientCapabilities", "CAP_NET_RAW"),
        ("CapabilityBoundingSet", "CAP_NET_RAW"),
    ]


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


def test_what_is_needed_to_install_comes_with_the_program() -> None:
    text = (UNIT.parents[2] / "pyproject.toml").read_text()
    assert '"contrib/systemd/darkflow-sensor.service"' in text
    assert '"contrib/darkflow.toml"' in text


@pytest.mark.parametrize("line", ["ProcSubset=pid", "PrivateUsers=yes", "PrivateNetwork=yes"])
def test_what_would_stop_it_is_not_in_the_unit(line: str) -> None:
    assert line not in UNIT.read_text().splitlines()
