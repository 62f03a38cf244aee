"""SYNs that are more than two headers before a real honeypot: each is answered, and whole."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from conftest import skip
from honeypot_wires import OWN4, OWN6, Honeypot, Tcpdump, cannot, run, silent, site

# Record route and timestamps of IPv4, extension headers of IPv6, a payload.
SCANNER = """
import socket, sys
sys.path.insert(0, sys.argv[1])
from writers import LINUX_OPTIONS, SYN, Flow, Ip, Tcp, extension
headers = {
    4: [Ip(), Ip(options=b"\\7\\7\\4\\0\\0\\0\\0\\0"), Ip(options=b"D\\x08\\5\\0\\0\\0\\0\\0")],
    6: [Ip(), Ip(extensions=(extension(0),)), Ip(extensions=(extension(60),))],
}
port = 5000
for version, source in ((4, sys.argv[2]), (6, sys.argv[3])):
    family, level, option = (2, 0, 3) if version == 4 else (10, 41, 36)
    with socket.socket(family, socket.SOCK_RAW, 255) as raw:
        raw.setsockopt(level, option, 1)  # the header comes with the packet
        for header in headers[version]:
            for payload in (b"", b"hello"):
                flow = Flow(source, port, sys.argv[version // 2 + 2], 80)
                packet = flow.packet(Tcp(SYN, 77, options=LINUX_OPTIONS, payload=payload), header)
                raw.sendto(packet, (flow.resp, 0))
                port += 1
"""
PORTS = {str(port) for port in range(5000, 5012)}


def test_whatever_a_syn_carries_it_is_answered(tmp_path: Path) -> None:
    reason = cannot()
    if reason is not None:
        skip(reason)
    tests, pcap = str(Path(__file__).parents[1]), str(tmp_path / "pcap")
    with site("inline") as place:
        honeypot = Honeypot(place, tmp_path, "--hold", "300ms", "--honeypot-pcap", pcap)
        seen = Tcpdump(place, tmp_path / "seen", place.client, "c0", "src port 80")
        place.run(place.client, sys.executable, "-c", SCANNER, tests, OWN4, OWN6,
                  silent(4, 9), silent(6, 9))  # fmt: skip
        honeypot.wait_for(lambda: honeypot.status()["flows"]["syns_replayed"] == 12)
        honeypot.wait_for(lambda: honeypot.status()["kernel"]["answered"] >= 12)
        answered = re.findall(r"\.80 > \S+\.(\d+): Flags \[S\.\]", "\n".join(seen.end()))
        assert set(answered) == PORTS
        flows = honeypot.status()["flows"]
        assert flows["diverted"] == 12
        assert honeypot.end()[0] == 0
    # Passwords are in both.
    for path in (honeypot.events_path, Path(pcap)):
        assert path.stat().st_mode & 0o777 == 0o640
    told = {e["src_port"]: e for e in honeypot.events("session")}
    assert {str(port) for port in told} == PORTS
    for port, event in told.items():
        assert event["session"]["payload_toserver"] == 5 * (port % 2), event
    lines = run("tcpdump", "-nr", pcap, "src net 198.51.100.0/24 or src net 2001:db8:c::/64")
    assert len(re.findall(r"seq 77:82.* length 5\b", lines)) == 6
