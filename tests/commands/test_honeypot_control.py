"""What a running honeypot is asked: status, flows, cut, allow; services beside the responder."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import skip
from honeypot_wires import (
    CLIENT4,
    MODES,
    NETWORKS,
    Honeypot,
    Site,
    cannot,
    ends_of,
    silent,
    site,
    until,
    written,
)
from running import DARKFLOW

HOLD = ("--hold", "400ms")
# Holds connections open, and writes a line when one has ended.
TALK = """
import select, socket, sys
talks = {}
for word in sys.argv[1:]:
    address, _, port = word.rpartition(":")
    talk = socket.create_connection((address, int(port)), timeout=20)
    talk.sendall(b"hello\\r\\n")
    talks[talk] = word
sys.stdout.write("open\\n"); sys.stdout.flush()
select.select([], [], [], 60)
"""


@pytest.fixture(autouse=True)
def possible() -> None:
    """Root and the programs."""
    reason = cannot()
    if reason is not None:
        skip(reason)


@pytest.fixture(params=MODES)
def place(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A site, inline and with a mirror."""
    with site(request.param) as made:
        yield made


def talk(place: Site, *targets: str) -> subprocess.Popen[bytes]:
    """Connections of the client's to ADDRESS:PORT that stay open, one after the other."""
    process = place.start(place.client, sys.executable, "-c", TALK, *targets,
                          stdout=subprocess.PIPE)  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    return process


def test_flows_are_listed_and_cut(place: Site, tmp_path: Path) -> None:
    honeypot = Honeypot(place, tmp_path, *HOLD)
    talk(place, f"{silent(4, 1)}:22", f"{silent(6, 2)}:23", f"{silent(4, 3)}:2222")
    honeypot.wait_for(lambda: honeypot.ask("flows").count("established") == 3)
    told = json.loads(honeypot.ask("flows", "--json"))
    assert (told["open"], told["diverted"]) == (3, 3)
    # Who answers is where its sockets are: in the namespace that lets nothing else out.
    pid = re.search(r"process (\d+)", honeypot.status()["services"]["responder"])
    assert pid is not None
    assert " hp1:" in Path(f"/proc/{pid[1]}/net/dev").read_text()
    latest, six, _ = (one["flow"] for one in told["flows"])
    assert latest.endswith(f"-{silent(4, 3)}:2222")
    assert six.endswith(f"-[{silent(6, 2)}]:23")
    assert json.loads(honeypot.ask("flows", "--limit", "1", "--json"))["flows"][0]["flow"] == latest
    assert "2 of them not shown" in honeypot.ask("flows", "--limit", "1")
    assert honeypot.ask("cut", six) == "1 flows cut\n"
    honeypot.wait_for(lambda: len(honeypot.events("session")) == 1)
    (event,) = honeypot.events("cut")
    assert (ends_of(event)[2], event["cut"]["cut_by"]) == (silent(6, 2), "command")
    assert honeypot.events("session")[0]["session"]["end_reason"] == "command"
    again = f"{DARKFLOW} cut '{six}' --control {honeypot.socket} 2>&1; echo $?"
    refused = place.run(place.machine, "sh", "-c", again)
    assert refused.splitlines()[-1] == "2"
    assert "is not diverted" in refused
    assert refused.count("\n") == 2
    assert honeypot.ask("cut", "--all") == "2 flows cut\n"
    honeypot.wait_for(lambda: honeypot.status()["flows"]["diverted_now"] == 0)
    assert len(honeypot.events("cut")) == 3
    assert honeypot.status()["cuts"]["command"] == 3
    assert honeypot.end()[0] == 0
    assert len(honeypot.events("session")) == 3


