"""HTTP: the page, what is not there, bodies, junk."""

from __future__ import annotations

import pytest

from darkflow.honeypot.protocols.http import HEAD_LIMIT, REQUEST_LIMIT, Http
from talks import CONTEXT, TALKS, answers, learnt, said


def status(reply: bytes) -> int:
    """Of the first answer in there."""
    assert reply.startswith(b"HTTP/1.1 ")
    return int(reply.split()[1])


def test_a_browser_gets_a_page_that_is_ours() -> None:
    (reply,) = said(Http, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    head, _, body = reply.partition(b"\r\n\r\n")
    assert status(reply) == 200
    assert b"Content-Length: %d\r\n" % len(body) in head
    assert b"Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n" in head
    assert b"Connection: keep-alive\r\n" in head
    assert b"<h1>It works!</h1>" in body
    assert b"darkmark" in body
    (reply,) = said(Http, b"GET / HTTP/1.1\r\n\r\n", context=CONTEXT._replace(marker=""))
    assert b"<!--" not in reply


@pytest.mark.parametrize(
    ("request_line", "expected"),
    [
        (b"GET /index.html?x=1 HTTP/1.1", 200),
        (b"GET http://example.com/ HTTP/1.1", 200),
        (b"GET /wp-login.php HTTP/1.1", 404),
        (b"POST /anything HTTP/1.1", 200),
        (b"OPTIONS * HTTP/1.1", 200),
        (b"PUT /x HTTP/1.1", 405),
        (b"CONNECT example.com:443 HTTP/1.1", 405),
        (b"BREW / HTTP/1.1", 501),
        (b"GET HTTP/1.1", 404),
        (b"GET / HTTP/2.0", 400),
        (b"\x00\x01\x02", 400),
    ],
)
def test_status(request_line: bytes, expected: int) -> None:
    (reply,) = said(Http, request_line + b"\r\nHost: a\r\n\r\n")
    assert status(reply) == expected


def test_head_has_the_length_of_the_page_and_no_page() -> None:
    (page,) = said(Http, b"GET / HTTP/1.1\r\n\r\n")
    (head,) = said(Http, b"HEAD / HTTP/1.1\r\n\r\n")
    assert head == page.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def test_old_clients_are_closed_and_new_ones_kept() -> None:
    for request, close in (
        (b"GET / HTTP/1.0\r\n\r\n", True),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", True),
        (b"GET /\r\n", True),
    ):
        reply = Http(CONTEXT).received(request)
        assert reply.close is close, request
        assert (b"Connection: close" in reply.data) is close


def test_the_answer_waits_for_the_body() -> None:
    machine = Http(CONTEXT)
    assert machine.received(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab").data == b""
    assert machine.received(b"cd").data == b""
    reply = machine.received(b"eGET /two HTTP/1.1\r\n\r\n")
    assert [status(b"HTTP/1.1 " + part) for part in reply.data.split(b"HTTP/1.1 ")[1:]] == [
        200,
        404,
    ]
    assert machine.fields["more_paths"] == ["/two"]


def test_a_client_that_asks_whether_to_go_on_is_told_so() -> None:
    machine = Http(CONTEXT)
    reply = machine.received(
        b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"
    )
    assert reply.data == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert status(machine.received(b"x").data) == 200


def test_what_is_learnt() -> None:
    assert learnt(Http) == {
        "method": "POST",
        "path": "/login",
        "version": "HTTP/1.1",
        "host": "example.net",
        "user_agent": "curl/8",
        "user": "root",
        "password": "secret",
        "logins": [["root", "secret"]],
        "requests": 3,
        "more_paths": ["/", "/none"],
    }


def test_limits() -> None:
    machine = Http(CONTEXT)
    assert machine.received(b"GET / HTTP/1.1\r\nX: " + b"x" * HEAD_LIMIT).close
    assert Http(CONTEXT).received(b"x" * (HEAD_LIMIT + 1)).close
    replies = answers(Http(CONTEXT), [b"GET / HTTP/1.1\r\n\r\n"] * 100)
    assert len(replies) == REQUEST_LIMIT
    assert replies[-1].close
    # A length that is none, or absurd, does not make us wait.
    for length in (b"-1", b"x", b"99999999999999999999", "٣".encode()):
        request = b"POST / HTTP/1.1\r\nContent-Length: " + length + b"\r\n\r\n"
        assert status(Http(CONTEXT).received(request).data) == 200


@pytest.mark.parametrize(
    "first",
    [TALKS[Http][0][:30], b"GET / HT", b"CONNECT a:1 HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nSM",
     b"GET http://x/", b"SUBSCRIBE x HTTP/1.1\r\n"],
)  # fmt: skip
def test_recognised(first: bytes) -> None:
    assert Http.recognises(first)


@pytest.mark.parametrize(
    "first", [b"GET a\r\n", b"get / HTTP/1.1", b"HELP\r\n", b"OPTIONS sip:x SIP/2.0", b"\x16\x03"]
)
def test_not_recognised(first: bytes) -> None:
    assert not Http.recognises(first)
