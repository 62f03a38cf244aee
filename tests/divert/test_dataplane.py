"""Real packets through the real kernel: who is diverted, who is not, and when that ends."""

from __future__ import annotations

import socket
import time
from contextlib import suppress

import pytest

from darkflow.lab.planes import (
    ABSENT,
    ACK,
    HP0_MAC,
    HP1_MAC,
    LIVE,
    MACS,
    MIRROR,
    NOBODY,
    PSH,
    RST,
    SYN,
    Stand,
    flags_of,
    flow_of,
    frame,
    packed,
    tcp_packet,
    turned,
    until,
)

MS = 1_000_000
LATE = [SYN | ACK, RST, RST | ACK]
NAMES = ["syn_ack", "rst", "rst_ack"]


def said(sock: socket.socket, data: bytes) -> bytes:
    """What comes back for it."""
    sock.sendall(data)
    return sock.recv(1000)


def silent(sock: socket.socket, data: bytes, seconds: float = 0.4) -> bool:
    """Whether nothing comes back."""
    sock.settimeout(seconds)
    try:
        return not said(sock, data)
    except (TimeoutError, ConnectionError):
        return True


def test_a_registered_flow_talks_to_the_honeypot(plane: Stand, version: int) -> None:
    table = plane.nft()
    plane.listening("hp", b"hp:")
    inside = plane.seen("in", "i0")
    flow = flow_of(version, 4000)
    table.add([flow])
    client = plane.client(flow)
    assert said(client, b"hello") == b"hp:hello"
    long = bytes(200_000)
    client.sendall(long)
    got = b""
    while len(got) < len(long) + 3:
        got += client.recv(1 << 16)
    assert got.replace(b"hp:", b"") == long
    stats = table.stats()
    assert stats["diverted"] > 3
    assert stats["answered"] > 3
    assert stats["answered_bytes"] > len(long)
    # The real network sees the SYN, with a mirror everything, and never the honeypot.
    seen = [p for p in inside.of(flow[0]) if p[-2:] != b"\0\0" or flags_of(p) & SYN]
    assert plane.kind == MIRROR or all(flags_of(p) & SYN for p in seen)
    assert not inside.of(flow[2])


def test_nobody_else_does(plane: Stand, version: int) -> None:
    table = plane.nft()
    honeypot = plane.listening("hp", b"hp:")
    flow = flow_of(version, 4001)
    orig, port, resp, to = flow
    # All that differ in one thing.
    near = [(orig, port + 1, resp, to), (orig, port, resp, to + 1), turned(flow),
            (packed(NOBODY[version]), port, resp, to),
            (orig, port, packed(LIVE[version]), to)]  # fmt: skip
    table.add(near)
    with pytest.raises((TimeoutError, OSError)):
        plane.client(flow, 0.5)
    assert honeypot.accepted == 0
    stats = table.stats()
    assert (stats["diverted"], stats["copied"], stats["answered"]) == (0, 0, 0)


@pytest.mark.parametrize("flags", LATE, ids=NAMES)
def test_a_late_answer_cuts(plane: Stand, version: int, flags: int) -> None:
    table = plane.nft()
    honeypot = plane.listening("hp", b"hp:")
    flow = flow_of(version, 4010 + flags)
    table.add([flow])
    client = plane.client(flow)
    assert said(client, b"hello") == b"hp:hello"
    at_client = plane.seen("out", "o0")
    late = tcp_packet(turned(flow), flags, 0xFFFF0000, 7)
    plane.answer(late)
    until(lambda: len(at_client.of(flow[2])) == 1)
    # The late answer has gone its way; of the honeypot comes nothing more, whatever it tries.
    for _ in range(20):
        honeypot.sockets[0].send(b"still here")
    assert silent(client, b"are you there?")
    time.sleep(0.3)
    assert [p[-20:] for p in at_client.of(flow[2])] == [late[-20:]]
    stats = table.stats()
    assert stats["dropped"] >= 3
    assert stats["cut_syn_ack"] == (flags == SYN | ACK)
    assert stats["cut_rst"] == (flags != SYN | ACK)


