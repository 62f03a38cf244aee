"""Sessions and what their service says of them, in whatever order they come."""

from __future__ import annotations

from typing import Any

import pytest

from darkflow.commands import joiner as module
from darkflow.commands.joiner import Joiner
from darkflow.flow.batch import Frames
from darkflow.honeypot.sessions import Session, Tracker
from writers import ACK, RST, SYN, SYN_ACK, Flow, Tcp

MAC, HOST = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
SAID: dict[str, Any] = {"protocol": "http", "fields": {}, "decrypted": b""}


def ended(port: int, handshake: bool = True) -> Session:
    """A session that has ended, with its handshake or without."""
    line = Flow("198.51.100.1", port, "192.0.2.1", 80)
    flow = (b"\xc6\x33\x64\x01", port, b"\xc0\0\2\1", 80)
    tracker = Tracker(MAC, 60_000_000_000)
    tracker.begin(flow, 1)
    steps = [(line, Tcp(SYN, 0)), (line.turned(), Tcp(SYN_ACK, 500, 1))]
    if handshake:
        steps.append((line, Tcp(ACK, 1, 501)))
    steps.append((line, Tcp(RST, 1)))
    found = []
    for n, (sender, tcp) in enumerate(steps):
        ends = MAC + HOST if sender is line else HOST + MAC
        frame = ends + b"\x08\x00" + sender.packet(tcp)
        found += tracker.observe(Frames.of([(n + 2, 1, frame)]))
    (session,) = found
    assert (session.handshake_ns > 0) == handshake
    return session


class Written:
    """What is written, by port."""

    def __init__(self) -> None:
        self.all: list[tuple[int, int, dict[str, Any] | None]] = []
        self.joiner = Joiner(self.write, lambda flow: flow[3] == 80)

    def write(self, session: Session, t0_ns: int, said: dict[str, Any] | None) -> None:
        self.all.append((session.flow[1], t0_ns, said))


def test_in_either_order() -> None:
    written = Written()
    one, two = ended(1), ended(2)
    written.joiner.session(one, 11)
    written.joiner.report(one.flow, SAID)
    written.joiner.report(two.flow, SAID)
    written.joiner.session(two, 22)
    assert written.all == [(1, 11, SAID), (2, 22, SAID)]
    written.joiner.tick(last=True)
    assert len(written.all) == 2


def test_who_never_got_to_a_service_is_written_at_once() -> None:
    written = Written()
    written.joiner.session(ended(1, handshake=False), 11)
    assert written.all == [(1, 11, None)]


def test_a_report_that_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Written()
    written.joiner.session(ended(1), 11)
    written.joiner.tick()
    assert written.all == []
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    written.joiner.tick()
    assert written.all == [(1, 11, None)]


def test_a_session_that_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Written()
    written.joiner.report(ended(1).flow, SAID)
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    written.joiner.tick()
    assert (written.all, written.joiner.reports_lost) == ([], 1)


def test_at_the_end_all_is_written() -> None:
    written = Written()
    for port in range(5):
        written.joiner.session(ended(port + 1), port)
    written.joiner.tick(last=True)
    assert [port for port, _, _ in written.all] == [1, 2, 3, 4, 5]


def test_what_waits_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    written = Written()
    for port in range(5):
        written.joiner.session(ended(port + 1), port)
        written.joiner.report((b"\xc6\x33\x64\x02", port, b"\xc0\0\2\1", 80), SAID)
    assert written.joiner.reports_lost == 2
    written.joiner.tick()
    assert [port for port, _, _ in written.all] == [1, 2]
