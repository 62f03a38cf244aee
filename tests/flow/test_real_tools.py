"""Real scanners on a wire with nobody at its end, and real captures: who is named after what."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from shutil import which

import pytest

from conftest import skip
from running import darkflow
from wires import Recording, Wire, cannot, wire

NOBODY = "02:00:5e:10:00:99"
NETWORK, NETWORK6 = "203.0.113.0/24", "2001:db8:b::/122"
SOURCES = {"nmap": 20, "masscan": 30, "zmap": 40, "hping3": 50}
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "lab.pcap"
Counts = dict[str, Counter[tuple[str | None, str | None]]]


def address(tool: str, v6: bool = False) -> str:
    """Where a tool sends from."""
    return f"2001:db8:a::{SOURCES[tool]}" if v6 else f"198.51.100.{SOURCES[tool]}"


def commands(folder: Path) -> list[list[str]]:
    """Each tool with its defaults, as far as a wire without a router allows."""
    (folder / "zmap.conf").write_text("")
    router = NOBODY.replace(":", "-")
    nmap = ["nmap", "-n", "-Pn", "-sS", "-e", "w0", "-T5", "--max-retries", "1", "-p", "22,80"]
    nmap += ["--min-rate", "400", "-S"]
    rate = ["--rate", "800"]
    masscan = ["masscan", "--interface", "w0", "--router-mac", router, *rate]
    masscan += ["--wait", "0", "-p80", "--adapter-ip"]
    zmap = ["zmap", "--config", str(folder / "zmap.conf"), "--interface", "w0", *rate, "-q"]
    zmap += ["--blacklist-file", str(folder / "zmap.conf"), "--gateway-mac", NOBODY, "-c", "1"]
    return [
        [*nmap, address("nmap"), "203.0.113.0/26"],
        [*nmap, address("nmap", v6=True), "-6", NETWORK6],
        [*masscan, address("masscan"), NETWORK],
        [*masscan, address("masscan", v6=True), "--router-mac-ipv6", router, NETWORK6],
        [*zmap, "--source-ip", address("zmap"), "--target-port", "8080", NETWORK],
        ["hping3", "-S", "-q", "-a", address("hping3"), "-p", "++100", "-c", "200", "-i", "u3000",
         "203.0.113.9"],
    ]  # fmt: skip


def prepare(link: Wire) -> None:
    """Addresses of the tools, and a way to networks behind a router that says nothing."""
    link.run(*link.inside(link.near, "sysctl", "-qw", "net.ipv6.conf.w0.disable_ipv6=0"))
    for v6, bits in ((False, "24"), (True, "64")):
        for tool in SOURCES:
            own = f"{address(tool, v6)}/{bits}"
            link.run("ip", "-n", link.near, "address", "add", own, "dev", "w0",
                     *(["nodad"] if v6 else []))  # fmt: skip
    for router, network in (("198.51.100.1", NETWORK), ("2001:db8:a::1", NETWORK6)):
        link.run("ip", "-n", link.near, "neighbour", "add", router, "lladdr", NOBODY,
                 "nud", "permanent", "dev", "w0")  # fmt: skip
        link.run("ip", "-n", link.near, "route", "add", network, "via", router, "dev", "w0")


def named(path: Path, lines: Path) -> Counts:
    """Dark and undecided flows of a capture by source, and by tool and confidence."""
    done = darkflow("analyze", str(path), "--events", str(lines))
    assert done.returncode in (0, 1), done.stderr
    found: Counts = {}
    for event in map(json.loads, lines.read_text().splitlines()):
        if event["event_type"] in ("darkflow", "undecided"):
            about = event["darkflow"]
            counts = found.setdefault(event["src_ip"], Counter())
            counts[about["tool"], about["tool_confidence"]] += 1
    return found


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counts]:
    """All tools at once, at nobody."""
    missing = [tool for tool in SOURCES if which(tool) is None]
    reason = cannot() or (f"{', '.join(missing)} missing" if missing else None)
    if reason is not None:
        skip(reason)
    folder = tmp_path_factory.mktemp("tools")
    with wire() as link, ExitStack() as ends:
        prepare(link)
        recording = Recording(link, folder / "scans.pcap", immediate=True)
        running = []
        for argv in commands(folder):
            process = subprocess.Popen(
                link.inside(link.near, *argv), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            ends.callback(process.kill)
            running.append(process)
        for process in running:
            process.wait(60)
        recording.end()
        yield named(folder / "scans.pcap", folder / "events.jsonl")


@pytest.mark.parametrize(
    ("tool", "v6", "level", "flows"),
    [
        ("nmap", False, "high", 250), ("nmap", True, "high", 250), ("masscan", False, "high", 256),
        ("masscan", True, "low", 64), ("zmap", False, "high", 256), ("hping3", False, "high", 200),
    ],
)  # fmt: skip
def test_a_real_tool_s_flows_have_its_name(
    scans: Counts, tool: str, v6: bool, level: str, flows: int
) -> None:
    counts = scans[address(tool, v6)]
    assert sum(counts.values()) >= 0.9 * flows
    assert counts[tool, level] >= 0.99 * sum(counts.values())


def test_the_example_s_scanners_are_named_and_its_clients_are_not(tmp_path: Path) -> None:
    found = named(EXAMPLE, tmp_path / "events.jsonl")
    tools = {address(tool, v6): tool for tool in SOURCES for v6 in (False, True)}
    for source, counts in found.items():
        assert {tool for tool, _ in counts} == {tools.get(source)}, source


# All flows of these captures are one tool's.
CAPTURES = {
    "probing_masscan_5k.pcapng": "masscan", "esnet_masscan_vlan.pcap": "masscan",
    "probing_zmap_5k.pcapng": "zmap", "probing_hping3.pcapng": "hping3",
    "chrissanders_synscan.pcapng": "nmap", "probing_unicornscan_xmas.pcapng": "unicornscan",
}  # fmt: skip
# A flood that looks like ZMap, scans by nmap's connect(), real clients.
OTHERS = [
    "stopddos_syn_ecn_cwr.pcap", "stopddos_synflood_spoofed.pcap", "evilfingers_nmap_connect.pcap",
    "pcapfeatures_good_browsing.pcap", "digitalbond_winxp_cip.pcap", "pcap_be_us_alexa.pcap",
]  # fmt: skip


@pytest.mark.parametrize("name", CAPTURES)
def test_captures_of_scanners(captures: Path, tmp_path: Path, name: str) -> None:
    counts = sum(named(captures / name, tmp_path / "events.jsonl").values(), Counter())
    right = sum(n for (tool, _), n in counts.items() if tool == CAPTURES[name])
    assert right >= 0.99 * sum(counts.values())
    assert {tool for tool, _ in counts} <= {CAPTURES[name], None}


@pytest.mark.parametrize("name", OTHERS)
def test_captures_of_others(captures: Path, tmp_path: Path, name: str) -> None:
    found = named(captures / name, tmp_path / "events.jsonl")
    # The one source of digitalbond's capture that scans with nmap -sS is named so, and no other.
    tools = {tool for counts in found.values() for tool, _ in counts}
    assert tools <= ({None, "nmap"} if name.startswith("digitalbond") else {None})
