"""Registered first, then replayed; cut when asked; only its own thread waits for the kernel."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable

import pytest

from darkflow.divert.dispatcher import Flow, Limits
from darkflow.divert.plane import Plane
from darkflow.divert.replay import frame_of
from darkflow.flow.batch import Events
from darkflow.flow.networks import Networks
from divert.plane_log import MACS, Feed, Log, ends, key, until
from shortened import shortened
from writers import SECOND_NS

MS = 1_000_000


def test_a_flow_is_registered_before_its_syn_is_replayed(
    make: Callable[..., Plane], log: Log
) -> None:
    plane = make()
    syns = [ends(n).syn() for n in range(700)]
    Feed(plane)(*syns)
    until(lambda: plane.replayed == 700)
    known: set[Flow] = set()
    for name, value in log.steps:
        if name == "add":
            assert isinstance(value, list)
            assert len(value) <= 256
            known.update(value)
        elif name == "diverted":
            assert value in known
    assert log.all("frame") == [frame_of(syn, 20, MACS) for syn in syns]
    assert known == {key(n) for n in range(700)}
    assert plane.dispatcher.diverted == 700
    assert log.held_ns == {SECOND_NS}


def test_a_late_answer_cuts(make: Callable[..., Plane], log: Log) -> None:
    plane = make()
    feed = Feed(plane)
    feed(ends(1).syn(), ends(2).syn())
    until(lambda: plane.replayed == 2)
    feed(ends(1).answer())
    until(lambda: log.all("ended") != [])
    assert log.all("ended") == [(key(1), 2 * SECOND_NS, "late_answer")]
    assert log.registered == {key(2)} == set(plane.dispatcher.flows)
    feed(ends(3).answer())  # never diverted: nothing to cut
    assert plane.cut([key(2), key(9)], 5, "command") == 1
    until(lambda: log.registered == set())
    assert log.all("ended")[-1] == (key(2), 5, "command")


def test_a_flow_that_was_dark_before_t_is_cut_like_any_other(
    make: Callable[..., Plane], log: Log
) -> None:
    plane = make()
    feed = Feed(plane)
    shortened(feed.engine, 60 * SECOND_NS, Networks.everything(), wanted=True)
    for n in range(6):
        feed(ends(n).syn())
    until(lambda: plane.replayed == 6)
    assert log.held_ns == {SECOND_NS, SECOND_NS // 5}
    feed(ends(5).answer())
    until(lambda: log.all("ended") != [])
    assert log.all("ended") == [(key(5), 12 * SECOND_NS, "late_answer")]
    assert key(5) not in log.registered


def test_a_cut_while_flows_are_diverted_is_told(make: Callable[..., Plane], log: Log) -> None:
    """The kernel has cut the flow before the session that the watcher begins."""
    plane = make()
    log.overtakes = lambda one: plane.gone(one.flow) if one.flow == key(1) else None
    Feed(plane)(*(ends(n).syn() for n in range(3)))
    until(lambda: plane.replayed == 3)
    assert log.all("overtaken") == [key(1)]
    assert set(plane.dispatcher.flows) == {key(0), key(2)}


@pytest.mark.parametrize(
    ("since", "why"), [("missed_ns", "packets_missed"), ("one_sided_ns", "one_sided")]
)
def test_where_answers_may_not_be_seen_nobody_knows_who_has_answered(
    make: Callable[..., Plane], since: str, why: str
) -> None:
    plane = make()
    setattr(plane, since, lambda: 1)  # and of the three SYNs two came before
    Feed(plane)(*(ends(n).syn() for n in range(3)))  # at 0, 1 and 2 ns
    until(lambda: plane.replayed == 1)
    assert set(plane.dispatcher.flows) == {key(2)}
    assert plane.dispatcher.refused[why] == 2


def test_who_has_spoken_in_another_connection_is_alive(make: Callable[..., Plane]) -> None:
    """Whoever spoke at 1 ns: SYNs of 0 and 1 ns are not diverted, that of 2 ns is."""
    plane = make()
    for number in range(3):
        assert plane.alive(key(number), 1) is None
    Feed(plane)(*(ends(n).syn() for n in range(3)))
    until(lambda: plane.replayed == 1)
    assert set(plane.dispatcher.flows) == {key(2)}
    assert plane.dispatcher.refused["alive"] == 2
    # A diverted one ends, as the kernel has cut it.
    ended = plane.alive(key(2), 5)
    assert ended is not None
    assert ended.flow == key(2)
    assert not plane.dispatcher.flows


def test_who_has_spoken_is_forgotten_when_many_have(
    make: Callable[..., Plane], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("darkflow.divert.plane.MOST_ALIVE", 2)
    plane = make()
    for number in (0, 1, 0, 2):
        plane.alive(key(number), 9)
    Feed(plane)(*(ends(n).syn() for n in range(3)))
    until(lambda: plane.replayed == 1)
    assert set(plane.dispatcher.flows) == {key(1)}


def test_who_has_talked_may_stay(make: Callable[..., Plane], log: Log) -> None:
    """The kernel knows; only a late answer asks."""
    plane = make()
    feed = Feed(plane)
    feed(*(ends(n).syn() for n in range(3)))
    until(lambda: plane.replayed == 3)
    log.talked = {key(0), key(1)}
    feed(ends(0).answer(), ends(2).answer())
    until(lambda: log.all("ended") != [])
    assert log.registered == {key(0), key(1)} == set(plane.dispatcher.flows)
    assert plane.cut([key(1)], 5, "command") == 1
    until(lambda: log.registered == {key(0)})


def test_cut_before_it_was_diverted_it_never_is(make: Callable[..., Plane], log: Log) -> None:
    log.hold.clear()
    plane = make()
    feed = Feed(plane)
    feed(ends(0).syn())
    until(lambda: not plane._due)  # the thread is with the kernel now
    feed(ends(1).syn())
    feed(ends(1).answer())
    log.hold.set()
    until(lambda: ("ended", (key(1), 4 * SECOND_NS, "late_answer")) in log.steps)
    assert log.registered == {key(0)}
    assert plane.replayed == 1


def test_cut_while_it_waits_for_its_moment(make: Callable[..., Plane]) -> None:
    plane = make(jitter_ns=300 * MS)
    feed = Feed(plane)
    feed(*(ends(n).syn() for n in range(50)))
    assert plane.cut([key(n) for n in range(50)], 0, "command") > 40
    until(lambda: not plane._due)
    time.sleep(0.05)
    assert plane.replayed < 10
    assert len(plane.dispatcher.flows) == 0


def test_writing_never_waits_for_the_kernel(make: Callable[..., Plane], log: Log) -> None:
    log.hold.clear()
    plane = make()
    feed = Feed(plane)
    feed(ends(0).syn())
    until(lambda: not plane._due)
    began = time.monotonic()
    feed(*(ends(n).syn() for n in range(1, 2000)))
    assert time.monotonic() - began < 1
    log.hold.set()
    until(lambda: plane.replayed == 2000)


def test_no_room_is_counted_and_may_be_tried_again(make: Callable[..., Plane], log: Log) -> None:
    log.room = 3
    plane = make()
    Feed(plane)(*(ends(n).syn() for n in range(5)))
    until(lambda: plane.replayed + plane.no_room == 5)
    assert (plane.replayed, plane.no_room, len(plane.dispatcher.flows)) == (3, 2, 3)
    assert plane.gone(key(0))
    assert not plane.gone(key(0))


def test_a_kernel_that_refuses_is_said_once(make: Callable[..., Plane], log: Log) -> None:
    plane = make()
    said: list[str] = []
    plane.say = said.append
    feed = Feed(plane)
    log.error = OSError(errno.ENOENT, "No such file or directory")
    feed(ends(0).syn())
    until(lambda: plane.no_room == 1)
    feed(ends(1).syn())
    until(lambda: plane.no_room == 2)
    log.error = None
    feed(ends(2).syn())
    until(lambda: plane.replayed == 1)
    assert len(said) == 2
    assert "No such file" in said[0]
    assert "again" in said[1]


def test_jitter_spreads_the_answers(make: Callable[..., Plane], log: Log) -> None:
    plane = make(jitter_ns=200 * MS)
    began = time.monotonic()
    Feed(plane)(*(ends(n).syn() for n in range(100)))
    until(lambda: plane.replayed >= 30)
    early_s = time.monotonic() - began
    until(lambda: plane.replayed == 100)
    late_s = time.monotonic() - began
    assert 0.1 < late_s < 1
    assert early_s < late_s
    frames = log.all("frame")
    assert frames != [frame_of(ends(n).syn(), 20, MACS) for n in range(100)]
    assert set(frames) == {frame_of(ends(n).syn(), 20, MACS) for n in range(100)}


def test_limits_hold(make: Callable[..., Plane], log: Log) -> None:
    plane = make(limits=Limits(source_flows=10))
    Feed(plane)(*(ends(n).syn() for n in range(50)))
    until(lambda: plane.replayed == 10)
    assert plane.dispatcher.refused["flows_source"] == 40
    assert len(log.registered) == 10


def test_nothing_for_an_empty_batch(make: Callable[..., Plane]) -> None:
    make().write(Events())


def test_a_new_table_gets_what_is_diverted_once_more(make: Callable[..., Plane], log: Log) -> None:
    """As after `nft flush ruleset`; nothing is replayed a second time, what does not fit ends."""
    plane = make()
    Feed(plane)(*(ends(n).syn() for n in range(700)))
    until(lambda: plane.replayed == 700)
    plane.cut([key(0)], 7, "command")
    until(lambda: log.all("ended") != [])
    log.registered.clear()
    log.room = 600
    plane.divert_again()
    until(lambda: plane.no_room == 99)
    assert log.registered == set(plane.dispatcher.flows)
    assert len(log.registered) == 600
    assert key(0) not in log.registered
    assert plane.replayed == len(log.all("frame")) == 700


def test_what_ends_the_thread_is_told(make: Callable[..., Plane], log: Log) -> None:
    plane = make()
    log.diverted = None  # type: ignore[assignment, method-assign]
    Feed(plane)(ends(1).syn())
    until(lambda: plane.failed is not None)
    assert isinstance(plane.failed, TypeError)
