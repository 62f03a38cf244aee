"""Telnet: negotiation is passed over, users and passwords are noted."""

from __future__ import annotations

import pytest

from darkflow.honeypot.protocols.protocol import LINE_LIMIT
from darkflow.honeypot.protocols.telnet import LOGIN_TRIES, Telnet
from talks import CONTEXT, TALKS, answers, learnt, said


def test_three_logins_and_the_end() -> None:
    assert learnt(Telnet)["logins"] == [
        ["root", "xc3511"],
        ["admin", "ad\\xffmin"],
        ["enable", "system"],
    ]
    replies = answers(Telnet(CONTEXT), TALKS[Telnet])
    assert replies[-1].close
    assert replies[-1].data.endswith(b"\r\nLogin incorrect\r\n")
    assert len(answers(Telnet(CONTEXT), [b"a\r\nb\r\n"] * 9)) == LOGIN_TRIES


def test_the_user_is_echoed_and_the_password_is_not() -> None:
    out = b"".join(said(Telnet, b"ro", b"ot\r\n", b"secret\r\n"))
    assert out == b"root\r\nPassword: \r\nLogin incorrect\r\nsrv-0001 login: "
    assert said(Telnet, b"\r\n") == [b"\r\nsrv-0001 login: "]


@pytest.mark.parametrize("end", [b"\r\n", b"\r\0", b"\n", b"\r"])
def test_all_ends_of_lines(end: bytes) -> None:
    machine = Telnet(CONTEXT)
    answers(machine, [b"root" + end + b"toor" + end])
    assert machine.fields["logins"] == [["root", "toor"]]


def test_negotiation_says_nothing() -> None:
    machine = Telnet(CONTEXT)
    assert (
        machine.received(b"\xff\xfb\x1f\xff\xfa\x18\x00xterm\xff\xff\r\n\xff\xf0\xff\xf1").data
        == b""
    )
    assert machine.received(b"a\xff\xffb").data == b"a\xffb"
    # Option negotiation that never ends is not kept.
    assert machine.received(b"\xff\xfa" + b"x" * 100_000).data == b""


def test_an_endless_line_ends_the_talk() -> None:
    assert Telnet(CONTEXT).received(b"x" * (LINE_LIMIT + 1)).close


def test_greeting_and_recognition() -> None:
    greeting = Telnet(CONTEXT).greeting()
    assert greeting.startswith(b"\xff\xfd\x01\xff\xfd\x1f\xff\xfb\x01\xff\xfb\x03Debian")
    assert b"darkmark" in greeting
    assert greeting.endswith(b"srv-0001 login: ")
    assert Telnet.recognises(b"\xff\xfb\x18")
    assert not Telnet.recognises(b"\xff\xffSMB")
