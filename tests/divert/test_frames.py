"""The compiled frame of a held SYN is its slow twin's; a batch is sent whole, errors told apart."""

from __future__ import annotations

import errno
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkflow.divert.frames import frame_from, send_all
from darkflow.divert.replay import frame_of

MACS = bytes(range(12))


@st.composite
def heads(draw: st.DrawFn) -> tuple[bytes, int]:
    """A fixed IP header and a TCP header of any length, whatever their bytes are."""
    is4 = draw(st.booleans())
    tcp_bytes = draw(st.integers(5, 15)) * 4
    ip = bytearray(draw(st.binary(min_size=20 if is4 else 40, max_size=20 if is4 else 40)))
    ip[0] = (0x40 if is4 else 0x60) | ip[0] & 15
    return bytes(ip) + draw(st.binary(min_size=tcp_bytes, max_size=tcp_bytes)), tcp_bytes


@given(heads())
def test_twin(drawn: tuple[bytes, int]) -> None:
    head, tcp_bytes = drawn
    assert frame_from(head, tcp_bytes, MACS) == frame_of(head, tcp_bytes, MACS)


@pytest.mark.parametrize(
    ("head", "tcp_bytes", "macs"),
    [
        (b"", 20, MACS), (bytes(40), 20, bytes(11)), (b"\x45" + bytes(39), 19, MACS),
        (b"\x45" + bytes(63), 64, MACS), (b"\x60" + bytes(39), 20, MACS),
        (b"\x45" + bytes(59), 20, MACS),
    ],
)  # fmt: skip
def test_what_is_no_such_packet_is_refused(head: bytes, tcp_bytes: int, macs: bytes) -> None:
    with pytest.raises(ValueError, match="header"):
        frame_from(head, tcp_bytes, macs)


def test_a_batch_is_sent_in_order() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        sent = [bytes([n]) * (n + 1) for n in range(8)]
        assert send_all(ours.fileno(), sent) == [0] * 8
        assert [theirs.recv(100) for _ in sent] == sent
        assert send_all(ours.fileno(), []) == []


def test_more_than_fit_into_one_go_and_errors_of_each() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.setblocking(False)
        found = send_all(ours.fileno(), [b"x"] * 3000)
        assert len(found) == 3000
        room = found.index(errno.EAGAIN)
        assert set(found[:room]) == {0}
        assert set(found[room:]) == {errno.EAGAIN}
    assert set(send_all(-1, [b"x"] * 2)) == {errno.EBADF}


def test_what_a_full_queue_refused_is_offered_again() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs, ThreadPoolExecutor(1) as reader:
        ours.setblocking(False)
        theirs.settimeout(10)
        frames = [bytes([n]) for n in range(50)]
        read = reader.submit(lambda: [theirs.recv(100) for _ in frames])
        assert send_all(ours.fileno(), frames) == [0] * 50
        assert read.result() == frames
