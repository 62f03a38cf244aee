"""Sessions as they pass the honeypot's interface: handshake, first bytes, and how they end."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkflow.flow.batch import Frames
from darkflow.honeypot.sessions import Session, Tracker
from writers import ACK, FIN, PSH, RST, SECOND_NS, SYN, SYN_ACK, Flow, Ip, Tcp, extension

MAC, HOST = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
MS = 1_000_000
FLOWS = (Flow(orig_port=40_000), Flow("2001:db8::1", 40_000, "2001:db8:1::2", 22))


def key(flow: Flow) -> tuple[bytes, int, bytes, int]:
    """The flow as the data plane calls it."""
    import ipaddress

    return (
        ipaddress.ip_address(flow.orig).packed, flow.orig_port,
        ipaddress.ip_address(flow.resp).packed, flow.resp_port,
    )  # fmt: skip


class Line:
    """The honeypot's interface: packets, one after the other, each 1 ms later."""

    def __init__(self, flow: Flow, **limits: int) -> None:
        self.flow = flow
        self.tracker = Tracker(MAC, 60 * SECOND_NS, **limits)
        self.t_ns = 1000 * SECOND_NS
        self.ended: list[Session] = []

    def divert(self) -> None:
        """Register it."""
        self.tracker.begin(key(self.flow), self.t_ns)

    def pass_by(self, tcp: Tcp, from_orig: bool, cut_to: int | None = None) -> None:
        """One packet, perhaps captured in part."""
        packet = (self.flow if from_orig else self.flow.turned()).packet(tcp)
        kind = b"\x86\xdd" if ":" in self.flow.orig else b"\x08\x00"
        frame = (MAC + HOST if from_orig else HOST + MAC) + kind + packet
        self.t_ns += MS
        frames = Frames.of([(self.t_ns, 1, frame[:cut_to], len(frame))])
        self.ended += self.tracker.observe(frames)

    def orig(self, flags: int, seq: int, ack: int = 0, payload: bytes = b"") -> None:
        """A packet of the client."""
        self.pass_by(Tcp(flags, seq, ack, payload=payload), True)

    def resp(self, flags: int, seq: int, ack: int = 0, payload: bytes = b"") -> None:
        """A packet of the honeypot."""
        self.pass_by(Tcp(flags, seq, ack, payload=payload), False)

    def connect(self) -> None:
        """The handshake: 1 and 501 are the next sequence numbers."""
        self.divert()
        self.orig(SYN, 0)
        self.resp(SYN_ACK, 500, 1)
        self.orig(ACK, 1, 501)


@pytest.fixture(params=FLOWS, ids=("ipv4", "ipv6"))
def line(request: pytest.FixtureRequest) -> Line:
    """A line with one flow."""
    return Line(request.param)


def test_a_session_from_the_handshake_to_the_fins(line: Line) -> None:
    line.connect()
    line.orig(PSH | ACK, 1, 501, b"GET / HTTP/1.0\r\n\r\n")
    line.resp(PSH | ACK, 501, 19, b"x" * 1000)
    line.resp(FIN | ACK, 1501, 19)
    line.orig(FIN | ACK, 19, 1502)
    assert line.ended == []
    line.resp(ACK, 1502, 20)
    (session,) = line.ended
    assert session.flow == key(line.flow)
    assert session.end == "fin"
    assert session.payload == b"GET / HTTP/1.0\r\n\r\n"
    assert (session.orig_packets, session.resp_packets) == (4, 4)
    assert (session.orig_bytes, session.resp_bytes) == (18, 1000)
    began = session.diverted_ns
    assert (session.syn_ack_ns, session.handshake_ns) == (began + 2 * MS, began + 3 * MS)
    assert session.ended_ns == line.t_ns
    assert line.tracker.held_bytes == 0


def test_what_the_honeypot_expects_of_the_client(line: Line) -> None:
    line.divert()
    line.orig(SYN, 0)
    (session,) = line.tracker.open()
    found = [session.expected]
    line.resp(SYN_ACK, 500, 1)
    found.append(session.expected)
    line.orig(PSH | ACK, 1, 501, b"abc")
    found.append(session.expected)
    line.resp(ACK, 501, 4)
    line.orig(FIN | ACK, 4, 501)
    assert [*found, session.expected] == [(), (1,), (1, 4), (4, 5)]


def test_after_the_cut_only_what_came_before_counts(line: Line) -> None:
    flow = key(line.flow)
    assert line.tracker.close(flow, line.t_ns) is None
    line.divert()
    cut_ns = line.t_ns + 3 * MS
    session = line.tracker.close(flow, cut_ns)
    assert session is not None
    assert line.tracker.close(flow, cut_ns + 1) is None
    line.orig(SYN, 0)
    line.resp(SYN_ACK, 500, 1)
    line.orig(PSH | ACK, 1, 501, b"abc")
    line.resp(PSH | ACK, 501, 4, b"late")
    line.resp(RST, 505)
    assert line.ended == []
    assert line.tracker.cut(session, cut_ns, "late_answer") is session
    assert (session.end, session.ended_ns, session.payload) == ("late_answer", cut_ns, b"abc")
    assert (session.orig_packets, session.resp_packets, session.expected) == (2, 1, (4,))


