"""The store's table of who answers: when rows are given, and what they hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from darkflow.flow.batch import Frames
from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from darkflow.flow.networks import Networks
from darkflow.sinks import answered
from darkflow.sinks.answered import Answered
from darkflow.sinks.delta import ANSWERED_SCHEMA
from darkflow.units import parse_networks
from judging import HOLD_NS, IDLE_NS
from writers import RAW, SECOND_NS, Flow

SEED = bytes(range(16))


class Rows:
    """Stands where the store is: makes the frames at once."""

    name = "store of the test"

    def __init__(self) -> None:
        self.frames: list[pl.DataFrame] = []

    def add_later(self, table: str, make: Callable[[Any], pl.DataFrame], count: int) -> None:
        """As Store.add_later."""
        assert table == "answered"
        self.frames.append(make(ANSWERED_SCHEMA))
        assert self.frames[-1].height == count


def given(frames: list[tuple[int, int, bytes]], every_ns: int) -> list[pl.DataFrame]:
    """The frames that a sink gives for packets, which come one by one."""
    store, engine, decoder = Rows(), Engine(HOLD_NS, IDLE_NS, tells=True), Decoder()
    networks = Networks(*parse_networks("192.0.2.0/24,2001:db8::/64")[1:])
    sink = Answered(store, networks, SEED, every_ns)  # type: ignore[arg-type]
    for frame in frames:
        for events in engine.observe(decoder.decode(Frames.of([frame]))):
            sink.write(events)
    for events in engine.finish(frames[-1][0]):
        sink.write(events)
    sink.close()
    return store.frames


def talk(flow: Flow, t_ns: int, delay_ns: int, refused: bool = False) -> list[Any]:
    """A SYN and its answer."""
    answer = flow.reset() if refused else flow.answer()
    return [(t_ns, RAW, flow.syn()), (t_ns + delay_ns, RAW, answer)]


def test_a_row_for_each_address_and_port_that_answered() -> None:
    web, other = Flow(resp_port=80), Flow("2001:db8:9::1", 7, "2001:db8::5", 443)
    foreign = Flow(resp="203.0.113.1")
    frames = [
        *talk(web, SECOND_NS, 1000), *talk(other, 2 * SECOND_NS, 250_000_000, refused=True),
        *talk(foreign, 3 * SECOND_NS, 1), *talk(Flow(orig_port=9, resp_port=80), 4 * SECOND_NS, 5),
        (5 * SECOND_NS, RAW, Flow(resp_port=81).syn()),
        (12 * SECOND_NS, RAW, Flow(resp_port=81).answer()),
    ]  # fmt: skip
    (frame,) = given(frames, 3600 * SECOND_NS)
    rows = frame.drop("timestamp", "day").rows()
    assert rows == [
        ("192.0.2.1", 80, 2, 0, 0, SECOND_NS + 1000, 4 * SECOND_NS + 5,
         [{"le": 100_000_000, "count": 2}]),
        ("2001:db8::5", 443, 0, 1, 0, 2_250_000_000, 2_250_000_000,
         [{"le": 300_000_000, "count": 1}]),
        ("192.0.2.1", 81, 0, 0, 1, 12 * SECOND_NS, 12 * SECOND_NS,
         [{"le": 8 * SECOND_NS, "count": 1}]),
    ]  # fmt: skip


def test_rows_are_given_every_so_often_and_not_twice() -> None:
    frames = [f for n in range(10) for f in talk(Flow(orig_port=n), n * SECOND_NS, 10)]
    found = given(frames, 3 * SECOND_NS)
    assert [frame["answered"].sum() for frame in found] == [4, 3, 3]
    assert given([(0, RAW, Flow().syn())], SECOND_NS) == []


def test_many_addresses_do_not_wait(monkeypatch: Any) -> None:
    monkeypatch.setattr(answered, "MOST", 3)
    frames = [f for n in range(7) for f in talk(Flow(resp_port=n + 1), n, 1)]
    assert [frame.height for frame in given(sorted(frames), 3600 * SECOND_NS)] == [3, 3, 1]
