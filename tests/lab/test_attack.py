"""What comes from outside is aimed at the lab alone, waits as T asks, and keeps its pace."""

from __future__ import annotations

from pathlib import Path

import pytest

from darkflow.lab import topology
from darkflow.lab.attack import RATE_PPS, Asked, by_tool, steps
from darkflow.lab.programs import PACKAGES


def asked(mode: str = "mirror", hold_s: float = 5.0) -> Asked:
    return Asked(mode, hold_s, 22.0, Path("/tmp/lab"), "python3")


@pytest.mark.parametrize("mode", topology.MODES)
def test_every_target_belongs_to_the_lab(mode: str) -> None:
    networks = topology.WATCHED_NETWORKS + topology.FAR_NETWORKS
    for step in steps(asked(mode)):
        for target in step.targets:
            assert topology.contains(networks, target.split("/")[0])
        assert step.argv[0] in {*PACKAGES, "python3"}


def test_scanners_keep_their_pace_and_are_patient() -> None:
    for hold_s in (1.0, 5.0):
        sent = {step.tool: " ".join(step.argv) for step in steps(asked(hold_s=hold_s))}
        for tool in ("masscan", "zmap"):
            assert f"--rate {RATE_PPS}" in sent[tool]
        assert f"--max-rate {RATE_PPS}" in sent["nmap"]
        assert f"--min-rtt-timeout {int(1000 * hold_s) + 3000}ms" in sent["nmap"]
        assert f"--wait {hold_s + 5:.0f} " in sent["masscan"]
        assert f"--cooldown-time {hold_s + 3:.0f} " in sent["zmap"]


def test_from_a_mirror_nobody_holds_back_that_a_host_is_unreachable() -> None:
    def curls(mode: str) -> set[str]:
        return {step.targets[0] for step in by_tool(asked(mode))["curl"]}

    assert all(topology.outcome(a, 80) == "silent" for a in curls("mirror"))
    more = curls("inline") - curls("mirror")
    assert {topology.outcome(a, 80) for a in more} == {"unreachable"}
    assert {":" in a for a in more} == {":" in a for a in curls("mirror")} == {True, False}


def test_steps_come_in_order_and_both_families_are_there() -> None:
    found = steps(asked())
    assert [s.at_s for s in found] == sorted(s.at_s for s in found)
    for tool in ("masscan", "nmap", "curl", "client", "visitor"):
        assert {":" in s.source for s in found if s.tool == tool} == {True, False}