def test_a_scanner_that_resets(line: Line) -> None:
    line.divert()
    line.orig(SYN, 0)
    line.resp(SYN_ACK, 500, 1)
    line.orig(RST, 1)
    (session,) = line.ended
    assert (session.end, session.handshake_ns, session.payload) == ("rst_orig", 0, b"")
    line.resp(RST, 501)
    assert len(line.ended) == 1


def test_a_closed_door(line: Line) -> None:
    line.divert()
    line.orig(SYN, 0)
    line.resp(RST | ACK, 0, 1)
    assert [session.end for session in line.ended] == ["rst_resp"]


def test_first_bytes_are_put_together_in_order(line: Line) -> None:
    line.connect()
    line.orig(ACK, 4, 501, b"def")  # too early: not kept
    line.orig(ACK, 1, 501, b"abc")
    line.orig(ACK, 1, 501, b"abc")  # again
    line.orig(ACK, 4, 501, b"def")
    line.orig(RST, 7)
    assert line.ended[0].payload == b"abcdef"
    assert line.ended[0].orig_bytes == 12


def test_first_bytes_are_limited() -> None:
    line = Line(FLOWS[0], first_bytes=10)
    line.connect()
    line.orig(ACK, 1, 501, b"0123456")
    line.orig(ACK, 8, 501, b"789ab")
    line.orig(ACK, 13, 501, b"cd")
    line.orig(RST, 15)
    assert line.ended[0].payload == b"0123456789"
    assert line.ended[0].payload_total == 14


def test_first_bytes_of_all_sessions_are_limited() -> None:
    line = Line(FLOWS[0], kept_bytes=5)
    line.connect()
    line.orig(ACK, 1, 501, b"01234567")
    assert (line.tracker.payloads_not_kept, line.tracker.held_bytes) == (1, 0)
    line.orig(ACK, 9, 501, b"89")
    assert line.tracker.held_bytes == 2
    line.orig(RST, 11)
    assert line.tracker.held_bytes == 0


def test_what_the_capture_cut_off_leaves_no_hole(line: Line) -> None:
    line.connect()
    head = 14 + (40 if ":" in line.flow.orig else 20) + 20
    line.pass_by(Tcp(ACK, 1, 501, payload=b"abcdefgh"), True, head + 3)
    line.orig(ACK, 9, 501, b"ijk")
    line.orig(RST, 12)
    assert line.ended[0].payload == b"abc"
    assert line.ended[0].orig_bytes == 11


def test_idle_ends_it_and_the_flow_is_forgotten(line: Line) -> None:
    line.connect()
    assert line.tracker.expire(line.t_ns + 59 * SECOND_NS) == ([], [])
    (session,), gone = line.tracker.expire(line.t_ns + 60 * SECOND_NS + MS)
    assert (session.end, gone) == ("idle", [key(line.flow)])
    assert len(line.tracker) == 0
    line.orig(ACK, 1, 501)
    assert line.tracker.unknown == 1


def test_a_flow_stays_known_while_packets_come(line: Line) -> None:
    line.connect()
    for _ in range(5):
        line.t_ns += 50 * SECOND_NS
        line.orig(ACK, 1, 501)
        assert line.tracker.expire(line.t_ns) == ([], [])


@pytest.mark.parametrize("kinds", [(0,), (60,), (43, 60), (51,), (0, 51, 60)])
def test_extension_headers_are_stepped_over(kinds: tuple[int, ...]) -> None:
    flow = FLOWS[1]
    tracker = Tracker(MAC, 60 * SECOND_NS)
    tracker.begin(key(flow), 0)
    header = Ip(extensions=tuple(extension(kind, 1) for kind in kinds))
    packet = MAC + bytes(6) + b"\x86\xdd" + flow.syn(header=header)
    tracker.observe(Frames.of([(1, 1, packet)]))
    (session,) = tracker.open()
    assert (session.orig_packets, session.orig_frame_bytes) == (1, len(packet))
    for size in range(len(packet)):
        tracker.observe(Frames.of([(1, 1, packet[:size])]))


def test_it_is_forgotten_when_the_kernel_does_so() -> None:
    """Exactly `idle` after the last packet: a client that comes again then is a new one."""
    tracker, flow = Tracker(MAC, 60 * SECOND_NS), key(Flow())
    tracker.begin(flow, 0)
    tracker.observe(Frames.of([(50 * SECOND_NS, 1, MAC + bytes(6) + b"\x08\0" + Flow().syn())]))
    assert tracker.expire(60 * SECOND_NS) == ([], [])
    assert tracker.expire(110 * SECOND_NS - 1) == ([], [])
    (session,), gone = tracker.expire(110 * SECOND_NS)
    assert (session.orig_packets, gone, len(tracker), tracker.open_sessions) == (1, [flow], 0, 0)


