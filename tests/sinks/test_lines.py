"""Every JSON line, byte by byte, against the slow twin; Community ID against its vectors."""

from __future__ import annotations

import ipaddress
import json
import subprocess
from itertools import chain
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conftest import skip
from darkflow.flow.batch import Events, Frames
from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from darkflow.flow.networks import Networks
from darkflow.sinks.direct import DirectFile
from darkflow.sinks.event_file import EventFile
from darkflow.sinks.fields import FIELDS, GROUPS
from darkflow.sinks.lines import LineFormat
from darkflow.units import parse_networks
from judging import HOLD_NS, IDLE_NS, Collector, judge
from slow_lines import Headers, Network, community_id, line, timestamp
from writers import (
    BASE2,
    CWR,
    ECE,
    LINUX_OPTIONS,
    RAW,
    SECOND_NS,
    SYN,
    Flow,
    Ip,
    Pcap,
    Pcapng,
    Tcp,
    icmp_error,
    mss,
    window_scale,
)

INSIDE = "192.0.2.0/24,2001:db8:1::/48"
NETWORKS: list[Network] = [ipaddress.ip_network(text) for text in INSIDE.split(",")]
FLOW4 = Flow()
FLOW6 = Flow("2001:db8:f::7", 50_000, "2001:db8:1::22", 443)


class Lines:
    """A sink that keeps the lines of one format."""

    name = "the test"

    def __init__(self, at_verdict: bool = False, networks: Networks | None = None) -> None:
        self.format = LineFormat(networks or watched(), HOLD_NS, at_verdict)
        self.text = b""

    def write(self, events: Events) -> None:
        """Format one batch."""
        self.text += self.format.format(events)

    def close(self) -> None:
        """Nothing is left to do."""

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The lines, read back."""
        return [json.loads(text) for text in self.text.splitlines()]


def watched() -> Networks:
    """The networks of these tests."""
    _, v4, v6 = parse_networks(INSIDE)
    return Networks(v4, v6)


def write(path: Path, packets: list[tuple[int, bytes]]) -> Path:
    """IP packets as a capture in ns."""
    path.write_bytes(Pcap(RAW, nano=True).file(packets))
    return path


def dark(packet: bytes, t_ns: int = SECOND_NS) -> tuple[str, dict[str, Any]]:
    """One SYN that nobody answers: its line, and the engine's event."""
    decoder, engine, lines = Decoder(), Engine(HOLD_NS, IDLE_NS), Lines()
    packets = decoder.decode(Frames.of([(t_ns, RAW, packet)]))
    ends = []
    for events in chain(engine.observe(packets), engine.finish(t_ns + 2 * HOLD_NS)):
        lines.write(events)
        ends += [event for event in events.to_list() if event["event"] == "end"]
    return lines.text.decode(), ends[0]


# ---- one SYN --------------------------------------------------------------------------------

flows = st.builds(
    Flow,
    st.sampled_from(["198.51.100.7", "192.0.2.9", "0.0.0.0", "255.255.255.255"]),
    st.integers(0, 65535),
    st.sampled_from(["192.0.2.1", "203.0.113.5", "198.51.100.7"]),
    st.integers(0, 65535),
) | st.builds(
    Flow,
    st.sampled_from(["2001:db8:f::7", "2001:db8:1::", "::", "fe80::1:0:0:1", "1:2:3:4:5:6:7:8"]),
    st.integers(0, 65535),
    st.sampled_from(["2001:db8:1::1", "2001:db8:0:1:1:1:1:1", "ff02::1", "2001:db8:f::7"]),
    st.integers(0, 65535),
)
segments = st.builds(
    Tcp,
    st.sampled_from([SYN, SYN | ECE | CWR, SYN | ECE, SYN | CWR, SYN | 1, SYN | 8]),
    st.integers(0, 0xFFFFFFFF),
    st.just(0),
    st.integers(0, 65535),
    st.binary(max_size=40)
    | st.lists(
        st.sampled_from(
            [b"\0", b"\1", mss(), mss(0), window_scale(), window_scale(255), b"\4\2", b"\2", b"\3",
             b"\2\0", b"\2\1", b"\2\3\5", b"\2\5\1\1\1", b"\3\2", b"\3\4\1\1", b"\xfd\x26", b"\x22"]
        ),
        max_size=8,
    ).map(lambda parts: b"".join(parts)[:40]),
    st.binary(max_size=20),
)  # fmt: skip
headers = st.builds(
    Ip, st.integers(0, 255), st.integers(0, 65535), st.booleans(),
    st.sampled_from([b"", b"\1\1\1\0", b"\x94\4\0\0" * 10]),
    total=st.sampled_from([None, None, None, 0, 21, 60, 65535]),
)  # fmt: skip


