"""POP3 and IMAP: every login is noted and fails."""

from __future__ import annotations

import pytest

from darkflow.honeypot.protocols.mailbox import LOGIN_TRIES, Imap, Pop3
from darkflow.honeypot.protocols.protocol import Protocol
from talks import CONTEXT, answers, learnt, said


def test_pop3() -> None:
    assert learnt(Pop3)["logins"] == [["root", "secret"], ["root", "secret"]]
    out = said(
        Pop3, b"CAPA\r\n", b"USER a\r\n", b"PASS b\r\n", b"AUTH\r\n", b"LIST\r\n", b"QUIT\r\n"
    )
    assert out[0].endswith(b"\r\nSTLS\r\n.\r\n")
    assert [reply[:4] for reply in out] == [b"+OK\r", b"+OK\r", b"-ERR", b"+OK\r", b"-ERR", b"+OK "]


def test_imap() -> None:
    assert learnt(Imap) == {
        "user": "root",
        "password": "se cret",
        "logins": [["root", "se cret"], ["root", "secret"]],
        "id": '("name" "x")',
    }
    out = said(
        Imap, b"a CAPABILITY\r\n", b"b LOGIN x y\r\n", b"c NOOP\r\n", b"d\r\n", b"e LOGOUT\r\n"
    )
    assert out[0].startswith(b"* CAPABILITY IMAP4rev1 ")
    assert out[0].endswith(b"\r\na OK Pre-login capabilities listed.\r\n")
    assert [reply.split()[1] for reply in out[1:]] == [b"NO", b"OK", b"BAD", b"BYE"]


def test_imap_takes_a_login_in_one_line_and_refuses_what_it_does_not_know() -> None:
    machine = Imap(CONTEXT)
    answers(machine, [b"a AUTHENTICATE PLAIN AHJvb3QAc2VjcmV0\r\n", b"b LOGIN\r\n"])
    assert machine.fields["logins"] == [["root", "secret"], ["", ""]]
    assert said(Imap, b"a AUTHENTICATE GSSAPI\r\n")[0].startswith(b"a NO [CANNOT]")


@pytest.mark.parametrize(
    ("kind", "command", "login"),
    [(Pop3, b"STLS\r\n", b"PASS x\r\n"), (Imap, b"a STARTTLS\r\n", b"a LOGIN x y\r\n")],
)
def test_tls_and_the_last_try(kind: type[Protocol], command: bytes, login: bytes) -> None:
    assert kind(CONTEXT).received(command).tls
    assert not kind(CONTEXT._replace(tls=False)).received(command).tls
    assert len(answers(kind(CONTEXT), [login] * 99)) == LOGIN_TRIES


def test_banners_and_recognition() -> None:
    assert Pop3(CONTEXT).greeting() == b"+OK Dovecot (Debian) ready. darkmark\r\n"
    assert Imap(CONTEXT).greeting().startswith(b"* OK [CAPABILITY IMAP4rev1 ")
    assert Pop3.recognises(b"CAPA\r\n")
    assert not Pop3.recognises(b"CAPABLE\r\n")
    assert Imap.recognises(b"a001 login root root\r\n")
    assert not Imap.recognises(b"please\r\nlogin now")
    assert Imap.recognises(b"x login")
