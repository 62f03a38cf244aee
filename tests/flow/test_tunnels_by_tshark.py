"""Tunnels with tshark as the judge: SYNs, answers, resets and their innermost 4-tuples."""

from __future__ import annotations

import ipaddress
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from conftest import skip
from flow import packets as p
from flow.encapsulations import ENCAPSULATIONS, decode, inner_packet, nested, wrapped
from flow.truth_reader import truth_reader

FIELDS = (
    "frame.number", "frame.protocols", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "tcp.srcport",
    "tcp.dstport", "tcp.flags",
)  # fmt: skip
Packet = tuple[str, bytes, bytes, int, int]


def told_by_tshark(capture: Path) -> dict[int, Packet]:
    """SYNs, answers and resets by frame number, with the innermost addresses and ports."""
    program = shutil.which("tshark")
    if program is None:
        skip("tshark is not installed")
    command = [
        program, "-n", "-r", str(capture), "-Y", "tcp.flags && !icmp && !icmpv6",
        "-T", "fields", "-E", "occurrence=l", "-E", "separator=|",
        # Each packet by itself, as we look at it.
        "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE",
        "-o", "tcp.desegment_tcp_streams:FALSE",
        # The Linux kernel's port, which tshark does not know by itself.
        "-d", "udp.port==8472,vxlan",
        # Cisco's FabricPath and Teredo are not among our tunnels: what is in them does not count.
        "--disable-protocol", "cfp", "--disable-protocol", "teredo",
    ]  # fmt: skip
    for field in FIELDS:
        command += ["-e", field]
    # Status 2 of a capture that is cut off: what was read before is there.
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    found = {}
    for line in lines:
        values = dict(zip(FIELDS, line.split("|"), strict=True))
        kind = kind_of(int(values["tcp.flags"], 16))
        if kind is not None:
            layers = [x for x in values["frame.protocols"].split(":") if x in ("ip", "ipv6")]
            ends = [ipaddress.ip_address(values[f"{layers[-1]}.{end}"]) for end in ("src", "dst")]
            found[int(values["frame.number"])] = (
                kind, ends[0].packed, ends[1].packed,
                int(values["tcp.srcport"]), int(values["tcp.dstport"]),
            )  # fmt: skip
    return found


def kind_of(flags: int) -> str | None:
    """SYN, answer or reset."""
    if flags & p.RST:
        return "rst"
    if flags & p.SYN:
        return "syn_ack" if flags & p.ACK else "syn"
    return None


def told_by_us(
    frames: Sequence[tuple[int, bytes]], tunnels: Sequence[str] = ("all",)
) -> dict[int, Packet]:
    """The same by the decoder, of (link type, frame)."""
    found = {}
    for link in {link for link, _ in frames}:
        numbered = [(number, data) for number, (at, data) in enumerate(frames, 1) if at == link]
        for row in decode([data for _, data in numbered], tunnels, link)[0]:
            if row["kind"] != "icmp":
                number = numbered[row["t_ns"]][0]
                found[number] = tuple(row[x] for x in ("kind", "src", "dst", "sport", "dport"))
    return found


def test_tshark_on_builders(tmp_path: Path) -> None:
    """No real capture holds most of these: tshark judges what the builders build, too."""
    names = [name for name, e in ENCAPSULATIONS.items() if not e.tshark_differs]
    frames = [
        wrapped(name, inner_packet(family), outer)
        for name in names
        for family in (4, 6)
        for outer in (4, 6)
    ]
    frames += [
        nested([one, other], inner_packet(4), [4, 6]) for one in names for other in names[::3]
    ]
    path = tmp_path / "built.pcap"
    path.write_bytes(p.pcap(list(enumerate(frames, 1))))
    theirs = told_by_tshark(path)
    assert len(theirs) == len(frames)
    assert told_by_us([(p.ETHERNET, frame) for frame in frames]) == theirs


def test_tshark_differs(tmp_path: Path) -> None:
    """Where we see more than tshark, and why, is in the table; the reasons must stay true."""
    differing = {name: e for name, e in ENCAPSULATIONS.items() if e.tshark_differs}
    frames = [wrapped(name, inner_packet(4)) for name in differing]
    path = tmp_path / "built.pcap"
    path.write_bytes(p.pcap(list(enumerate(frames, 1))))
    assert len(told_by_us([(p.ETHERNET, frame) for frame in frames])) == len(frames)
    assert told_by_tshark(path) == {}


@pytest.mark.parametrize(
    ("name", "syns", "outermost_syns"),
    [
        ("mercury_geneve.pcap", 43, 0),
        ("zeek_vxlan_overlapping.pcap", 3, 1),
        ("pcapplusplus_gre.pcap", 1, 1),
        ("zeek_mixed_vlan_mpls.pcap", 3, 2),
        ("arkime_synthetic_same_timestamps.pcap", 93, 93),
        ("malcolm_ssl_proto.pcap", 191, 190),
        ("tcpreplay_vlan_8021ad_be.pcap", 6, 6),
        ("suricata_teredo.pcap", 2, 2),
        ("zeek_cisco_fabric_path.pcap", 16, 16),
    ],
)
def test_tshark_on_real_captures(captures: Path, name: str, syns: int, outermost_syns: int) -> None:
    """All SYNs, those in tunnels among them; and those that count without --decap."""
    read = truth_reader().read_capture(str(captures / name))
    frames = [(link, data) for _, link, _, _, data, _ in read]
    theirs = told_by_tshark(captures / name)
    ours = told_by_us(frames)
    assert ours == theirs
    assert sum(packet[0] == "syn" for packet in ours.values()) == syns
    plain = told_by_us(frames, [])
    assert sum(packet[0] == "syn" for packet in plain.values()) == outermost_syns
