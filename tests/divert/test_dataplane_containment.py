"""Whoever owns the honeypot reaches nobody: only its half of diverted flows comes out of it."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress

import pytest

from darkflow.lab.planes import (
    ABSENT,
    ACK,
    CLIENT,
    HP0_MAC,
    HP1_MAC,
    LIVE,
    MIRROR,
    PSH,
    SYN,
    Stand,
    flow_of,
    frame,
    ip_packet,
    packed,
    tcp_packet,
    turned,
    until,
)

HOST = {4: "198.51.100.1", 6: "2001:db8:a::1"}
HOST_AT = {"bridge": {4: "198.51.100.5", 6: "2001:db8:a::5"},
           MIRROR: {4: "192.0.2.2", 6: "2001:db8:c::2"}}  # fmt: skip
BROADCAST = "ff:ff:ff:ff:ff:ff"


def attempts(version: int, targets: list[bytes]) -> list[bytes]:
    """Frames of every kind to everybody, from the honeypot's own and from borrowed addresses."""
    frames = []
    for target in targets:
        for source in (packed(ABSENT[version]), target[:-1] + b"\x21"):
            flow = (source, 80, target, 4000)
            inner = [
                tcp_packet(flow, flags, 1, 1, b"data") for flags in (SYN, SYN | ACK, ACK, PSH, 4, 0)
            ]
            udp = struct.pack("!HHHH", 53, 4000, 12, 0) + b"data"
            inner.append(ip_packet(source, target, 17, udp))
            echo = struct.pack("!BBHI", 8 if version == 4 else 128, 0, 0, 1)
            inner.append(ip_packet(source, target, 1 if version == 4 else 58, echo))
            inner += [ip_packet(source, target, proto, os.urandom(40)) for proto in (2, 47, 132)]
            frames += [frame(one, to, HP1_MAC) for one in inner for to in (HP0_MAC, BROADCAST)]
    arp = struct.pack("!HHBBH", 1, 0x800, 6, 4, 1) + bytes(6) + packed(ABSENT[4]) + bytes(6)
    frames.append(frame(b"\x45", BROADCAST, HP1_MAC)[:12] + b"\x08\x06" + arp + packed(HOST[4]))
    for kind in (0x8100, 0x88A8, 0x8847, 0x88CC, 0x0027, 0x86DD):
        frames.append(bytes.fromhex((HP0_MAC + HP1_MAC).replace(":", "")) + struct.pack("!H", kind)
                      + os.urandom(60))  # fmt: skip
    return frames


def test_no_frame_comes_out(plane: Stand, version: int) -> None:
    table = plane.nft()
    host = HOST_AT.get(plane.kind, HOST)[version]
    everybody = [packed(address[version]) for address in (CLIENT, LIVE, HOST, ABSENT)]
    frames = attempts(version, [*everybody, packed(host)])
    taps = [plane.seen("out", "o0"), plane.seen("in", "i0")]
    outgoing = [plane.seen(plane.where, name) for name in (["up0"] if plane.kind == MIRROR else
                                                           ["outside", "inside"])]  # fmt: skip
    plane.send("hp", "hp1", *frames)
    until(lambda: sum(table.stats()[name] for name in ("dropped", "strays")) >= len(frames))
    assert table.stats()["answered"] == 0
    ours = packed(ABSENT[version])
    for tap in [*taps, *outgoing]:
        assert not tap.of(ours)
        assert not any(p for source in everybody for p in tap.of(source[:-1] + b"\x21"))


def test_a_shell_in_the_honeypot_reaches_nobody(plane: Stand, version: int) -> None:
    table = plane.nft()
    host = HOST_AT.get(plane.kind, HOST)[version]
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    plane.listening("in", b"live:")
    plane.listening("out", b"client:")
    listener = plane.listening(plane.where, b"host:")
    for address in (CLIENT[version], LIVE[version], host):
        with plane.at("hp"):
            stream = socket.socket(family, socket.SOCK_STREAM)
            datagram = socket.socket(family, socket.SOCK_DGRAM)
        stream.settimeout(0.3)
        with stream, datagram:
            with suppress(OSError):
                datagram.sendto(b"data", (address, 80))
            # IP_FREEBIND, IPV6_FREEBIND: in the name of somebody who is to be imitated.
            level, option = (0, 15) if version == 4 else (41, 78)
            stream.setsockopt(level, option, 1)
            stream.bind((ABSENT[version], 0))
            with pytest.raises((TimeoutError, OSError)):
                stream.connect((address, 80))
    assert listener.accepted == 0
    assert table.stats()["answered"] == 0


def test_a_registered_flow_opens_no_connection(plane: Stand, version: int) -> None:
    """Somebody outside who sends SYNs in the name of an inside host registers flows for it."""
    table = plane.nft()
    live = plane.listening("in", b"live:")
    forged = (packed(LIVE[version]), 80, packed(ABSENT[version]), 4000)
    table.add([forged])
    inside = plane.seen("in", "i0")
    for flags in (SYN, SYN | PSH):
        packet = tcp_packet(turned(forged), flags, 1)
        plane.send("hp", "hp1", frame(packet, HP0_MAC, HP1_MAC))
    until(lambda: table.stats()["dropped"] >= 2)
    assert table.stats()["answered"] == 0
    assert not inside.of(forged[2])
    assert live.accepted == 0


def test_no_way_round_in_a_registered_flow(plane: Stand, version: int) -> None:
    """Neither a source route nor a fragment: the headers are those of plain TCP."""
    table = plane.nft()
    flow = flow_of(version, 4300)
    table.add([flow])
    good = tcp_packet(turned(flow), ACK, 1, 1)
    if version == 4:
        route = b"\x83\x07\x04" + packed(LIVE[4]) + b"\0"
        routed = b"\x47" + good[1:20] + route + good[20:]
        # The first 8 bytes of TCP alone, and what follows them with bytes that look like ports.
        first = good[:6] + b"\x20\x00" + good[8:28]
        later = good[:6] + b"\x00\x01" + good[8:]
        wrong = [routed, first, later]
    else:
        tcp = good[40:]
        routing = bytes((6, 2, 0, 1)) + bytes(4) + packed(LIVE[6])
        piece = bytes((6, 0)) + struct.pack("!HI", 8 | 1, 5)
        wrong = [ip_packet(flow[2], flow[0], 43, routing + tcp),
                 ip_packet(flow[2], flow[0], 44, piece + tcp),
                 ip_packet(flow[2], flow[0], 0, bytes((6, 0, 1, 4, 0, 0, 0, 0)) + tcp)]  # fmt: skip
    before = table.stats()["dropped"]
    plane.send("hp", "hp1", *(frame(one, HP0_MAC, HP1_MAC) for one in wrong))
    until(lambda: table.stats()["dropped"] >= before + len(wrong))
    assert table.stats()["answered"] == 0
    plane.send("hp", "hp1", frame(good, HP0_MAC, HP1_MAC))
    until(lambda: table.stats()["answered"] == 1)