def test_what_is_cut_and_begun_again_is_looked_at_once() -> None:
    """Entries of sessions that are gone do not pile up, nor end the next session early."""
    tracker, flow = Tracker(MAC, 60 * SECOND_NS), key(Flow())
    for second in range(50):
        tracker.begin(flow, second * SECOND_NS)
        assert tracker.open_sessions == 1
        tracker.cut(tracker.open()[0], second * SECOND_NS + 1, "command")
    tracker.begin(flow, 50 * SECOND_NS)
    assert tracker.expire(109 * SECOND_NS) == ([], [])
    assert len(tracker.expire(110 * SECOND_NS)[1]) == 1


@pytest.mark.parametrize("by_s", [3600, -3600])
def test_a_clock_that_is_set_ends_nothing(by_s: int) -> None:
    tracker, flow = Tracker(MAC, 60 * SECOND_NS), key(Flow())
    tracker.begin(flow, 10_000 * SECOND_NS)
    tracker.shift(by_s * SECOND_NS)
    assert tracker.expire((10_059 + by_s) * SECOND_NS) == ([], [])
    assert len(tracker.expire((10_060 + by_s) * SECOND_NS)[1]) == 1


def test_copies_for_a_sensor_are_all_of_clients() -> None:
    tracker, flow = Tracker(b"", 60 * SECOND_NS), key(Flow())
    tracker.begin(flow, 0)
    tracker.observe(Frames.of([(1, 1, bytes(12) + b"\x08\0" + Flow().syn())]))
    (session,) = tracker.open()
    assert (session.orig_packets, session.resp_packets, tracker.unknown) == (1, 0, 0)


def test_another_session_of_the_same_flow(line: Line) -> None:
    line.connect()
    line.orig(RST, 1)
    line.orig(ACK, 1, 501)  # belongs to the one that has ended
    line.orig(SYN, 9000)
    line.resp(SYN_ACK, 700, 9001)
    line.orig(ACK, 9001, 701, b"second")
    line.orig(RST, 9007)
    assert [session.payload for session in line.ended] == [b"", b"second"]


def test_a_cut_ends_it_once(line: Line) -> None:
    line.connect()
    (session,) = line.tracker.open()
    assert line.tracker.cut(session, line.t_ns, "late_answer", line.t_ns - 5) is session
    assert (session.end, session.answered_ns) == ("late_answer", line.t_ns - 5)
    assert line.tracker.cut(session, line.t_ns, "late_answer") is None
    assert len(line.tracker) == 0


def test_a_flow_that_is_diverted_again_before_its_cut_was_told_keeps_both_sessions() -> None:
    """The cut is told later, when what came before it was read."""
    tracker, flow = Tracker(MAC, 60 * SECOND_NS), key(Flow())
    tracker.begin(flow, 0)
    first = tracker.close(flow, SECOND_NS)
    assert first is not None
    tracker.begin(flow, 2 * SECOND_NS)
    (second,) = tracker.open()
    assert tracker.open_sessions == 2
    assert tracker.cut(first, SECOND_NS, "late_answer") is first
    assert tracker.open() == [second]
    assert tracker.expire(62 * SECOND_NS) == ([second], [flow])
    assert (first.end, second.end, len(tracker)) == ("late_answer", "idle", 0)
    assert tracker.open_sessions == 0


def test_after_a_cut_a_syn_begins_no_session(line: Line) -> None:
    line.connect()
    (session,) = line.tracker.open()
    line.orig(RST, 1)
    assert line.ended == [session]
    line.divert()
    second = line.tracker.close(key(line.flow), line.t_ns)
    assert second is not None
    line.t_ns -= MS  # it was on its way
    line.orig(RST, 1)
    line.orig(SYN, 9000)
    assert line.tracker.open_sessions == 0
    assert line.tracker.cut(second, line.t_ns, "command") is None
    assert len(line.tracker) == 0


def test_a_session_that_is_open_is_not_begun_again(line: Line) -> None:
    line.connect()
    line.divert()
    assert line.tracker.open()[0].handshake_ns != 0
    assert len(line.tracker.open()) == 1


@given(st.binary(max_size=120), st.booleans())
def test_any_bytes_do_no_harm(data: bytes, six: bool) -> None:
    tracker = Tracker(MAC, SECOND_NS)
    tracker.begin((bytes(16 if six else 4), 0, bytes(16 if six else 4), 0), 0)
    tracker.observe(Frames.of([(0, 1, MAC + HOST + (b"\x86\xdd" if six else b"\x08\x00") + data)]))
    tracker.observe(Frames.of([(0, 1, data)]))


def test_many_flows_at_once() -> None:
    tracker = Tracker(MAC, SECOND_NS)
    flows = [(os.urandom(4), n & 0xFFFF, b"\xc0\0\2\1", 22) for n in range(10_000)]
    for n, flow in enumerate(flows):
        tracker.begin(flow, n)
    ended, gone = tracker.expire(2 * SECOND_NS)
    assert len(ended) == len(gone) == len(set(flows))
    assert len(tracker) == 0