def test_the_allow_list_at_the_start_and_at_run_time(place: Site, tmp_path: Path) -> None:
    honeypot = Honeypot(place, tmp_path, *HOLD, "--allow-port", "443", "--allow-address",
                        f"{silent(4, 1)}/32")  # fmt: skip
    listed = json.loads(honeypot.ask("allow", "--json"))
    assert (listed["addresses"], listed["sources"], listed["ports"]) == ([silent(4, 1)], [], [443])

    def answered(*urls: str) -> list[bool]:
        argv = [word for url in urls for word in ("-o", str(tmp_path / "page"), url)]
        said = place.run(place.client, "curl", "-sk", "-m", "1.2", "--parallel",
                         "--parallel-immediate", "-w", "%{urlnum} %{http_code}\\n", *argv,
                         check=False)  # fmt: skip
        found = dict(line.split() for line in said.splitlines())
        return [found[str(number)] == "200" for number in range(len(urls))]

    one, two, six = (f"http://{written(a)}/" for a in (silent(4, 1), silent(4, 2), silent(6, 1)))
    tls = f"https://{silent(4, 2)}/"
    assert answered(one, two, six, tls) == [False, True, True, False]
    talk(place, f"{silent(4, 9)}:22", f"{silent(6, 9)}:22")
    assert "1 flows cut" in honeypot.ask("allow", "add", "address", silent(6, 9))
    honeypot.wait_for(lambda: len(honeypot.events("cut")) == 1)
    assert honeypot.events("cut")[0]["cut"]["cut_by"] == "allow_list"
    honeypot.ask("allow", "add", "source", CLIENT4)
    honeypot.ask("allow", "remove", "port", "443")
    assert answered(one, two, six, tls) == [False, False, True, False]
    honeypot.ask("allow", "remove", "source", f"{CLIENT4}/32")
    honeypot.ask("allow", "remove", "address", silent(4, 1))
    assert answered(one, two, six, tls) == [True, True, True, True]
    with pytest.raises(AssertionError, match="is not in the list"):
        honeypot.ask("allow", "remove", "port", "443")
    assert honeypot.status()["not_diverted"] == {"allowed": 5}
    assert honeypot.end()[0] == 0


def test_status_as_text_and_only_for_root(tmp_path: Path) -> None:
    with site("inline") as place:
        honeypot = Honeypot(place, tmp_path, *HOLD)
        text = honeypot.ask("status")
        assert text.startswith("uptime_s")
        for line in ("mode", "services", "kernel", "losses"):
            assert f"\n{line}" in text
        assert json.loads(honeypot.ask("status", "--json")).keys() == honeypot.status().keys()
        os.chmod(tmp_path, 0o755)  # noqa: PTH101
        argv = place.inside(place.machine, "setpriv", "--reuid", "65534", "--clear-groups",
                            "/usr/bin/python3", "-c", ASK, honeypot.socket)  # fmt: skip
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert "PermissionError" in done.stderr
        honeypot.process.kill()
        honeypot.process.wait()
        dead = subprocess.run([DARKFLOW, "status", "--control", honeypot.socket],
                              capture_output=True, text=True, check=False)  # fmt: skip
        assert (dead.returncode, dead.stderr.count("\n")) == (2, 1)


ASK = """
import socket, sys
socket.socket(socket.AF_UNIX).connect(sys.argv[1])
"""

WEB = """
[[honeypot.service]]
name = "web"
ports = ["8000", "9000-9001"]
command = "/usr/bin/python3 -m http.server 8000"
port = 8000
"""


def test_a_service_of_ones_own(place: Site, tmp_path: Path) -> None:
    config = tmp_path / "darkflow.toml"
    config.write_text(WEB)
    honeypot = Honeypot(place, tmp_path, *HOLD, "--config", str(config))
    honeypot.wait_for(lambda: "running" in honeypot.status()["services"].get("web", ""))
    until(lambda: ":8000 " in honeypot.ask_inside("ss", "-Hltn"), why=lambda: honeypot.log)
    for url in (f"http://{silent(4, 1)}:8000/", f"http://[{silent(6, 1)}]:80/",
                f"http://{silent(4, 2)}:9001/"):  # fmt: skip
        page, connected = place.curl(url)
        assert 0.4 <= connected < 0.9
        assert ("Directory listing" in page) == (":80/" not in url), (url, page)
    honeypot.wait_for(lambda: len(honeypot.events("session")) == 3)
    services = {e["dest_port"]: e["session"]["service"] for e in honeypot.events("session")}
    assert services == {8000: "web", 80: "responder", 9001: "web"}
    assert honeypot.end(signal.SIGTERM)[0] == 0
    assert "Traceback" not in honeypot.log


def test_a_service_whose_log_cannot_be_is_said_at_the_start(tmp_path: Path) -> None:
    config = tmp_path / "darkflow.toml"
    config.write_text(f'{WEB}log = "/nowhere/at/all"\n')
    with site("inline") as place:
        argv = place.inside(place.machine, str(DARKFLOW), "honeypot", *place.place, "--networks",
                            NETWORKS, "--config", str(config))  # fmt: skip
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert 'service "web": log /nowhere/at/all' in done.stderr
        assert "standard output" not in done.stderr
        assert place.run(place.machine, "nft", "list", "tables") == ""
