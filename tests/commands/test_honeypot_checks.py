"""`darkflow doctor` for a honeypot, on a real router: it finds what is wrong and how to mend it."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator

import pytest

from conftest import skip
from honeypot_wires import CLIENT4, NETWORKS, Site, cannot, site
from running import DARKFLOW, darkflow

# Whatever a firewall may do that stops the honeypot's answers.
FIREWALL = """
table inet filter {
    chain forward {
        type filter hook forward priority 0; policy drop;
        ct state invalid drop
        ct state established,related accept
    }
}
"""
SPOILT = """
ip link add hp0 type veth peer name hp0peer
ip route del default
sysctl -qw net.ipv4.ip_forward=0
"""
INLINE = ("--outside", "outside", "--inside", "inside")


@pytest.fixture(scope="module")
def place() -> Iterator[Site]:
    """A router; each test leaves it as it was."""
    reason = cannot()
    if reason is not None:
        skip(reason)
    with site("inline") as made:
        yield made


def examined(
    place: Site, *words: str, before: tuple[str, ...] = ()
) -> dict[str, list[dict[str, str]]]:
    """The findings, by check; `before`: what runs the doctor."""
    argv = place.inside(place.machine, *before, str(DARKFLOW), "doctor", "--json", "--seconds", "0",
                        *words)  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    found: dict[str, list[dict[str, str]]] = {}
    for finding in json.loads(done.stdout)["findings"]:
        found.setdefault(finding["check"], []).append(finding)
    return found


def states(found: dict[str, list[dict[str, str]]], check: str) -> list[str]:
    """What a check has found."""
    return [one["state"] for one in found.get(check, [])]


def test_a_router_that_is_well(place: Site) -> None:
    found = examined(place, *INLINE, "--networks", NETWORKS)
    for check in ("nft", "privileges", "data plane", "cuts", "firewall", "sets"):
        assert states(found, check) == ["ok"], found[check]
    assert states(found, "way out") == ["ok"] * 2
    assert states(found, "forwarding") == ["ok"] * 4
    assert "table" not in found
    # Nothing stays of the trial.
    assert place.run(place.machine, "nft", "list", "tables") == ""


def test_what_is_wrong_is_found_and_mended_as_is_said(place: Site) -> None:
    place.run(place.machine, "sh", "-ec", SPOILT)
    place.run(place.machine, "sh", "-c", f"nft -f - <<END{FIREWALL}END")
    found = examined(place, *INLINE, "--networks", "203.0.113.0/24")
    bad = [one for ones in found.values() for one in ones if one["state"] in ("warning", "failed")]
    checks = {one["check"] for one in bad} - {"clock", "clock source", "memory limit", "memory"}
    assert checks == {"firewall", "forwarding", "way out", "interface"}
    assert "policy drop and drops ct state invalid" in found["firewall"][0]["found"]
    for one in bad:
        if one["check"] in checks:
            mend = one["mend"].removeprefix("sudo ").replace("GATEWAY", CLIENT4)
            place.run(place.machine, *shlex.split(mend))
    after = examined(place, *INLINE, "--networks", "203.0.113.0/24")
    for check in checks:
        assert set(states(after, check)) == {"ok"}, after[check]
    place.run(place.machine, "nft", "flush", "ruleset")
    place.run(place.machine, "ip", "link", "del", "other0")


def test_a_table_that_is_there_is_told(place: Site) -> None:
    place.run(place.machine, "nft", "add", "table", "netdev", "darkflow")
    found = examined(place, "--mirror", "outside", "--networks", NETWORKS)
    assert states(found, "table") == ["warning"]
    place.run(place.machine, "nft", "delete", "table", "netdev", "darkflow")
    assert "forwarding" not in found


def test_networks_and_privileges(place: Site) -> None:
    assert states(examined(place, "--mirror", "outside"), "networks") == ["failed"]
    less = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-all")
    (found,) = examined(place, "--mirror", "outside", "--networks", NETWORKS, before=less)[
        "privileges"
    ]
    assert (found["state"], "lacks CAP_SYS_ADMIN" in found["found"]) == ("failed", True)


@pytest.mark.parametrize(
    "words", [("--inside", "a"), ("--outside", "a"), ("--mirror", "a", *INLINE)]
)
def test_wrong_usage_is_one_line(words: tuple[str, ...]) -> None:
    done = darkflow("doctor", *words)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "--outside IF and --inside IF" in done.stderr
