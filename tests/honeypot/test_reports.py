"""Reports: writing without waiting, reading without trust."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkflow.honeypot.reports import (
    BUFFER_BYTES,
    LINE_LIMIT,
    Report,
    Reports,
    State,
    encode,
    read,
)

CONNECTION: dict[str, Any] = {
    "type": "connection", "orig_addr": "198.51.100.7", "orig_port": 40000,
    "resp_addr": "203.0.113.9", "resp_port": 80, "began_ns": 1, "ended_ns": 2, "service": "http",
    "end": "client", "bytes_in": 3, "bytes_out": 4, "payload": "R0VU", "sha256": "ab" * 32,
    "decrypted": "", "fields": {"http": {"path": "/"}},
}  # fmt: skip


def test_there_and_back() -> None:
    line = encode(CONNECTION)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert read(line) == Report(
        (b"\xc6\x33\x64\x07", 40000, b"\xcb\x00\x71\x09", 80), 1, 2, "http", "client", 3, 4, b"GET",
        "ab" * 32, b"", {"http": {"path": "/"}},
    )  # fmt: skip
    six = read(encode({**CONNECTION, "orig_addr": "2001:db8::1", "resp_addr": "2001:db8::2"}))
    assert isinstance(six, Report)
    assert len(six.flow[0]) == len(six.flow[2]) == 16
    none = read(encode({**CONNECTION, "service": None}))
    assert isinstance(none, Report)
    assert none.service == ""
    state = State(1, 2, 3, 4, 5, 6, 7)
    assert read(encode({"type": "state", **state._asdict()})) == state


def test_a_line_is_ascii_and_bounded_whatever_is_in_it() -> None:
    assert encode({**CONNECTION, "fields": {"x": {"y": "\u2028\ud800é\x00"}}}).isascii()
    for fields in ({"x": {"y": "z" * LINE_LIMIT}}, {"x": {"y": object()}}):
        line = encode({**CONNECTION, "fields": fields})
        assert json.loads(line)["fields"] == {}
        assert json.loads(line)["fields_dropped"] is True
        assert isinstance(read(line), Report)


@pytest.mark.parametrize(
    "change",
    [
        {"type": "else"}, {"orig_addr": "x"}, {"orig_addr": "::1"}, {"orig_addr": 5},
        {"orig_port": 65536}, {"orig_port": -1}, {"orig_port": "80"}, {"orig_port": True},
        {"resp_port": None}, {"began_ns": 1 << 63}, {"end": "never"}, {"payload": "%"},
        {"payload": 7}, {"fields": []}, {"fields": {"http": 1}}, {"bytes_in": 1.5},
        {"decrypted": None},
    ],
)  # fmt: skip
def test_what_is_no_report_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        read(json.dumps({**CONNECTION, **change}).encode())


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[]", b"1", b"x", b"\xff", b'{"type":"state"}', b"[" * 100_000,
             b'{"type":"state","open":1}', b"x" * (LINE_LIMIT + 2)]
)  # fmt: skip
def test_junk_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):
        read(line)


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*CONNECTION, "x"]), inner),
))  # fmt: skip
def test_no_document_makes_the_reader_fail(value: Any) -> None:
    document = {**CONNECTION, **value} if isinstance(value, dict) else value
    with contextlib.suppress(ValueError):
        assert isinstance(read(json.dumps(document).encode()), Report | State)


# ---- writing --------------------------------------------------------------------------------


def pair(kind: socket.SocketKind) -> tuple[socket.socket, Reports]:
    """Our end, and reports into the other."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    ours.settimeout(5)
    reports = Reports(str(os.dup(theirs.fileno())))
    theirs.close()
    return ours, reports


@pytest.mark.parametrize("kind", [socket.SOCK_SEQPACKET, socket.SOCK_DGRAM])
def test_each_line_is_a_message(kind: socket.SocketKind) -> None:
    ours, reports = pair(kind)
    reports.write(b"one\n")
    reports.write(b"two\n")
    assert ours.recv(100) == b"one\n"
    assert ours.recv(100) == b"two\n"
    assert not reports.is_waiting


@pytest.mark.parametrize("kind", [socket.SOCK_SEQPACKET, socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_lines_wait_for_a_slow_reader_in_order_and_whole(kind: socket.SocketKind) -> None:
    ours, reports = pair(kind)
    # Larger than what a stream takes in one piece.
    lines = [b"%06d" % number * 15_000 + b"\n" for number in range(60)]
    for line in lines:
        reports.write(line)
    assert reports.is_waiting
    assert reports.dropped == 0
    heard = b""
    while len(heard) < len(b"".join(lines)):
        heard += ours.recv(1 << 17)
        reports.flush()
    assert heard == b"".join(lines)
    assert not reports.is_waiting


def test_what_finds_no_room_is_counted() -> None:
    ours, reports = pair(socket.SOCK_SEQPACKET)
    line = b"x" * 100_000
    for _ in range(200):
        reports.write(line)
    assert reports.dropped > 200 - BUFFER_BYTES // len(line) - 10
    held = 200 - reports.dropped
    for _ in range(held):
        assert ours.recv(1 << 18) == line
        reports.flush()
    assert not reports.is_waiting
    reports.write(b"again")
    assert ours.recv(100) == b"again"


@pytest.mark.parametrize("kind", [socket.SOCK_SEQPACKET, socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_reader_that_has_gone_is_noticed(kind: socket.SocketKind) -> None:
    ours, reports = pair(kind)
    ours.close()
    reports.write(b"x")
    assert reports.is_over
    reports.write(b"y")
    assert reports.dropped == 2
    assert not reports.is_waiting


@pytest.mark.parametrize("kind", [socket.SOCK_SEQPACKET, socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_socket_with_a_name(tmp_path: Path, kind: socket.SocketKind) -> None:
    ours = socket.socket(socket.AF_UNIX, kind)
    ours.settimeout(5)
    ours.bind(str(tmp_path / "s"))
    if kind != socket.SOCK_DGRAM:
        ours.listen()
    reports = Reports(str(tmp_path / "s"))
    reports.write(b"line\n")
    end = ours if kind == socket.SOCK_DGRAM else ours.accept()[0]
    assert end.recv(100) == b"line\n"
    assert reports.fileno >= 0


def test_files_and_pipes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        reports = Reports(str(os.dup(file.fileno())))
        reports.write(b"line\n")
    assert path.read_bytes() == b"line\n"
    ours, theirs = os.pipe()
    reports = Reports(str(theirs))
    lines = [b"%06d" % number * 5000 + b"\n" for number in range(20)]
    for line in lines:
        reports.write(line)
    assert reports.is_waiting
    heard = b""
    while len(heard) < len(b"".join(lines)):
        heard += os.read(ours, 1 << 16)
        reports.flush()
    assert heard == b"".join(lines)
    os.close(ours)


def test_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        Reports(str(tmp_path / "none"))
    with pytest.raises(OSError):
        Reports("987654")
