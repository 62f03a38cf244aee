"""A slow twin of LineFormat: the same documents from packet bytes, with the standard library."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import slow_tools

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MASK = (1 << 64) - 1


@dataclass(frozen=True)
class Headers:
    """One SYN, taken apart: the IP packet's fixed fields and the TCP bytes that were captured."""

    orig: Address
    resp: Address
    ttl: int
    ip_id: int | None
    df: bool | None
    tcp: bytes
    payload_bytes: int

    @classmethod
    def of(cls, packet: bytes) -> Headers:
        """From an IP packet without extension headers."""
        ip_id: int | None
        df: bool | None
        if packet[0] >> 4 == 4:
            size = (packet[0] & 15) * 4
            total, ip_id, flags = struct.unpack("!HHH", packet[2:8])
            orig, resp = packet[12:16], packet[16:20]
            body_bytes, ttl, df = total - size, packet[8], bool(flags & 0x4000)
        else:
            size = 40
            body_bytes = int.from_bytes(packet[4:6], "big")
            orig, resp = packet[8:24], packet[24:40]
            ttl, ip_id, df = packet[7], None, None
        tcp = packet[size:]
        header = (tcp[12] >> 4) * 4
        return cls(
            ipaddress.ip_address(orig), ipaddress.ip_address(resp), ttl, ip_id, df, tcp[:header],
            max(body_bytes - header, 0),
        )  # fmt: skip

    @property
    def ports(self) -> tuple[int, int]:
        """Of orig and resp."""
        orig_port, resp_port = struct.unpack("!HH", self.tcp[:4])
        return orig_port, resp_port


def timestamp(t_ns: int, digits: int) -> str:
    """RFC 3339 in UTC."""
    second, fraction = divmod(t_ns, 1_000_000_000)
    text = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)).isoformat()
    decimals = "." + f"{fraction:09}"[:digits] if digits else ""
    return text.replace("+00:00", decimals + "Z")


def community_id(headers: Headers) -> str:
    """As the Community ID specification, version 1, seed 0."""
    ends = [
        (address.packed, struct.pack("!H", port))
        for address, port in zip((headers.orig, headers.resp), headers.ports, strict=True)
    ]
    (one, one_port), (two, two_port) = sorted(ends)
    data = b"\0\0" + one + two + b"\6\0" + one_port + two_port
    return "1:" + base64.b64encode(hashlib.sha1(data).digest()).decode()


def siphash13(data: bytes, key: tuple[int, int]) -> int:
    """SipHash with one round per word and three at the end."""
    v0, v1 = key[0] ^ 0x736F6D6570736575, key[1] ^ 0x646F72616E646F6D
    v2, v3 = key[0] ^ 0x6C7967656E657261, key[1] ^ 0x7465646279746573

    def rotated(x: int, bits: int) -> int:
        return (x << bits | x >> (64 - bits)) & MASK

    def mix(rounds: int) -> None:
        nonlocal v0, v1, v2, v3
        for _ in range(rounds):
            v0, v2 = (v0 + v1) & MASK, (v2 + v3) & MASK
            v1, v3 = rotated(v1, 13) ^ v0, rotated(v3, 16) ^ v2
            v0, v2 = (rotated(v0, 32) + v3) & MASK, (v2 + v1) & MASK
            v3, v1 = rotated(v3, 21) ^ v0, rotated(v1, 17) ^ v2
            v2 = rotated(v2, 32)

    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) % 256])
    for (word,) in struct.iter_unpack("<Q", padded):
        v3 ^= word
        mix(1)
        v0 ^= word
    v2 ^= 0xFF
    mix(3)
    return v0 ^ v1 ^ v2 ^ v3


def flow_id(headers: Headers, t0_ns: int) -> int:
    """53 bits of a hash of addresses, ports and time."""
    key = (t0_ns & MASK, 4 if headers.ip_id is not None else 6)
    ends = headers.orig.packed + headers.resp.packed + headers.tcp[:4]
    return siphash13(ends, key) >> 11


