"""What happens to a running honeypot: its table is flushed, an interface goes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import skip
from honeypot_wires import (
    CLIENT4,
    CLIENT_MAC,
    OWN4,
    ROUTER_MAC,
    Honeypot,
    Site,
    Tcpdump,
    cannot,
    run,
    silent,
    site,
)

HOLD = ("--hold", "400ms")
# Asks, says so, asks a second time when it is told to, and says what it got.
TALK = """
import socket, sys
talk = socket.create_connection((sys.argv[1], 80), timeout=20)
print("open", flush=True)
sys.stdin.readline()
talk.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
print(talk.recv(100)[:15].decode(), flush=True)
"""


@pytest.fixture(autouse=True)
def possible() -> None:
    """Root and the programs."""
    reason = cannot()
    if reason is not None:
        skip(reason)


@pytest.fixture
def place() -> Iterator[Site]:
    """A site."""
    with site("inline") as made:
        yield made


def tables(place: Site) -> str:
    """The kernel's tables on the machine."""
    return place.run(place.machine, "nft", "list", "tables")


def test_a_flushed_ruleset_comes_back_with_its_flows(place: Site, tmp_path: Path) -> None:
    """A firewall's reload takes all tables away: sessions go on, and nothing gets out after it."""
    honeypot = Honeypot(place, tmp_path, *HOLD)
    talk = place.start(place.client, sys.executable, "-c", TALK, silent(4, 1), stdin=-1, stdout=-1)
    assert talk.stdin is not None
    assert talk.stdout is not None
    assert talk.stdout.readline() == b"open\n"
    counted = honeypot.status()["kernel"]["diverted"]
    place.run(place.machine, "nft", "flush", "ruleset")
    honeypot.wait_for(lambda: "loaded anew" in honeypot.log)
    assert "table netdev darkflow" in tables(place)
    talk.stdin.write(b"go\n")
    talk.stdin.flush()
    assert talk.stdout.readline() == b"HTTP/1.1 200 OK\n"[:15] + b"\n"
    assert "It works!" in place.curl(f"http://{silent(4, 2)}/")[0]
    status = honeypot.status()
    assert status["flows"]["diverted"] == 2
    # Its counters begin anew, ours do not.
    assert status["kernel"]["diverted"] > counted
    seen = Tcpdump(place, tmp_path / "seen", place.client, "c0", "tcp port 4444")
    honeypot.ask_inside("curl", "-m", "0.5", "-s", f"http://{CLIENT4}:4444/", check=False)
    assert seen.end() == []
    assert honeypot.status()["kernel"]["dropped"] > status["kernel"]["dropped"]
    assert honeypot.end()[0] == 0
    assert "darkflow" not in tables(place)


def test_an_interface_that_comes_back_is_taken_up(place: Site, tmp_path: Path) -> None:
    honeypot = Honeypot(place, tmp_path, *HOLD)
    assert "It works!" in place.curl(f"http://{silent(4, 1)}/")[0]
    run("ip", "-n", place.router, "link", "del", "outside")
    honeypot.wait_for(lambda: "nothing is diverted: " in honeypot.log)
    status = honeypot.status()
    assert status["flows"]["diverted"] == 1
    # Without one of its interfaces the table would divert on and miss the real host's answer.
    honeypot.wait_for(lambda: honeypot.status()["flows"]["diverted_now"] == 0)
    assert honeypot.status()["cuts"]["no_table"] == 1
    assert "nothing is diverted" in status["diverting"]
    run("ip", "link", "add", "c0", "address", CLIENT_MAC, "netns", place.client, "type", "veth",
        "peer", "name", "outside", "address", ROUTER_MAC, "netns", place.router)  # fmt: skip
    for namespace, device, address in (
        (place.client, "c0", CLIENT4),
        (place.router, "outside", "198.51.100.1"),
    ):
        run("ip", "-n", namespace, "addr", "add", f"{address}/24", "dev", device)
        run("ip", "-n", namespace, "link", "set", device, "up")
    run("ip", "-n", place.client, "route", "add", "default", "via", "198.51.100.1")
    run("ip", "-n", place.router, "neigh", "add", OWN4, "lladdr", CLIENT_MAC, "dev", "outside")
    honeypot.wait_for(lambda: "come back" in honeypot.log)
    honeypot.wait_for(lambda: "It works!" in place.curl(f"http://{silent(4, 2)}/", limit_s=3)[0])
    assert honeypot.log.count("nothing is diverted") == 1
    assert honeypot.status()["diverting"] == "yes"
    # As after a failover: what the machine answers itself passes neither interface.
    place.run(place.machine, "ip", "addr", "add", f"{silent(4, 9)}/32", "dev", "lo")
    time.sleep(1.5)
    assert place.curl(f"http://{silent(4, 9)}/", limit_s=3) == ("", 0)
    honeypot.wait_for(lambda: "own_address" in honeypot.status()["not_diverted"], limit_s=2)
    # Without its own interface it is of no use: who supervises it is to start it anew.
    place.run(place.machine, "ip", "link", "del", "hp0")
    assert honeypot.process.wait(10) == 1
    assert "hp0 has gone, so the honeypot ends" in honeypot.log
