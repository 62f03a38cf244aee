"""The held SYN as a frame for the honeypot: as it was captured, with checksums that are right.

Captured packets may carry unfinished checksums (the sender's card would have finished them), and
the frame's addresses are those of the wire it was seen on.
"""

from __future__ import annotations

import struct

IPV4, IPV6 = b"\x08\x00", b"\x86\xdd"
TCP = 6


def checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame_of(head: bytes, tcp_bytes: int, macs: bytes) -> bytes:
    """An Ethernet frame from a SYN's fixed IP header and TCP header.

    head: both headers, one behind the other, without IP options or extension headers (the lengths
    in it are mended); the SYN's payload, if it had any, is left to the client to send again.
    macs: destination and source, 12 bytes.
    """
    tcp = head[-tcp_bytes:]
    if head[0] >> 4 == 4:
        ip = bytearray(head[:20])
        ip[0] = 0x45
        ip[2:4] = struct.pack("!H", 20 + tcp_bytes)
        ip[10:12] = b"\0\0"
        ip[10:12] = struct.pack("!H", checksum(bytes(ip)))
        pseudo = bytes(ip[12:20]) + struct.pack("!HH", TCP, tcp_bytes)
        kind = IPV4
    else:
        ip = bytearray(head[:40])
        ip[4:7] = struct.pack("!HB", tcp_bytes, TCP)
        pseudo = bytes(ip[8:40]) + struct.pack("!II", tcp_bytes, TCP)
        kind = IPV6
    whole = tcp[:16] + b"\0\0" + tcp[18:]
    mended = whole[:16] + struct.pack("!H", checksum(pseudo + whole)) + whole[18:]
    return macs + kind + bytes(ip) + mended
