"""A forged SYN in a connection of a live host takes the connection away from nobody."""

from __future__ import annotations

import socket
import struct
import threading

import pytest

from darkflow.divert.cuts import ACK as SPOKEN
from darkflow.divert.cuts import Cuts
from darkflow.lab.planes import (
    ABSENT,
    ACK,
    LIVE,
    MIRROR,
    RST,
    SYN,
    Stand,
    flags_of,
    flow_of,
    packed,
    tcp_packet,
    turned,
    until,
)

MS = 1_000_000


def test_its_ack_says_that_it_is_alive(plane: Stand, version: int) -> None:
    """RFC 5961: neither SYN+ACK nor RST comes, so the flow gets dark, and is diverted."""
    table = plane.nft(hold_ns=400 * MS)
    with plane.at(plane.where):
        cuts = Cuts(7)
    plane.listening("in", b"live:")
    plane.listening("hp", b"hp:")
    flow = flow_of(version, 6000, LIVE[version])
    client = plane.client(flow)
    assert table.stats()["alive"] == 0
    plane.knock(tcp_packet(flow, SYN, 0x12345678))
    until(lambda: table.stats()["alive"] == 1)
    # The verdict.
    table.add([flow])
    for word in (b"a", b"b"):
        client.sendall(word)
        assert client.recv(10) == b"live:" + word
    assert [(cut.flow, cut.by) for cut in cuts.read()] == [(flow, SPOKEN)]
    cuts.close()
    stats = table.stats()
    assert (stats["alive"], stats["answered"], stats["strays"]) == (1, 0, 0)


def test_what_it_says_without_a_held_syn_is_no_news(plane: Stand, version: int) -> None:
    table = plane.nft()
    plane.listening("in", b"live:")
    client = plane.client(flow_of(version, 6001, LIVE[version]))
    client.sendall(b"a")
    assert client.recv(10) == b"live:a"
    # Nor a client's own ACK, nor one in another flow.
    flow = flow_of(version, 6002)
    plane.knock(tcp_packet(flow, SYN), tcp_packet(flow, ACK, 2, 2))
    plane.answer(tcp_packet(turned(flow_of(version, 6003)), ACK, 5, 2))
    plane.listening("hp", b"hp:")
    table.add([flow_of(version, 6004)])
    client = plane.client(flow_of(version, 6004))
    client.sendall(b"b")
    assert client.recv(10) == b"hp:b"
    assert table.stats()["alive"] == 0


def test_an_ack_of_a_diverted_flow(plane: Stand, version: int) -> None:
    """From inside it cuts; a mirror shows the honeypot's as well, and cannot tell them apart."""
    table = plane.nft(hold_ns=100 * MS)
    plane.listening("hp", b"hp:")
    flow = flow_of(version, 6005)
    table.add([flow])
    client = plane.client(flow)
    plane.answer(tcp_packet(turned(flow), ACK, 5, 2))
    if plane.kind == MIRROR:
        client.sendall(b"x")
        assert client.recv(10) == b"hp:x"
        assert table.stats()["alive"] == 0
        return
    until(lambda: table.stats()["alive"] == 1)
    before = table.stats()["diverted"]
    plane.knock(tcp_packet(flow, ACK, 7, 7))
    client.sendall(b"x")
    client.settimeout(0.1)
    with pytest.raises(TimeoutError):
        client.recv(10)
    assert table.stats()["diverted"] == before


def test_the_honeypot_resets_no_connection_of_others(plane: Stand, version: int) -> None:
    """Whatever has brought it there: its kernel knows no such connection, and says so."""
    table = plane.nft()
    plane.listening("in", b"live:")
    flow = flow_of(version, 6006, LIVE[version])
    client = plane.client(flow)
    table.add([flow])
    client.sendall(b"a")
    until(lambda: table.stats()["strays"] >= 1)
    table.delete([flow])
    assert client.recv(10) == b"live:a"
    client.sendall(b"b")
    assert client.recv(10) == b"live:b"
    assert table.stats()["answered"] == 0


def test_its_own_resets_reach_the_client(plane: Stand, version: int) -> None:
    """Of a port that is closed, of a program that has not read all, and of one that aborts."""
    table = plane.nft()
    seen = plane.seen("out", "o0")
    with plane.at("hp"):
        listener = socket.create_server(("::", 80), family=socket.AF_INET6, dualstack_ipv6=True)

    def serve() -> None:
        for aborts in (False, True):
            sock, _ = listener.accept()
            until(lambda sock=sock: len(sock.recv(10, socket.MSG_PEEK)) == 4)  # type: ignore[misc]
            if aborts:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.recv(10)
            sock.close()

    threading.Thread(target=serve, daemon=True).start()
    closed, *flows = (flow_of(version, 6007 + n, resp_port=81 if n == 0 else 80) for n in range(3))
    table.add([closed, *flows])
    with pytest.raises(ConnectionRefusedError):
        plane.client(closed)
    for flow in flows:
        client = plane.client(flow)
        client.sendall(b"data")
        with pytest.raises(ConnectionResetError):
            client.recv(10)
    listener.close()
    resets = [p for p in seen.of(packed(ABSENT[version])) if flags_of(p) & RST]
    assert [flags_of(p) & ACK for p in resets] == [ACK] * 3
    assert table.stats()["strays"] == 0
