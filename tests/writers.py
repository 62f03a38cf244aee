"""Writes captures and packets from plain Python values: what the tests feed to the readers."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
SYN_ACK = SYN | ACK
SECOND_NS = 1_000_000_000

ETHERNET, RAW, RAW_BSD, RAW_OPENBSD, IPV4, IPV6 = 1, 101, 12, 14, 228, 229
NULL, LOOP, SLL, SLL2 = 0, 108, 113, 276
TCP, ICMP, ICMPV6 = 6, 1, 58
HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION, MOBILITY = 0, 43, 44, 51, 60, 135

# ---- pcap -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pcap:
    """One flavour of pcap; `modified` is Kuznetzov's, with 8 more bytes in each record."""

    link: int = ETHERNET
    nano: bool = False
    big: bool = False
    modified: bool = False
    fcs_bits: int = 0
    snaplen: int = 262_144

    @property
    def order(self) -> str:
        """The byte order as `struct` writes it."""
        return ">" if self.big else "<"

    def header(self) -> bytes:
        """The 24 bytes in front; an FCS length stands in the upper bits of the link type."""
        magic = 0xA1B2CD34 if self.modified else 0xA1B23C4D if self.nano else 0xA1B2C3D4
        link = self.link | (self.fcs_bits // 16 << 28 | 1 << 26 if self.fcs_bits else 0)
        return struct.pack(f"{self.order}IHHiIII", magic, 2, 4, 0, 0, self.snaplen, link)

    def record(
        self, t_ns: int, data: bytes, origlen: int | None = None, caplen: int | None = None
    ) -> bytes:
        """One packet; `caplen` can be made to lie."""
        second, fraction = divmod(t_ns, SECOND_NS)
        lengths = (
            len(data) if caplen is None else caplen,
            len(data) if origlen is None else origlen,
        )
        head = struct.pack(
            f"{self.order}IIII", second, fraction if self.nano else fraction // 1000, *lengths
        )
        return head + (b"\x00\x00\x00\x07\x08\x00\x00\x00" if self.modified else b"") + data

    def file(self, packets: Iterable[tuple[int, bytes]]) -> bytes:
        """A whole capture from (t_ns, bytes)."""
        return self.header() + b"".join(self.record(t_ns, data) for t_ns, data in packets)

    def write(self, path: Path, packets: Iterable[tuple[int, bytes]]) -> str:
        """Write a capture; its name, as a command line takes it."""
        path.write_bytes(self.file(packets))
        return str(path)


# ---- pcapng ---------------------------------------------------------------------------------

SECTION_BLOCK, INTERFACE_BLOCK = 0x0A0D0D0A, 1
OLD_PACKET_BLOCK, SIMPLE_PACKET_BLOCK, ENHANCED_PACKET_BLOCK = 2, 3, 6
BASE2 = 0x80


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


@dataclass(frozen=True)
class Pcapng:
    """Blocks of one section; sections and blocks are joined with `+` and make a capture."""

    big: bool = False

    @property
    def order(self) -> str:
        """The byte order as `struct` writes it."""
        return ">" if self.big else "<"

    def block(self, kind: int, body: bytes, length: int | None = None) -> bytes:
        """Any block; `length` can be made to lie."""
        body = _padded(body)
        total = len(body) + 12 if length is None else length
        return (
            struct.pack(f"{self.order}II", kind, total)
            + body
            + struct.pack(f"{self.order}I", total)
        )

    def option(self, code: int, value: bytes) -> bytes:
        """One option, padded."""
        return struct.pack(f"{self.order}HH", code, len(value)) + _padded(value)

    def section(self, options: bytes = b"") -> bytes:
        """A section header of unknown length."""
        body = struct.pack(f"{self.order}IHHq", 0x1A2B3C4D, 1, 0, -1)
        return self.block(SECTION_BLOCK, body + options)

    def interface(
        self,
        link: int = ETHERNET,
        resolution: int | None = None,
        offset_s: int | None = None,
        snaplen: int = 0,
        options: bytes = b"",
    ) -> bytes:
        """An interface; `resolution` is the option's byte (BASE2 | bits, or decimal digits)."""
        if resolution is not None:
            options += self.option(9, bytes([resolution]))
        if offset_s is not None:
            options += self.option(14, struct.pack(f"{self.order}q", offset_s))
        if options:
            options += self.option(0, b"")
        body = struct.pack(f"{self.order}HHI", link, 0, snaplen)
        return self.block(INTERFACE_BLOCK, body + options)

    def enhanced(
        self,
        ticks: int,
        data: bytes,
        interface: int = 0,
        origlen: int | None = None,
        options: bytes = b"",
    ) -> bytes:
        """An enhanced packet block; `ticks` in units of its interface."""
        origlen = len(data) if origlen is None else origlen
        high, low = ticks >> 32, ticks & 0xFFFFFFFF
        head = struct.pack(f"{self.order}IIIII", interface, high, low, len(data), origlen)
        return self.block(ENHANCED_PACKET_BLOCK, head + _padded(data) + options)

    def old(self, ticks: int, data: bytes, interface: int = 0, origlen: int | None = None) -> bytes:
        """The obsolete packet block."""
        origlen = len(data) if origlen is None else origlen
        high, low = ticks >> 32, ticks & 0xFFFFFFFF
        head = struct.pack(f"{self.order}HHIIII", interface, 3, high, low, len(data), origlen)
        return self.block(OLD_PACKET_BLOCK, head + data)

    def simple(self, data: bytes, origlen: int | None = None) -> bytes:
        """A simple packet block: no time, no interface."""
        origlen = len(data) if origlen is None else origlen
        return self.block(SIMPLE_PACKET_BLOCK, struct.pack(f"{self.order}I", origlen) + data)

    def file(self, packets: Iterable[tuple[int, bytes]], link: int = ETHERNET) -> bytes:
        """A whole capture in ns from (t_ns, bytes): one section, one interface."""
        blocks = (self.enhanced(t_ns, data) for t_ns, data in packets)
        return self.section() + self.interface(link, 9) + b"".join(blocks)


# ---- link layers ----------------------------------------------------------------------------


def ethertype_of(packet: bytes) -> int:
    """IPv4 or IPv6, by the version in the packet."""
    return 0x86DD if packet[:1] and packet[0] >> 4 == 6 else 0x0800


def ethernet(
    packet: bytes, tags: Sequence[tuple[int, int]] = (), ethertype: int | None = None
) -> bytes:
    """An Ethernet frame; `tags` are (EtherType of the tag, VLAN), the outer one first."""
    types = [kind for kind, _ in tags]
    types.append(ethertype_of(packet) if ethertype is None else ethertype)
    head = b"\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01" + struct.pack("!H", types[0])
    for (_, vlan), following in zip(tags, types[1:], strict=True):
        head += struct.pack("!HH", vlan, following)
    return head + packet


def sll(packet: bytes, ethertype: int | None = None) -> bytes:
    """Linux cooked, version 1."""
    kind = ethertype_of(packet) if ethertype is None else ethertype
    return struct.pack("!HHH8sH", 0, 1, 6, b"\x02\x00\x00\x00\x00\x01", kind) + packet


def sll2(packet: bytes, ethertype: int | None = None) -> bytes:
    """Linux cooked, version 2."""
    kind = ethertype_of(packet) if ethertype is None else ethertype
    head = struct.pack("!HHIHBB8s", kind, 0, 7, 1, 0, 6, b"\x02\x00\x00\x00\x00\x01")
    return head + packet


def loopback(packet: bytes, big: bool = False, family: int | None = None) -> bytes:
    """BSD loopback: NULL in the writer's byte order, LOOP (OpenBSD) always big-endian."""
    if family is None:
        family = 30 if ethertype_of(packet) == 0x86DD else 2
    return struct.pack(">I" if big else "<I", family) + packet


# ---- IP, TCP, ICMP --------------------------------------------------------------------------


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    words = struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2))
    total: int = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@dataclass(frozen=True)
