"""Inline: no ICMP unreachable about a held or diverted flow reaches the client, all others do."""

from __future__ import annotations

import socket
import struct
import time

import pytest

from darkflow.divert.dispatcher import Allowed, Flow
from darkflow.divert.replay import checksum
from darkflow.lab.planes import (
    ABSENT,
    ACK,
    LIVE,
    RST,
    SYN,
    Stand,
    flow_of,
    ip_packet,
    packed,
    tcp_packet,
    turned,
    until,
)

MS = 1_000_000
FAR = {4: "192.0.2.200", 6: "2001:db8:ffff::1"}


def icmp(flow: Flow, kind: int, code: int, quoted: bytes | None = None) -> bytes:
    """An error to the client from the inside host, about a packet of the flow."""
    version = 4 if len(flow[0]) == 4 else 6
    source, target = packed(LIVE[version]), flow[0]
    body = struct.pack("!BBHI", kind, code, 0, 0) + (quoted or tcp_packet(flow, SYN))
    pseudo = source + target + struct.pack("!II", len(body), 58) if version == 6 else b""
    body = body[:2] + struct.pack("!H", checksum(pseudo + body)) + body[4:]
    return ip_packet(source, target, 58 if version == 6 else 1, body)


def unreachable(flow: Flow, quoted: bytes | None = None) -> bytes:
    """Host unreachable, address unreachable."""
    return icmp(flow, 3, 1, quoted) if len(flow[0]) == 4 else icmp(flow, 1, 3, quoted)


class Errors:
    """Sends errors, and tells which of them have come to the client."""

    def __init__(self, stand: Stand, version: int) -> None:
        self._stand = stand
        self._source = packed(LIVE[version])
        self._tap = stand.seen("out", "o0")

    def come(self, *errors: bytes) -> list[bool]:
        """For each of them whether it came."""
        self._tap.packets.clear()
        version = 4 if errors[0][0] >> 4 == 4 else 6
        # One that is never held back comes last: time exceeded.
        last = icmp(flow_of(version, 1), 11 if version == 4 else 3, 0)
        at = 20 if version == 4 else 40
        for error in (*errors, last):
            self._stand.answer(error)

        def came() -> list[bytes]:
            return [packet[at:] for packet in self._tap.of(self._source)]

        until(lambda: last[at:] in came())
        return [error[at:] in came() for error in errors]


def test_about_a_held_syn(inline: Stand, version: int) -> None:
    table = inline.nft(hold_ns=400 * MS)
    errors = Errors(inline, version)
    flow, other = flow_of(version, 5000), flow_of(version, 5001)
    inline.knock(tcp_packet(flow, SYN))
    assert errors.come(unreachable(flow), unreachable(other)) == [False, True]
    assert table.stats()["shielded"] == 1
    # Turned around it is another flow.
    assert errors.come(unreachable(flow, tcp_packet(turned(flow), SYN))) == [True]
    # T is over, and nothing was diverted.
    time.sleep(1.6)
    assert errors.come(unreachable(flow)) == [True]


@pytest.mark.parametrize("flags", [SYN | ACK, RST | ACK], ids=["syn_ack", "rst"])
def test_an_answer_ends_it(inline: Stand, version: int, flags: int) -> None:
    inline.nft()
    errors = Errors(inline, version)
    flow = flow_of(version, 5002)
    inline.knock(tcp_packet(flow, SYN))
    assert errors.come(unreachable(flow)) == [False]
    inline.answer(tcp_packet(turned(flow), flags, 5, 2))
    assert errors.come(unreachable(flow)) == [True]


def test_about_a_diverted_flow(inline: Stand, version: int) -> None:
    """For as long as its client speaks, and no longer than until it is cut."""
    table = inline.nft(hold_ns=50 * MS)
    inline.listening("hp", b"hp:")
    errors = Errors(inline, version)
    flow = flow_of(version, 5003)
    table.add([flow])
    client = inline.client(flow)
    time.sleep(1.4)
    client.sendall(b"x")
    assert client.recv(10) == b"hp:x"
    time.sleep(1.4)
    assert errors.come(unreachable(flow)) == [False]
    inline.answer(tcp_packet(turned(flow), SYN | ACK, 0xFFFF0000, 2))
    until(lambda: table.stats()["cut_syn_ack"] == 1)
    assert errors.come(unreachable(flow)) == [True]


