"""A third-party sensor gets copies of diverted flows; it answers nothing and takes nothing."""

from __future__ import annotations

import time

import pytest

from darkflow.lab.planes import (
    ACK,
    HP0_MAC,
    HP1_MAC,
    LIVE,
    MIRROR,
    SYN,
    Stand,
    flags_of,
    flow_of,
    frame,
    tcp_packet,
    turned,
    until,
)


def test_copies_of_what_follows(plane: Stand, version: int) -> None:
    """What a live host and its client say to each other is copied, and passes undisturbed."""
    table = plane.nft(mode="sensor", hp1_mac="")
    live = plane.listening("in", b"live:")
    plane.listening("hp", b"hp:")
    sensor = plane.seen("hp", "hp1")
    inside = plane.seen("in", "i0")
    flow, other = (flow_of(version, port, LIVE[version]) for port in (4500, 4501))
    # Registered after the real host has answered: only a late answer would cut it.
    client, stranger = plane.client(flow), plane.client(other)
    table.add([flow])
    for sock in (client, stranger):
        sock.sendall(b"hello")
        assert sock.recv(100) == b"live:hello"
    until(lambda: len(sensor.of(flow[0])) >= 2)
    assert live.accepted == 2
    stats = table.stats()
    assert stats["copied"] == len(sensor.of(flow[0]))
    assert (stats["diverted"], stats["answered"]) == (0, 0)
    # Byte for byte as they came in, but for what a router behind changes.
    copies = [p[-5:] for p in sensor.of(flow[0])]
    assert copies.count(b"hello") == 1
    assert [p[-5:] for p in inside.of(flow[0])].count(b"hello") == 2
    assert not any(p[20:22] == bytes((4501 >> 8, 4501 & 255)) for p in sensor.of(flow[0]))


def test_the_sensor_answers_nothing(plane: Stand, version: int) -> None:
    table = plane.nft(mode="sensor", hp1_mac="")
    flow = flow_of(version, 4502)
    table.add([flow])
    at_client = plane.seen("out", "o0")
    for flags in (SYN | ACK, ACK, 4):
        packet = tcp_packet(turned(flow), flags, 1, 2)
        plane.send("hp", "hp1", frame(packet, HP0_MAC, HP1_MAC))
    until(lambda: table.stats()["dropped"] == 3)
    # Other packets of that interface are none of our business.
    plane.send("hp", "hp1", frame(tcp_packet(flow, ACK, 1, 2), HP0_MAC, HP1_MAC))
    time.sleep(0.1)
    assert table.stats()["dropped"] == 3
    assert not at_client.of(flow[2])


def test_a_late_answer_ends_the_copies(plane: Stand, version: int) -> None:
    table = plane.nft(mode="sensor", hp1_mac="")
    sensor = plane.seen("hp", "hp1")
    flow = flow_of(version, 4503)
    table.add([flow])
    with pytest.raises((TimeoutError, OSError)):
        plane.client(flow, 0.3)
    until(lambda: len(sensor.of(flow[0])) == 1)
    assert flags_of(sensor.of(flow[0])[0]) == SYN
    plane.answer(tcp_packet(turned(flow), SYN | ACK, 1, 2))
    until(lambda: table.stats()["cut_syn_ack"] == 1)
    with pytest.raises((TimeoutError, OSError)):
        plane.client(flow, 0.3)
    assert len(sensor.of(flow[0])) == 1
    assert plane.kind != MIRROR or table.stats()["echoes"] == 0


def test_answers_come_in_on_either_side(router: Stand, version: int) -> None:
    """Without an inside the answers are looked for where the clients' packets come in, too."""
    table = router.nft(mode="sensor", inside=None, outside="inside", hp1_mac="")
    flow = flow_of(version, 4504)
    table.add([flow])
    router.answer(tcp_packet(turned(flow), SYN | ACK, 1, 2))
    until(lambda: table.stats()["cut_syn_ack"] == 1)