class Ip:
    """What an IP header holds beside addresses; `extensions` are IPv6's (kind, body)."""

    ttl: int = 64
    ip_id: int = 0x1234
    df: bool = True
    options: bytes = b""
    more_fragments: bool = False
    fragment_at: int = 0
    total: int | None = None
    extensions: tuple[tuple[int, bytes], ...] = ()


@dataclass(frozen=True)
class Tcp:
    """What a TCP segment holds beside its ports; `words` is the data offset, if it is to lie."""

    flags: int = SYN
    seq: int = 1000
    ack: int = 0
    window: int = 64_240
    options: bytes = b""
    payload: bytes = b""
    words: int | None = None


PLAIN_IP, PLAIN_SYN = Ip(), Tcp()


def _pseudo_header(src: str, dst: str, protocol: int, size: int) -> bytes:
    one, two = ipaddress.ip_address(src).packed, ipaddress.ip_address(dst).packed
    if len(one) == 4:
        return one + two + struct.pack("!BBH", 0, protocol, size)
    return one + two + struct.pack("!II", size, protocol)


def ip(src: str, dst: str, protocol: int, body: bytes, header: Ip = PLAIN_IP) -> bytes:
    """An IP packet, version by the addresses; the IPv4 checksum is right."""
    if ":" in src:
        return _ipv6(src, dst, protocol, body, header)
    options = _padded(header.options)
    size = 20 + len(options)
    total = size + len(body) if header.total is None else header.total
    flags = (0x4000 if header.df else 0) | (0x2000 if header.more_fragments else 0)
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x40 | size // 4, 0, total, header.ip_id, flags | header.fragment_at // 8,
        header.ttl, protocol, 0, ipaddress.IPv4Address(src).packed,
        ipaddress.IPv4Address(dst).packed,
    )  # fmt: skip
    head += options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def _ipv6(src: str, dst: str, protocol: int, body: bytes, header: Ip) -> bytes:
    kinds = [kind for kind, _ in header.extensions] + [protocol]
    chain = b"".join(
        bytes([following]) + extension
        for (_, extension), following in zip(header.extensions, kinds[1:], strict=True)
    )
    total = len(chain) + len(body) if header.total is None else header.total
    head = struct.pack("!IHBB", 6 << 28, total, kinds[0], header.ttl)
    ends = ipaddress.IPv6Address(src).packed + ipaddress.IPv6Address(dst).packed
    return head + ends + chain + body


