"""The base of all machines: safe text, bounded notes, lines."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkflow.honeypot.protocols.protocol import (
    LINE_LIMIT,
    LIST_LIMIT,
    REPLY_LIMIT,
    TEXT_LIMIT,
    LineProtocol,
    Protocol,
    Reply,
    base64_parts,
    marked,
    text,
    word,
)
from talks import CONTEXT


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"root", "root"),
        ("Zürich", "Zürich"),
        ("Zürich".encode(), "Zürich"),
        (b"a\xff\xfeb", "a\\xff\\xfeb"),
        (b"a\0b\r\n\x1b[31m", "a\\x00b\\r\\n\\x1b[31m"),
        ("right\u202eleft", "right\\u202eleft"),
        ("\ud800", "\\ud800"),
        (b"a" * 999, "a" * TEXT_LIMIT),
        ("a" * 999, "a" * TEXT_LIMIT),
        (b"\0" * 999, ("\\x00" * 64)[:TEXT_LIMIT]),
    ],
)
def test_what_a_client_says_is_shown_without_its_effects(value: bytes | str, shown: str) -> None:
    assert text(value) == shown


@given(st.binary() | st.text(st.characters()))
def test_any_text_is_printable_and_short(value: bytes | str) -> None:
    shown = text(value)
    assert shown.isprintable()
    assert len(shown) <= TEXT_LIMIT
    json.dumps(shown).encode()


def test_notes_are_bounded_and_the_first_counts() -> None:
    machine = Protocol(CONTEXT)
    for number in range(100):
        machine.keep("name", f"n{number}")
        machine.add("words", b"w%d" % number)
        machine.tried(f"u{number}", b"p%d" % number)
    assert machine.fields["name"] == "n0"
    assert machine.fields["words"] == [f"w{number}" for number in range(LIST_LIMIT)]
    assert machine.fields["user"] == "u0"
    assert machine.fields["logins"] == [[f"u{number}", f"p{number}"] for number in range(8)]


def test_a_protocol_says_and_knows_nothing_by_itself() -> None:
    machine = Protocol(CONTEXT)
    assert machine.greeting() == b""
    assert machine.received(b"anything") == Reply()
    assert not Protocol.recognises(b"anything")
    assert machine.fields == {}


class Echo(LineProtocol):
    """Says each line in brackets."""

    too_long = b"too long"

    def line(self, line: bytes) -> Reply:
        """`end` and `tls` do as they say."""
        return Reply(b"[" + line + b"]", close=line == b"end", tls=line == b"tls")


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_lines_may_be_cut_anywhere_and_end_in_two_ways(size: int) -> None:
    data = b"one\r\ntwo\n\r\nthree\r"
    machine = Echo(CONTEXT)
    out = b"".join(machine.received(data[at : at + size]).data for at in range(0, len(data), size))
    assert out == b"[one][two][]"
    assert machine.received(b"\n").data == b"[three]"


def test_what_comes_behind_the_end_or_the_change_to_tls_is_dropped() -> None:
    assert Echo(CONTEXT).received(b"a\nend\nb\n") == Reply(b"[a][end]", close=True)
    machine = Echo(CONTEXT)
    assert machine.received(b"tls\nSECRET\n") == Reply(b"[tls]", tls=True)
    assert machine.received(b"x\n").data == b"[x]"


def test_a_line_without_an_end_ends_the_talk() -> None:
    machine = Echo(CONTEXT)
    assert machine.received(b"x" * LINE_LIMIT) == Reply()
    assert machine.received(b"x") == Reply(b"too long", close=True)
    # As long as its end comes, however late, it is as long as it may be.
    assert Echo(CONTEXT).received(b"x" * LINE_LIMIT + b"\n").close is False
    assert Echo(CONTEXT).received(b"x" * (LINE_LIMIT + 1) + b"\n").close


def test_babble_ends_the_talk() -> None:
    reply = Echo(CONTEXT).received(b"\n" * 16384)
    assert reply.close
    assert REPLY_LIMIT < len(reply.data) < REPLY_LIMIT + 100


def test_words_markers_and_sasl() -> None:
    assert word(b"  mail  from:<a> \r") == (b"MAIL", b"from:<a>")
    assert word(b"") == (b"", b"")
    assert marked("banner", CONTEXT) == b"banner darkmark"
    assert marked("banner", CONTEXT._replace(marker="")) == b"banner"
    assert base64_parts(b"AHJvb3QAc2VjcmV0\r\n") == [b"", b"root", b"secret"]
    assert base64_parts(b"A") == []
    assert base64_parts(b"\xff") == [b""]
