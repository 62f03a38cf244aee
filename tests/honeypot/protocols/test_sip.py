"""SIP and RTSP: options for everybody, a password for all else."""

from __future__ import annotations

from darkflow.honeypot.protocols.sip import COPIED_LIMIT, HEAD_LIMIT, REQUEST_LIMIT, Rtsp, Sip
from talks import CONTEXT, TALKS, answers, learnt, said


def test_sip_copies_what_it_must() -> None:
    options, register = said(Sip, *TALKS[Sip])
    assert options.startswith(b"SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP nm;branch=foo\r\n")
    for line in (b"From: <sip:nm@nm>;tag=root", b"Call-ID: 50000", b"CSeq: 42 OPTIONS"):
        assert line + b"\r\n" in options
    assert b"To: <sip:nm2@nm2>;tag=4041424344\r\n" in options
    assert b"Server: Asterisk PBX 18.10.0 darkmark\r\n" in options
    assert register.startswith(b"SIP/2.0 401 Unauthorized\r\n")
    assert b'WWW-Authenticate: Digest realm="asterisk", nonce="' in register
    assert learnt(Sip)["user_agent"] == "friendly-scanner"


def test_sip_logins_bodies_and_acknowledgements() -> None:
    machine = Sip(CONTEXT)
    login = b'Authorization: Digest username="100", realm="asterisk", response="abc"\r\n'
    message = (
        b"REGISTER sip:x SIP/2.0\r\n"
        + login
        + b"Content-Length: 4\r\n\r\nbodyACK x SIP/2.0\r\n\r\n"
    )
    assert machine.received(message).data.count(b"SIP/2.0 ") == 1
    assert machine.fields["logins"] == [["100", ""]]
    assert machine.fields["response"] == "abc"


def test_rtsp() -> None:
    options, describe = said(Rtsp, *TALKS[Rtsp])
    assert options.startswith(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: OPTIONS, DESCRIBE")
    head, _, challenge = describe.partition(b"WWW-Authenticate: ")
    assert head == b"RTSP/1.0 401 Unauthorized\r\nCSeq: 2\r\n"
    assert challenge == b'Basic realm="IP Camera darkmark"\r\n\r\n'
    assert learnt(Rtsp)["logins"] == [["root", "secret"]]


def test_limits() -> None:
    assert Sip(CONTEXT).received(b"x" * (HEAD_LIMIT + 1)).close
    assert len(answers(Rtsp(CONTEXT), [b"OPTIONS / RTSP/1.0\r\n\r\n"] * 999)) == REQUEST_LIMIT
    many = b"OPTIONS x SIP/2.0\r\n" + b"Via: aaaaaaaaaaaaaaaa\r\n" * 300 + b"\r\n"
    assert len(said(Sip, many)[0]) < 2 * COPIED_LIMIT
    assert (
        said(Rtsp, b"OPTIONS / RTSP/1.0\r\nCSeq: 1" + b"1" * 99 + b"\r\n\r\n")[0].count(b"CSeq: 0")
        == 1
    )
    assert said(Rtsp, b"\r\n\r\n\r\n") == [b""]


def test_recognition() -> None:
    assert Sip.recognises(b"INVITE sip:x SIP/2.0\r\n")
    assert not Sip.recognises(b"GET /SIP/2.0 HTTP/1.0\r\n")
    assert Rtsp.recognises(b"OPTIONS / RTSP/1.0\r\n\r\n")
    assert not Rtsp.recognises(b"OPTIONS / HTTP/1.0\r\n\r\n")
