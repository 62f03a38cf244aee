"""Cuts as the kernel logs them: the flow, the time, by what, and how many nobody heard of."""

from __future__ import annotations

import select
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkflow.divert.cuts import (
    ENDS,
    LOGGED_BYTES,
    PAYLOAD,
    SEQUENCE,
    TIMESTAMP,
    Cut,
    Cuts,
    cut_of,
)
from darkflow.divert.dispatcher import Flow
from darkflow.divert.netlink import attribute, attributes
from darkflow.lab.planes import (
    ABSENT,
    ACK,
    FIN,
    MACS,
    NOBODY,
    RST,
    SYN,
    Stand,
    flow_of,
    frame,
    ip_packet,
    packed,
    tcp_packet,
    turned,
    until,
)


def test_the_client_is_whom_the_answer_is_sent_to(version: int) -> None:
    flow = flow_of(version, 4000)
    for flags, by in ((SYN | ACK, "syn_ack"), (RST, "rst"), (RST | ACK, "rst")):
        packet = tcp_packet(turned(flow), flags, 1, 2)
        assert cut_of(packet) == (flow, by)
        assert cut_of(packet + b"more") == (flow, by)


def test_headers_before_tcp() -> None:
    flow = flow_of(6, 4000)
    tcp = tcp_packet(turned(flow), SYN | ACK)[40:]
    options = bytes((60, 0)) + bytes(6) + bytes((6, 1)) + bytes(14)
    assert cut_of(ip_packet(flow[2], flow[0], 0, options + tcp)) == (flow, "syn_ack")
    assert cut_of(ip_packet(flow[2], flow[0], 17, tcp)) is None
    # A chain without an end.
    assert cut_of(ip_packet(flow[2], flow[0], 0, bytes(400))) is None
    four = tcp_packet(turned(flow_of(4, 4000)), RST)
    padded = b"\x46" + four[1:20] + bytes(4) + four[20:]
    assert cut_of(padded) == (flow_of(4, 4000), "rst")
    assert cut_of(b"\x4f" + four[1:]) is None
    assert cut_of(b"\x40" + four[1:]) is None


@given(st.binary(max_size=LOGGED_BYTES))
def test_anything_can_be_read(packet: bytes) -> None:
    cut_of(packet)
    cut_of(b"\x45" + packet)
    cut_of(b"\x60" + packet)


def logged(number: int, packet: bytes, us: int | None = 7) -> dict[int, bytes]:
    """The attributes of a logged packet."""
    stamp = attribute(TIMESTAMP, struct.pack("!QQ", 5, us)) if us is not None else b""
    return attributes(
        stamp + attribute(SEQUENCE, struct.pack("!I", number)) + attribute(PAYLOAD, packet)
    )


def test_losses_are_counted_by_number() -> None:
    cuts = Cuts.__new__(Cuts)
    cuts.lost = cuts.unreadable = 0
    cuts._next = None
    packet = tcp_packet(turned(flow_of(4, 4000)), RST)
    found: list[Cut] = []
    for number in (0xFFFFFFFE, 0xFFFFFFFF, 0, 3, 4):
        cuts._take(logged(number, packet), found)
    cuts._take(logged(5, b"short"), found)
    assert (cuts.lost, cuts.unreadable, len(found)) == (2, 1, 5)
    assert found[0] == (flow_of(4, 4000), 5_000_007_000, "rst")
    # Nobody captures, so the kernel stamps nothing.
    cuts._take(logged(6, packet, None), found)
    assert abs(found[-1].t_ns - time.time_ns()) < 5_000_000_000


