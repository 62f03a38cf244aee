"""Which worker a packet is for: both directions of a flow, and errors about it, are the same's."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import skip
from darkflow.flow.batch import Frames
from darkflow.flow.decode import Decoder
from darkflow.sources.fanout import NET, PROTOCOL, Fanout, spread_program
from darkflow.sources.interface import Interface, Watch
from writers import Flow, icmp_error

PROGRAM = spread_program()
ALU: dict[int, Callable[[int, int, int], int]] = {
    0x04: lambda a, k, _: a + k,
    0x24: lambda a, k, _: a * k,
    0x54: lambda a, k, _: a & k,
    0x64: lambda a, k, _: a << k,
    0x74: lambda a, k, _: a >> k,
    0x0C: lambda a, _, x: a + x,
    0xAC: lambda a, _, x: a ^ x,
}
V4 = st.ip_addresses(v=4).map(str)
V6 = st.ip_addresses(v=6).map(str)


def spread(packet: bytes, protocol: int) -> int:
    """What the program says of a packet from its network header on, run as slowly as can be."""
    a = x = at = 0
    memory = [0] * 16
    while True:
        op, true, false, k = PROGRAM[at]
        at += 1
        if op in (0x20, 0x28, 0x40, 0x48, 0x50):
            if k == PROTOCOL:
                a = protocol
                continue
            start = (k + (x if op in (0x40, 0x48, 0x50) else 0) - NET) & 0xFFFFFFFF
            size = {0x20: 4, 0x28: 2, 0x40: 4, 0x48: 2, 0x50: 1}[op]
            if start + size > len(packet):
                return 0
            a = int.from_bytes(packet[start : start + size], "big")
        elif op in (0x02, 0x03):
            memory[k] = a if op == 0x02 else x
        elif op in (0x01, 0x61):
            x = k if op == 0x01 else memory[k]
        elif op in (0x07, 0x87):
            a, x = (a, a) if op == 0x07 else (x, x)
        elif op in ALU:
            a = ALU[op](a, k, x) & 0xFFFFFFFF
        elif op in (0x15, 0x25):
            at += true if (a == k if op == 0x15 else a > k) else false
        elif op == 0x05:
            at += k
        else:
            assert op in (0x06, 0x16)
            return a if op == 0x16 else k


def tagged(packet: bytes, protocol: int, tags: int) -> tuple[bytes, int]:
    """With so many VLAN tags left in the packet, and what the kernel then calls its protocol."""
    for _ in range(tags):
        packet = b"\0\5" + protocol.to_bytes(2, "big") + packet
        protocol = 0x8100
    return packet, protocol


@given(st.one_of(st.tuples(V4, V4), st.tuples(V6, V6)), st.integers(0, 2))
def test_a_flow_has_one_worker(ends: tuple[str, str], tags: int) -> None:
    flow = Flow(ends[0], 1025, ends[1], 80)
    protocol = 0x86DD if ":" in ends[0] else 0x0800
    router = "2001:db8::fe" if ":" in ends[0] else "203.0.113.254"
    kinds = (flow.syn(), flow.answer(), flow.reset(), icmp_error(router, flow.syn()))
    assert len({spread(*tagged(packet, protocol, tags)) for packet in kinds}) == 1


def test_workers_get_about_the_same() -> None:
    for protocol, address in ((0x0800, "198.51.{}.{}"), (0x86DD, "2001:db8:{}::{}")):
        counts = [0, 0, 0, 0]
        for n in range(4000):
            end = address.format(n >> 8, n & 255)
            other = "192.0.2.1" if protocol == 0x0800 else "2001:db8::1"
            counts[spread(Flow(end, 1, other, 2).syn(), protocol) % 4] += 1
        assert min(counts) > 800


def test_two_rings_share_what_comes() -> None:
    if os.geteuid() != 0:
        skip("AF_PACKET needs root")
    fanout = Fanout(2)
    rings = []
    for _ in range(2):
        rings.append(Interface("lo", Watch(outgoing=False, fanout=fanout)))
        if len(rings) == 1:
            connect("127.0.0.99")  # before all are there: nobody's
    flows: list[set[str]] = [set(), set()]
    for n in range(100):
        connect(f"127.0.1.{n}")
    frames, decoder = Frames(), Decoder()
    end = time.monotonic() + 1
    while time.monotonic() < end:
        for ring, found in zip(rings, flows, strict=True):
            while ring.read(frames):
                for row in decoder.decode(frames).to_list():
                    ends = (socket.inet_ntoa(row["src"]), socket.inet_ntoa(row["dst"]))
                    # Others use this interface, too.
                    if 9 in (row["sport"], row["dport"]) and max(ends).startswith("127.0.1."):
                        found.add(max(ends))
        time.sleep(0.01)
    assert flows[0] | flows[1] == {f"127.0.1.{n}" for n in range(100)}
    assert flows[0].isdisjoint(flows[1])
    assert min(map(len, flows)) > 20
    for ring in rings:
        ring.close()
    assert fanout.whole_ns("lo") > time.time_ns()


def connect(address: str) -> None:
    """A SYN and an RST on loopback; nobody listens there."""
    with socket.socket() as client:
        client.connect_ex((address, 9))


def test_a_group_that_cannot_be_had() -> None:
    if os.geteuid() != 0:
        skip("AF_PACKET needs root")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as unbound, pytest.raises(OSError):
        Fanout(2).join(unbound, "lo", 0)
