"""A session meets what its service said of it, whoever speaks first, and is written once."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from darkflow.commands import joiner as joiner_module
from darkflow.commands.joiner import PATIENCE_S, REPORT_PATIENCE_S, Joiner
from darkflow.divert.dispatcher import Flow

FLOW: Flow = (b"\xc6\x33\x64\x01", 4242, b"\xcb\x00\x71\x07", 80)
SAID = {"protocol": "http"}
IDLE_NS = 60_000_000_000
# A silent client's session ends so long after the last FIN that the kernel sent it again; ten
# seconds lie between the first one, with which the service tells, and that.
VANISHED_S = 60.0 + 10.0


@dataclass
class Ended:
    """A session as far as the joiner looks at it."""

    flow: Flow = FLOW
    handshake_ns: int = 1


@dataclass
class Desk:
    """A joiner, a clock that is set by hand, and what was written."""

    now_s: float = 1000.0
    written: list[tuple[Any, int, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.joiner = Joiner(
            lambda session, t0_ns, said: self.written.append((session, t0_ns, said)),
            lambda flow: flow[3] != 9,
            IDLE_NS,
        )

    def pass_by(self, seconds: float) -> None:
        self.now_s += seconds
        self.joiner.tick()


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    given = Desk()
    monkeypatch.setattr(time, "monotonic", lambda: given.now_s)
    return given


def ended(**values: Any) -> Any:
    return Ended(**values)


def test_the_report_comes_second(desk: Desk) -> None:
    desk.joiner.session(ended(), 5)
    desk.pass_by(PATIENCE_S - 0.1)
    assert desk.written == []
    desk.joiner.report(FLOW, SAID)
    assert desk.written == [(Ended(), 5, SAID)]
    desk.pass_by(100.0)
    assert len(desk.written) == 1


def test_the_report_comes_first_and_the_client_takes_its_time(desk: Desk) -> None:
    desk.joiner.report(FLOW, SAID)
    desk.pass_by(60.0 + REPORT_PATIENCE_S - 0.1)
    desk.joiner.session(ended(), 5)
    assert desk.written == [(Ended(), 5, SAID)]
    assert desk.joiner.reports_lost == 0


def test_a_report_without_a_session_is_lost_in_the_end_and_counted(desk: Desk) -> None:
    desk.joiner.report(FLOW, SAID)
    desk.pass_by(60.0 + REPORT_PATIENCE_S)
    assert desk.joiner.reports_lost == 1
    desk.joiner.session(ended(), 5)
    desk.pass_by(PATIENCE_S)
    assert desk.written == [(Ended(), 5, None)]


def test_who_gets_no_word_is_written_at_once(desk: Desk) -> None:
    half, other = ended(handshake_ns=0), ended(flow=(*FLOW[:3], 9))
    desk.joiner.session(half, 5)
    desk.joiner.session(other, 6)
    assert desk.written == [(half, 5, None), (other, 6, None)]


def test_a_second_session_of_the_flow_writes_the_first(desk: Desk) -> None:
    desk.joiner.session(ended(), 5)
    desk.joiner.session(ended(), 6)
    assert desk.written == [(Ended(), 5, None)]


def test_at_the_end_everything_is_written(desk: Desk) -> None:
    desk.joiner.session(ended(), 5)
    desk.joiner.tick(last=True)
    assert desk.written == [(Ended(), 5, None)]


def test_what_waits_is_limited(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joiner_module, "MOST_WAITING", 3)
    each = joiner_module.REPORT_BYTES + len(repr(SAID))
    monkeypatch.setattr(joiner_module, "WAITING_BYTES", 3 * each + 1)
    for port in range(100, 105):
        desk.joiner.report((FLOW[0], port, *FLOW[2:]), SAID)
        desk.joiner.session(ended(flow=(FLOW[0], port + 100, *FLOW[2:])), 5)
    desk.joiner.tick()
    assert desk.joiner.reports_lost == 2
    assert len(desk.written) == 2
    # What was taken makes room again.
    for port in range(102, 105):
        desk.joiner.session(ended(flow=(FLOW[0], port, *FLOW[2:])), 5)
    for port in range(300, 303):
        desk.joiner.report((FLOW[0], port, *FLOW[2:]), SAID)
    assert desk.joiner.reports_lost == 2
    assert [said for *_, said in desk.written[2:]] == [SAID] * 3


def test_a_client_that_vanishes_is_told_of(desk: Desk) -> None:
    desk.joiner.report(FLOW, SAID)
    desk.pass_by(VANISHED_S)
    desk.joiner.session(ended(), 5)
    assert desk.written == [(Ended(), 5, SAID)]


def test_of_two_reports_on_one_flow_the_first_is_lost_and_counted(desk: Desk) -> None:
    desk.joiner.report(FLOW, {"protocol": "smtp"})
    desk.joiner.report(FLOW, SAID)
    desk.joiner.session(ended(), 5)
    assert desk.written == [(Ended(), 5, SAID)]
    assert desk.joiner.reports_lost == 1
