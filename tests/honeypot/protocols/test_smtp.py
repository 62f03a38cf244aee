"""SMTP: logins, a message, TLS, junk."""

from __future__ import annotations

from darkflow.honeypot.protocols.smtp import Smtp
from talks import CONTEXT, learnt, said


def test_a_message_is_taken() -> None:
    out = said(
        Smtp, b"HELO me\r\n", b"DATA\r\n", b"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n",
        b"a\r\n..\r\nQUIT\r\n.\r\n", b"DATA\r\n", b"QUIT\r\n",
    )  # fmt: skip
    assert [reply[:3] for reply in out] == [b"250", b"503", b"250", b"250", b"503", b"221"]
    assert out[2].endswith(b"354 End data with <CR><LF>.<CR><LF>\r\n")
    assert out[3].startswith(b"250 2.0.0 Ok: queued as ")


def test_what_is_learnt() -> None:
    assert learnt(Smtp) == {
        "helo": "client.example",
        "user": "root",
        "password": "secret",
        "logins": [["root", "secret"], ["root", "toor"]],
        "mail_from": "<a@example>",
        "rcpt_to": ["<b@example>"],
    }


def test_tls_is_offered_where_it_can_be_had() -> None:
    assert b"STARTTLS" in said(Smtp, b"EHLO me\r\n")[0]
    reply = Smtp(CONTEXT).received(b"STARTTLS\r\n")
    assert reply.data.startswith(b"220")
    assert reply.tls
    without = CONTEXT._replace(tls=False)
    assert b"STARTTLS" not in said(Smtp, b"EHLO me\r\n", context=without)[0]
    assert not Smtp(without).received(b"STARTTLS\r\n").tls


def test_odd_logins() -> None:
    out = said(
        Smtp, b"AUTH LOGIN cm9vdA==\r\n", b"*\r\n", b"AUTH PLAIN\r\n", b"?\r\n",
        b"AUTH CRAM-MD5\r\n", b"AUTH\r\n", b"nonsense\r\n", b"\r\n",
    )  # fmt: skip
    assert [reply[:3] for reply in out] == [
        b"334", b"501", b"334", b"535", b"535", b"535", b"502", b"502",
    ]  # fmt: skip


def test_banner_and_recognition() -> None:
    assert Smtp(CONTEXT).greeting() == b"220 srv-0001 ESMTP Postfix (Debian/GNU) darkmark\r\n"
    assert Smtp.recognises(b"ehlo x\r\n")
    assert Smtp.recognises(b"HELO x\r\n")
    assert not Smtp.recognises(b"HELP\r\n")
