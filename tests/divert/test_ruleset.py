"""The ruleset as text: held against golden files, and each of them loaded by the real nft.

`python tests/divert/test_ruleset.py` writes the files anew; then read what has changed.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from darkflow.divert.dispatcher import Allowed
from darkflow.divert.plan import Plan
from darkflow.divert.ruleset import COUNTERS, render

FOLDER = Path(__file__).parent / "rulesets"
MAC = "02:00:00:00:03:02"
NETWORKS = ("203.0.113.0/24", "198.51.100.0/25", "2001:db8:b::/64")
BOTH: dict[str, Any] = {"outside": "outside", "hp1_mac": MAC, "networks": NETWORKS}
INLINE: dict[str, Any] = {"mode": "inline", "inside": "inside"}
MS = 1_000_000
ALLOWED = Allowed(
    ((bytes((203, 0, 113, 0)), bytes((203, 0, 113, 127))),),
    ((bytes(16), bytes(15) + b"\7"),),
    frozenset((443, 80)),
)
PLANS = {
    "mirror": Plan(mode="mirror", **BOTH, syn_acks=1000),
    "mirror_established": Plan(
        mode="mirror", **BOTH, cut="unless-established", hold_ns=400 * MS, idle_ns=1500 * MS
    ),
    "inline": Plan(**INLINE, **BOTH, syn_acks=20_000, allowed=ALLOWED),
    "inline_established": Plan(
        **INLINE, **BOTH, cut="unless-established", group=1234, flows=1000, held=500
    ),
    "inline_unshielded": Plan(**INLINE, **BOTH, shield=False, hp0="eth0.10"),
    "inline_everywhere": Plan(**INLINE, outside="outside", hp1_mac=MAC),
    "inline_v6": Plan(**INLINE, outside="outside", hp1_mac=MAC, networks=("2001:db8:b::/64",)),
    "sensor_mirror": Plan(mode="sensor", outside="outside", hp0="eth3", networks=NETWORKS),
    "sensor_inline": Plan(mode="sensor", outside="outside", inside="inside", hp0="eth3"),
}


@pytest.mark.parametrize("name", PLANS)
def test_golden(name: str) -> None:
    assert render(PLANS[name]) == (FOLDER / f"{name}.nft").read_text()


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(PLANS)


@pytest.mark.usefixtures("real_planes")
@pytest.mark.parametrize("name", PLANS)
def test_nft_loads_it_twice(name: str) -> None:
    plan = PLANS[name]
    space = f"darkflow-test-{os.getpid()}-load"
    run(["ip", "netns", "add", space])
    try:
        for device in filter(None, (plan.outside, plan.inside, plan.hp0)):
            # Something else than the device itself has to be at the other end.
            far = f"{device[:10]}-far"
            run(["ip", "-n", space, "link", "add", device, "type", "veth", "peer", far])
        for _ in range(2):
            run(["ip", "netns", "exec", space, "nft", "-f", str(FOLDER / f"{name}.nft")])
        listed = run(["ip", "netns", "exec", space, "nft", "list", "ruleset"])
    finally:
        run(["ip", "netns", "del", space])
    for chain in re.findall(r"chain (\w+) ", render(plan)):
        assert f"chain {chain} " in listed
    assert listed.count("table ") == 1


@pytest.mark.parametrize("name", PLANS)
def test_what_is_named_is_there_and_used(name: str) -> None:
    text = render(PLANS[name])
    for kind, use in (("chain", r"(?:goto|jump) (\w+)"), ("set", r"@(?!nh|th|ll)(\w+)")):
        made = re.findall(rf"^\t{kind} (\w+) ", text, re.M)
        assert len(made) == len(set(made))
        used = set(re.findall(use, text))
        assert used <= set(made)
        # Base chains are used by the kernel.
        base = set(re.findall(r"chain (\w+) {\n\t\ttype filter", text))
        # The lists of what is allowed are always there, so that they can be changed.
        assert {one for one in made if not one.startswith("allowed_")} - base <= used
    assert re.findall(r"^\tcounter (\w+) ", text, re.M) == list(COUNTERS)
    assert set(re.findall(r'counter name "(\w+)"', text)) <= set(COUNTERS)


@pytest.mark.parametrize("name", [name for name in PLANS if not name.startswith("sensor")])
def test_only_registered_flows_leave_the_honeypot(name: str) -> None:
    text = render(PLANS[name])
    base = chain(text, "honeypot")
    assert f'device "{PLANS[name].hp0}"' in base[0]
    assert "policy drop" in base[0]
    assert not [line for line in base if "accept" in line]
    for digit in "46":
        lines = chain(text, f"honeypot{digit}")
        assert lines[-1] == "goto denied"
        strays = 'tcp flags & (rst | ack) == rst counter name "strays" drop'
        known = [line for line in lines if f"@flows{digit} goto reply{digit}" in line]
        assert [line for line in lines if "denied" not in line] == [strays, *known]
    assert chain(text, "denied") == ['counter name "dropped" drop']


@pytest.mark.parametrize("name", PLANS)
def test_a_live_packet_meets_no_verdict(name: str) -> None:
    """What is in no set passes `outside` and `inside`: nothing there drops or sends away."""
    text = render(PLANS[name])
    for head in ("outside", "inside"):
        for name_of_chain in (
            head,
            *(f"{head}{rest}" for rest in ("4", "6", "4_marked", "6_marked")),
        ):
            for line in chain(text, name_of_chain):
                assert not re.search(r"\b(drop|fwd|dup|set 0x|daddr set)\b", line), line
                if "goto divert" in line:
                    assert "@flows" in line.partition("goto")[0]
                if "goto alive" in line:
                    assert "@held" in line.partition("goto")[0]


def test_a_sensor_takes_nothing_away() -> None:
    for name in ("sensor_mirror", "sensor_inline"):
        text = render(PLANS[name])
        assert "fwd" not in text
        assert "daddr set" not in text
        assert text.count(" drop\n") == 2
        assert all("honeypot" not in line or "drop" not in line for line in text.splitlines())


def chain(text: str, name: str) -> list[str]:
    """The lines of a chain, without its name; none if it is not there."""
    found = re.search(rf"^\tchain {name} {{\n(.*?)^\t}}$", text, re.M | re.S)
    return [line.strip() for line in found[1].splitlines()] if found else []


def run(argv: list[str]) -> str:
    """Run a program; it must succeed."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


if __name__ == "__main__":
    for golden, of in PLANS.items():
        (FOLDER / f"{golden}.nft").write_text(render(of))
