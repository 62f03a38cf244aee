"""The kernel's filter, run by a slow interpreter: it lets through all that decode wants."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkflow.flow.batch import Frames
from darkflow.flow.decode import Decoder
from darkflow.sources.kernel_filter import assemble, packed, program
from flow.packets import ETHERNET
from slow_reader import SlowReader
from writers import Flow, Tcp, ethernet, icmp_error

RAW = 101


def passes(code: list[tuple[int, int, int, int]], packet: bytes) -> bool:
    """Classic BPF, as slowly as can be; a load beyond the packet drops it, as in the kernel."""
    a = x = at = 0
    while True:
        op, true, false, k = code[at]
        at += 1
        if op in (0x28, 0x30, 0x48, 0x50):
            start, size = k + (x if op & 0x40 else 0), 1 if op & 0x10 else 2
            if start + size > len(packet):
                return False
            a = int.from_bytes(packet[start : start + size], "big")
        elif op == 0x01:
            x = k
        elif op == 0x07:
            x = a
        elif op in (0x54, 0x64, 0x0C):
            a = a & k if op == 0x54 else (a << k if op == 0x64 else a + x) & 0xFFFFFFFF
        elif op in (0x15, 0x25, 0x45):
            holds = {0x15: a == k, 0x25: a > k, 0x45: a & k != 0}[op]
            at += true if holds else false
        elif op == 0x05:
            at += k
        else:
            assert op == 0x06
            return k > 0


def wanted(link: int, packet: bytes, tunnels: tuple[str, ...] = ()) -> bool:
    """Whether decode makes a row of it."""
    return len(Decoder(tunnels).decode(Frames.of([(0, link, packet)]))) > 0


@pytest.mark.parametrize("tunnels", [False, True])
def test_real_packets(captures: Path, tunnels: bool) -> None:
    """All that concern the engine pass; of the others some do, where the program cannot tell."""
    code, names = program(True, tunnels), ("all",) if tunnels else ()
    through = others = 0
    for path in sorted(captures.iterdir()):
        if path.stat().st_size > 1_000_000:
            continue
        for row in SlowReader().read(path.read_bytes()).rows:
            if row.link != ETHERNET or row.t_ns is None:
                continue
            if wanted(ETHERNET, row.data, names):
                assert passes(code, row.data), (path.name, row.data.hex())
            else:
                others += 1
                through += passes(code, row.data)
    assert others > 50_000
    assert through / others < (0.2 if tunnels else 0.02)


FLOWS = [Flow(), Flow("2001:db8::1", 5, "2001:db8::2", 6)]


@pytest.mark.parametrize("flow", FLOWS, ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("tags", [[], [(0x8100, 1)], [(0x88A8, 2), (0x8100, 1)]])
def test_what_passes_and_what_does_not(flow: Flow, tags: list[tuple[int, int]]) -> None:
    router = "2001:db8::fe" if ":" in str(flow) else "10.0.0.254"
    code, raw = program(True), program(False)
    for packet in (flow.syn(), flow.answer(), flow.reset(), icmp_error(router, flow.syn())):
        assert passes(code, ethernet(packet, tags))
        assert passes(raw, packet)
    data = flow.packet(Tcp(flags=0x18, payload=b"data"))
    assert not passes(code, ethernet(data, tags))
    assert not passes(raw, data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120), st.booleans(), st.booleans())
def test_no_packet_confuses_it(packet: bytes, is_ethernet: bool, tunnels: bool) -> None:
    if wanted(ETHERNET if is_ethernet else RAW, packet):
        assert passes(program(is_ethernet, tunnels), packet)


def test_the_kernel_takes_it() -> None:
    """Packed as struct sock_filter, with forward jumps only and an end."""
    for is_ethernet in (False, True):
        for tunnels in (False, True):
            code = program(is_ethernet, tunnels)
            assert len(packed(code)) == 8 * len(code) == 8 * len(code)
            assert struct.unpack_from("HBBI", packed(code), 8 * (len(code) - 1)) == code[-1]
            assert code[-1][0] == 0x06


def test_a_jump_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="out of reach"):
        assemble(["back", ("jeq", 1, "back"), ("ret", 0)])
    far = [("jeq", 1, "far"), *[("and", 255)] * 300, "far", ("ret", 0)]
    with pytest.raises(ValueError, match="out of reach"):
        assemble(far)  # type: ignore[arg-type]
