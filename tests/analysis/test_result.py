"""The result document of the recorded lab run, held against what is known of that run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from running import darkflow

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "lab.pcap"
NETWORKS = "203.0.113.0/24,2001:db8:b::/64"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """What --json says of examples/lab.pcap."""
    done = darkflow("analyze", str(EXAMPLE), "--json", "--networks", NETWORKS, "--top", "20")
    assert done.returncode == 0
    loaded: dict[str, Any] = json.loads(done.stdout)
    return loaded


def test_verdicts_are_those_of_the_example(document: dict[str, Any]) -> None:
    assert {k: document[k] for k in ("packets", "syn", "answered", "refused", "dark")} == {
        "packets": 3035, "syn": 1980, "answered": 84, "refused": 36, "dark": 1813,
    }  # fmt: skip
    assert document["undecided"] == 0
    assert document["late_answers"] == 0
    assert document["unsolicited"] > 60  # 60 forged SYN+ACKs, and RSTs after answers
    assert document["icmp_unreachable"] == 55


def test_directions_tell_the_infected_host(document: dict[str, Any]) -> None:
    assert document["direction"] == {
        "inbound": 1783, "outbound": 30, "internal": 0, "transit": 0,
    }  # fmt: skip


def test_sources_are_the_scanners(document: dict[str, Any]) -> None:
    sources = {row["src_ip"]: row for row in document["top_sources"]}
    assert len(sources) == document["dark_sources"] == 9
    assert sources["198.51.100.30"] == {
        "src_ip": "198.51.100.30", "flows": 502, "packets": 502, "ports": 2, "targets": 251,
    }  # fmt: skip
    assert sources["203.0.113.66"]["packets"] == 60
    assert sources["203.0.113.66"]["flows"] == 30
    flows = [row["flows"] for row in document["top_sources"]]
    assert flows == sorted(flows, reverse=True)
    assert sum(flows) == document["dark"]


def test_tools_are_those_of_the_sources(document: dict[str, Any]) -> None:
    assert document["tools"] == [
        {"tool": "nmap", "flows": 760, "low": 0, "packets": 760, "sources": 2},
        {"tool": "masscan", "flows": 622, "low": 120, "packets": 622, "sources": 2},
        {"tool": "zmap", "flows": 251, "low": 0, "packets": 251, "sources": 1},
        {"tool": "hping3", "flows": 147, "low": 0, "packets": 147, "sources": 1},
    ]


def test_ports_add_up(document: dict[str, Any]) -> None:
    ports = {row["port"]: row for row in document["top_ports"]}
    assert sum(row["flows"] for row in ports.values()) == document["dark"]
    assert ports[23] == {"port": 23, "packets": 251, "flows": 251, "sources": 1}
    assert ports[445]["sources"] == 2  # hping3 and the worm


def test_distributions_are_complete(document: dict[str, Any]) -> None:
    replies = document["answered"] + document["refused"]
    assert sum(count for _, count in document["reply_delay_histogram"]) == replies
    shares = list(document["reply_delay_share"].values())
    assert list(document["reply_delay_share"]) == ["1ms", "10ms", "30ms", "1s", "5s"]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    retries = document["retransmissions"]
    assert sum(retries["flows_by_count"]) == document["dark"]
    resent = sum(retries["flows_by_count"][1:])
    assert resent == sum(count for _, count in retries["first_to_last_histogram"])
    assert resent == 33  # the worm's 30 flows and three patient clients


def test_every_packet_is_accounted_for(document: dict[str, Any]) -> None:
    assert document["packets"] == document["tcp"] + sum(document["undecoded"].values())
    assert set(document["undecoded"]) == {"not_ip", "not_tcp"}
    assert set(document["dropped"].values()) == {0}