def test_other_errors_pass(inline: Stand, version: int) -> None:
    inline.nft()
    errors = Errors(inline, version)
    flow = flow_of(version, 5004)
    inline.knock(tcp_packet(flow, SYN))
    udp = struct.pack("!HHHH", flow[1], flow[3], 8, 0) + bytes(12)
    as_udp = ip_packet(flow[0], flow[2], 17, udp)
    # Fragmentation needed, or packet too big; time exceeded; a redirect, or a parameter problem.
    kinds = [(3, 4), (11, 0), (5, 1)] if version == 4 else [(2, 0), (3, 0), (4, 1)]
    sent = [icmp(flow, kind, code) for kind, code in kinds] + [unreachable(flow, as_udp)]
    assert errors.come(*sent) == [True] * 4
    assert errors.come(unreachable(flow)) == [False]


def test_only_for_watched_networks(inline: Stand, version: int) -> None:
    inline.nft()
    errors = Errors(inline, version)
    flow = flow_of(version, 5005, FAR[version])
    inline.knock(tcp_packet(flow, SYN))
    assert errors.come(unreachable(flow)) == [True]
    inline.nft(networks=())
    inline.knock(tcp_packet(flow, SYN))
    assert errors.come(unreachable(flow)) == [False]


def test_without_a_shield(inline: Stand, version: int) -> None:
    table = inline.nft(shield=False)
    errors = Errors(inline, version)
    flow = flow_of(version, 5006)
    inline.knock(tcp_packet(flow, SYN))
    assert errors.come(unreachable(flow)) == [True]
    assert table.stats()["shielded"] == 0


def test_only_while_darkflow_runs(
    inline: Stand, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever was killed renews nothing."""
    monkeypatch.setattr("darkflow.divert.ruleset.RUNNING_NS", 400 * MS)
    table = inline.nft()
    errors = Errors(inline, version)
    flow = flow_of(version, 5008)
    inline.knock(tcp_packet(flow, SYN))
    for _ in range(4):
        table.renew()
        assert errors.come(unreachable(flow)) == [False]
        time.sleep(0.15)
    time.sleep(0.4)
    assert errors.come(unreachable(flow)) == [True]
    table.renew()
    assert errors.come(unreachable(flow)) == [False]


def test_not_about_what_is_never_diverted(inline: Stand, version: int) -> None:
    """By destination, source or port; the list may be changed."""
    flow = flow_of(version, 5009)
    to, of, port = ((flow[2], flow[2]),), ((flow[0], flow[0]),), frozenset((flow[3],))
    table = inline.nft(allowed=Allowed(addresses=to))
    errors = Errors(inline, version)
    inline.knock(tcp_packet(flow, SYN))
    assert errors.come(unreachable(flow)) == [True]
    for allowed in (Allowed(sources=of), Allowed(ports=port), Allowed(to, of, port), Allowed()):
        with inline.at(inline.where):
            table.allow(allowed)
        inline.knock(tcp_packet(flow, SYN))
        assert errors.come(unreachable(flow)) == [allowed != Allowed()]


def test_a_client_waits_for_an_absent_neighbour(router: Stand) -> None:
    """The router's own errors: after 3 s a client would be told that nobody is there."""
    table = router.nft()
    flows = [flow_of(version, 5010, ABSENT[version], 7) for version in (4, 6)]
    with router.at("out"):
        socks = [
            socket.socket(family, socket.SOCK_STREAM)
            for family in (socket.AF_INET, socket.AF_INET6)
        ]
    for sock, flow in zip(socks, flows, strict=True):
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.connect((socket.inet_ntop(sock.family, flow[2]), flow[3]))
    until(lambda: table.stats()["shielded"] >= 2)
    for sock in socks:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        sock.close()