def options(tcp: bytes) -> tuple[str, int | None, int | None]:
    """Kinds, MSS and window scale; a malformed option ends the list."""
    rest, kinds = tcp[20:], list[str]()
    mss = scale = None
    while rest:
        kind = rest[0]
        size = 1 if kind < 2 else rest[1] if len(rest) > 1 else 0
        if size == 0 or size > len(rest) or (kind > 1 and size < 2):
            break
        kinds.append(str(kind))
        if (kind, size) == (2, 4):
            mss = int.from_bytes(rest[2:4], "big")
        elif (kind, size) == (3, 3):
            scale = rest[2]
        if kind == 0:
            break
        rest = rest[size:]
    return "-".join(kinds), mss, scale


def direction(headers: Headers, networks: list[Network]) -> str:
    """By membership of both ends."""
    inside = (
        any(headers.orig in network for network in networks),
        any(headers.resp in network for network in networks),
    )
    names = {
        (False, True): "inbound", (True, False): "outbound", (True, True): "internal",
        (False, False): "transit",
    }  # fmt: skip
    return names[inside]


def line(
    kind: str,
    packet: bytes,
    event: dict[str, Any],
    digits: int,
    networks: list[Network],
    reporter: str | None = None,
    hold_ns: int = 5_000_000_000,
) -> str:
    """The whole line. `packet`: the first SYN; `event`: its counts, as the engine tells them.

    The tool is what the flow alone tells of it.
    """
    headers = Headers.of(packet)
    late = kind == "late_answer"
    state, letter = "S0", ""
    if late:
        state, letter = ("S1", "h") if event["answer"] == "syn_ack" else ("REJ", "r")
    tcp = headers.tcp
    kinds, mss, scale = options(tcp)
    icmp = event["icmp"]
    resent = event["syn_count"] - 1 - event["duplicate_count"] - event["new_isn_count"]
    tool, confidence = slow_tools.alone(packet, resent)
    document: dict[str, Any] = {
        "timestamp": timestamp(event["t_ns" if late else "t0_ns"], digits),
        "event_type": kind,
        "flow_id": flow_id(headers, event["t0_ns"]),
        "community_id": community_id(headers),
        "src_ip": str(headers.orig),
        "src_port": headers.ports[0],
        "dest_ip": str(headers.resp),
        "dest_port": headers.ports[1],
        "proto": "TCP",
        "direction": direction(headers, networks),
        "conn_state": state,
        "history": "S" + ("D" if headers.payload_bytes else "") + letter,
        "darkflow": {
            "t0_ns": event["t0_ns"],
            "verdict_ns": event["t0_ns"] + hold_ns,
            "syn_count": event["syn_count"],
            "new_isn_count": event["new_isn_count"],
            "duplicate_count": event["duplicate_count"],
            "last_syn_ns": event["last_syn_ns"],
            "ttl": headers.ttl,
            "window": int.from_bytes(tcp[14:16], "big") if len(tcp) >= 16 else None,
            "ip_id": headers.ip_id,
            "isn": int.from_bytes(tcp[4:8], "big"),
            "df": headers.df,
            "ecn": tcp[13] & 0xC0 == 0xC0,
            "options": kinds,
            "mss": mss,
            "wscale": scale,
            "payload_bytes": headers.payload_bytes,
            "ttl_start": slow_tools.ttl_start(headers.ttl),
            "signature": slow_tools.signature(packet),
            "tool": tool,
            "tool_confidence": confidence,
            "icmp": icmp and {"type": icmp[0], "code": icmp[1], "from": reporter},
        },
    }
    if late:
        delay_ns = event["t_ns"] - event["t0_ns"]
        document["late_answer"] = {"answer": event["answer"], "delay_ns": delay_ns}
    if kind == "undecided":
        document["undecided"] = {"held_ns": event["t_ns"] - event["t0_ns"]}
    return json.dumps(document, separators=(",", ":")) + "\n"