@given(flows, segments, headers, st.integers(0, 80))
@settings(max_examples=250, deadline=None)
@example(FLOW4, Tcp(options=LINUX_OPTIONS), Ip(), 80)
def test_a_dark_flow_s_line_is_what_the_twin_makes_of_the_packet(
    flow: Flow, segment: Tcp, header: Ip, captured: int
) -> None:
    packet = flow.packet(segment, header)
    fixed = (packet[0] & 15) * 4 if packet[0] >> 4 == 4 else 40
    packet = packet[: max(fixed + 14, fixed + captured)]
    text, event = dark(packet)
    assert text == line("darkflow", packet, event, 9, NETWORKS)


@pytest.mark.parametrize(
    ("options", "kinds", "size", "scale"),
    [
        (b"", "", None, None),
        (LINUX_OPTIONS, "2-4-8-1-3", 1460, 7),
        (mss(536) + b"\0" + b"\3\3\7\0", "2-0", 536, None),
        (b"\2\4\5", "", None, None),
        (b"\1\1\1\2", "1-1-1", None, None),
        (b"\1\1\2\0", "1-1", None, None),
        (b"\2\3\5\1", "2-1", None, None),
        (b"\3\4\1\1", "3", None, None),
        (mss(1) + mss(2), "2-2", 2, None),
        (b"\xfd\4\1\1", "253", None, None),
    ],
)
def test_options_whole_and_malformed(
    options: bytes, kinds: str, size: int | None, scale: int | None
) -> None:
    # Without padding: the data offset counts whole words, and the capture ends with the options.
    packet = FLOW4.packet(Tcp(options=options))[: 40 + len(options)]
    found = json.loads(dark(packet)[0])["darkflow"]
    assert (found["options"], found["mss"], found["wscale"]) == (kinds, size, scale)


@pytest.mark.parametrize(
    ("caplen", "window", "kinds"),
    [(14, None, ""), (15, None, ""), (16, 64_240, ""), (24, 64_240, "2")],
)
def test_a_header_that_was_cut_off_tells_what_is_there(
    caplen: int, window: int | None, kinds: str
) -> None:
    found = json.loads(dark(FLOW4.syn(options=LINUX_OPTIONS)[: 20 + caplen])[0])["darkflow"]
    assert (found["window"], found["options"]) == (window, kinds)


def test_mapped_addresses_are_written_as_rfc_5952_recommends() -> None:
    document = json.loads(dark(Flow("::ffff:192.0.2.1", 1, "2001:db8::1", 2).syn())[0])
    assert document["src_ip"] == "::ffff:192.0.2.1"


# ---- times ----------------------------------------------------------------------------------


@pytest.mark.parametrize("digits", range(10))
@pytest.mark.parametrize("second", [1_700_000_000, 0, -1, -62_135_596])
def test_times_have_the_capture_s_digits(tmp_path: Path, digits: int, second: int) -> None:
    form, lines = Pcapng(), Lines()
    fraction = 123_456_789 // 10 ** (9 - digits)
    path = tmp_path / "capture"
    path.write_bytes(
        form.section() + form.interface(RAW, digits, second - 5)
        + form.enhanced(5 * 10**digits + fraction, FLOW4.syn())
        + form.enhanced(11 * 10**digits, b"")
    )  # fmt: skip
    judge([path], [lines])
    (document,) = lines.documents
    decimals = "." + "123456789"[:digits] if digits else ""
    dates = {
        1_700_000_000: "2023-11-14T22:13:20", 0: "1970-01-01T00:00:00", -1: "1969-12-31T23:59:59",
        -62_135_596: "1968-01-12T20:06:44",
    }  # fmt: skip
    assert document["timestamp"] == f"{dates[second]}{decimals}Z"
    t0_ns = second * SECOND_NS + fraction * 10 ** (9 - digits)
    assert document["darkflow"]["t0_ns"] == t0_ns
    assert document["timestamp"] == timestamp(t0_ns, digits)


