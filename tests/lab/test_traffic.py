"""The scenario stays inside the lab, inside its time, and inside its rate."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from darkflow.lab.topology import FAR_NETWORKS, INSIDE, WATCHED_NETWORKS, WEB
from darkflow.lab.traffic import RATE_PPS, scenario, servers, write_files

HERE = Path("/somewhere")


@pytest.fixture(params=[5.0, 13.5, 60.0])
def active_s(request: pytest.FixtureRequest) -> float:
    seconds: float = request.param
    return seconds


def test_steps_are_in_order_and_leave_everyone_time(active_s: float) -> None:
    steps = scenario(active_s, HERE)
    times = [step.at_s for step in steps]
    assert times == sorted(times)
    assert times[0] == 0.0
    assert times[-1] <= active_s / 2


def test_nobody_aims_outside_the_lab(active_s: float) -> None:
    for step in scenario(active_s, HERE):
        allowed = FAR_NETWORKS if step.namespace == INSIDE else WATCHED_NETWORKS
        for target in map(ip_network, step.targets):
            assert any(
                net.version == target.version and net.supernet_of(target)  # type: ignore[arg-type]
                for net in map(ip_network, allowed)
            ), step


def test_everyone_is_there_in_both_families() -> None:
    seen = {(step.tool, ":" in step.source) for step in scenario(13.5, HERE)}
    assert seen == {
        *(("curl", False), ("curl", True)),
        *(("patient curl", False), ("patient curl", True)),
        *(("nmap", False), ("nmap", True)),
        *(("masscan", False), ("masscan", True)),
        *(("zmap", False), ("hping3", False), ("worm", False)),
    }


def test_scanners_are_held_back() -> None:
    options = {"nmap": "--max-rate", "masscan": "--rate", "zmap": "--rate"}
    for step in scenario(13.5, HERE):
        if step.tool in options:
            rate = step.argv[step.argv.index(options[step.tool]) + 1]
            assert rate == str(RATE_PPS)
        if step.tool == "hping3":
            assert "-c" in step.argv
            assert "--flood" not in step.argv


def test_visitors_ask_as_often_as_there_is_time_for() -> None:
    visits = [step for step in scenario(11.0, HERE) if step.tool == "curl"]
    assert [step.argv[-1] for step in visits] == [
        "http://203.0.113.10/?[1-30]",
        "http://[2001:db8:b::10]/?[1-30]",
    ]


def test_servers_for_every_open_port() -> None:
    bound = {(address, port) for address, port, _ in servers(HERE, "python3")}
    assert {(WEB.ipv4, 80), (WEB.ipv6, 80)} <= bound
    assert ("2001:db8:b::20", 8080) in bound
    assert len(bound) == 6


def test_files_are_where_the_programs_look(tmp_path: Path) -> None:
    write_files(tmp_path)
    for step in scenario(13.5, tmp_path):
        for word in step.argv:
            if word.startswith(str(tmp_path)):
                assert Path(word).exists()
    assert (tmp_path / "site" / "index.html").is_file()
