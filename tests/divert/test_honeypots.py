"""Unmodified Cowrie and OpenCanary from PyPI, and http.server: as the docs set them up.

A real client talks to them at addresses that nobody set aside, IPv4 and IPv6.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import skip
from honeypots import CLIENT4, CLIENT6, Honeypot, World, honeypot, is_everybodys, open_folder

ROOT = Path(__file__).resolve().parents[2]
CONTRIB = ROOT / "contrib" / "honeypots"
# In place of users that the machine of a test does not have.
IDS = {"cowrie": 61001, "opencanary": 61002}
ADDRESSES = ("203.0.113.99", "2001:db8:b::99")
ASKPASS = "#!/bin/sh\necho hunter2\n"


@pytest.fixture(scope="session")
def installed() -> Iterator[Path]:
    """A folder with both, each in its environment; made here if tools/prepare has not."""
    folder = ROOT / ".honeypots"
    if all((folder / name / "ready").exists() for name in IDS) and is_everybodys(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="darkflow-test-") as name:
        Path(name).chmod(0o755)
        done = subprocess.run(
            [ROOT / "tools" / "honeypots", name], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            skip(f"Cowrie and OpenCanary cannot be installed from PyPI: {done.stderr}")
        yield Path(name)


def tables(installed: Path, folder: Path) -> list[dict[str, Any]]:
    """The services of the docs, with the folders and users of this test."""
    text = (CONTRIB / "services.toml").read_text()
    assert text.partition("\n\n")[2].strip() in (ROOT / "docs" / "services.md").read_text()
    found: list[dict[str, Any]] = tomllib.loads(text)["honeypot"]["service"]
    for table in found:
        name = table["name"]
        for key in ("directory", "log"):
            if key in table:
                table[key] = str(folder / Path(table[key]).name)
        table["command"] = table["command"].replace("/opt/", f"{installed}/")
        if "environment" in table:
            path = table["environment"]["PATH"]
            table["environment"]["PATH"] = path.replace("/opt/", f"{installed}/")
        if "user" in table:
            table["user"] = f"{IDS[name]}:{IDS[name]}"
            Path(table["directory"]).mkdir()
            os.chown(table["directory"], IDS[name], IDS[name])
    return found


@pytest.fixture
def running(place: World, installed: Path) -> Iterator[tuple[Honeypot, Path]]:
    """All three, and the folder with what they write."""
    with open_folder() as folder:
        folder.chmod(0o755)  # their logs are here, which root writes
        services = tables(installed, folder)
        subprocess.run(
            [installed / "cowrie/bin/cowrie", "init"], cwd=folder / "cowrie", check=True,
            user=IDS["cowrie"], group=IDS["cowrie"], extra_groups=[], capture_output=True,
        )  # fmt: skip
        shutil.copy(CONTRIB / "opencanary.conf", folder / "opencanary")
        with honeypot(place, services) as pot:
            for port in (2222, 21, 80, 6379, 8000):
                pot.wait_for_port(port)
            yield pot, folder


def at_client(place: World, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program there, without a terminal."""
    with place.away():
        return subprocess.run(
            argv, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
            timeout=30, start_new_session=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip


def test_all_three_answer_for_any_address(running: tuple[Honeypot, Path], place: World) -> None:
    for tool in ("ssh", "curl"):
        if shutil.which(tool) is None:
            skip(f"{tool} is missing")
    pot, folder = running
    for address, client in zip(ADDRESSES, (CLIENT4, CLIENT6), strict=True):
        ssh_logs_in(place, folder, address, client)
        canary_hears(place, folder, address, client)
        host = f"[{address}]" if ":" in address else address
        for port in (8000, 8042):
            page = at_client(place, "curl", "-sS", f"http://{host}:{port}/")
            assert "Directory listing for /" in page.stdout, page.stderr
    assert [state.restarts for state in pot.keeper.states()] == [0, 0, 0]


def ssh_logs_in(place: World, folder: Path, address: str, client: str) -> None:
    """OpenSSH's client gets a shell of Cowrie's, which knows both true addresses."""
    askpass = folder / "askpass"
    askpass.write_text(ASKPASS)
    askpass.chmod(0o755)
    command = "echo I am $(whoami); uname -o"
    for port in ("22", "2222"):
        done = at_client(
            place, "ssh", "-F", "none", "-p", port, "-o", "StrictHostKeyChecking=no",
            "-o", "UserKnownHostsFile=/dev/null", f"root@{address}", command,
            SSH_ASKPASS=str(askpass), SSH_ASKPASS_REQUIRE="force",
        )  # fmt: skip
        assert "GNU/Linux" in done.stdout, done.stderr
    log = (folder / "cowrie.log").read_text()
    assert "login attempt [root/hunter2] succeeded" in log
    assert f"CMD: {command}" in log
    assert f"New connection: {client}:" in log
    assert f"{address}:2222)" in log


def noted_of(folder: Path, address: str) -> list[dict[str, Any]]:
    """Whole lines of OpenCanary's log about this address; it writes them when it gets to it."""
    text = (folder / "opencanary.log").read_text().rpartition("\n")[0]
    noted = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [one for one in noted if str(one.get("dst_host")).removeprefix("::ffff:") == address]


def canary_hears(place: World, folder: Path, address: str, client: str) -> None:
    """OpenCanary's page, its FTP server and what it notes of whom."""
    host = f"[{address}]" if ":" in address else address
    page = at_client(place, "curl", "-sS", "-i", f"http://{host}/index.html")
    assert page.stdout.startswith("HTTP/1.1 200 OK"), page.stderr
    assert "synohdpack" in page.stdout
    ftp = at_client(place, "curl", "-sS", "--user", "eve:hunter2", f"ftp://{host}/")
    assert "530" in ftp.stderr
    with place.connect(address, 6379) as sock:
        sock.sendall(b"*1\r\n$4\r\nPING\r\n")
        assert sock.recv(100)
    until_s = time.monotonic() + 20
    mine = noted_of(folder, address)
    while not {21, 80} <= {one["dst_port"] for one in mine}:
        assert time.monotonic() < until_s, mine
        time.sleep(0.05)
        mine = noted_of(folder, address)
    assert {str(one["src_host"]).removeprefix("::ffff:") for one in mine} == {client}
    login = next(one for one in mine if one["dst_port"] == 21)
    assert login["logdata"] == {"USERNAME": "eve", "PASSWORD": "hunter2"}


def test_cowrie_comes_back_when_it_is_killed(running: tuple[Honeypot, Path], place: World) -> None:
    """Without notice, with the PID file of its predecessor where it would have left it."""
    pot, folder = running
    (folder / "cowrie" / "twistd.pid").write_text("2")
    os.kill(pot.keeper.states()[0].pid, 9)
    pot.wait_for(lambda: pot.keeper.states()[0].restarts == 1)
    pot.wait_for_port(2222)
    with place.connect("203.0.113.50", 22) as sock:
        assert sock.recv(100).startswith(b"SSH-2.0-")
