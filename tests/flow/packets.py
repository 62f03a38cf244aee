"""Builders of frames, header by header, for the tests of the decoder and the fuzzer.

Each function takes what lies within and puts its own header before it. Checksums are left 0: the
decoder does not read them, and tshark does not check them unless it is asked to.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

ETHERNET, NULL, RAW, SLL, LOOP, IPV4, IPV6, SLL2 = 1, 0, 101, 113, 108, 228, 229, 276
TYPE_IPV4, TYPE_IPV6, TYPE_VLAN, TYPE_QINQ = 0x0800, 0x86DD, 0x8100, 0x88A8
TYPE_MPLS, TYPE_PPPOE, TYPE_BRIDGED, TYPE_PPP = 0x8847, 0x8864, 0x6558, 0x880B
FIN, SYN, RST, ACK = 1, 2, 4, 16
SRC4, DST4 = bytes([192, 0, 2, 1]), bytes([198, 51, 100, 2])
SRC6 = bytes.fromhex("20010db8000000000000000000000001")
DST6 = bytes.fromhex("20010db8000000000000000000000002")
# The second address begins with 0, as many do: what follows MPLS labels must not mislead.
MAC_TO, MAC_FROM = bytes.fromhex("02005e100002"), bytes.fromhex("02005e100001")
MAC_ZERO = bytes.fromhex("001b2110aa01")


def tcp(
    flags: int = SYN, ports: tuple[int, int] = (1234, 80), seq: int = 7, rest: bytes = b""
) -> bytes:
    """A TCP header without options, and what follows it."""
    return struct.pack("!HHIIBBHHH", *ports, seq, 0, 0x50, flags, 1024, 0, 0) + rest


def tcp_options(options: bytes, flags: int = SYN, rest: bytes = b"") -> bytes:
    """A TCP header with options, whose length is a multiple of 4."""
    offset = (20 + len(options)) // 4 << 4
    return struct.pack("!HHIIBBHHH", 1234, 80, 7, 0, offset, flags, 1024, 0, 0) + options + rest


def udp(inner: bytes, port: int, source: int = 50000) -> bytes:
    """A datagram to `port`."""
    return struct.pack("!HHHH", source, port, 8 + len(inner), 0) + inner


def ipv4(
    inner: bytes, proto: int = 6, options: bytes = b"", fragment: int = 0,
    ends: tuple[bytes, bytes] = (SRC4, DST4),
) -> bytes:  # fmt: skip
    """`options` are padded; `fragment` holds flags and offset as in the header."""
    options += bytes(-len(options) % 4)
    size = 20 + len(options)
    head = struct.pack(
        "!BBHHHBBH", 0x40 | size // 4, 0, (size + len(inner)) & 0xFFFF, 99, fragment, 64, proto, 0
    )
    return head + ends[0] + ends[1] + options + inner


def ipv6(inner: bytes, proto: int = 6, ends: tuple[bytes, bytes] = (SRC6, DST6)) -> bytes:
    """The fixed header; extension headers are part of `inner`."""
    head = struct.pack("!IHBB", 6 << 28, len(inner) & 0xFFFF, proto, 64)
    return head + ends[0] + ends[1] + inner


def extension(inner: bytes, proto: int, units: int = 0) -> bytes:
    """Hop-by-hop, routing, destination or mobility header, `units` times 8 bytes beyond 8."""
    # Padding options (PadN), or a routing header of an unknown type with no segments left.
    return bytes([proto, units, 1, 4, 0, 0, 0, 0]) + bytes(units * 8) + inner


def fragment(inner: bytes, proto: int, offset: int = 0, more: bool = True) -> bytes:
    """IPv6 fragment header; `offset` in 8-byte units."""
    return struct.pack("!BBHI", proto, 0, offset << 3 | more, 5) + inner


def authentication(inner: bytes, proto: int, words: int = 4) -> bytes:
    """Authentication header with `words` 4-byte words beyond the first two."""
    return bytes([proto, words]) + bytes(2) + bytes(4 * words) + inner


def icmp_error(quoted: bytes, kind: int, code: int = 1) -> bytes:
    """Header of an ICMP or ICMPv6 error and the packet that it quotes."""
    return bytes([kind, code]) + bytes(6) + quoted


def ethernet(inner: bytes, ethertype: int, to: bytes = MAC_TO) -> bytes:
    """A frame without its check sequence."""
    return to + MAC_FROM + ethertype.to_bytes(2, "big") + inner


def type_of(packet: bytes) -> int:
    """EtherType of an IP packet."""
    return TYPE_IPV4 if packet[0] >> 4 == 4 else TYPE_IPV6


def framed(packet: bytes, tags: Sequence[int] = (), to: bytes = MAC_TO) -> bytes:
    """An Ethernet frame with an IP packet behind VLAN tags of the given EtherTypes."""
    body, ethertype = packet, type_of(packet)
    for tag in reversed(tags):
        body = struct.pack("!HH", 5, ethertype) + body
        ethertype = tag
    return ethernet(body, ethertype, to)


def linked(packet: bytes, link: int) -> bytes:
    """An IP packet as a frame of the given link type."""
    ethertype = type_of(packet).to_bytes(2, "big")
    family = 2 if packet[0] >> 4 == 4 else 24
    return {
        ETHERNET: lambda: framed(packet),
        NULL: lambda: family.to_bytes(4, "little") + packet,
        LOOP: lambda: family.to_bytes(4, "big") + packet,
        SLL: lambda: bytes(6) + MAC_FROM + bytes(2) + ethertype + packet,
        SLL2: lambda: ethertype + bytes(18) + packet,
    }.get(link, lambda: packet)()


Carrier = Callable[[bytes, int], bytes]  # (what lies within, protocol) -> IP packet


def gre(inner: bytes, ethertype: int, flags: int = 0) -> bytes:
    """GRE version 0; `flags`: 8 checksum, 2 key, 1 sequence number."""
    head = struct.pack("!BBH", flags << 4, 0, ethertype)
    return (
        head
        + bytes(4) * (flags & 8 > 0)
        + b"\0\0\1\7" * (flags & 2 > 0)
        + bytes(4 * (flags & 1))
        + inner
    )


def pptp(inner: bytes, acknowledged: bool = False, head: bytes = b"\xff\x03\x00\x21") -> bytes:
    """GRE version 1 with a sequence number, then PPP."""
    body = head + inner
    return (
        struct.pack(
            "!BBHHHI", 0x30, 0x81 if acknowledged else 1, TYPE_PPP, len(body) & 0xFFFF, 9, 1
        )
        + bytes(4 * acknowledged)
        + body
    )


def erspan(frame: bytes, version: int, subheader: bool = False, kind: int = 0) -> bytes:
    """GRE and ERSPAN type `version`; type III may have a platform subheader, and carry IP (2)."""
    if version == 1:
        return gre(frame, 0x88BE)
    if version == 2:
        return gre(struct.pack("!HHI", 0x1005, 7, 0) + frame, 0x88BE, 1)
    head = struct.pack("!HHIHH", 0x2005, 7, 0, 0, kind << 10 | subheader)
    # Platform 3 is a number that is described: a free one would do as well.
    return gre(head + (b"\x0c" + bytes(7)) * subheader + frame, 0x22EB, 1)


def vxlan(frame: bytes, port: int = 4789, flags: int = 8) -> bytes:
    """VXLAN in UDP."""
    return udp(bytes([flags, 0, 0, 0, 0, 0, 7, 0]) + frame, port)


def geneve(inner: bytes, ethertype: int, options: int = 0, second: int = 0) -> bytes:
    """Geneve in UDP, with one option of `options` 4-byte units of data if not 0."""
    data = struct.pack("!HBB", 0x0101, 1, options - 1) + bytes(4 * options - 4) if options else b""
    return udp(struct.pack("!BBHI", options, second, ethertype, 7 << 8) + data + inner, 6081)


def gtp(packet: bytes, optional: int = 0, extensions: int = 0) -> bytes:
    """GTP-U in UDP; `optional`: flags E (4), S (2), PN (1); E is set when there are extensions."""
    body = packet
    for number in range(extensions):
        # PDU session containers of 4 and 8 bytes; the last byte names the next one.
        size = 4 * (1 + number % 2)
        body = bytes([size // 4]) + bytes(size - 2) + bytes([0x85 if number else 0]) + body
    flags = optional | (4 if extensions else 0)
    if flags:
        body = struct.pack("!HBB", 1, 0, 0x85 if extensions else 0) + body
    return udp(struct.pack("!BBHI", 0x30 | flags, 0xFF, len(body) & 0xFFFF, 7) + body, 2152)


def mpls(inner: bytes, labels: int = 1) -> bytes:
    """A label stack."""
    stack = [
        struct.pack("!I", (100 + at) << 12 | (at == labels - 1) << 8 | 64) for at in range(labels)
    ]
    return b"".join(stack) + inner


def pppoe(packet: bytes) -> bytes:
    """PPPoE session data."""
    protocol = 0x21 if packet[0] >> 4 == 4 else 0x57
    return struct.pack("!BBHHH", 0x11, 0, 7, (len(packet) + 2) & 0xFFFF, protocol) + packet


def pcap(frames: Sequence[tuple[int, bytes]], link: int = ETHERNET) -> bytes:
    """A nanosecond pcap file of (t_ns, frame)."""
    parts = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 1 << 18, link)]
    for t_ns, frame in frames:
        parts.append(struct.pack("<IIII", *divmod(t_ns, 10**9), len(frame), len(frame)) + frame)
    return b"".join(parts)


def pcapng(
    frames: Sequence[tuple[int, int, bytes]], links: Sequence[int], options: Sequence[bytes] = ()
) -> bytes:
    """A pcapng section of (interface, ticks, frame); `options` of each interface, if any."""
    parts = [block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))]
    for at, link in enumerate(links):
        parts.append(
            block(1, struct.pack("<HHI", link, 0, 0) + (options[at] if at < len(options) else b""))
        )
    for interface, ticks, frame in frames:
        lengths = (len(frame), len(frame))
        head = struct.pack("<IIIII", interface, ticks >> 32, ticks & 0xFFFFFFFF, *lengths)
        parts.append(block(6, head + frame))
    return b"".join(parts)


def block(kind: int, body: bytes) -> bytes:
    """One pcapng block, padded."""
    body += bytes(-len(body) % 4)
    size = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + size + body + size


def option(code: int, value: bytes) -> bytes:
    """One option of a pcapng block."""
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)
