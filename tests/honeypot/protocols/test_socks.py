"""SOCKS: a proxy that says yes."""

from __future__ import annotations

import pytest

from darkflow.honeypot.protocols.protocol import Reply
from darkflow.honeypot.protocols.socks import NAME_LIMIT, Socks
from talks import CONTEXT, answers, learnt, said

GRANTED5 = b"\x05\x00\x00\x01" + bytes(6)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (b"\x01\xc0\x00\x02\x07", "192.0.2.7"),
        (b"\x03\x07a.b.com", "a.b.com"),
        (b"\x04" + b"\x20\x01\x0d\xb8" + bytes(11) + b"\x01", "2001:db8::1"),
    ],
)
def test_socks5_without_login(address: bytes, shown: str) -> None:
    machine = Socks(CONTEXT)
    replies = answers(machine, [b"\x05\x01\x00", b"\x05\x01\x00" + address + b"\x00\x50", b"GET /"])
    assert [reply.data for reply in replies] == [b"\x05\x00", GRANTED5, b""]
    assert machine.fields == {"version": 5, "to": shown, "to_port": 80}


def test_socks5_with_login_in_one_go() -> None:
    assert learnt(Socks)["logins"] == [["root", "secret"]]
    whole = b"\x05\x01\x02\x01\x01a\x01b\x05\x01\x00\x01\x01\x02\x03\x04\x00\x50"
    assert said(Socks, whole) == [b"\x05\x02\x01\x00" + GRANTED5]
    assert Socks(CONTEXT).received(b"\x05\x01\x05") == Reply(b"\x05\xff", close=True)


def test_socks4_with_and_without_a_name() -> None:
    machine = Socks(CONTEXT)
    assert machine.received(b"\x04\x01\x00\x19\xc0\x00\x02\x01me\0").data == b"\x00\x5a" + bytes(6)
    assert machine.fields == {"version": 4, "user": "me", "to": "192.0.2.1", "to_port": 25}
    machine = Socks(CONTEXT)
    assert machine.received(b"\x04\x01\x00\x19\x00\x00\x00\x01\0mail.") == Reply()
    assert machine.received(b"example\0").data
    assert machine.fields["to"] == "mail.example"


def test_limits_and_junk() -> None:
    assert Socks(CONTEXT).received(b"GET /").close
    assert Socks(CONTEXT).received(b"\x04\x01\x00\x19\xc0\x00\x02\x01" + b"x" * NAME_LIMIT).close
    assert answers(Socks(CONTEXT), [b"\x05\x01\x00", b"\x05\x01\x00\x09\0\0"])[-1].close
    assert answers(Socks(CONTEXT), [b"\x05\x01\x00", b"\x06\x01\x00\x01\0\0"])[-1].close


def test_recognition() -> None:
    assert Socks.recognises(b"\x05\x01\x00")
    assert Socks.recognises(b"\x05\x02\x00\x02")
    assert not Socks.recognises(b"\x05\x01\x00\x01")
    assert not Socks.recognises(b"\x05\x01\x30")
    assert Socks.recognises(b"\x04\x01\x00\x50\x01\x02\x03\x04\x00")
    assert not Socks.recognises(b"\x04\x01\x00\x50\x01\x02\x03\x04x")
