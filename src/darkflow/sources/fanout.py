"""Several workers on one interface: the kernel deals packets out, a flow always to the same one.

PACKET_FANOUT (packet(7)) with a program of ours. The kernel's own hash would part an ICMP error
from the SYN that it quotes; this one looks at the two addresses, the quoted ones of an ICMP error,
in either order.
"""

from __future__ import annotations

import ctypes
import struct
import threading

from darkflow.sources.interface import SOL_PACKET
from darkflow.sources.kernel_filter import VLANS, assemble, packed

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from darkflow.sources.kernel_filter import Instruction, Step

PACKET_FANOUT, PACKET_FANOUT_DATA = 18, 22
FANOUT_CBPF = 6
# The kernel finds a number that no other program's group has.
FANOUT_UNIQUE_ID = 0x2000
# Offsets that the kernel understands: from the network header on, and what it knows of a packet.
NET = 0xFFF00000
PROTOCOL = 0xFFFFF000
BASE, FOLDED = 15, 0  # words of scratch memory
SPREAD = 0x9E3779B1
NEVER_NS = 1 << 62


def _start() -> list[Step]:
    """X: offset of the IP header behind the tags that are still in the packet."""
    steps: list[Step] = [("ldx#", 0), ("ldw", PROTOCOL)]
    for tag in range(2):
        steps += [("jeq", 0x0800, "ipv4"), ("jeq", 0x86DD, "ipv6")]
        steps += [("jeq", vlan, f"tag{tag}") for vlan in VLANS]
        steps += [("ja", 0, "none"), f"tag{tag}", ("ldx#", 4 * tag + 4), ("ldh", NET + 4 * tag + 2)]
    return [*steps, ("jeq", 0x0800, "ipv4"), ("jeq", 0x86DD, "ipv6", "none")]


def _fold(first: int, words: int) -> list[Step]:
    """The exclusive or of so many words from X + first on, spread over 16 bits."""
    steps: list[Step] = [("stx", BASE), ("ldw[x+]", NET + first), ("st", FOLDED)]
    for at in range(first + 4, first + 4 * words, 4):
        steps += [("ldx", BASE), ("ldw[x+]", NET + at), ("ldx", FOLDED), ("xorx", 0)]
        steps += [("st", FOLDED)]
    return [*steps, ("mul", SPREAD), ("rsh", 16), ("reta", 0)]


def spread_program() -> list[Instruction]:
    """Which worker a packet is for: the kernel takes the result modulo their number."""
    errors4: list[Step] = [("jeq", kind, "quoted4") for kind in (3, 4, 11, 12)]
    return assemble([
        *_start(),
        "ipv4",
        ("ldb[x+]", NET + 9), ("jeq", 1, "icmp4", "fold4"),
        "icmp4",
        ("stx", BASE), ("ldb[x+]", NET), ("and", 15), ("lsh", 2), ("addx", 0), ("tax", 0),
        ("ldb[x+]", NET), *errors4, ("ldx", BASE), ("ja", 0, "fold4"),
        "quoted4",
        ("txa", 0), ("add", 8), ("tax", 0),
        "fold4", *_fold(12, 2),
        "ipv6",
        ("ldb[x+]", NET + 6), ("jeq", 58, "icmp6", "fold6"),
        "icmp6",
        ("ldb[x+]", NET + 40), ("jeq", 0, "fold6"), ("jgt", 4, "fold6"),
        ("txa", 0), ("add", 48), ("tax", 0),
        "fold6", *_fold(8, 8),
        "none", ("ret", 0),
    ])  # fmt: skip


class Fanout:
    """What `workers` rings of each interface have in common: their group, and when it is whole.

    Until all are there, the kernel deals out among fewer: what comes before is nobody's, so that a
    SYN and its answer are never with two workers.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._lock = threading.Lock()
        self._groups: dict[str, int] = {}
        self._members: dict[str, int] = {}
        self._whole_ns: dict[str, int] = {}

    def join(self, ring: socket.socket, name: str, now_ns: int) -> None:
        """Add a bound ring of an interface; OSError when the kernel will not have it."""
        with self._lock:
            group = self._groups.get(name)
            kind = FANOUT_CBPF if group is not None else FANOUT_CBPF | FANOUT_UNIQUE_ID
            ring.setsockopt(SOL_PACKET, PACKET_FANOUT, struct.pack("I", (group or 0) | kind << 16))
            if group is None:
                self._give_program(ring)
                self._groups[name] = ring.getsockopt(SOL_PACKET, PACKET_FANOUT) & 0xFFFF
            self._members[name] = self._members.get(name, 0) + 1
            if self._members[name] == self.workers:
                self._whole_ns[name] = now_ns

    @staticmethod
    def _give_program(ring: socket.socket) -> None:
        code = packed(spread_program())
        buffer = ctypes.create_string_buffer(code, len(code))
        fprog = struct.pack("HL", len(code) // 8, ctypes.addressof(buffer))
        ring.setsockopt(SOL_PACKET, PACKET_FANOUT_DATA, fprog)

    def leave(self, name: str) -> None:
        """A ring has been closed; the last one ends the group."""
        with self._lock:
            self._members[name] -= 1
            self._whole_ns.pop(name, None)
            if self._members[name] == 0:
                del self._groups[name]

    def whole_ns(self, name: str) -> int:
        """Since when all workers have been there."""
        return self._whole_ns.get(name, NEVER_NS)
