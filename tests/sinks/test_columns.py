"""The columns of the store, value by value, against the slow twin of the lines and the lines."""

from __future__ import annotations

import gc
import ipaddress
import json
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkflow.flow.batch import Events, Frames
from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from darkflow.flow.networks import Networks
from darkflow.sinks.arrow import Rows
from darkflow.sinks.columns import Columns
from darkflow.sinks.fields import TABLES, columns_of
from darkflow.sinks.lines import LineFormat
from darkflow.units import parse_networks
from judging import HOLD_NS, IDLE_NS, judge
from sinks.test_lines import INSIDE, NETWORKS, Lines, flows, headers, segments, watched
from slow_lines import line
from storing import NOON_NS, columns, feed
from writers import RAW, SECOND_NS, Flow, Pcap, Tcp, icmp_error

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "lab.pcap"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TABLE_OF = {event_type: table for table, event_type in TABLES.items()}


class Table:
    """A sink that keeps the rows of both tables as dicts."""

    name = "the test"

    def __init__(self, at_verdict: bool = False) -> None:
        self.columns = Columns(watched(), HOLD_NS, at_verdict)
        self.taken: dict[str, list[dict[str, Any]]] = {}

    def write(self, events: Events) -> None:
        """Add one batch."""
        self.columns.add(events)

    def close(self) -> None:
        """Take the rows."""
        self.taken = {name: pl.DataFrame(r).to_dicts() for name, r in self.columns.take().items()}