def test_what_is_no_answer_to_a_syn_cuts_nothing(plane: Stand, version: int) -> None:
    table = plane.nft()
    plane.listening("hp", b"hp:")
    flow = flow_of(version, 4050)
    table.add([flow])
    client = plane.client(flow)
    # From inside an ACK says that somebody is there: see test_dataplane_alive.py.
    with_ack = (ACK, PSH | ACK, 1 | ACK) if plane.kind == MIRROR else ()
    for flags in (*with_ack, SYN, 0, 1):
        plane.answer(tcp_packet(turned(flow), flags, 0xFFFF0000, 7, b"data" * (flags & PSH)))
    # And the answers in other flows.
    orig, port, resp, to = turned(flow)
    for other in ((orig, port + 1, resp, to), (orig, port, resp, to + 1), flow):
        plane.answer(tcp_packet(other, SYN | ACK, 1, 7))
        plane.answer(tcp_packet(other, RST, 1, 7))
    time.sleep(0.1)
    stats = table.stats()
    assert (stats["cut_syn_ack"], stats["cut_rst"]) == (0, 0)
    assert said(client, b"hello") == b"hp:hello"


def test_nobody_outside_can_cut(router: Stand, version: int) -> None:
    """Inline a real host's answer comes from inside; one that comes from outside is forged."""
    table = router.nft()
    router.listening("hp", b"hp:")
    flow = flow_of(version, 4051)
    table.add([flow])
    client = router.client(flow)
    for flags in LATE:
        packet = tcp_packet(turned(flow), flags, 0xFFFF0000, 7)
        router.knock(packet)
    assert said(client, b"hello") == b"hp:hello"
    stats = table.stats()
    assert (stats["cut_syn_ack"], stats["cut_rst"]) == (0, 0)


def test_live_hosts_notice_nothing(plane: Stand, version: int) -> None:
    live, dark = plane.listening("in", b"live:"), plane.listening("hp", b"hp:")
    table = plane.nft()
    table.add([flow_of(version, port) for port in range(20_000, 21_000)])
    for port in range(20_000, 20_050):
        client = plane.client(flow_of(version, port, LIVE[version]))
        assert said(client, b"hello") == b"live:hello"
        client.close()
        with pytest.raises(ConnectionRefusedError):
            plane.client(flow_of(version, port, LIVE[version], 81))
    assert (live.accepted, dark.accepted) == (50, 0)
    used = {name: n for name, n in table.stats().items() if n and not name.startswith("flows")}
    assert used.keys() <= {"dropped"}


def test_a_host_that_wakes_up(plane: Stand, version: int) -> None:
    """A client that comes again in a diverted flow gives the real host its chance."""
    address = packed(ABSENT[version])[:-1] + b"\x55"
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    words = socket.inet_ntop(family, address)
    table = plane.nft()
    plane.listening("hp", b"hp:")
    flow = flow_of(version, 4052, words)
    table.add([flow])
    client = plane.client(flow)
    assert said(client, b"hello") == b"hp:hello"
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    plane.ip("in", [f"addr add {words}/{8 * len(address)} dev i0"])
    plane.listening("in", b"live:")
    # The same flow: the honeypot answers first, the real host a moment later, and cuts.
    with suppress(OSError):
        said(plane.client(flow, 1.0), b"hello")
    until(lambda: table.stats()["cut_syn_ack"] == 1)
    assert said(plane.client(flow_of(version, 4058, words)), b"hello") == b"live:hello"


def test_a_cut_flow_stays_cut(plane: Stand, version: int) -> None:
    """Also when nobody says anything until long after."""
    table = plane.nft()
    flow = (packed(NOBODY[version]), 4059, packed(ABSENT[version]), 80)
    table.add([flow])
    plane.answer(tcp_packet(turned(flow), RST, 1, 7))
    until(lambda: table.stats()["cut_rst"] == 1)
    time.sleep(1.2)
    before = table.stats()["dropped"]
    plane.send("hp", "hp1", frame(tcp_packet(turned(flow), ACK, 1, 7), HP0_MAC, HP1_MAC))
    until(lambda: table.stats()["dropped"] > before)
    assert table.stats()["answered"] == 0


