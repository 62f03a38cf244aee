"""Every protocol machine against everything a client can say: nothing fails, nothing grows."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from darkflow.honeypot.protocols.protocol import REPLY_LIMIT, TEXT_LIMIT, Protocol, Reply
from darkflow.honeypot.protocols.table import BUILT_IN
from talks import CONTEXT, TALKS, answers

# The largest single message that a machine waits for, and what one read may add to it.
STATE_LIMIT = 40 << 10

KINDS = pytest.mark.parametrize("kind", BUILT_IN, ids=lambda kind: kind.name)


def held(machine: Protocol) -> int:
    """Bytes that a machine keeps in its buffers."""
    values = vars(machine).values()
    return sum(len(value) for value in values if isinstance(value, bytes | bytearray))


def check(machine: Protocol, replies: Sequence[Reply], said: int) -> None:
    """What must hold of a machine whatever it was told."""
    for reply in replies:
        assert isinstance(reply, Reply)
        assert isinstance(reply.data, bytes)
        assert not (reply.close and reply.tls)
        # A reply's overshoot is at most one answer.
        assert len(reply.data) < 2 * REPLY_LIMIT + 2048
    assert held(machine) < min(said, STATE_LIMIT) + 1024
    encoded = json.dumps(machine.fields)
    assert encoded.isascii()
    for value in machine.fields.values():
        texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        for words in texts:
            for word in [words] if isinstance(words, str) else words:
                assert len(word) <= TEXT_LIMIT
                assert word.isprintable()


def mutated(draw: st.DrawFn, messages: list[bytes]) -> list[bytes]:
    """A usual talk with some bytes changed, taken out or put in, and cut in other places."""
    data = bytearray(b"".join(messages))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        what = draw(st.binary(max_size=6) | st.sampled_from([b"\r\n", b"\0", b"\xff\xff\xff\xff"]))
        data[at : at + draw(st.integers(0, 8))] = what
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=6)))
    ends = [*cuts, len(data)]
    return [bytes(data[a:b]) for a, b in zip([0, *cuts], ends, strict=True) if b > a]


@st.composite
def talks(draw: st.DrawFn, kind: type[Protocol]) -> list[bytes]:
    """What a client may say: junk, or nearly what is expected."""
    if draw(st.booleans()):
        return mutated(draw, TALKS[kind])
    return draw(st.lists(st.binary(min_size=1, max_size=200), max_size=5))


@KINDS
def test_nothing_makes_a_machine_fail(kind: type[Protocol]) -> None:
    @settings(max_examples=150, deadline=None)
    @given(st.data(), st.booleans())
    def run(data: st.DataObject, tls: bool) -> None:
        machine = kind(CONTEXT._replace(tls=tls))
        messages = data.draw(talks(kind))
        machine.greeting()
        replies = []
        for message in messages:
            replies.append(machine.received(message))
            if replies[-1].close:
                break
        check(machine, replies, sum(map(len, messages)))

    run()


@KINDS
@pytest.mark.parametrize("unit", [b"\0", b"\xff", b"a", b"\n", b"\r\n\r\n", b"*1\r\n", b"a b\n"])
def test_much_of_one_thing_stays_bounded(kind: type[Protocol], unit: bytes) -> None:
    machine = kind(CONTEXT)
    chunk = unit * (16384 // len(unit))
    said = 0
    for _ in range(30):
        said += len(chunk)
        reply = machine.received(chunk)
        check(machine, [reply], said)
        if reply.close:
            break


@KINDS
def test_a_usual_beginning_and_then_no_end_stays_bounded(kind: type[Protocol]) -> None:
    """Whatever a length in there says, and however long what follows is."""

    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        usual = b"".join(TALKS[kind])[:400]
        begin = usual[: data.draw(st.integers(0, len(usual)))] + data.draw(st.binary(max_size=5))
        unit = data.draw(st.sampled_from([b"\0", b"\xff", b"a", b"\x01", b"a: b\r\n"]))
        machine = kind(CONTEXT._replace(tls=False))
        said = 0
        for chunk in (begin, *[unit * (16_384 // len(unit))] * 6):
            said += len(chunk)
            reply = machine.received(chunk) if chunk else Reply()
            check(machine, [reply], said)
            if reply.close:
                return

    run()


@KINDS
def test_the_usual_talk_over_and_over_stays_bounded(kind: type[Protocol]) -> None:
    data = b"".join(TALKS[kind])
    machine = kind(CONTEXT)
    for _ in range(200):
        reply = machine.received(data * (1 + 8192 // len(data)))
        check(machine, [reply], 1 << 20)
        if reply.close:
            break


@KINDS
@pytest.mark.parametrize("tls", [True, False])
def test_where_a_talk_is_cut_does_not_matter(kind: type[Protocol], tls: bool) -> None:
    """Byte by byte the same is said as message by message."""
    context = CONTEXT._replace(tls=tls)
    for messages in (TALKS[kind], [b"".join(TALKS[kind])[:300]]):
        whole, parts = kind(context), kind(context)
        replies = answers(whole, messages)
        heard = b"".join(messages[: len(replies)])
        pieces = answers(parts, [heard[at : at + 1] for at in range(len(heard))])
        assert b"".join(reply.data for reply in pieces) == b"".join(reply.data for reply in replies)
        assert pieces[-1].close == replies[-1].close
        assert pieces[-1].tls == replies[-1].tls
        assert parts.fields == whole.fields


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600))
@example(b"")
@example(b"\x05\x00")
@example(b"\x05\xff" + bytes(255))
@example(b"\xff\xfb")
def test_nothing_makes_recognition_fail(first: bytes) -> None:
    for kind in BUILT_IN:
        assert kind.recognises(first) in (True, False)


@KINDS
def test_machines_share_nothing(kind: type[Protocol]) -> None:
    one, other = kind(CONTEXT), kind(CONTEXT)
    answers(one, TALKS[kind])
    assert other.fields == {}
    assert vars(other).keys() == vars(one).keys()


@KINDS
def test_a_greeting_is_short_and_the_same_each_time(kind: type[Protocol]) -> None:
    greeting = kind(CONTEXT).greeting()
    assert greeting == kind(CONTEXT).greeting()
    assert len(greeting) < 512


# What costs the most in each machine that searches, by the length it has grown to.
WORST = {
    "sip": lambda size: b"A b SIP/2.0\r\nAuthorization: Digest " + b"a" * size + b"\r\n\r\n",
    "sip, quotes": lambda size: (
        b"A b SIP/2.0\r\nAuthorization: Digest " + b'a="' * (size // 3) + b"\r\n\r\n"
    ),
    "rtsp": lambda size: (
        b"A b RTSP/1.0\r\nAuthorization: Digest " + b"a_" * (size // 2) + b"\r\n\r\n"
    ),
    "imap": lambda size: (b'a LOGIN "' + b'\\"' * 1000 + b"\r\n") * (size // 2010),
    "imap, words": lambda size: (b"a LOGIN " + b"a " * 1000 + b"\r\n") * (size // 2010),
    "http": lambda size: b"GET / HTTP/1.1\r\n" + b"\r" * size,
    "redis": lambda size: b"*64\r\n" + b"$1\r\na\r\n" * (size // 7),
    "rdp": lambda size: b"\x03\x00\x1f\xff\x00\xe0" + b"Cookie: " * (size // 8),
    "telnet": lambda size: b"\xff\xfa" + b"a" * size,
    "mqtt": lambda size: b"\x10\x0c\x00\x04MQTT\x04\x00\x00\x00" + b"\xc0\x00" * (size // 2),
}
BY_NAME = {kind.name: kind for kind in BUILT_IN}


def cpu_s(kind: type[Protocol], pieces: Sequence[bytes], tries: int = 1) -> float:
    """CPU time that a machine takes for these, the least of some tries."""
    found = []
    for _ in range(tries):
        machine = kind(CONTEXT)
        began_s = time.thread_time()
        for piece in pieces:
            if machine.received(piece).close:
                break
        found.append(time.thread_time() - began_s)
    return min(found)


@pytest.mark.parametrize("what", WORST)
def test_no_request_stalls_the_others(what: str) -> None:
    """Twice the bytes take twice the time, however they were chosen; not four times."""
    kind = BY_NAME[what.partition(",")[0]]
    half, whole = (cpu_s(kind, [WORST[what](size)], 9) for size in (8_000, 16_000))
    assert whole < 0.05, f"{whole} s for 16 KB"
    assert whole < 3 * half or whole < 0.002


@KINDS
@pytest.mark.parametrize("unit", [b"a", b"a: b\r\n"])
def test_bytes_that_come_one_by_one_stall_nobody(kind: type[Protocol], unit: bytes) -> None:
    """What grows is not searched or copied from its beginning each time."""
    begin = b"".join(TALKS[kind])[:40].rstrip(b"\r\n")
    if kind.name == "redis":
        begin = b"*64\r\n" + b"$1\r\na\r\n" * 60 + b"$9000\r\n"
    data = begin + unit * (8000 // len(unit))
    whole = cpu_s(kind, [data[at : at + 1] for at in range(len(data))])
    assert whole < 0.25, f"{whole} s for {len(data)} segments"
