"""Sessions and cuts as lines: against a slow twin, from many threads, and how fast."""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from darkflow.sinks.fields import FIELDS, GROUPS, TABLES
from darkflow.sinks.outputs import Outputs
from darkflow.sinks.records import Cut, Records, Trace
from darkflow.sinks.store import Limits, Store
from darkflow.sinks.stored import scan
from darkflow.sinks.told import MOST_BYTES, Told
from honeypot.test_sessions import MS, Line, key
from outboxes import numbers
from recording import (
    FLOW4,
    FLOW6,
    OBJECTS,
    REQUEST,
    T0_NS,
    TOLD,
    Kept,
    answered,
    head,
    of_session,
    scanned,
    talk,
)
from sinks.test_lines import dark, watched
from slow_lines import timestamp
from writers import ACK, SECOND_NS, Flow, Tcp

# What no table of Suricata's has a place for.
OF_THE_SERVICE = {f"http.{name}" for name in ("requests", "user", "password", "logins")} | {
    "ssh.kex", "ssh.client.proto_version",
}  # fmt: skip


@pytest.fixture(params=(FLOW4, FLOW6), ids=("ipv4", "ipv6"))
def flow(request: pytest.FixtureRequest) -> Flow:
    """A flow of each family."""
    return request.param  # type: ignore[no-any-return]


# ---- lines ----------------------------------------------------------------------------------


def test_a_session_s_line_is_what_the_twin_makes_of_it(flow: Flow) -> None:
    box = Kept()
    records = Records(watched(), [box], None)
    session = talk(flow)
    assert session.payload == REQUEST
    assert (session.orig_frame_bytes, session.resp_frame_bytes) > (200, 700)
    records.session(session, T0_NS, TOLD)
    records.session(scanned(flow), T0_NS)
    records.session(answered(flow), T0_NS, Told("cowrie"))
    expected = [
        of_session(flow, session, TOLD, OBJECTS), of_session(flow, scanned(flow), Told()),
        of_session(flow, answered(flow), Told("cowrie")),
    ]  # fmt: skip
    text = "".join(json.dumps(d, separators=(",", ":")) + "\n" for d in expected)
    assert box.data.decode() == text
    assert expected[1]["session"]["syn_ack_ns"] is expected[1]["session"]["payload_sha256"] is None
    assert expected[2]["session"]["cut_latency_ns"] == 19_000
    assert (records.sessions, records.fields_lost) == (3, 0)


def test_no_line_is_longer_than_a_datagram(flow: Flow) -> None:
    box = Kept()
    wide = "\u20ac" * 100_000
    room = MOST_BYTES - len(json.dumps({"x": {"user": "", "password": "", "a": ""}}))
    fields = {"x": {"user": wide[:1000], "password": wide[:1000], "a": "a" * (room - 12_000)}}
    told = Told(wide, wide, fields, b'"' * 4096)
    records = Records(watched(), [box], None)
    records.session(talk(flow, b'"' * 9999), T0_NS, told)
    assert records.fields_lost == 0
    assert 47_000 < len(box.data) < 48 << 10


def test_ids_are_those_of_the_dark_flow_s_line(flow: Flow) -> None:
    text, event = dark(flow.syn(), T0_NS)
    before = json.loads(text)
    box = Kept()
    Records(watched(), [box], None).session(talk(flow), event["t0_ns"])
    (after,) = box.documents
    same = ("flow_id", "community_id", "src_ip", "src_port", "dest_ip", "dest_port", "direction")
    assert [after[name] for name in same] == [before[name] for name in same]


def test_cuts_and_what_followed_them(flow: Flow) -> None:
    box = Kept()
    records = Records(watched(), [box], None)
    cut_ns = T0_NS + 7 * SECOND_NS + 1
    records.cut(Cut(key(flow), T0_NS, cut_ns, "kernel", "syn_ack", cut_ns - 23_000))
    records.cut(Cut(key(flow), T0_NS, cut_ns, "command"))
    records.trace(Trace(key(flow), T0_NS, cut_ns, "rst_by_client", cut_ns + 5))
    ends = head("cut", flow, T0_NS, cut_ns)
    assert box.documents == [
        ends | {"cut": {"t0_ns": T0_NS, "t_ns": cut_ns, "cut_by": "kernel", "answer": "syn_ack",
                        "answered_ns": cut_ns - 23_000, "latency_ns": 23_000}},
        ends | {"cut": {"t0_ns": T0_NS, "t_ns": cut_ns, "cut_by": "command", "answer": None,
                        "answered_ns": None, "latency_ns": None}},
        head("cut_trace", flow, T0_NS, cut_ns + 5) | {
            "cut_trace": {"t0_ns": T0_NS, "cut_ns": cut_ns, "trace": "rst_by_client",
                          "t_ns": cut_ns + 5}},
    ]  # fmt: skip
    assert (records.cuts, records.traces) == (2, 1)