def test_cuts_of_real_packets(plane: Stand, version: int) -> None:
    table = plane.nft(group=41)
    with plane.at(plane.where):
        cuts = Cuts(41)
    tap = plane.seen(plane.where, "inside" if plane.kind != "mirror" else "mirror")
    try:
        kinds = ((SYN | ACK, "syn_ack"), (RST, "rst"), (RST | ACK, "rst"))
        flows = [flow_of(version, 4100 + n) for n in range(len(kinds))]
        table.add(flows)
        before_ns = time.time_ns()
        for flow, (flags, _) in zip(flows, kinds, strict=True):
            plane.answer(tcp_packet(turned(flow), flags, 9, 8))
        found: list[Cut] = []

        def told() -> bool:
            # The client's kernel resets what it did not ask for: that is no cut.
            found.extend(cut for cut in cuts.read() if cut.by not in ENDS)
            return len(found) >= len(kinds)

        until(told)
        expected = [(flow, by) for flow, (_, by) in zip(flows, kinds, strict=True)]
        assert [(cut.flow, cut.by) for cut in found] == expected
        stamps = [t_ns for t_ns, packet in tap.read() if cut_of(packet) in expected]
        # The kernel gives whole microseconds of the same stamp that a capture gets.
        assert [cut.t_ns for cut in found] == [t_ns // 1000 * 1000 for t_ns in stamps]
        assert before_ns - 1000 <= found[0].t_ns <= time.time_ns()
        assert cuts.read() == []
        assert (cuts.lost, cuts.unreadable) == (0, 0)
        # What cuts nothing is not logged: no flow, not an answer to a SYN, cut already.
        plane.answer(tcp_packet(turned(flow_of(version, 4999)), RST, 9, 8))
        plane.answer(tcp_packet(turned(flows[1]), RST, 9, 8))
        assert not select.select([cuts], [], [], 0.2)[0]
    finally:
        cuts.close()


class Ends:
    """What is told in a group after a late SYN+ACK has cut flows."""

    def __init__(self, plane: Stand, group: int, flows: list[Flow]) -> None:
        table = plane.nft(group=group)
        with plane.at(plane.where):
            self.cuts = Cuts(group)
        self.found: list[Cut] = []
        table.add(flows)
        for flow in flows:
            plane.answer(tcp_packet(turned(flow), SYN | ACK, 9, 8))

    def heard(self, count: int) -> bool:
        """Whether so many ends have been told."""
        self.found += [cut for cut in self.cuts.read() if cut.by in ENDS]
        return len(self.found) >= count

    def told(self, count: int) -> list[tuple[Flow, str]]:
        """They, and no more."""
        try:
            until(lambda: self.heard(count))
            time.sleep(0.2)
            self.heard(count + 1)
        finally:
            self.cuts.close()
        return [(cut.flow, cut.by) for cut in self.found]


def test_the_first_end_after_a_late_syn_ack_is_told(router: Stand, version: int) -> None:
    sent = [(RST, True), (RST | ACK, False), (FIN | ACK, True), (FIN | ACK, False)]
    nobody = packed(NOBODY[version])
    flows: list[Flow] = [(nobody, *flow_of(version, 4200 + n)[1:]) for n in range(len(sent))]
    ends = Ends(router, 44, flows)
    for flow, (flags, from_client) in zip(flows, sent, strict=True):
        # Data ends nothing; the second end is not the first.
        for one in (ACK, flags, RST):
            if from_client:
                router.knock(tcp_packet(flow, one, 9, 8))
            else:
                router.answer(tcp_packet(turned(flow), one, 9, 8))
    kinds = ["rst_by_client", "rst_by_server", "fin", "fin"]
    assert ends.told(4) == list(zip(flows, kinds, strict=True))


def test_a_client_resets_what_it_did_not_ask_for(plane: Stand, version: int) -> None:
    flows = [flow_of(version, 4300 + n) for n in range(3)]
    assert Ends(plane, 45, flows).told(3) == [(flow, "rst_by_client") for flow in flows]


def test_a_full_buffer_is_counted(router: Stand) -> None:
    table = router.nft(group=42)
    with router.at("gw"):
        cuts = Cuts(42, buffer_bytes=4096)
    try:
        flows = [flow_of(4, port, ABSENT[4]) for port in range(5000, 5400)]
        table.add(flows)
        answers = [tcp_packet(turned(flow), RST) for flow in flows]
        router.send("in", "i0", *(frame(one, MACS["inside"], MACS["i0"]) for one in answers))
        until(lambda: table.stats()["cut_rst"] == 400)
        heard = len(cuts.read())
        assert 0 < heard < 400
        # The number of the next one tells what is missing.
        table.add([flow_of(4, 6000)])
        router.answer(tcp_packet(turned(flow_of(4, 6000)), RST))
        until(lambda: bool(cuts.read()))
        assert cuts.lost == 400 - heard
    finally:
        cuts.close()


def test_a_group_that_is_taken(router: Stand) -> None:
    with router.at("gw"):
        first = Cuts(43)
        with pytest.raises(OSError, match="NFLOG group 43 is taken by another program"):
            Cuts(43)
        first.close()
        Cuts(43).close()
