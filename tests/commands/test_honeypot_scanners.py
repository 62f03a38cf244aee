"""Real scanners before `darkflow honeypot`: absent addresses answer, live hosts are as ever."""

from __future__ import annotations

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from pathlib import Path

import pytest

from conftest import skip
from honeypot_wires import (
    CLIENT4,
    MODES,
    OWN4,
    OWN6,
    ROUTER_MAC,
    SERVER4,
    SERVER6,
    Honeypot,
    Site,
    cannot,
    ends_of,
    site,
)

HOLD = ("--hold", "250ms")
GATEWAYS = {"203.0.113.1", "2001:db8:b::1"}
LIVE = {SERVER4, SERVER6, *GATEWAYS}
# As much waiting as T needs; else what nmap has learnt of the live host would end its patience.
NMAP = ("nmap", "-n", "-Pn", "-T4", "--max-retries", "1", "--initial-rtt-timeout", "700ms",
        "--min-rtt-timeout", "700ms", "--min-parallelism", "100", "-oG", "-")  # fmt: skip


@pytest.fixture(autouse=True)
def possible() -> None:
    """Root and the programs."""
    reason = cannot("masscan", "nmap", "zmap")
    if reason is not None:
        skip(reason)


def addresses(network: str) -> set[str]:
    return {str(address) for address in ip_network(network)}


def masscan(place: Site, own: str, port: int, targets: set[str]) -> dict[str, str]:
    """The banners of the addresses at which port 22 is open, by masscan."""
    mac = ROUTER_MAC.replace(":", "-")
    argv = ["masscan", "--interface", "c0", "--adapter-ip", own, "--adapter-port", str(port),
            "--router-mac", mac, "--router-mac-ipv6", mac, "--rate", "1500", "--wait", "2",
            "--banners", "-p", "22", ",".join(sorted(targets)), "-oJ", "-"]  # fmt: skip
    lines = place.run(place.client, *argv).splitlines()
    found = [json.loads(line.rstrip(",")) for line in lines if '"ip"' in line]
    seen = [(one["ip"], port) for one in found for port in one["ports"]]
    return {ip: port["service"]["banner"] for ip, port in seen if "service" in port}


def banners(place: Site, network: str) -> dict[str, str]:
    """The same of a network. With little CPU masscan misses some answers; those it asks again."""
    own = OWN6 if ":" in network else OWN4
    missed = addresses(network) - GATEWAYS
    found: dict[str, str] = {}
    for port in range(61_000, 61_005):
        new = masscan(place, own, port, missed)
        assert not found or new.keys() <= missed
        found |= new
        missed -= new.keys()
        if not missed:
            break
    return found


def nmap(place: Site, scan: str, network: str) -> dict[str, str]:
    """What nmap says of each address: the states of ports 22, 80 and 81."""
    family = ("-6",) if ":" in network else ()
    said = place.run(place.client, *NMAP, *family, scan, "-p", "22,80,81", network)
    found = {}
    for address, ports in re.findall(r"Host: (\S+) \(\)\tPorts: (.*)", said):
        found[address] = " ".join(re.findall(r"\d+/(\w+)/tcp", ports))
    return found


def zmap(place: Site, folder: Path, network: str) -> dict[str, str]:
    """What came back from each address, by zmap."""
    for name in ("conf", "spared"):
        (folder / name).write_text("")
    argv = ["zmap", "--config", str(folder / "conf"), "--blacklist-file", str(folder / "spared"),
            "--interface", "c0", "--gateway-mac", ROUTER_MAC, "--source-ip", CLIENT4,
            "--target-port", "8080", "--rate", "1000", "--cooldown-time", "1", "--sender-threads",
            "1", "--quiet", "--disable-syslog", "--output-module=csv",
            "--output-fields=saddr,classification", "--output-filter=success=0||success=1",
            network]  # fmt: skip
    # zmap 2.1.1 fails an assertion of its own now and then, before it sends anything.
    for _ in range(10):
        said = place.run(place.client, *argv, check=False).split()[1:]
        if said:
            return dict(line.split(",") for line in said)
    raise AssertionError("zmap does not run")


@pytest.mark.parametrize("mode", MODES)
def test_scanners_see_a_full_network(mode: str, tmp_path: Path) -> None:
    with site(mode) as place:
        place.serve(80)
        place.serve(22, "SSH-2.0-TheServer")
        honeypot = Honeypot(place, tmp_path, *HOLD)
        with ThreadPoolExecutor(2) as pool:
            scans = [
                (server, network, pool.submit(banners, place, network))
                for network, server in (("203.0.113.0/24", SERVER4), ("2001:db8:b::/120", SERVER6))
            ]
        for server, network, scan in scans:
            found = scan.result()
            assert found.keys() == addresses(network) - GATEWAYS
            assert found.pop(server) == "SSH-2.0-TheServer"
            assert all(re.match(r"SSH-2\.0-\S", banner) for banner in found.values())
            assert "TheServer" not in str(found)
        for kind, network in (
            ("-sS", "203.0.113.64/26"),
            ("-sT", "203.0.113.64/27"),
            ("-sS", "2001:db8:b::80/123"),
            ("-sT", "2001:db8:b::80/123"),
        ):
            states = nmap(place, kind, network)
            assert states.keys() == addresses(network)
            for address, state in states.items():
                wanted = "open open closed" if address in LIVE else "open open open"
                assert state == wanted, (kind, address)
        answers = zmap(place, tmp_path, "203.0.113.0/24")
        absent = addresses("203.0.113.0/24") - LIVE
        assert {a for a, said in answers.items() if said == "synack"} == absent
        assert {a for a, said in answers.items() if said == "rst"} == {SERVER4, "203.0.113.1"}
        status = honeypot.status()
        assert set(status["losses"].values()) == {0}
        assert set(status["cuts"].values()) == {0}
        told = {ends_of(event)[2] for event in honeypot.events("session")}
        assert len(told) > 200
        assert not told & LIVE
        told = {ends_of(event)[2] for event in honeypot.events("darkflow")}
        assert not told & {SERVER4, SERVER6}
        assert honeypot.end()[0] == 0


def test_the_scanners_tell_it_without_darkflow(tmp_path: Path) -> None:
    """The counter-check: nobody but the live host answers when Darkflow does not run."""
    with site("inline") as place:
        place.serve(22, "SSH-2.0-TheServer")
        found = subprocess.run(
            place.inside(place.client, *NMAP, "-sS", "-p", "22", "203.0.113.80/30"),
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert found.count("22/open/") == 1
        assert zmap(place, tmp_path, "203.0.113.0/24").keys() == {SERVER4, "203.0.113.1"}
