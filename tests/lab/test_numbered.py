"""The stream of numbered packets: each has the next number in its place, and is alike else."""

from __future__ import annotations

import socket

from darkflow.lab.numbered import send


def test_numbers_count_up_where_they_should() -> None:
    frame = bytes(range(40))
    out, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with out, end:
        assert send(out, frame, 10, 0.0) == 8
        came = [end.recv(100) for _ in range(8)]
    assert [int.from_bytes(one[10:14], "big") for one in came] == list(range(8))
    assert {one[:10] + one[14:] for one in came} == {frame[:10] + frame[14:]}
