"""The tap on the honeypot's interface: sessions as they really pass there."""

from __future__ import annotations

import os
import time

import pytest

from darkflow.commands.tap import Tap
from darkflow.divert.dispatcher import Flow
from darkflow.flow.batch import Frames
from darkflow.honeypot.sessions import Session, Tracker
from darkflow.lab.planes import HP1_MAC, Stand, flow_of, until

IDLE_NS = 60_000_000_000


class Tapped:
    """A tap on the honeypot's interface, and what it tells."""

    def __init__(self, plane: Stand, idle_ns: int = IDLE_NS) -> None:
        self.ended: list[Session] = []
        self.gone: list[Flow] = []
        self.frames = 0
        tracker = Tracker(bytes.fromhex(HP1_MAC.replace(":", "")), idle_ns)
        with plane.at("gw"):
            self.tap = Tap("hp0", tracker, self.ended.append, self.gone.append, [self.count])
        self.tap.start()

    def count(self, frames: Frames) -> None:
        self.frames += len(frames)


def test_a_session_from_handshake_to_end(router: Stand, version: int) -> None:
    tapped, table = Tapped(router), router.nft()
    router.listening("hp", b"hp:")
    flow = flow_of(version, 4500)
    tapped.tap.begin([flow], time.time_ns())
    table.add([flow])
    client = router.client(flow)
    client.sendall(b"who is there?")
    assert client.recv(100) == b"hp:who is there?"
    until(lambda: [s.payload for s in tapped.tap.open()] == [b"who is there?"])
    (session,) = tapped.tap.open()
    assert session.flow == flow
    assert session.handshake_ns > session.syn_ack_ns > 0
    client.close()
    until(lambda: tapped.frames > 5)
    tapped.tap.close()
    (session,) = tapped.ended
    assert session.end in ("fin", "rst_resp", "rst_orig", "stopped")
    assert session.orig_bytes == 13
    assert session.resp_bytes == 16
    assert tapped.tap.failed is None
    assert tapped.tap.dropped == 0


def test_idle_flows_are_gone(router: Stand) -> None:
    tapped = Tapped(router, 200_000_000)
    flow = flow_of(4, 4501)
    tapped.tap.begin([flow], time.time_ns())
    until(lambda: tapped.gone == [flow])
    assert [session.end for session in tapped.ended] == ["idle"]
    tapped.tap.close()


def test_a_cut_ends_a_session_once(router: Stand) -> None:
    tapped = Tapped(router)
    flow = flow_of(6, 4502)
    tapped.tap.begin([flow], 1)
    session = tapped.tap.close_session(flow, 9)
    assert session is not None
    assert tapped.tap.cut(session, 9, "late_answer", 7) is session
    assert (session.end, session.ended_ns, session.answered_ns) == ("late_answer", 9, 7)
    assert tapped.tap.cut(session, 9, "late_answer") is None
    tapped.tap.close()
    assert tapped.ended == []


class Flooded:
    """An interface whose ring always has a block more."""

    def __init__(self, *_: object) -> None:
        self.bell = os.eventfd(1)
        self.asked = 0

    def fileno(self) -> int:
        return self.bell

    def read(self, _: Frames) -> bool:
        time.sleep(0.0005)
        return True

    def take_drops(self) -> int:
        self.asked += 1
        return self.asked == 1

    def take_error(self) -> int:
        return 0

    def close(self) -> None:
        os.close(self.bell)


def test_a_flood_holds_up_neither_what_is_idle_nor_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("darkflow.commands.tap.Interface", Flooded)
    monkeypatch.setattr("darkflow.commands.tap.EXPIRE_NS", 10_000_000)
    gone: list[Flow] = []
    flow = flow_of(4, 4503)
    tap = Tap("any", Tracker(bytes(6), 50_000_000), lambda _: None, gone.append)
    began_s = time.monotonic()
    tap.begin([flow], time.time_ns())
    tap.start()
    until(lambda: gone == [flow])
    # A packet of it may be in a block that the kernel has not handed over yet.
    assert time.monotonic() - began_s >= 0.15
    assert tap.dropped == 1
    assert began_s < tap.missed_s
    began_s = time.monotonic()
    tap.close()
    assert time.monotonic() - began_s < 0.5
    assert not tap._thread.is_alive()
