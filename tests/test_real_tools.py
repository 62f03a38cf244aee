"""Real scanners on a wire with nobody at its end: who is named after what."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from shutil import which

import pytest

from conftest import skip
from scanners import SOURCES, Counts, address, named
from wires import Recording, Wire, cannot, wire

NOBODY = "02:00:5e:10:00:99"
NETWORK, NETWORK6 = "203.0.113.0/24", "2001:db8:b::/122"


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
