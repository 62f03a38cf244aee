"""The packets a live source wants, as a program for the kernel's classic BPF (packet(7)).

What concerns the engine are TCP packets with SYN or RST and ICMP errors; all others are dropped in
the kernel, which costs a few ns. Wherever this program cannot tell (IPv6 extension headers, more
VLAN tags than it looks at) it lets the packet through: decode has the last word.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Instruction = tuple[int, int, int, int]
    Step = str | tuple[str, int] | tuple[str, int, str] | tuple[str, int, str, str]

# Opcodes of classic BPF, as in linux/filter.h.
LD_W_ABS, LD_H_ABS, LD_B_ABS = 0x20, 0x28, 0x30
LD_B_IND, LD_H_IND, LD_W_IND = 0x50, 0x48, 0x40
LDX_IMM, LDX_MEM, ST, STX = 0x01, 0x61, 0x02, 0x03
ADD_K, AND_K, MUL_K, LSH_K, RSH_K, ADD_X, XOR_X = 0x04, 0x54, 0x24, 0x64, 0x74, 0x0C, 0xAC
TAX, TXA, JEQ, JGT, JSET, JA, RET_K, RET_A = 0x07, 0x87, 0x15, 0x25, 0x45, 0x05, 0x06, 0x16

OPCODES = {
    "ldw": LD_W_ABS, "ldh": LD_H_ABS, "ldb": LD_B_ABS,
    "ldb[x+]": LD_B_IND, "ldh[x+]": LD_H_IND, "ldw[x+]": LD_W_IND,
    "ldx#": LDX_IMM, "ldx": LDX_MEM, "st": ST, "stx": STX,
    "add": ADD_K, "and": AND_K, "mul": MUL_K, "lsh": LSH_K, "rsh": RSH_K, "addx": ADD_X,
    "xorx": XOR_X, "tax": TAX, "txa": TXA, "jeq": JEQ, "jgt": JGT, "jset": JSET, "ja": JA,
    "ret": RET_K, "reta": RET_A,
}  # fmt: skip
WHOLE_PACKET = 0x40000
VLANS = (0x8100, 0x88A8, 0x9100)
MAX_TAGS = 2
IPV6_EXTENSIONS = (0, 43, 44, 51, 60, 135)
TUNNEL_PROTOCOLS = (4, 41, 47, 137)
TUNNEL_ETHERTYPES = (0x8847, 0x8848, 0x8864)
TUNNEL_PORTS = (4789, 8472, 6081, 2152)


def assemble(steps: Iterable[Step]) -> list[Instruction]:
    """Instructions from (name, k[, if true[, if false]]) with labels; a bare word is a label.

    A jump that is not given goes on with the next instruction. ValueError: a jump over more than
    255 instructions, or backwards, which the kernel does not take.
    """
    labels: dict[str, int] = {}
    flat: list[tuple[str, int, str | None, str | None]] = []
    for step in steps:
        if isinstance(step, str):
            labels[step] = len(flat)
        else:
            name, k, true, false = (*step, None, None)[:4]
            flat.append((name, k, true, false))
    program = []
    for at, (name, k, true, false) in enumerate(flat):
        if name == "ja":
            program.append((JA, 0, 0, labels[true or ""] - at - 1))
            continue
        jumps_to = [labels[to] - at - 1 if to else 0 for to in (true, false)]
        if not all(0 <= to <= 255 for to in jumps_to):
            raise ValueError(f"a jump of {name} is out of reach: {jumps_to}")
        program.append((OPCODES[name], jumps_to[0], jumps_to[1], k))
    return program


def _any_of(values: Iterable[int], target: str) -> list[Step]:
    return [("jeq", value, target) for value in values]


def _start(ethernet: bool, tunnels: bool) -> list[Step]:
    """X: offset of the IP header."""
    if not ethernet:
        return [("ldx#", 0), ("ldb[x+]", 0), ("and", 0xF0), ("jeq", 0x40, "ipv4"),
                ("jeq", 0x60, "ipv6", "drop")]  # fmt: skip
    steps: list[Step] = []
    for tags in range(MAX_TAGS + 1):
        steps += [("ldx#", 14 + 4 * tags), ("ldh", 12 + 4 * tags)]
        steps += [("jeq", 0x0800, "ipv4"), ("jeq", 0x86DD, "ipv6")]
        if tunnels:
            steps += _any_of(TUNNEL_ETHERTYPES, "accept")
        if tags < MAX_TAGS:
            steps += [*_any_of(VLANS, f"tag{tags}"), ("ja", 0, "drop"), f"tag{tags}"]
        else:
            steps += [*_any_of(VLANS, "accept"), ("ja", 0, "drop")]
    return steps


def _plain(ethernet: bool) -> list[Step]:
    """Most packets: TCP without VLAN tags, IP options or extension headers.

    The kernel compiles a load at a fixed offset into the load itself, one at X into a call.
    """
    base = 14 if ethernet else 0
    version: list[Step] = [("ldh", 12)] if ethernet else [("ldb", 0), ("and", 0xF0)]
    four, six = (0x0800, 0x86DD) if ethernet else (0x40, 0x60)
    return [
        *version, ("jeq", four, "", "no ipv4"),
        ("ldb", base + 9), ("jeq", 6, "", "any"),
        ("ldb", base), ("and", 15), ("jeq", 5, "", "any"),
        ("ldh", base + 6), ("jset", 0x1FFF, "drop"),
        ("ldb", base + 33), ("jset", 6, "accept", "drop"),
        "no ipv4", ("jeq", six, "", "any"),
        ("ldb", base + 6), ("jeq", 6, "", "any"),
        ("ldb", base + 53), ("jset", 6, "accept", "drop"),
        "any",
    ]  # fmt: skip


def program(ethernet: bool = True, tunnels: bool = False) -> list[Instruction]:
    """The filter for an Ethernet or a raw IP interface; `tunnels` lets encapsulations through."""
    steps: list[Step] = [
        *_plain(ethernet),
        *_start(ethernet, tunnels),
        "ipv4",
        ("ldh[x+]", 6), ("jset", 0x1FFF, "drop"),
        ("ldb[x+]", 9),
        ("jeq", 6, "tcp4"), ("jeq", 1, "icmp4"),
        *([*_any_of(TUNNEL_PROTOCOLS, "accept"), ("jeq", 17, "udp4")] if tunnels else []),
        ("ja", 0, "drop"),
        "tcp4",
        ("ldb[x+]", 0), ("and", 15), ("lsh", 2), ("addx", 0), ("tax", 0),
        ("ldb[x+]", 13), ("jset", 6, "accept", "drop"),
        "icmp4",
        ("ldb[x+]", 0), ("and", 15), ("lsh", 2), ("addx", 0), ("tax", 0),
        ("ldb[x+]", 0), *_any_of((3, 4, 11, 12), "accept"), ("ja", 0, "drop"),
        "ipv6",
        ("ldb[x+]", 6),
        ("jeq", 6, "tcp6"), ("jeq", 58, "icmp6"), *_any_of(IPV6_EXTENSIONS, "accept"),
        *([*_any_of(TUNNEL_PROTOCOLS, "accept"), ("jeq", 17, "udp6")] if tunnels else []),
        ("ja", 0, "drop"),
        "tcp6",
        ("ldb[x+]", 53), ("jset", 6, "accept", "drop"),
        "icmp6",
        ("ldb[x+]", 40), ("jeq", 0, "drop"), ("jgt", 4, "drop", "accept"),
    ]  # fmt: skip
    if tunnels:
        steps += [
            "udp4", ("ldb[x+]", 0), ("and", 15), ("lsh", 2), ("addx", 0), ("tax", 0),
            ("ldh[x+]", 2), *_any_of(TUNNEL_PORTS, "accept"), ("ja", 0, "drop"),
            "udp6", ("ldh[x+]", 42), *_any_of(TUNNEL_PORTS, "accept"),
        ]  # fmt: skip
    return assemble([*steps, "drop", ("ret", 0), "accept", ("ret", WHOLE_PACKET)])


def everything(most_bytes: int) -> list[Instruction]:
    """All packets, of each at most so many bytes."""
    return assemble([("ret", most_bytes)])


def packed(instructions: list[Instruction]) -> bytes:
    """As an array of struct sock_filter."""
    return b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
