"""The ring's blocks, written here as the kernel writes them: read once, given back after use."""

from __future__ import annotations

import struct

import pytest

from darkflow.flow.batch import Frames
from darkflow.flow.decode import Decoder
from darkflow.sources.ring import RingWalker
from writers import Flow, ethernet

BLOCK_BYTES = 1 << 16
FIRST_AT, HEADER_BYTES = 48, 48
KERNEL, USER = 0, 1
SECOND_NS = 1_000_000_000


class Ring:
    """A ring in plain memory."""

    def __init__(self, blocks: int) -> None:
        self.memory = bytearray(BLOCK_BYTES * blocks)
        self.walker = RingWalker(self.memory, BLOCK_BYTES, 1, 3)
        self.frames = Frames()
        self.decoder = Decoder()

    def fill(self, block: int, packets: list[tuple[int, bytes]]) -> None:
        """Write a block (struct tpacket_block_desc, struct tpacket3_hdr) and hand it over."""
        at = start = block * BLOCK_BYTES
        struct.pack_into("IIIII", self.memory, start, 1, 48, USER, len(packets), FIRST_AT)
        at += FIRST_AT
        for t_ns, packet in packets:
            size = (HEADER_BYTES + len(packet) + 15) // 16 * 16
            second, rest = divmod(t_ns, SECOND_NS)
            fields = (size, second, rest, len(packet), len(packet), 0, HEADER_BYTES, 0)
            struct.pack_into("IIIIIIHH", self.memory, at, *fields)
            self.memory[at + HEADER_BYTES : at + HEADER_BYTES + len(packet)] = packet
            at += size

    def status(self, block: int) -> int:
        """Whose the block is."""
        return int(struct.unpack_from("I", self.memory, block * BLOCK_BYTES + 8)[0])

    def read(self) -> list[tuple[int, int]] | None:
        """(time, source port) of the SYNs in the next batch, or None."""
        if not self.walker.walk(self.frames):
            return None
        return [(r["t_ns"], r["sport"]) for r in self.decoder.decode(self.frames).to_list()]


def syns(*ports: int) -> list[tuple[int, bytes]]:
    """SYNs at as many seconds as their port says."""
    return [(port * SECOND_NS + 7, ethernet(Flow(orig_port=port).syn())) for port in ports]


def told(*ports: int) -> list[tuple[int, int]]:
    """What is to be read of them."""
    return [(port * SECOND_NS + 7, port) for port in ports]


def test_blocks_are_read_in_turn_and_given_back_when_the_next_is_asked_for() -> None:
    ring = Ring(2)
    assert ring.read() is None
    ring.fill(0, syns(1, 2))
    ring.fill(1, syns(3))
    assert ring.read() == told(1, 2)
    assert ring.status(0) == USER  # its bytes are still in use
    assert ring.read() == told(3)
    assert (ring.status(0), ring.status(1)) == (KERNEL, USER)
    assert ring.read() is None
    assert ring.status(1) == KERNEL
    ring.fill(0, syns(4))
    assert ring.read() == told(4)
    assert ring.walker.packets == 4
    assert ring.walker.now_ns == 4 * SECOND_NS + 7


def test_time_does_not_run_back_within_a_ring() -> None:
    ring = Ring(1)
    ring.fill(0, syns(5, 3))
    assert ring.read() == told(5, 3)
    assert ring.walker.now_ns == 5 * SECOND_NS + 7
    assert ring.walker.disorder_ns == 2 * SECOND_NS


@pytest.mark.parametrize("bad", [0, 3, BLOCK_BYTES * 4])
def test_a_ring_is_whole_blocks(bad: int) -> None:
    with pytest.raises(ValueError, match="whole number"):
        RingWalker(bytearray(BLOCK_BYTES), bad, 1)


def test_what_came_before_a_moment_is_passed_over() -> None:
    ring = Ring(1)
    ring.walker.since_ns = 3 * SECOND_NS
    ring.fill(0, syns(2, 3))
    assert ring.read() == told(3)
    assert ring.walker.packets == 1


@pytest.mark.parametrize("step_s", [3600, -3600])
def test_packets_from_before_the_clock_was_set_are_put_into_the_new_time(step_s: int) -> None:
    ring = Ring(2)
    ring.fill(0, syns(10_000))
    ring.read()
    now_s = 10_001 + step_s
    ring.walker.step(step_s * SECOND_NS, now_s * SECOND_NS)
    # One from just before it was set, one from just after.
    ring.fill(1, [(10_001 * SECOND_NS, syns(1)[0][1]), (now_s * SECOND_NS + 5, syns(2)[0][1])])
    assert ring.read() == [(now_s * SECOND_NS, 1), (now_s * SECOND_NS + 5, 2)]
    assert ring.walker.now_ns == now_s * SECOND_NS + 5
    ring.walker.step(0, 0)
    ring.fill(0, syns(10_002 + step_s))
    assert ring.read() == told(10_002 + step_s)
