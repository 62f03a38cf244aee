"""`unless-established`: who has talked to the honeypot stays with it when the real host speaks."""

from __future__ import annotations

import time

import pytest

from darkflow.lab.planes import (
    ABSENT,
    ACK,
    NOBODY,
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

LATE = [SYN | ACK, RST, RST | ACK]


@pytest.mark.parametrize("flags", LATE, ids=["syn_ack", "rst", "rst_ack"])
def test_a_client_that_has_talked_stays(plane: Stand, version: int, flags: int) -> None:
    table = plane.nft(cut="unless-established")
    plane.listening("hp", b"hp:")
    flow = flow_of(version, 4200 + flags)
    table.add([flow])
    client = plane.client(flow)
    at_client = plane.seen("out", "o0")
    until(lambda: table.stats()["diverted"] + table.stats()["copied"] >= 2)
    plane.answer(tcp_packet(turned(flow), flags, 0xFFFF0000, 7))
    until(lambda: table.stats()["kept"] == 1)
    # The answer goes its way all the same; the client's kernel takes it for a stray.
    until(lambda: len(at_client.of(flow[2])) >= 1)
    client.sendall(b"hello")
    assert client.recv(100) == b"hp:hello"
    assert table.stats()["cut_syn_ack"] + table.stats()["cut_rst"] == 0


@pytest.mark.parametrize("flags", LATE, ids=["syn_ack", "rst", "rst_ack"])
def test_a_client_that_has_not_is_let_go(plane: Stand, version: int, flags: int) -> None:
    """A scanner's SYN, of which the honeypot's SYN+ACK is all that came."""
    table = plane.nft(cut="unless-established")
    plane.listening("hp", b"hp:")
    flow = (packed(NOBODY[version]), 4210, packed(ABSENT[version]), 80)
    table.add([flow])
    plane.knock(tcp_packet(flow, SYN, 1000))
    until(lambda: table.stats()["answered"] >= 1)
    # What its kernel says to a SYN+ACK that it never asked for is no handshake either.
    plane.knock(tcp_packet(flow, RST, 1001))
    plane.answer(tcp_packet(turned(flow), flags, 5, 1001))
    until(lambda: table.stats()["cut_syn_ack"] + table.stats()["cut_rst"] == 1)
    assert table.stats()["kept"] == 0


def test_a_new_attempt_in_the_same_flow_has_not_talked_yet(plane: Stand, version: int) -> None:
    table = plane.nft(cut="unless-established")
    plane.listening("hp", b"hp:")
    flow = (packed(NOBODY[version]), 4220, packed(ABSENT[version]), 80)
    table.add([flow])
    at_honeypot = plane.seen("hp", "hp1")
    plane.knock(tcp_packet(flow, SYN, 1000))
    until(lambda: any(flags_of(p) == SYN | ACK for p in at_honeypot.of(flow[2])))
    plane.knock(tcp_packet(flow, ACK, 1001, 1))
    until(lambda: len(at_honeypot.of(flow[0])) == 2)
    plane.answer(tcp_packet(turned(flow), SYN | ACK, 5, 1001))
    until(lambda: table.stats()["kept"] == 1)
    plane.knock(tcp_packet(flow, SYN, 9000))
    until(lambda: len(at_honeypot.of(flow[0])) == 3)
    plane.answer(tcp_packet(turned(flow), SYN | ACK, 5, 9001))
    until(lambda: table.stats()["cut_syn_ack"] == 1)


def test_having_talked_lasts_as_long_as_the_flow(router: Stand, version: int) -> None:
    """A long answer is kept up by the honeypot's packets alone."""
    table = router.nft(cut="unless-established", idle_ns=600_000_000)
    honeypot = router.listening("hp", b"hp:")
    flow = flow_of(version, 4230)
    table.add([flow])
    client = router.client(flow)
    until(lambda: honeypot.accepted == 1)
    with router.mute("out", "o0"):
        for _ in range(6):
            time.sleep(0.2)
            honeypot.sockets[0].send(b"more")
        router.answer(tcp_packet(turned(flow), SYN | ACK, 0xFFFF0000, 7))
        until(lambda: table.stats()["kept"] == 1)
        assert len(client.recv(100)) >= 4


def test_who_has_talked_can_be_asked(router: Stand) -> None:
    """For those who cut by hand: a late answer that user space has seen first cuts no more."""
    router.listening("hp", b"hp:")
    for first, cut in ((4240, "unless-established"), (4242, "always")):
        flows = [flow_of(version, port) for version in (4, 6) for port in (first, first + 1)]
        table = router.nft(cut=cut)
        table.add(flows)
        for flow in flows[::2]:
            with router.client(flow) as client:
                client.sendall(b"x")
                assert client.recv(9) == b"hp:x"
        talked = set(flows[::2]) if cut == "unless-established" else set()
        assert table.served(flows) == talked
        assert table.served(flows[1::2]) == table.served([]) == set()
