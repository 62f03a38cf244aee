"""What a capture of the evaluation's wire tells: clients' schedules, and flows packet by packet."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from darkflow.lab.slow import ACK, FIN, ISN, RST, SYN, Segment, read

MOST_PACKETS = 20
_MAGIC = 0xA1B2C3D4
_NAMES = ((SYN, "SYN"), (FIN, "FIN"), (RST, "RST"), (0x08, "data"), (ACK, "ACK"))

Seen = tuple[float, Segment]


def segments(data: bytes) -> Iterator[Seen]:
    """(seconds since 1970, segment) of a pcap of Ethernet frames, microseconds, this byte order.

    A file that breaks off ends there; ValueError if it is something else.
    """
    if len(data) < 24 or struct.unpack_from("=I", data)[0] != _MAGIC:
        raise ValueError("not a pcap file of this machine")
    at = 24
    while at + 16 <= len(data):
        seconds, micros, length, _ = struct.unpack_from("=IIII", data, at)
        frame = data[at + 16 : at + 16 + length]
        at += 16 + length
        segment = read(frame) if len(frame) == length else None
        if segment is not None:
            yield seconds + micros / 1e6, segment


def captured(path: Path) -> list[Seen]:
    """All of a file; nothing when it is not there or broken."""
    try:
        return list(segments(path.read_bytes()))
    except (OSError, ValueError):
        return []


def schedule(seen: list[Seen], address: str) -> list[float]:
    """When the SYNs of the first flow to an address came, in seconds from the first one."""
    to = socket.inet_aton(address)
    syns = [(t_s, one) for t_s, one in seen if one.dst == to and one.flags & (SYN | ACK) == SYN]
    return [round(t_s - syns[0][0], 3) for t_s, one in syns if one.flow == syns[0][1].flow]


def sequence(seen: list[Seen], address: str, port: int, absent: bool) -> list[dict[str, Any]]:
    """The first packets of the first flow to an address and port, up to the first RST.

    absent: whoever answers there is the honeypot. Elsewhere a host with lab/slow.py's own numbers
    is told from the honeypot by them. Each: t_s, from, what.
    """
    to = socket.inet_aton(address)
    mine = [one for _, one in seen if one.dst == to and one.ports[1] == port]
    opened = [one for one in mine if one.flags & (SYN | ACK) == SYN]
    if not opened:
        return []
    flow = opened[0].flow
    back = (flow[2], flow[3], flow[0], flow[1])
    late = any(one.seq == ISN for _, one in seen if one.flow == back)
    found: list[dict[str, Any]] = []
    begin_s = None
    for t_s, one in seen:
        if one.flow not in (flow, back):
            continue
        begin_s = t_s if begin_s is None else begin_s
        again = bool(found) and one.flow == flow and one.flags & (SYN | ACK) == SYN
        ours = absent or (late and one.seq != ISN and not one.flags & RST)
        server = "honeypot" if ours else "real host"
        sender = "client" if one.flow == flow else server
        what = said(one.flags) + (" again" if again else "")
        found.append({"t_s": round(t_s - begin_s, 4), "from": sender, "what": what})
        if one.flags & RST or len(found) == MOST_PACKETS:
            break
    return found


def said(flags: int) -> str:
    """SYN+ACK, FIN+ACK, data; an ACK alone is ACK."""
    names = [name for flag, name in _NAMES if flags & flag]
    return "data" if "data" in names and len(names) == 2 else "+".join(names)
