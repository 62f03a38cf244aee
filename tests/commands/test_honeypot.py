"""`darkflow honeypot` as a user starts it: it answers at T, ends cleanly, says what is wrong."""

from __future__ import annotations

import base64
import json
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from shutil import which

import pytest

from conftest import skip
from honeypot_wires import (
    CLIENT4,
    CLIENT6,
    MODES,
    NETWORKS,
    SERVER4,
    SERVER6,
    Honeypot,
    Site,
    absent,
    cannot,
    ends_of,
    silent,
    site,
    state,
    written,
)
from running import DARKFLOW, darkflow

HOLD = ("--hold", "400ms")


@pytest.fixture(autouse=True)
def possible() -> None:
    """Root and the programs."""
    reason = cannot()
    if reason is not None:
        skip(reason)


def wait_for_sessions(honeypot: Honeypot, count: int) -> None:
    """Until so many sessions have ended."""
    honeypot.wait_for(lambda: len(honeypot.events("session")) == count)


@pytest.fixture(params=MODES)
def place(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A site, inline and with a mirror."""
    with site(request.param) as made:
        yield made


def test_absent_hosts_answer_at_t_and_speak(tmp_path: Path) -> None:
    """With the default T, in both modes and families; inline the router's own errors are held."""
    targets = [
        (mode, address(version, number))
        for mode in MODES
        for address in ((silent, absent) if mode == "inline" else (silent,))
        for version in (4, 6)
        for number in (1, 2)
    ]
    with ExitStack() as stack, ThreadPoolExecutor(len(targets)) as pool:
        places = {mode: stack.enter_context(site(mode)) for mode in MODES}
        honeypots = {}
        for mode, one in places.items():
            (tmp_path / mode).mkdir()
            honeypots[mode] = Honeypot(one, tmp_path / mode)
        asked = [pool.submit(places[m].curl, f"http://{written(a)}/") for m, a in targets]
        answers = [one.result() for one in asked]
        assert all("It works!" in page for page, _ in answers), answers
        late_ms = [(connected - 5) * 1000 for _, connected in answers]
        assert min(late_ms) >= 0, late_ms
        assert max(late_ms) < 1000, late_ms
        assert statistics.median(late_ms) < 100, late_ms
        for mode, honeypot in honeypots.items():
            wanted = {a for m, a in targets if m == mode}
            wait_for_sessions(honeypot, len(wanted))
            status, seconds = honeypot.end()
            assert (status, seconds < 2) == (0, True)
            assert {ends_of(one)[2] for one in honeypot.events("session")} == wanted
            assert honeypot.events("cut") == []


def test_without_the_shield_the_router_says_that_nobody_is_there(tmp_path: Path) -> None:
    """The counter-check of the test above: the error does come, and ends the client's attempt."""
    with site("inline") as place:
        honeypot = Honeypot(place, tmp_path, "--no-shield")
        began = time.monotonic()
        assert place.curl(f"http://{absent(4, 1)}/") == ("", 0)
        assert time.monotonic() - began < 4.5
        assert honeypot.end()[0] == 0


def test_what_is_told_of_a_session(place: Site, tmp_path: Path) -> None:
    place.serve()
    honeypot = Honeypot(place, tmp_path, *HOLD)
    for version, client, server in ((4, CLIENT4, SERVER4), (6, CLIENT6, SERVER6)):
        address = silent(version, 7)
        page, connected = place.curl(f"http://{written(address)}:8080/?n=1", "-A", "Some/1.0")
        assert "It works!" in page
        assert 0.4 <= connected < 0.9
        assert place.curl(f"http://{written(server)}/")[0] == "the server"
        wait_for_sessions(honeypot, (version == 6) + 1)
        told = honeypot.events("session")[-1]
        source, source_port, *rest = ends_of(told)
        assert (source, rest) == (client, [address, 8080])
        session = told["session"]
        assert (session["handshake"], session["service"]) == (True, "responder")
        assert (told["app_proto"], session["end_reason"]) == ("http", "fin")
        assert (told["http"]["url"], told["http"]["http_user_agent"]) == ("/?n=1", "Some/1.0")
        asked = base64.b64decode(session["payload"])
        assert asked.startswith(b"GET /?n=1 HTTP/1.1\r\n")
        assert session["payload_toserver"] == len(asked)
        dark = honeypot.events("darkflow")[-1]
        assert ends_of(dark) == (source, source_port, *rest)
        assert dark["flow_id"] == told["flow_id"]
        assert dark["darkflow"]["t0_ns"] + 400_000_000 <= session["diverted_ns"]
    # The last answer may still wait in the ring.
    honeypot.wait_for(lambda: honeypot.status()["engine"]["answered"] >= 2)
    status = honeypot.status()
    assert status["mode"] == place.mode
    assert status["flows"]["diverted"] == status["flows"]["syns_replayed"] == 2
    assert status["flows"]["sessions_ended"] == 2
    assert (status["engine"]["answered"], status["engine"]["dark"]) == (2, 2)
    assert set(status["cuts"].values()) == {0}
    assert set(status["losses"].values()) == {0}
    assert honeypot.end()[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_nothing_stays_after_the_end(place: Site, tmp_path: Path, number: int) -> None:
    before = state(place)
    honeypot = Honeypot(place, tmp_path, *HOLD, "--store", str(tmp_path / "store"))
    assert place.curl(f"http://{silent(4, 1)}/")[0]
    during = state(place)
    assert during["tables"] != before["tables"]
    assert during["links"] != before["links"]
    status, seconds = honeypot.end(number)
    assert (status, seconds < 2) == (0, True), honeypot.log
    assert state(place) == before
    assert not Path(honeypot.socket).exists()
    assert place.curl(f"http://{silent(4, 2)}/", limit_s=1) == ("", 0)
    query = darkflow("query", "--store", str(tmp_path / "store"), "--format", "json",
                     "SELECT dest_ip, handshake FROM sessions")  # fmt: skip
    assert json.loads(query.stdout) == [{"dest_ip": silent(4, 1), "handshake": True}], query


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_starts_leaves_nothing_either(tmp_path: Path, number: int) -> None:
    argv = [str(DARKFLOW), "honeypot", "--networks", NETWORKS, "--control", str(tmp_path / "s")]
    found = []
    with site("inline") as place:
        before = state(place)
        # Before this the interpreter itself is starting, and nothing is set up yet.
        for after_ms in range(120, 400, 40):
            process = place.start(place.machine, *argv, *place.place, stderr=subprocess.PIPE)
            time.sleep(after_ms / 1000)
            process.send_signal(number)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                # Python can lose what a signal raises while modules are loaded: pressed again.
                process.send_signal(number)
            found.append((process.wait(10), process.stderr.read() if process.stderr else b""))
            assert state(place) == before, after_ms
    assert {status for status, _ in found} <= {0, 130, -number}, found


def test_what_is_open_is_told_at_the_end(place: Site, tmp_path: Path) -> None:
    honeypot = Honeypot(place, tmp_path, *HOLD)
    talk = place.start(place.client, sys.executable, "-c", TALK, silent(4, 3), "22")
    honeypot.wait_for(lambda: honeypot.status()["flows"]["sessions_open"] == 1)
    honeypot.wait_for(lambda: '"handshake": true' in honeypot.ask("flows", "--json"))
    assert honeypot.end()[0] == 0
    (told,) = honeypot.events("session")
    assert (told["session"]["handshake"], told["session"]["end_reason"]) == (True, "stopped")
    talk.kill()


TALK = """
import socket, sys, time
talk = socket.create_connection((sys.argv[1], int(sys.argv[2])))
talk.sendall(b"SSH-2.0-Go\\r\\n")
time.sleep(60)
"""


def test_a_hangup_begins_new_files(place: Site, tmp_path: Path) -> None:
    honeypot = Honeypot(place, tmp_path, *HOLD)
    assert place.curl(f"http://{silent(4, 1)}/")[0]
    honeypot.wait_for(lambda: len(honeypot.events("session")) == 1)
    honeypot.events_path.rename(tmp_path / "old")
    honeypot.process.send_signal(signal.SIGHUP)
    honeypot.wait_for(lambda: "reopened" in honeypot.log)
    assert place.curl(f"http://{silent(4, 2)}/")[0]
    honeypot.wait_for(lambda: len(honeypot.events("session")) == 1)
    assert honeypot.end()[0] == 0
    assert (tmp_path / "old").read_text().count('"session"') > 0


def test_a_dry_run_prints_and_changes_nothing(place: Site) -> None:
    before = state(place)
    argv = place.inside(place.machine, str(DARKFLOW), "honeypot", *place.place, "--networks",
                        NETWORKS, "--dry-run")  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("ip netns add darkflow", "ip link add hp0", "table netdev darkflow", "203.0.113"):
        assert word in done.stdout
    assert state(place) == before


def test_what_a_dry_run_prints_is_a_script_that_does_it(place: Site, tmp_path: Path) -> None:
    """By hand: the same links, tables and settings as those that Darkflow makes."""
    honeypot = Honeypot(place, tmp_path, *HOLD)
    made = state(place)
    honeypot.end()
    shown = place.run(place.machine, str(DARKFLOW), "honeypot", *place.place, "--networks",
                      NETWORKS, *HOLD, "--dry-run")  # fmt: skip
    if which("ethtool") is None:
        shown = re.sub(r".*ethtool -K.*\n", "", shown)
    (tmp_path / "script").write_text(shown)
    place.run(place.machine, "sh", "-e", str(tmp_path / "script"))
    by_hand = state(place)
    for what in ("tables", "settings", "routes", "links", "rules"):
        assert by_hand[what] == made[what]