def paths_of(document: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and value of every leaf."""
    for name, value in document.items():
        if isinstance(value, dict):
            yield from paths_of(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


@pytest.mark.parametrize("table", ["sessions", "cuts", "cut_traces"])
def test_the_lines_have_the_fields_that_are_described(table: str) -> None:
    box = Kept()
    records = Records(watched(), [box], None)
    records.session(talk(FLOW4), T0_NS, TOLD)
    records.session(talk(FLOW4), T0_NS, Told(fields={"http": {"user_agent": "x"}}))
    records.session(scanned(FLOW4), T0_NS)
    records.cut(Cut(key(FLOW4), T0_NS, T0_NS, "kernel", "rst", T0_NS))
    records.cut(Cut(key(FLOW4), T0_NS, T0_NS, "allow_list"))
    records.trace(Trace(key(FLOW4), T0_NS, T0_NS, "silence", T0_NS))
    types = {"string": str, "integer": int, "boolean": bool, "null": type(None)}
    event = TABLES[table]
    described = {field.name: field for field in FIELDS if event in field.events}
    seen = {
        (path, type(value))
        for document in box.documents if document["event_type"] == event
        for path, value in paths_of(document)
        if path not in OF_THE_SERVICE
    }  # fmt: skip
    assert {path for path, _ in seen} == set(described)
    for path, kind in seen:
        assert kind in [types[name] for name in described[path].type.split(" or ")], path
    assert {name.partition(".")[0] for name in described if "." in name} <= {
        *GROUPS, "http", "tls", "ssh",
    }  # fmt: skip


# ---- threads, speed -------------------------------------------------------------------------


def test_threads_give_records_at_the_same_time(tmp_path: Path) -> None:
    store = Store(str(tmp_path), None, Limits(days=36_500))
    said: list[str] = []
    outputs = Outputs(64 << 20, None, True, said.append)
    box = outputs.events(str(tmp_path / "events.jsonl"))
    records = Records(watched(), [box], store)
    sessions = [talk(Flow(orig_port=1000 + at)) for at in range(4)]

    def give(at: int) -> None:
        for number in range(500):
            records.session(sessions[at], T0_NS, Told(fields={"x": {"worker": at, "n": number}}))

    threads = [threading.Thread(target=give, args=(at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outputs.close() == said == []
    store.close()
    data = (tmp_path / "events.jsonl").read_bytes()
    told = [json.loads(line)["x"] for line in data.splitlines()]
    for at in range(4):
        again = b"".join(json.dumps(one).encode() + b"\n" for one in told)
        assert numbers(again, at) == list(range(500))
    rows = scan(str(tmp_path))["sessions"].group_by("src_port").len().collect()
    assert rows["len"].to_list() == [500] * 4


def test_a_record_costs_about_what_json_costs(tmp_path: Path) -> None:
    """Beside the machine's own pace: as many documents of its size through the standard library."""
    store = Store(str(tmp_path), None, Limits(flush_s=1000))
    sessions = [scanned(FLOW4), talk(FLOW4)]

    class Counting(Kept):
        """A box that only counts: joining bytes is not what is measured."""

        def put(self, data: bytes, units: int) -> None:
            assert data
            self.units += units

    one, box = Kept(), Counting()
    Records(watched(), [one], None).session(sessions[1], T0_NS, TOLD)
    document = one.documents[0]
    records = Records(watched(), [box], store)
    ratios = []
    for turn in range(10):
        began_s = time.thread_time()
        for at in range(1000 * turn, 1000 * (turn + 1)):
            records.session(sessions[at & 1], T0_NS + at, TOLD if at & 1 else None)
        used_s, began_s = time.thread_time() - began_s, time.thread_time()
        for _ in range(1000):
            assert json.loads(json.dumps(document))
        ratios.append(used_s / (time.thread_time() - began_s))
    assert statistics.median(ratios) < 1.6
    store.close()
    assert (box.units, store.written, store.dropped) == (10_000, 10_000, 0)


def test_a_time_in_the_last_of_a_second() -> None:
    box = Kept()
    records = Records(watched(), [box], None)
    for t_ns in (T0_NS - 1, T0_NS, T0_NS + 999 * MS, T0_NS - 1, 0, -1):
        records.cut(Cut(key(FLOW4), t_ns, t_ns, "kernel"))
        assert box.documents[-1]["timestamp"] == timestamp(t_ns, 9)


def test_the_tracker_counts_whole_frames() -> None:
    line = Line(FLOW4)
    line.connect()
    line.pass_by(Tcp(ACK, 1, 501, payload=b"x" * 1000), True, cut_to=100)
    session = line.tracker.cut(line.tracker.open()[0], line.t_ns, "command")
    assert session is not None
    # 14 bytes of Ethernet, 20 of IPv4, 20 of TCP; the last was captured in part
    assert (session.orig_frame_bytes, session.resp_frame_bytes) == (3 * 54 + 1000, 54)