@pytest.mark.parametrize("resolution", [12, BASE2 | 20])
def test_finer_and_binary_times_have_nine_digits(tmp_path: Path, resolution: int) -> None:
    form, lines = Pcapng(), Lines()
    per_second = (1 << 20) if resolution & BASE2 else 10**12
    path = tmp_path / "capture"
    path.write_bytes(
        form.section() + form.interface(RAW, resolution)
        + form.enhanced(per_second * 3 // 2, FLOW4.syn()) + form.enhanced(9 * per_second, b"")
    )  # fmt: skip
    judge([path], [lines])
    assert [d["timestamp"] for d in lines.documents] == ["1970-01-01T00:00:01.500000000Z"]


def test_a_late_answer_has_its_own_time_and_precision(tmp_path: Path) -> None:
    form, lines = Pcapng(), Lines()
    path = tmp_path / "capture"
    path.write_bytes(
        form.section() + form.interface(RAW, 9) + form.interface(RAW, 3)
        + form.enhanced(1_000_000_007, FLOW4.syn()) + form.enhanced(6_250, FLOW4.answer(), 1)
    )  # fmt: skip
    judge([path], [lines])
    flow, late = lines.documents
    assert flow["timestamp"] == "1970-01-01T00:00:01.000000007Z"
    assert late["timestamp"] == "1970-01-01T00:00:06.250Z"
    assert late["late_answer"] == {"answer": "syn_ack", "delay_ns": 5_249_999_993}
    assert late["flow_id"] == flow["flow_id"]


# ---- whole captures -------------------------------------------------------------------------


def _story() -> list[tuple[int, bytes]]:
    """Dark flows of every kind: retried, refused late, answered late, with a reason, with data."""
    ms = 1_000_000
    retried, refused, data = Flow(orig_port=1), Flow(orig_port=2), Flow(orig_port=3)
    out = Flow("192.0.2.77", 4, "203.0.113.9", 445)
    reasons = [
        (200 * ms, icmp_error("203.0.113.254", out.syn(), 3, 1)),
        (300 * ms, icmp_error("2001:db8:1::fe", FLOW6.syn(), 1, 3)),
    ]
    return [
        (0, retried.syn(1)), (0, refused.syn(2)), (1 * ms, out.syn()), (2 * ms, FLOW6.syn()),
        (3 * ms, data.packet(Tcp(payload=b"GET /"))), (3 * ms, retried.syn(1)), *reasons,
        (1000 * ms, retried.syn(99)), (5000 * ms, retried.syn(1)), (7000 * ms, retried.syn(1)),
        (8000 * ms, refused.reset()), (9000 * ms, data.answer()), (9001 * ms, FLOW4.syn()),
    ]  # fmt: skip


REPORTERS = {4: "203.0.113.254", 50_000: "2001:db8:1::fe"}


def _first_syns() -> dict[int, bytes]:
    """The first SYN of each flow by its source port."""
    first: dict[int, bytes] = {}
    for _, packet in _story():
        if packet[9 if packet[0] >> 4 == 4 else 6] == 6:
            headers = Headers.of(packet)
            if headers.tcp[13] & 0x16 == SYN:
                first.setdefault(headers.ports[0], packet)
    return first


@pytest.mark.parametrize("at_verdict", [False, True])
def test_a_whole_capture_gives_the_twin_s_lines(tmp_path: Path, at_verdict: bool) -> None:
    lines, collector = Lines(at_verdict), Collector()
    judge([write(tmp_path / "capture", _story())], [lines, collector])
    kinds = {
        "dark": "darkflow" if at_verdict else None,
        "end": None if at_verdict else "darkflow",
        "late_answer": "late_answer",
        "undecided": "undecided",
    }
    expected, first = "", _first_syns()
    for event in collector.events:
        kind = kinds[event["event"]]
        if event["event"] == "end" and at_verdict and event["last_syn_ns"] > HOLD_NS:
            kind = "darkflow_end"
        if kind is not None:
            port = event["sport"]
            expected += line(kind, first[port], event, 9, NETWORKS, REPORTERS.get(port))
    assert lines.text.decode() == expected
    assert lines.format.lines == expected.count("\n") == (9 if at_verdict else 8)


def test_an_end_line_only_where_syns_came_after_the_verdict(tmp_path: Path) -> None:
    within, at_t, after = Flow(orig_port=1), Flow(orig_port=2), Flow(orig_port=3)
    packets = [
        (0, within.syn()), (0, at_t.syn()), (0, after.syn()), (SECOND_NS, within.syn()),
        (5 * SECOND_NS, at_t.syn()), (5 * SECOND_NS + 1, after.syn()), (90 * SECOND_NS, b""),
    ]  # fmt: skip
    lines = Lines(at_verdict=True)
    judge([write(tmp_path / "capture", packets)], [lines])
    assert [
        (d["src_port"], d["event_type"], d["darkflow"]["syn_count"]) for d in lines.documents
    ] == [
        (1, "darkflow", 2), (2, "darkflow", 2), (3, "darkflow", 1), (3, "darkflow_end", 2),
    ]  # fmt: skip


def test_an_end_line_also_where_the_reason_came_after_the_verdict(tmp_path: Path) -> None:
    early, late = Flow(orig_port=1), Flow(orig_port=2)
    packets = [
        (0, early.syn()), (0, late.syn()), (SECOND_NS, icmp_error("203.0.113.254", early.syn())),
        (6 * SECOND_NS, icmp_error("203.0.113.254", late.syn())), (90 * SECOND_NS, b""),
    ]  # fmt: skip
    lines = Lines(at_verdict=True)
    judge([write(tmp_path / "capture", packets)], [lines])
    assert [
        (d["src_port"], d["event_type"], d["darkflow"]["icmp"] is not None) for d in lines.documents
    ] == [(1, "darkflow", True), (2, "darkflow", False), (2, "darkflow_end", True)]


def paths_of(document: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted path to value; the two objects that only group fields are no fields."""
    found: dict[str, Any] = {}
    for key, value in document.items():
        path = prefix + key
        if isinstance(value, dict):
            found |= paths_of(value, path + ".")
        if path not in GROUPS:
            found[path] = value
    return found


@pytest.mark.parametrize("event_type", ["darkflow", "late_answer", "undecided"])
def test_the_lines_have_the_fields_that_are_described(tmp_path: Path, event_type: str) -> None:
    lines = Lines()
    judge([write(tmp_path / "capture", _story())], [lines])
    types = {"string": str, "integer": int, "boolean": bool, "object": dict, "null": type(None)}
    # That of shorter holds: flow/test_adaptive.py.
    described = {f.name: f for f in FIELDS if event_type in f.events and "hold_ns" not in f.name}
    seen: set[str] = set()
    for document in lines.documents:
        if document["event_type"] == event_type:
            for path, value in paths_of(document).items():
                allowed = [types[name] for name in described[path].type.split(" or ")]
                assert type(value) in allowed, path
                seen.add(path)
    if event_type != "darkflow":
        described = {n: f for n, f in described.items() if not n.startswith("darkflow.icmp.")}
    assert seen == set(described)


# ---- Community ID ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        (Flow("128.232.110.120", 34855, "66.35.250.204", 80), "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
        (Flow("66.35.250.204", 80, "128.232.110.120", 34855), "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
        (Flow("10.0.0.1", 10, "10.0.0.2", 11569), "1:SXBGMX1lBOwhhoDrZynfROxnhnM="),
        (Flow("10.0.0.2", 11569, "10.0.0.1", 10), "1:SXBGMX1lBOwhhoDrZynfROxnhnM="),
    ],
)
def test_community_id_as_published(flow: Flow, expected: str) -> None:
    assert json.loads(dark(flow.syn())[0])["community_id"] == expected
    assert community_id(Headers.of(flow.syn())) == expected


def test_community_id_as_tshark_computes_it(tmp_path: Path) -> None:
    if which("tshark") is None:
        skip("tshark is not installed")
    flows = [
        FLOW4, FLOW6, FLOW6.turned(), Flow("2001:db8::1", 5, "2001:db8::1", 4),
        Flow("10.0.0.1", 9, "10.0.0.1", 10), Flow("10.0.0.200", 9, "10.0.0.9", 10),
    ]  # fmt: skip
    path = write(tmp_path / "capture", [(i, flow.syn()) for i, flow in enumerate(flows)])
    command = ["tshark", "-r", str(path), "--enable-protocol", "communityid", "-Tfields"]
    done = subprocess.run(
        [*command, "-e", "communityid"], capture_output=True, text=True, check=True
    )
    ours = [json.loads(dark(flow.syn())[0])["community_id"] for flow in flows]
    assert ours == done.stdout.split()


def test_the_lines_of_many_flows_reach_the_file(tmp_path: Path) -> None:
    packets = [(i * 1000, Flow(orig_port=i).syn(i)) for i in range(3000)]
    path, out = write(tmp_path / "capture", packets), tmp_path / "events"
    last, lines = write(tmp_path / "end", [(9 * SECOND_NS, b"")]), Lines()
    sink = EventFile("out", LineFormat(watched(), HOLD_NS), [DirectFile(str(out), prompt=False)])
    judge([path, last], [lines, sink], sizes=(4096, 4096))
    assert len(lines.documents) == 3000
    assert out.read_bytes() == lines.text
