"""Frames for the honeypot: the held SYN, and the RST that ends what was cut.

The SYN goes as it was captured, with checksums that are right.

Captured packets may carry unfinished checksums (the sender's card would have finished them), and
the frame's addresses are those of the wire it was seen on. Two things are changed, as no answer
would come otherwise. Options of IPv4 become padding: the honeypot's kernel would repeat them in its
SYN+ACK, and nothing with options leaves the data plane. A first fragment becomes a whole packet:
the other fragments do not reach the honeypot.
"""

from __future__ import annotations

import struct

# RFC 791: "no operation".
PADDING = b"\1"
# Headers of IPv6 that say their length in units of 8 bytes: hop-by-hop, routing, destination,
# mobility; and the one that says it in units of 4 (RFC 4302).
EXTENSIONS6, AUTHENTICATION6 = (0, 43, 60, 135), 51
IPV4, IPV6 = b"\x08\x00", b"\x86\xdd"
TCP = 6
RST, HOPS = 4, 64


def checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame_of(head: bytes, tcp_bytes: int, macs: bytes, whole: bytes = b"") -> bytes:
    """An Ethernet frame from a SYN's fixed IP header and TCP header, or from all of it.

    head: both headers, one behind the other, without IP options or extension headers (the lengths
    in it are mended). whole: the packet from the IP header on, if it is more than `head`; where it
    was not captured to its end, it is left to the client to send the rest again.
    macs: destination and source, 12 bytes.
    """
    if whole:
        mended = _whole4(whole) if whole[0] >> 4 == 4 else _whole6(whole)
        if mended:
            return macs + (IPV4 if whole[0] >> 4 == 4 else IPV6) + mended
    tcp = head[-tcp_bytes:]
    if head[0] >> 4 == 4:
        return macs + IPV4 + _packet4(head[:20], b"", tcp)
    ip = bytearray(head[:40])
    ip[4:7] = struct.pack("!HB", tcp_bytes, TCP)
    return macs + IPV6 + bytes(ip) + _tcp6(ip, tcp)


def reset_frame(flow: tuple[bytes, int, bytes, int], seq: int, macs: bytes) -> bytes:
    """A RST in the client's name with this sequence number: accepted if it is the one expected.

    See RFC 9293, 3.10.7.4. flow: addresses as 4 or 16 bytes, and ports, the client's first.
    """
    orig, orig_port, resp, resp_port = flow
    tcp = struct.pack("!HHIIBBHHH", orig_port, resp_port, seq, 0, 5 << 4, RST, 0, 0, 0)
    if len(orig) == 4:
        fixed = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, HOPS, TCP, 0, orig, resp)
        return macs + IPV4 + _packet4(fixed, b"", tcp)
    ip = struct.pack("!IHBB16s16s", 6 << 28, len(tcp), TCP, HOPS, orig, resp)
    return macs + IPV6 + ip + _tcp6(ip, tcp)


def _packet4(fixed: bytes, options: bytes, tcp: bytes) -> bytes:
    ip = bytearray(fixed + options)
    ip[0] = 0x40 | len(ip) // 4
    ip[2:4] = struct.pack("!H", len(ip) + len(tcp))
    ip[6] &= 0xC0  # it is no fragment
    ip[7] = 0
    ip[10:12] = b"\0\0"
    ip[10:12] = struct.pack("!H", checksum(bytes(ip)))
    pseudo = bytes(ip[12:20]) + struct.pack("!HH", TCP, len(tcp))
    return bytes(ip) + _summed(pseudo, tcp)


def _tcp6(ip: bytes | bytearray, tcp: bytes) -> bytes:
    return _summed(bytes(ip[8:40]) + struct.pack("!II", len(tcp), TCP), tcp)


def _summed(pseudo: bytes, tcp: bytes) -> bytes:
    blank = tcp[:16] + b"\0\0" + tcp[18:]
    return tcp[:16] + struct.pack("!H", checksum(pseudo + blank)) + tcp[18:]


def _whole4(packet: bytes) -> bytes:
    """The same packet, mended; b"" where that cannot be."""
    if len(packet) < 40:
        return b""
    ip_bytes, total = (packet[0] & 15) * 4, int.from_bytes(packet[2:4], "big")
    is_fragment = packet[6] & 0x20
    if is_fragment or not 20 <= ip_bytes <= total - 20 or total > len(packet):
        return b""
    options = PADDING * (ip_bytes - 20)
    return _packet4(packet[:20], options, packet[ip_bytes:total])


def _whole6(packet: bytes) -> bytes:
    if len(packet) < 60:
        return b""
    total = 40 + int.from_bytes(packet[4:6], "big")
    kind, at = packet[6], 40
    while kind in (*EXTENSIONS6, AUTHENTICATION6) and at + 2 <= total <= len(packet):
        unit = (packet[at + 1] + 2) * 4 if kind == AUTHENTICATION6 else (packet[at + 1] + 1) * 8
        kind, at = packet[at], at + unit
    if kind != TCP or at + 20 > total or total > len(packet):
        return b""
    return packet[:at] + _tcp6(packet, packet[at:total])
