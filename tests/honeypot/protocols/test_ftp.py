"""FTP: anonymous is let into nothing, and no transfer is ever begun."""

from __future__ import annotations

from darkflow.honeypot.protocols.ftp import LOGIN_TRIES, Ftp
from talks import CONTEXT, answers, learnt, said


def codes(*messages: bytes) -> list[int]:
    """The answers' numbers."""
    return [int(reply[:3]) for reply in said(Ftp, *messages)]


def test_logins() -> None:
    assert codes(b"USER root\r\n", b"PASS x\r\n", b"PWD\r\n", b"QUIT\r\n") == [331, 530, 530, 221]
    inside = (b"PWD\r\n", b"TYPE I\r\n", b"CWD /pub\r\n", b"NONE\r\n")
    assert codes(b"USER ftp\r\n", b"PASS a@b\r\n", *inside) == [331, 230, 257, 200, 250, 500]
    assert len(answers(Ftp(CONTEXT), [b"PASS x\r\n"] * 99)) == LOGIN_TRIES
    assert learnt(Ftp)["logins"] == [["root", "secret"], ["anonymous", "guest@"]]


def test_passwords_are_in_the_logins_alone() -> None:
    commands = learnt(Ftp)["commands"]
    assert isinstance(commands, list)
    assert commands[:3] == ["USER root", "PASS", "SYST"]


def test_no_way_of_moving_a_file_works() -> None:
    ways = (b"PORT 192,0,2,1,0,22\r\n", b"EPRT |1|192.0.2.1|22|\r\n", b"PASV\r\n", b"EPSV\r\n",
            b"LIST\r\n", b"RETR x\r\n", b"STOR x\r\n")  # fmt: skip
    for code in codes(b"USER ftp\r\n", b"PASS a\r\n", *ways)[2:]:
        assert code >= 400


def test_tls() -> None:
    assert Ftp(CONTEXT).received(b"AUTH TLS\r\n").tls
    assert not Ftp(CONTEXT).received(b"AUTH GSSAPI\r\n").tls
    assert not Ftp(CONTEXT._replace(tls=False)).received(b"AUTH TLS\r\n").tls


def test_banner() -> None:
    assert Ftp(CONTEXT).greeting() == b"220 (vsFTPd 3.0.3) darkmark\r\n"
