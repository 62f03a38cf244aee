"""On a mirror the honeypot's own answers come by again, and cut nothing."""

from __future__ import annotations

import socket
import time

import pytest

from darkflow.lab.planes import (
    ACK,
    HP0_MAC,
    HP1_MAC,
    RST,
    SYN,
    Stand,
    flow_of,
    frame,
    tcp_packet,
    turned,
    until,
)

SESSIONS = 10_000
FAREWELL = b"\1\0\0\0\0\0\0\0"


@pytest.mark.parametrize("cut", ["always", "unless-established"])
def test_ten_thousand_sessions(mirror: Stand, cut: str) -> None:
    """Half to an open port, half refused by the honeypot; of the open ones half are reset."""
    table = mirror.nft(cut=cut)
    honeypot = mirror.listening("hp", b"hp:")
    for first in range(0, SESSIONS, 1000):
        flows = [
            flow_of(4 + n // 2 % 2 * 2, 10_000 + first + n, resp_port=80 + n % 2)
            for n in range(1000)
        ]
        table.add(flows)
        with mirror.at("out"):
            for number, flow in enumerate(flows):
                family = socket.AF_INET if len(flow[0]) == 4 else socket.AF_INET6
                with socket.socket(family, socket.SOCK_STREAM) as sock:
                    sock.settimeout(10.0)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    sock.bind((socket.inet_ntop(family, flow[0]), flow[1]))
                    to = (socket.inet_ntop(family, flow[2]), flow[3])
                    if flow[3] == 80:
                        sock.connect(to)
                        if number % 4:
                            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, FAREWELL)
                    else:
                        with pytest.raises(ConnectionRefusedError):
                            sock.connect(to)
    until(lambda: honeypot.accepted == SESSIONS // 2)
    time.sleep(0.5)
    stats = table.stats()
    assert (stats["cut_syn_ack"], stats["cut_rst"], stats["kept"]) == (0, 0, 0)
    assert stats["echoes"] >= SESSIONS
    if "flows4" in stats:
        assert stats["flows4"] + stats["flows6"] == SESSIONS


def test_an_answer_like_an_echo_cuts(mirror: Stand, version: int) -> None:
    """Sequence and acknowledgement number tell them apart: another number, another speaker."""
    table = mirror.nft()
    flow = flow_of(version, 4400)
    table.add([flow])
    says = frame(tcp_packet(turned(flow), SYN | ACK, 1000, 7), HP0_MAC, HP1_MAC)
    mirror.send("hp", "hp1", says)
    until(lambda: table.stats()["echoes"] == 1)
    for flags, seq, ack in ((SYN | ACK, 1000, 8), (SYN | ACK, 1001, 7), (RST, 7, 1000)):
        before = table.stats()
        table.add([flow])
        mirror.answer(tcp_packet(turned(flow), flags, seq, ack))
        until(lambda before=before: table.stats() != before)  # type: ignore[misc]
        after = table.stats()
        assert after["cut_syn_ack"] + after["cut_rst"] == 1 + before["cut_syn_ack"]
        time.sleep(1.1)


def test_an_echo_is_known_for_a_second(mirror: Stand, version: int) -> None:
    table = mirror.nft()
    flow = flow_of(version, 4401)
    table.add([flow])
    answer = tcp_packet(turned(flow), RST | ACK, 1000, 7)
    mirror.send("hp", "hp1", frame(answer, HP0_MAC, HP1_MAC))
    until(lambda: table.stats()["echoes"] == 1)
    mirror.answer(answer)
    until(lambda: table.stats()["echoes"] == 2)
    time.sleep(1.1)
    mirror.answer(answer)
    until(lambda: table.stats()["cut_rst"] == 1)
