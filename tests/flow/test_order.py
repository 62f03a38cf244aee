"""Reorder against a plain sort: across disorder, across sources, with too little room."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from darkflow.flow.batch import Packets
from darkflow.flow.decode import Decoder
from darkflow.flow.order import Reorder
from flow.test_engine import packets_of, syn

REORDER_NS = 1000


def rows(decoder: Decoder, times: list[int], now_ns: int, first: int = 0) -> Packets:
    """SYNs at these times, told apart by their sequence numbers."""
    packets = [syn(t_ns) | {"isn": first + number} for number, t_ns in enumerate(times)]
    return packets_of(decoder, packets, now_ns)


def told(packets: Packets) -> list[tuple[int, int]]:
    """(time, sequence number) of what came out."""
    return [(row["t_ns"], row["seq"]) for row in packets.to_list()]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, REORDER_NS)), max_size=120),
       st.integers(1, 7))  # fmt: skip
def test_disorder_within_the_limit_is_put_right(packets: list[tuple[int, int]], size: int) -> None:
    arrivals = [t for t, _ in sorted(packets, key=lambda p: p[0] + p[1])]
    order, decoder, out = Reorder(REORDER_NS), Decoder(), []
    now_ns = -(1 << 63)
    for at in range(0, len(arrivals), size):
        batch = arrivals[at : at + size]
        now_ns = max([now_ns, *batch])
        got = order.put(rows(decoder, batch, now_ns, at))
        # Nothing leaves that could still be overtaken.
        assert all(t < now_ns - REORDER_NS for t, _ in told(got))
        out += told(got)
    out += told(order.rest())
    expected = sorted(((t, n) for n, t in enumerate(arrivals)), key=lambda p: p[0])
    assert out == expected
    assert order.clamped == 0
    assert len(order) == 0


def test_time_never_runs_back() -> None:
    order, decoder = Reorder(REORDER_NS), Decoder()
    assert told(order.put(rows(decoder, [0, 5000], 5000))) == [(0, 0)]
    # 100 is older than what has been given out up to (4000): it is judged at that time.
    assert told(order.put(rows(decoder, [100], 5000, 9))) == []
    assert told(order.rest()) == [(4000, 9), (5000, 1)]
    assert order.clamped == 1


def test_little_room_cuts_waiting_short_but_loses_nothing() -> None:
    order, decoder = Reorder(10_000, limit=8), Decoder()
    out = []
    for start in range(0, 1000, 10):
        out += told(order.put(rows(decoder, list(range(start, start + 10)), start + 9, start)))
        assert len(order) <= 8 + 10
    out += told(order.rest())
    assert out == [(t, t) for t in range(1000)]
    assert order.clamped == 0


def test_rest_does_not_invent_time() -> None:
    order, decoder = Reorder(REORDER_NS), Decoder()
    order.put(rows(decoder, [0, 5000], 5000))
    assert order.rest().now_ns == 5000