def test_a_client_alone_keeps_its_flow(router: Stand, version: int) -> None:
    table = router.nft(idle_ns=500 * MS)
    flow = (packed(NOBODY[version]), 4060, packed(ABSENT[version]), 80)
    table.add([flow])
    with router.mute("hp", "hp1"):
        for number in range(1, 7):
            router.knock(tcp_packet(flow, ACK, number, 1))
            until(lambda number=number: table.stats()["diverted"] == number)  # type: ignore[misc]
            time.sleep(0.3)
        time.sleep(0.4)
        router.knock(tcp_packet(flow, ACK, 9, 1))
        time.sleep(0.1)
    assert (table.stats()["diverted"], table.stats()["answered"]) == (6, 0)


def test_silence_ends_a_flow(router: Stand, version: int) -> None:
    table = router.nft(idle_ns=600 * MS)
    honeypot = router.listening("hp", b"hp:")
    flow, other = flow_of(version, 4053), flow_of(version, 4054)
    table.add([flow, other])
    client, quiet = router.client(flow), router.client(other)
    # One is kept by what its client says, the other by what the honeypot says.
    for _ in range(8):
        time.sleep(0.2)
        assert said(client, b"x") == b"hp:x"
        honeypot.sockets[1].send(b"y")
        assert quiet.recv(1) == b"y"
    time.sleep(0.9)
    honeypot.sockets[1].send(b"z")
    assert silent(client, b"x")
    assert silent(quiet, b"x")
    # Fresh flows between the same ends are taken again.
    table.add([flow])
    until(lambda: not silent(client, b"y", 2.0))


def test_what_was_on_its_way_does_not_bring_a_flow_back(plane: Stand, version: int) -> None:
    """As if another processor had written the flow's time anew right after it was deleted."""
    table = plane.nft()
    honeypot = plane.listening("hp", b"hp:")
    flows = [flow_of(version, 4055), flow_of(version, 4056)]
    table.add(flows)
    clients = [plane.client(flow) for flow in flows]
    plane.answer(tcp_packet(turned(flows[0]), SYN | ACK, 0xFFFF0000, 7))
    until(lambda: table.stats()["cut_syn_ack"] == 1)
    table.delete(flows[1:])
    table.add(flows)
    at_client = plane.seen("out", "o0")
    diverted = table.stats()["diverted"]
    honeypot.sockets[0].send(b"one")
    assert silent(clients[1], b"two")
    time.sleep(1.0)
    for sock in honeypot.sockets:
        sock.send(b"three")
    time.sleep(0.1)
    assert [p for p in at_client.of(flows[0][2]) if len(p) > 60 and flags_of(p) & PSH] == []
    assert table.stats()["diverted"] == diverted
    # A moment later the flow can be another one's.
    table.add(flows)
    assert said(clients[1], b"hello")


def test_tagged_frames(mirror: Stand, version: int) -> None:
    """The honeypot knows no VLANs: it gets a tag with the number 0, which is as none."""
    table = mirror.nft()
    orig = packed(NOBODY[version])
    flow = (orig, 4057, packed(ABSENT[version]), 81)
    table.add([flow])
    at_honeypot = mirror.seen("hp", "hp1")
    syn = tcp_packet(flow, SYN, 1000)
    mirror.send("gw", "span", frame(syn, MACS["outside"], MACS["o0"], vlan=10))
    # A closed port says no, so the frame was taken for an untagged one.
    until(lambda: bool(at_honeypot.of(flow[2])))
    assert flags_of(at_honeypot.of(flow[2])[0]) == RST | ACK
    until(lambda: table.stats()["answered"] == 1)
