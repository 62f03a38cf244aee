"""A thread that hears of the kernel's cuts."""

from __future__ import annotations

import time

import pytest

from darkflow.commands.cut_reader import CutReader
from darkflow.divert.dispatcher import Flow
from darkflow.lab.planes import ACK, RST, SYN, Stand, flow_of, tcp_packet, turned, until


def test_each_cut_is_told(router: Stand, version: int) -> None:
    table = router.nft(group=51)
    told: list[tuple[Flow, str]] = []

    def cut(flow: Flow, t_ns: int, answer: str) -> None:
        assert abs(time.time_ns() - t_ns) < 5_000_000_000
        told.append((flow, answer))

    with router.at("gw"):
        reader = CutReader(51, cut)
        with pytest.raises(OSError, match="NFLOG group 51 is taken"):
            CutReader(51, cut)
    reader.start()
    flows = [flow_of(version, 4400), flow_of(version, 4401)]
    table.add(flows)
    router.answer(tcp_packet(turned(flows[1]), RST | ACK, 9, 8))
    until(lambda: len(told) == 1)
    router.answer(tcp_packet(turned(flows[0]), SYN | ACK, 9, 8))
    until(lambda: len(told) >= 2)
    assert told[:2] == [(flows[1], "rst"), (flows[0], "syn_ack")]
    assert (reader.lost, reader.failed) == (0, None)
    reader.close()
    reader.close()
