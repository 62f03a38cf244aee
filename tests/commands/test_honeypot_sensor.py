"""`darkflow honeypot --sensor-to`: a third party's sensor gets copies, and nobody answers."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path

import pytest

from conftest import skip
from honeypot_wires import (
    CLIENT4,
    CLIENT6,
    MODES,
    NETWORKS,
    SERVER4,
    SERVER6,
    Site,
    Tcpdump,
    cannot,
    run,
    silent,
    site,
    until,
)
from running import DARKFLOW

# A raw SYN with a payload, as some scanners send it.
SCANNER = """
import sys
sys.path.insert(0, sys.argv[1])
import socket
from writers import SYN, Flow, Tcp
flow = Flow(sys.argv[2], 4000, sys.argv[3], 7)
packet = flow.packet(Tcp(SYN, 77, payload=b"a payload"))
if ":" in flow.orig:
    raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 255)
    raw.setsockopt(socket.IPPROTO_IPV6, 36, 1)
else:
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
raw.sendto(packet, (flow.resp, 0))
"""
LINE = re.compile(r"IP6? (\S+)\.(\d+) > (\S+)\.(\d+): .*length (\d+)$")


@pytest.fixture(autouse=True)
def possible() -> None:
    """Root and the programs."""
    reason = cannot()
    if reason is not None:
        skip(reason)


@pytest.mark.parametrize("mode", MODES)
def test_dark_flows_are_copied_and_nothing_answers(mode: str, tmp_path: Path) -> None:
    with site(mode) as place:
        place.serve()
        start_wire(place)
        control = str(tmp_path / "control")
        argv = (str(DARKFLOW), "honeypot", *place.place, "--networks", NETWORKS, "--sensor-to",
                "tool0", "--hold", "300ms", "--idle", "2s", "--control", control,
                "--events", str(tmp_path / "events"))  # fmt: skip
        with (tmp_path / "log").open("wb") as log:
            process = place.start(place.machine, *argv, stderr=log)
        until(Path(control).exists, why=(tmp_path / "log").read_text)
        seen = Tcpdump(place, tmp_path / "seen", place.machine, "tool1")
        answers = Tcpdump(place, tmp_path / "answers", place.client, "c0",
                          "tcp[tcpflags] & (tcp-syn|tcp-rst) != 0 or ip6")  # fmt: skip
        tests = str(Path(__file__).parents[1])
        for version, client, server in ((4, CLIENT4, SERVER4), (6, CLIENT6, SERVER6)):
            dark = silent(version, 9)
            url = f"http://{f'[{server}]' if version == 6 else server}/"
            assert place.curl(url)[0] == "the server"
            place.run(place.client, sys.executable, "-c", SCANNER, tests, client, dark)
            # One that tries again: its later SYNs are copied as they come.
            ask = f"http://{f'[{dark}]' if version == 6 else dark}:81/"
            assert place.curl(ask, limit_s=1.6) == ("", 0)
        status = asked(place, control)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, (tmp_path / "log").read_text()
        check(seen.end(), answers.end(), status)
        events = (tmp_path / "events").read_text()
        # Sessions are those of a honeypot, and here is none.
        assert '"event_type":"session"' not in events
        assert events.count('"event_type":"darkflow"') >= 4
        assert "darkflow" not in place.run(place.machine, "nft", "list", "tables")


def start_wire(place: Site) -> None:
    """The third party's wire: what is sent to `tool0` comes out of `tool1`."""
    run("ip", "-n", place.machine, "link", "add", "tool0", "type", "veth", "peer", "name", "tool1")
    for device in ("tool0", "tool1"):
        place.run(place.machine, "sysctl", "-qw", f"net.ipv6.conf.{device}.disable_ipv6=1")
        run("ip", "-n", place.machine, "link", "set", device, "up")


def asked(place: Site, control: str) -> str:
    """`darkflow status`, as an operator reads it."""
    return place.run(place.machine, str(DARKFLOW), "status", "--control", control)


def check(copies: list[str], at_client: list[str], status: str) -> None:
    """What the sensor got, what the client got, what is told of it."""
    flows: dict[tuple[str, str], list[int]] = {}
    for line in copies:
        found = LINE.search(line)
        assert found is not None, line
        source, _, target, port, payload = found.groups()
        assert source in (CLIENT4, CLIENT6), line
        flows.setdefault((target, port), []).append(int(payload))
    dark = {(silent(version, 9), port) for version in (4, 6) for port in ("7", "81")}
    assert set(flows) == dark
    for version in (4, 6):
        # The held SYN, whole; of the other flow that and one resent after a second, at least.
        assert flows[silent(version, 9), "7"] == [9]
        assert len(flows[silent(version, 9), "81"]) >= 2
    assert not [line for line in at_client if re.search(r"(203.0.113.137|8000::9)\.\d+ >", line)]
    told = dict(re.findall(r"^ *(\w[\w ]*?)  +(\S+)$", status, re.M))
    assert (told["mode"], told["diverted"], told["answered"]) == ("sensor", "0", "0"), status
    assert int(told["syns replayed"]) == 4
    assert int(told["copied"]) >= 2
