"""VNC: three versions of asking for a password."""

from __future__ import annotations

from darkflow.honeypot.protocols.protocol import Reply
from darkflow.honeypot.protocols.vnc import Vnc
from talks import CONTEXT, NONCE, answers, learnt, said

RESPONSE = bytes(range(16))


def test_the_three_versions() -> None:
    assert said(Vnc, b"RFB 003.003\n", RESPONSE) == [b"\0\0\0\x02" + NONCE[:16], b"\0\0\0\x01"]
    assert said(Vnc, b"RFB 003.007\n", b"\x02", RESPONSE)[2] == b"\0\0\0\x01"
    assert said(Vnc, b"RFB 003.008\n", b"\x02", RESPONSE)[2] == (
        b"\0\0\0\x01\0\0\0\x15Authentication failed"
    )
    # 7.1.1: a number that is none of these is taken as 3.
    assert said(Vnc, b"RFB 003.889\n")[0][:4] == b"\0\0\0\x02"


def test_what_is_learnt() -> None:
    assert learnt(Vnc) == {
        "client": "RFB 003.008",
        "challenge": NONCE[:16].hex(),
        "response": RESPONSE.hex(),
    }


def test_it_may_come_in_parts() -> None:
    replies = answers(Vnc(CONTEXT), [b"RFB 0", b"03.008\n", b"\x02", RESPONSE[:7], RESPONSE[7:]])
    assert [bool(reply.data) for reply in replies] == [False, True, True, False, True]


def test_other_wishes_end_it() -> None:
    assert answers(Vnc(CONTEXT), [b"RFB 003.008\n", b"\x01"])[-1] == Reply(close=True)
    assert Vnc(CONTEXT).received(b"GET / HTTP/1.0\r\n") == Reply(close=True)
    assert Vnc(CONTEXT).greeting() == b"RFB 003.008\n"
    assert Vnc.recognises(b"RFB 003.003\n")
    assert not Vnc.recognises(b"RFC")