def extension(kind: int, units: int = 0) -> tuple[int, bytes]:
    """An IPv6 extension header with `units` beyond its shortest; without its next-header byte."""
    if kind == AUTHENTICATION:
        return kind, bytes([units + 4]) + bytes(4 * (units + 6) - 2)
    return kind, bytes([units]) + bytes(8 * units + 6)


def fragment(at: int = 0, more: bool = True) -> tuple[int, bytes]:
    """An IPv6 fragment header without its next-header byte."""
    return FRAGMENT, struct.pack("!BHI", 0, at & 0xFFF8 | more, 0xCAFE)


def tcp(src: str, sport: int, dst: str, dport: int, segment: Tcp = PLAIN_SYN) -> bytes:
    """A TCP segment with the right checksum for these addresses."""
    options = _padded(segment.options)
    words = 5 + len(options) // 4 if segment.words is None else segment.words
    head = struct.pack(
        "!HHIIBBHHH", sport, dport, segment.seq, segment.ack, words << 4, segment.flags,
        segment.window, 0, 0,
    )  # fmt: skip
    whole = head + options + segment.payload
    total = checksum(_pseudo_header(src, dst, TCP, len(whole)) + whole)
    return whole[:16] + struct.pack("!H", total) + whole[18:]


@dataclass(frozen=True)
class Flow:
    """A TCP 4-tuple; writes IP packets from orig to resp and back."""

    orig: str = "198.51.100.7"
    orig_port: int = 40_000
    resp: str = "192.0.2.1"
    resp_port: int = 22

    def turned(self) -> Flow:
        """The reverse flow."""
        return Flow(self.resp, self.resp_port, self.orig, self.orig_port)

    def packet(self, segment: Tcp = PLAIN_SYN, header: Ip = PLAIN_IP) -> bytes:
        """A packet from orig to resp."""
        body = tcp(self.orig, self.orig_port, self.resp, self.resp_port, segment)
        return ip(self.orig, self.resp, TCP, body, header)

    def syn(self, seq: int = 1000, header: Ip = PLAIN_IP, options: bytes = b"") -> bytes:
        """A SYN from orig."""
        return self.packet(Tcp(SYN, seq, options=options), header)

    def answer(self, seq: int = 77, ack: int = 1001, header: Ip = PLAIN_IP) -> bytes:
        """A SYN+ACK from resp."""
        return self.turned().packet(Tcp(SYN_ACK, seq, ack), header)

    def reset(self, ack: int = 1001, header: Ip = PLAIN_IP) -> bytes:
        """A RST from resp."""
        return self.turned().packet(Tcp(RST | ACK, 0, ack), header)


def icmp_error(
    reporter: str, quoted: bytes, kind: int = 3, code: int = 1, quoted_bytes: int | None = None
) -> bytes:
    """An ICMP or ICMPv6 error about an IP packet, sent to who had sent that."""
    if quoted[0] >> 4 == 6:
        source, protocol = str(ipaddress.IPv6Address(quoted[8:24])), ICMPV6
    else:
        source, protocol = str(ipaddress.IPv4Address(quoted[12:16])), ICMP
    quote = quoted if quoted_bytes is None else quoted[:quoted_bytes]
    body = struct.pack("!BBHI", kind, code, 0, 0) + quote
    pseudo = _pseudo_header(reporter, source, ICMPV6, len(body)) if protocol == ICMPV6 else b""
    body = body[:2] + struct.pack("!H", checksum(pseudo + body)) + body[4:]
    return ip(reporter, source, protocol, body)


# ---- TCP options ----------------------------------------------------------------------------

NOP, END_OF_OPTIONS, SACK_PERMITTED = b"\x01", b"\x00", b"\x04\x02"


def mss(value: int = 1460) -> bytes:
    """Maximum segment size."""
    return struct.pack("!BBH", 2, 4, value)


def window_scale(shift: int = 7) -> bytes:
    """Window scale."""
    return bytes([3, 3, shift])


def timestamps(value: int = 1, echo: int = 0) -> bytes:
    """Timestamps."""
    return struct.pack("!BBII", 8, 10, value, echo)


LINUX_OPTIONS = mss() + SACK_PERMITTED + timestamps() + NOP + window_scale()