def expected(document: dict[str, Any]) -> dict[str, Any]:
    """The row of an event line."""
    table = TABLE_OF.get(document["event_type"], "darkflows")
    t_ns = document["darkflow"]["t0_ns"] + document.get("late_answer", {}).get("delay_ns", 0)
    _, _, decimals = document["timestamp"].rstrip("Z").partition(".")
    row: dict[str, Any] = {"timestamp_digits": len(decimals)}
    row["timestamp"] = EPOCH + timedelta(microseconds=t_ns // 1000)
    row["day"] = row["timestamp"].date()
    for column in columns_of(table):
        if column.field and column.name != "timestamp":
            value: Any = document
            for key in column.field.split("."):
                # Only of shorter holds there is no field where there are none.
                missing = value is None or (key == "hold_ns" and key not in value)
                value = None if missing else value[key]
            row[column.name] = value
    return row


@given(flows, segments, headers, st.integers(0, 80))
@settings(max_examples=150, deadline=None)
def test_a_dark_flow_s_row_is_what_the_twin_makes_of_the_packet(
    flow: Flow, segment: Tcp, header: Any, captured: int
) -> None:
    packet = flow.packet(segment, header)
    fixed = (packet[0] & 15) * 4 if packet[0] >> 4 == 4 else 40
    packet = packet[: max(fixed + 14, fixed + captured)]
    engine, sink = Engine(HOLD_NS, IDLE_NS), Table()
    packets = Decoder().decode(Frames.of([(SECOND_NS, RAW, packet)]))
    event: dict[str, Any] = {}
    for events in chain(engine.observe(packets), engine.finish(11 * SECOND_NS)):
        sink.write(events)
        event |= next((e for e in events.to_list() if e["event"] == "end"), {})
    sink.close()
    document = json.loads(line("darkflow", packet, event, 9, NETWORKS))
    assert sink.taken == {"darkflows": [expected(document)]}


def story() -> list[tuple[int, bytes]]:
    """Late answers of both kinds, data, a reason, SYNs after the verdict."""
    refused, data, out = Flow(orig_port=2), Flow(orig_port=3), Flow("192.0.2.7", 4, "203.0.113.9")
    return [
        (0, Flow().syn()), (1, refused.syn()), (2, data.packet(Tcp(payload=b"GET"))),
        (3, out.syn()), (4, Flow("2001:db8::5", 6, "2001:db8:1::1", 80).syn()),
        (9, icmp_error("203.0.113.254", out.syn(), 3, 1)), (6 * SECOND_NS, Flow().syn()),
        (7 * SECOND_NS + 1, data.answer()), (8 * SECOND_NS, refused.reset()),
        (86 * SECOND_NS, Flow(orig_port=9).syn()), (90 * SECOND_NS, b""),
    ]  # fmt: skip


@pytest.mark.parametrize("at_verdict", [False, True])
@pytest.mark.parametrize("name", ["story", "example"])
def test_rows_hold_what_the_lines_hold(tmp_path: Path, name: str, at_verdict: bool) -> None:
    path = EXAMPLE
    if name == "story":
        path = tmp_path / "story.pcap"
        path.write_bytes(Pcap(RAW, nano=True).file(story()))
    lines, sink = Lines(at_verdict), Table(at_verdict)
    judge([path], [lines, sink], sizes=(4096, 4096))
    rows: dict[str, list[dict[str, Any]]] = {}
    for document in lines.documents:
        table = TABLE_OF.get(document["event_type"], "darkflows")
        rows.setdefault(table, []).append(expected(document))
    assert sink.taken == rows
    assert name != "story" or (len(rows["late_answers"]), len(rows["undecided"])) == (2, 1)


@pytest.mark.parametrize(("before_ns", "day"), [(1, 28), (0, 1), (-1, 1)])
def test_a_flow_belongs_to_the_utc_day_of_its_first_syn(before_ns: int, day: int) -> None:
    midnight_ns = NOON_NS - 12 * 3600 * SECOND_NS  # 2026-03-01T00:00:00Z
    sink = columns()
    feed(sink.add, 1, midnight_ns - before_ns)  # its verdict falls after midnight in any case
    (row,) = pl.DataFrame(sink.take()["darkflows"]).to_dicts()
    assert row["day"] == row["timestamp"].date() == date(2026, 3 if day == 1 else 2, day)


def test_a_late_answer_belongs_to_its_own_day(tmp_path: Path) -> None:
    midnight_ns, path = NOON_NS - 12 * 3600 * SECOND_NS, tmp_path / "midnight.pcap"
    packets = [
        (midnight_ns - 3 * SECOND_NS, Flow().syn()), (midnight_ns + 3 * SECOND_NS, Flow().answer()),
        (midnight_ns + 4 * SECOND_NS, Flow(orig_port=9).syn()),
    ]  # fmt: skip
    path.write_bytes(Pcap(RAW, nano=True).file(packets))
    sink = Table()
    judge([path], [sink])
    days = {table: [row["day"] for row in rows] for table, rows in sink.taken.items()}
    assert days == {
        "darkflows": [date(2026, 2, 28)], "late_answers": [date(2026, 3, 1)],
        "undecided": [date(2026, 3, 1)],
    }  # fmt: skip


@pytest.mark.parametrize("t_ns", [-1, -1000, -86_400 * SECOND_NS, -86_400 * SECOND_NS - 1])
def test_times_before_1970_round_down(t_ns: int) -> None:
    sink = columns()
    feed(sink.add, 1, t_ns)
    (row,) = pl.DataFrame(sink.take()["darkflows"]).to_dicts()
    assert row["timestamp"] == EPOCH + timedelta(microseconds=t_ns // 1000)
    assert row["day"] == date(1970, 1, 1) + timedelta(days=t_ns // (86_400 * SECOND_NS))


def test_many_rows_grow_and_outlive_who_made_them() -> None:
    sink = columns()
    feed(sink.add, 5000)
    assert sink.count == 5000
    frame = pl.DataFrame(sink.take()["darkflows"])
    assert sink.count == 0
    del sink
    gc.collect()
    assert frame["t0_ns"].n_unique() == frame["community_id"].n_unique() == 5000
    assert frame["isn"].to_list() == [i % 500 for i in range(5000)]


def test_rows_can_be_given_away_twice_and_not_at_all() -> None:
    rows = Rows([("number", "integer"), ("text", "string"), ("flag", "boolean"), ("day", "date")])
    assert pl.DataFrame(rows).height == pl.DataFrame(rows).height == 0
    assert pl.DataFrame(rows).columns == ["number", "text", "flag", "day"]
    for _ in range(1000):
        rows.__arrow_c_array__()
        rows.__arrow_c_schema__()
    with pytest.raises(KeyError):
        Rows([("number", "complex")])


def test_rows_can_be_counted_before_they_are_made() -> None:
    for at_verdict in (False, True):
        sink, kept = columns(at_verdict), columns(at_verdict)
        counted: list[int] = []
        feed(lambda e, sink=sink, s=counted: s.append(sink.rows_in(e)), 700)  # type: ignore[misc]
        feed(kept.add, 700)
        assert sum(counted) == kept.count == 700
        assert sink.count == 0


def test_directions_come_from_the_networks() -> None:
    _, v4, v6 = parse_networks(INSIDE)
    sink = Columns(Networks(v4, v6), HOLD_NS)
    feed(sink.add, 1)
    assert pl.DataFrame(sink.take()["darkflows"])["direction"].to_list() == ["inbound"]
    assert ipaddress.ip_address(Flow().resp) in NETWORKS[0]
    assert LineFormat(Networks(v4, v6), HOLD_NS).lines == 0
