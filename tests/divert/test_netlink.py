"""Netfilter's messages: what is written is what is read, and broken ones end the reading."""

from __future__ import annotations

import errno
import os
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkflow.divert import netlink
from darkflow.divert.netlink import attribute, attributes, message, messages, status


@given(st.dictionaries(st.integers(1, 200), st.binary(max_size=40)))
def test_attributes_are_read_as_written(told: dict[int, bytes]) -> None:
    data = b"".join(attribute(kind, value) for kind, value in told.items())
    assert len(data) % 4 == 0
    assert attributes(data) == told


def test_nested_and_padded() -> None:
    inner = attribute(1, b"abc")
    assert inner == b"\x07\x00\x01\x00abc\x00"
    assert attributes(attribute(3 | netlink.NESTED, inner)) == {3: inner}


@given(st.binary(max_size=80))
def test_anything_can_be_read(data: bytes) -> None:
    for value in attributes(data).values():
        assert len(value) <= len(data)
    for _, _, body in messages(data):
        assert len(body) <= len(data)


def test_messages_follow_each_other_until_one_is_broken() -> None:
    data = message(5, 1, 77, 2, b"") + message(6, 1, 78, 2, b"abcd")
    assert [(kind, number) for kind, number, _ in messages(data)] == [(5, 77), (6, 78)]
    assert [body[4:] for _, _, body in messages(data)] == [b"", b"abcd"]
    assert [number for _, number, _ in messages(data[:-1])] == [77]
    assert list(messages(struct.pack("=IHHII", 8, 5, 0, 1, 0))) == []


def test_a_transaction_s_ends_name_the_subsystem() -> None:
    (kind, number, body), *_ = messages(netlink.batch(16, 9))
    assert (kind, number) == (16, 9)
    assert struct.unpack("!BBH", body) == (0, 0, 10)


def test_errors() -> None:
    assert status(struct.pack("=i", -errno.ENFILE)) == errno.ENFILE
    assert status(bytes(4)) == 0
    refused = netlink.failure(errno.EPERM, "no")
    assert isinstance(refused, PermissionError)
    assert "run as root, or with CAP_NET_ADMIN" in str(refused)
    assert netlink.failure(errno.EBUSY, "no").errno == errno.EBUSY


def test_the_kernel_answers_what_it_is_asked() -> None:
    """Everybody may ask for the generation of the ruleset; nobody has told a table `nowhere`."""
    with netlink.opened(1 << 16) as made:
        ask = message(10 << 8 | 16, netlink.REQUEST | netlink.ACK, 5, 0, b"")
        came = list(netlink.asked(made, ask, 5, 5))
        if os.geteuid() != 0 and came[-1][0] == netlink.ERROR and status(came[-1][2]):
            assert status(came[-1][2]) == errno.EPERM
            return
        assert [kind for kind, _, _ in came] == [10 << 8 | 15, netlink.ERROR]
        # What is left of an older request is passed over.
        made.send(message(10 << 8 | 16, netlink.REQUEST | netlink.ACK, 6, 0, b""))
        again = list(netlink.asked(made, ask.replace(b"\5\0\0\0", b"\7\0\0\0"), 7, 7))
        assert {number for _, number, _ in again} == {7}


def test_buffers_without_privileges(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel then gives what everybody may have."""
    plain = socket.socket.setsockopt

    class Plain(socket.socket):
        def setsockopt(self, level: int, name: int, value: int) -> None:  # type: ignore[override]
            if name in (netlink.SO_SNDBUFFORCE, netlink.SO_RCVBUFFORCE):
                raise PermissionError
            plain(self, level, name, value)

    monkeypatch.setattr(socket, "socket", Plain)
    with netlink.opened(1 << 14) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 1 << 14
