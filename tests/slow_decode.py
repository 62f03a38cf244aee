"""What the decoder must say of one frame, in slow and obvious lines; no tunnel is entered.

Frame in, either a row or the name of the reason why there is no TCP header. Written from the RFCs
and the link types' descriptions, by the rule that the outermost TCP header behind VLAN tags counts.
"""

from __future__ import annotations

from typing import Any

RAW_LINKS = (12, 14, 101, 228, 229)
LOOPBACK_LINKS = (0, 108)
VLAN_TYPES = (0x8100, 0x88A8, 0x9100, 0x9200, 0x9300)
IP_TYPES = (0x0800, 0x86DD)
FAMILIES = (2, 10, 24, 28, 30)
ERRORS4, ERRORS6 = (3, 4, 11, 12), (1, 2, 3, 4)


class LostError(Exception):
    """There is no TCP header, and why."""


class Bytes:
    """Captured bytes; to read beyond their end is `short`."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def get(self, at: int, size: int) -> bytes:
        """Bytes at an offset."""
        if at + size > len(self.data):
            raise LostError("short")
        return self.data[at : at + size]

    def number(self, at: int, size: int) -> int:
        """A big-endian number."""
        return int.from_bytes(self.get(at, size), "big")


class Slow:
    """A decoder with the counters of the fast one."""

    def __init__(self) -> None:
        self.counters: dict[str, Any] = dict.fromkeys(
            ("packets", "tcp", "syn", "synack", "rst", "icmp_errors"), 0
        )
        self.undecoded: dict[str, int] = {}

    def decode(self, t_ns: int | None, link: int, data: bytes) -> dict[str, Any] | None:
        """A row, if the engine needs one."""
        self.counters["packets"] += 1
        if t_ns is None:
            self._lose("no_time")
            return None
        try:
            ip = find_ip(link, Bytes(data))
            proto, transport = walk_ip(Bytes(data), ip)
            if proto != 6:
                row = quoted_row(Bytes(data), ip, proto, transport)
                self._lose("not_tcp")
                self.counters["icmp_errors"] += row is not None
            else:
                row = self._tcp_row(Bytes(data), ip, transport)
        except LostError as lost:
            self._lose(str(lost))
            return None
        return None if row is None else {"t_ns": t_ns, "source": 0, **row}

    def _lose(self, why: str) -> None:
        self.undecoded[why] = self.undecoded.get(why, 0) + 1

    def _tcp_row(self, d: Bytes, ip: int, at: int) -> dict[str, Any] | None:
        offset, flags = d.get(at, 14)[12] >> 4, d.get(at, 14)[13]
        if offset < 5:
            raise LostError("malformed")
        self.counters["tcp"] += 1
        fin_syn_rst_ack = (flags & 2 > 0, flags & 4 > 0, flags & 16 > 0)
        match fin_syn_rst_ack:
            case (_, True, _):
                kind, counter = "rst", "rst"
            case (True, False, True):
                kind, counter = "syn_ack", "synack"
            case (True, False, False):
                kind, counter = "syn", "syn"
            case _:
                return None
        self.counters[counter] += 1
        payload = payload_bytes(d, ip, at + offset * 4) if kind == "syn" else 0
        captured = min(offset * 4, len(d.data) - at)
        return {"kind": kind, "tcp_len": captured, "payload_bytes": payload, **ends(d, ip, at)}


def find_ip(link: int, d: Bytes) -> int:
    """Offset of the IP header behind link layer and VLAN tags."""
    if link in RAW_LINKS:
        return 0
    if link in LOOPBACK_LINKS:
        family = d.get(0, 4)
        if {int.from_bytes(family, "little"), int.from_bytes(family, "big")} & set(FAMILIES):
            return 4
        raise LostError("not_ip")
    layouts = {1: (12, 14), 113: (14, 16), 276: (0, 20)}
    if link not in layouts:
        raise LostError(f"link_type_{link}")
    type_at, at = layouts[link]
    d.get(0, at)
    ethertype = d.number(type_at, 2)
    while ethertype in VLAN_TYPES:
        ethertype = d.number(at + 2, 2)
        at += 4
    if ethertype not in IP_TYPES:
        raise LostError("not_ip")
    return at


def walk_ip(d: Bytes, at: int) -> tuple[int, int]:
    """Protocol and offset of the transport header; the version in the header counts."""
    version = d.number(at, 1) >> 4
    if version == 4:
        d.get(at, 20)
        if (d.number(at, 1) & 15) < 5:
            raise LostError("malformed")
        if d.number(at + 6, 2) & 0x1FFF:
            raise LostError("fragment")
        return d.number(at + 9, 1), at + (d.number(at, 1) & 15) * 4
    if version != 6:
        raise LostError("malformed")
    d.get(at, 40)
    proto, at = d.number(at + 6, 1), at + 40
    while proto in (0, 43, 44, 51, 60, 135):
        header = d.get(at, 8)
        if proto == 44 and header[2] << 8 | header[3] & 0xF8:
            raise LostError("fragment")
        size = {44: 8, 51: (header[1] + 2) * 4}.get(proto, (header[1] + 1) * 8)
        proto, at = header[0], at + size
    return proto, at


def ends(d: Bytes, ip: int, at: int) -> dict[str, Any]:
    """Addresses, ports and sequence number."""
    family = d.number(ip, 1) >> 4
    first, size = (12, 4) if family == 4 else (8, 16)
    return {
        "family": family,
        "src": d.get(ip + first, size),
        "dst": d.get(ip + first + size, size),
        "sport": d.number(at, 2),
        "dport": d.number(at + 2, 2),
        "seq": d.number(at + 4, 4),
    }


def payload_bytes(d: Bytes, ip: int, begin: int) -> int:
    """Bytes behind the TCP header as the IP header tells; 0 where its length is 0."""
    if d.number(ip, 1) >> 4 == 4:
        end = ip + d.number(ip + 2, 2)
    else:
        length = d.number(ip + 4, 2)
        end = ip + 40 + length if length else 0
    return max(0, end - begin)


def quoted_row(d: Bytes, ip: int, proto: int, at: int) -> dict[str, Any] | None:
    """The TCP packet that an ICMP error quotes, if ports and sequence number are there."""
    version = d.number(ip, 1) >> 4
    try:
        kind, code = d.get(at, 8)[:2]
        if (version, proto) not in ((4, 1), (6, 58)):
            return None
        if kind not in (ERRORS4 if version == 4 else ERRORS6):
            return None
        quoted_proto, transport = walk_ip(d, at + 8)
        if quoted_proto != 6:
            return None
        d.get(transport, 8)
    except LostError:
        return None
    row = ends(d, at + 8, transport)
    return {"kind": "icmp", "tcp_len": 8, "payload_bytes": 0, "icmp": (kind, code), **row}
