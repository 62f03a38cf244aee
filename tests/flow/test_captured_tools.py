"""Real captures of scanners, and of others: who is named after what."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from scanners import SOURCES, address, named

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "lab.pcap"


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
