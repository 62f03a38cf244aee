"""SMB 1 and 2, message by message."""

from __future__ import annotations

import struct

from darkflow.honeypot.protocols import ntlm
from darkflow.honeypot.protocols.protocol import Reply
from darkflow.honeypot.protocols.smb import DENIED, FAILED, MORE, PACKET_LIMIT, SUCCESS, Smb
from talks import CONTEXT, TALKS, answers, learnt, ntlm_negotiate, said, smb1, smb2, smb2_setup


def status(reply: bytes) -> int:
    """Of an answer of either version."""
    assert len(reply) == 4 + int.from_bytes(reply[1:4], "big")
    at = 9 if reply[4:8] == b"\xffSMB" else 12
    return int(struct.unpack_from("<I", reply, at)[0])


def test_the_usual_talk() -> None:
    out = said(Smb, *TALKS[Smb])
    assert [status(reply) for reply in out] == [
        SUCCESS, FAILED, SUCCESS, SUCCESS, DENIED, SUCCESS, MORE, FAILED, DENIED,
    ]  # fmt: skip
    assert learnt(Smb) == {
        "version": 1, "dialects": ["NT LM 0.12", "0x0202", "0x0210"], "user": "root",
        "domain": "WORK", "system": "Unix", "trees": ["\\\\203.0.113.9\\IPC$"], "client": "KALI",
        "response": bytes(range(24)).hex(),
    }  # fmt: skip


def test_dialects_of_smb1() -> None:
    (reply,) = said(Smb, smb1(0x72, b"", b"\x02PC NETWORK PROGRAM 1.0\0\x02NT LM 0.12\0"))
    assert reply[4:9] == b"\xffSMBr"
    assert reply[36] == 17
    assert struct.unpack_from("<H", reply, 37)[0] == 1
    assert "WORKGROUP\0SRV-0001\0".encode("utf-16-le") in reply
    (reply,) = said(Smb, smb1(0x72, b"", b"\x02LANMAN1.0\0"))
    assert reply[36:39] == b"\x01\xff\xff"
    for name, dialect in ((b"SMB 2.002", 0x0202), (b"SMB 2.???", 0x02FF)):
        (reply,) = said(Smb, smb1(0x72, b"", b"\x02NT LM 0.12\0\x02" + name + b"\0"))
        assert reply[4:8] == b"\xfeSMB"
        assert struct.unpack_from("<H", reply, 72)[0] == dialect


def test_dialects_of_smb2() -> None:
    for asked, chosen in (
        ([0x0202, 0x0302], 0x0302),
        ([0x0311], 0x0202),
        ([0x0210, 0x0300, 0x0311], 0x0300),
    ):
        body = struct.pack("<HHHHI16sQ", 36, len(asked), 1, 0, 0, bytes(16), 0)
        (reply,) = said(Smb, smb2(0, 7, body + struct.pack(f"<{len(asked)}H", *asked)))
        assert struct.unpack_from("<H", reply, 72)[0] == chosen
        assert struct.unpack_from("<Q", reply, 28)[0] == 7
        at, length = struct.unpack_from("<HH", reply, 4 + 64 + 56)
        assert reply[4 + at : 4 + at + length] == ntlm.OFFER


def test_the_challenge_of_smb2_is_where_it_says() -> None:
    (reply,) = said(Smb, smb2_setup(1, ntlm_negotiate()))
    at, length = struct.unpack_from("<HH", reply, 4 + 64 + 4)
    assert ntlm.kind(reply[4 + at : 4 + at + length]) == ntlm.CHALLENGE
    assert 4 + at + length == len(reply)


def test_netbios() -> None:
    name = b"\x20" + b"C" * 32 + b"\0"
    request = b"\x81\0\0\x44" + name + name
    assert said(Smb, request) == [b"\x82\0\0\0"]
    (both,) = said(Smb, request + b"\x85\0\0\0" + smb1(0x25, b"", b""))
    assert both[:4] == b"\x82\0\0\0"
    assert status(both[4:]) == DENIED
    assert Smb.recognises(request)


def test_lengths_and_junk() -> None:
    message = smb1(0x72, b"", b"\x02NT LM 0.12\0")
    assert said(Smb, message[:20], message[20:]) == [b"", said(Smb, message)[0]]
    assert Smb(CONTEXT).received(b"GET / HTTP/1.1\r\n").close
    assert Smb(CONTEXT).received((PACKET_LIMIT + 1).to_bytes(4, "big")).close
    assert Smb(CONTEXT).received(b"\0\0\0\x04\xffSMB") == Reply(close=True)
    assert Smb(CONTEXT).received(b"\0\0\0\x08abcdefgh") == Reply(close=True)
    assert answers(Smb(CONTEXT), [message * 400])[-1].close
    # Counts that lead out of the message.
    for at in range(4, len(message)):
        Smb(CONTEXT).received(message[:at] + b"\xff" + message[at + 1 :])


def test_recognition() -> None:
    assert Smb.recognises(smb1(0x72, b"", b""))
    assert Smb.recognises(smb2(0, 0, b""))
    assert not Smb.recognises(b"\xffSMB")
