"""The host that takes its time: when it answers, what, and what it resets; real frames are read."""

from __future__ import annotations

import socket
import struct

import pytest

from darkflow.divert.replay import TCP, checksum
from darkflow.lab.slow import (
    ACK,
    ISN,
    MOST_FLOWS,
    RST,
    SYN,
    Segment,
    SlowHost,
    back,
    packed,
    read,
    written,
)

MACS = bytes(range(12))
PAIRS = [("198.51.100.11", "203.0.113.40"), ("2001:db8:a::11", "2001:db8:b::40")]


def syn(client: str, host: str, port: int = 1024, seq: int = 7) -> Segment:
    return Segment(MACS, packed(client), packed(host), (port, 80), seq, 0, SYN)


@pytest.mark.parametrize(("client", "host"), PAIRS)
def test_it_answers_each_flow_once_and_late(client: str, host: str) -> None:
    slow = SlowHost([packed(host)], 7.0)
    assert slow.rest_s(0.0) is None
    assert slow.heard(syn(client, host), 1.0) is None
    assert slow.heard(syn(client, host), 2.0) is None, "sent again"
    assert slow.rest_s(2.0) == pytest.approx(6.0)
    assert slow.due(7.9) == []
    (answer,) = slow.due(8.0)
    assert (answer.flags, answer.seq, answer.ack) == (SYN | ACK, ISN, 8)
    assert answer.flow == (packed(host), 80, packed(client), 1024)
    assert answer.macs == MACS[6:] + MACS[:6]
    assert slow.due(100.0) == []


def test_it_resets_who_acknowledges_what_it_never_said() -> None:
    client, host = PAIRS[0]
    slow = SlowHost([packed(host)], 1.0)
    wrong = Segment(MACS, packed(client), packed(host), (1024, 80), 8, 99, ACK)
    assert slow.heard(wrong, 0.0) is None, "no connection, nothing said yet"
    slow.heard(syn(client, host), 0.0)
    slow.due(1.0)
    reset = slow.heard(wrong, 2.0)
    assert reset is not None
    assert (reset.flags, reset.seq) == (RST, 99)
    right = Segment(MACS, packed(client), packed(host), (1024, 80), 8, ISN + 1, ACK)
    assert slow.heard(right, 2.0) is None
    assert slow.heard(back(reset, RST, 1, 1), 2.0) is None, "a reset is not answered"


def test_other_addresses_are_not_its_own_and_memory_has_a_limit() -> None:
    client, host = PAIRS[0]
    slow = SlowHost([packed(host)], 1.0)
    slow.heard(syn(client, "203.0.113.41"), 0.0)
    assert slow.rest_s(0.0) is None
    for n in range(MOST_FLOWS + 10):
        slow.heard(syn(client, host, n % 60_000, n), 0.0)
    assert len(slow.due(1.0)) == MOST_FLOWS


@pytest.mark.parametrize(("client", "host"), PAIRS)
def test_frames_are_right(client: str, host: str) -> None:
    segment = back(syn(client, host), SYN | ACK, ISN, 8)
    frame = written(segment)
    assert read(frame) == segment
    header = 20 if ":" not in host else 40
    ip, tcp = frame[14 : 14 + header], frame[14 + header :]
    addresses = ip[-8:] if header == 20 else ip[-32:]
    assert checksum(addresses + struct.pack("!II", len(tcp), TCP) + tcp) == 0
    if header == 20:
        assert checksum(ip) == 0


@pytest.mark.parametrize("size", [0, 13, 14, 33, 53, 60])
def test_what_is_cut_off_is_no_segment(size: int) -> None:
    frame = written(syn("2001:db8:a::11", "2001:db8:b::40"))
    assert read(frame[:size]) is None
    assert read(written(syn(*PAIRS[0]))[: min(size, 53)]) is None


def test_packed() -> None:
    assert packed("203.0.113.40") == socket.inet_aton("203.0.113.40")
    assert len(packed("2001:db8::1")) == 16
