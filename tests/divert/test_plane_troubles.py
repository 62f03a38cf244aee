"""What the plane does when the kernel refuses, or others change what it works on."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from darkflow.divert.dispatcher import Allowed
from darkflow.divert.plane import Plane
from divert.plane_log import Feed, Log, ends, key, until


def test_what_is_cut_is_not_put_into_a_new_table(make: Callable[..., Plane], log: Log) -> None:
    plane = make()
    Feed(plane)(*(ends(n).syn() for n in range(2)))
    until(lambda: plane.replayed == 2)
    log.registered.clear()
    log.hold.clear()
    plane.divert_again()
    until(lambda: not plane._again)  # the thread is with the kernel now
    plane.divert_again()
    plane.cut([key(0)], 7, "command")
    log.hold.set()
    until(lambda: not plane._again and log.all("ended") != [])
    until(lambda: log.registered == {key(1)})
    assert log.all("add")[-1] == [key(1)]


def test_a_cut_that_the_kernel_refuses_is_asked_for_again(
    make: Callable[..., Plane], log: Log
) -> None:
    plane = make()
    said: list[str] = []
    plane.say = said.append
    Feed(plane)(ends(0).syn())
    until(lambda: plane.replayed == 1)
    log.delete_errors = [OSError(errno.ENOBUFS, "No buffer space available")]
    plane.cut([key(0)], 7, "late_answer")
    until(lambda: len(said) == 1)
    # It is diverted still, and nobody is told otherwise.
    assert log.registered == set(plane.dispatcher.flows) == {key(0)}
    assert plane.cut([key(0)], 9, "command") == 1
    assert log.all("ended") == []
    until(lambda: log.all("ended") == [(key(0), 7, "late_answer")])
    assert log.registered == set(plane.dispatcher.flows) == set()
    until(lambda: len(said) == 2)
    assert "again" in said[1]


def test_what_the_kernel_took_and_then_refused_is_taken_out(
    make: Callable[..., Plane], log: Log
) -> None:
    plane = make()
    log.error, log.takes_first = OSError(errno.ENOBUFS, "No buffer space available"), True
    Feed(plane)(*(ends(n).syn() for n in range(3)))
    until(lambda: plane.no_room == 3)
    until(lambda: log.all("delete") != [])
    assert log.registered == set(plane.dispatcher.flows) == set()
    assert log.all("ended") == []


def test_the_kernel_is_told_of_a_cut_of_what_only_it_knows(
    make: Callable[..., Plane], log: Log
) -> None:
    plane = make()
    log.registered.add(key(5))
    assert plane.cut([key(5)], 7, "command") == 0
    until(lambda: log.registered == set())
    log.registered.add(key(6))
    assert plane.gone(key(6)) is None
    assert plane.gone(key(6), unsure=True) is None
    until(lambda: log.registered == set())
    assert log.all("ended") == []


def test_while_there_is_no_table_nothing_is_diverted(make: Callable[..., Plane]) -> None:
    plane = make()
    plane.paused = True
    feed = Feed(plane)
    feed(ends(0).syn())
    assert plane.dispatcher.refused["no_table"] == 1
    plane.paused = False
    feed(ends(1).syn())
    until(lambda: plane.replayed == 1)
    assert set(plane.dispatcher.flows) == {key(1)}


def test_changes_of_the_list_lose_none_and_catch_every_flow(make: Callable[..., Plane]) -> None:
    """Two who change it at one time: each waits for the other."""
    plane = make()
    Feed(plane)(*(ends(n).syn() for n in range(2)))
    until(lambda: plane.replayed == 2)

    def slowly(port: int) -> Callable[[Allowed], Allowed]:
        def change(old: Allowed) -> Allowed:
            time.sleep(0.05)
            return replace(old, ports=old.ports | {port})

        return change

    counts: list[int] = []
    threads = [
        threading.Thread(target=lambda p=port: counts.append(plane.allow(slowly(p), 5)))
        for port in (22, 443)
    ]
    for thread in threads:
        thread.start()
    # A verdict that falls meanwhile is judged by the list as it is then.
    time.sleep(0.01)
    Feed(plane)(ends(9).syn())
    for thread in threads:
        thread.join()
    until(lambda: not plane.dispatcher.flows)
    assert plane.dispatcher.allowed.ports == {22, 443}
    assert sum(counts) >= 2
