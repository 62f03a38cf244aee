"""Netfilter's messages (NETLINK_NETFILTER): elements, counters and logged packets.

Of the protocol only what is needed here. A message is a header of netlink, one of nfnetlink
(linux/netfilter/nfnetlink.h) and attributes; each is padded to 4 bytes.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator

NETLINK_NETFILTER, SOL_NETLINK, NETLINK_CAP_ACK = 12, 270, 10
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
REQUEST, ACK, DUMP, CREATE = 0x1, 0x4, 0x300, 0x400
ERROR, DONE = 2, 3
NESTED, KIND_MASK = 0x8000, 0x3FFF
# Long enough for the largest transaction.
PATIENCE_S = 30.0

_HEADER = struct.Struct("=IHHIIBBH")
_ATTRIBUTE = struct.Struct("=HH")


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute."""
    return _ATTRIBUTE.pack(4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes by their kind; the last one counts, broken ones end it."""
    found = {}
    at = 0
    while at + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < 4 or at + length > len(data):
            break
        found[kind & KIND_MASK] = data[at + 4 : at + length]
        at += length + (-length % 4)
    return found


def header(kind: int, flags: int, sequence: int, family: int, more: int) -> bytes:
    """Both headers, of a body with `more` bytes."""
    return _HEADER.pack(20 + more, kind, flags, sequence, 0, family, 0, 0)


def message(kind: int, flags: int, sequence: int, family: int, body: bytes) -> bytes:
    """A whole message."""
    return header(kind, flags, sequence, family, len(body)) + body


def batch(number: int, sequence: int) -> bytes:
    """The message that begins (16) or ends (17) a transaction of a subsystem: nf_tables is 10."""
    # The subsystem's number is the one field of these headers in network order.
    return _HEADER.pack(20, number, REQUEST, sequence, 0, 0, 0, socket.htons(10))


def messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(kind, sequence number, what follows netlink's own header) of each message."""
    at = 0
    while at + 16 <= len(data):
        length, kind, _, sequence, _ = struct.unpack_from("=IHHII", data, at)
        if length < 16 or at + length > len(data):
            break
        yield kind, sequence, data[at + 16 : at + length]
        at += length + (-length % 4)


def status(body: bytes) -> int:
    """The errno in an ERROR message; 0: it is an acknowledgement."""
    return -int(struct.unpack_from("=i", body)[0])


def opened(buffer_bytes: int) -> socket.socket:
    """A socket in the network namespace of the calling thread."""
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    try:
        made.bind((0, 0))
        for force, plain in (
            (SO_SNDBUFFORCE, socket.SO_SNDBUF),
            (SO_RCVBUFFORCE, socket.SO_RCVBUF),
        ):
            try:
                made.setsockopt(socket.SOL_SOCKET, force, buffer_bytes)
            except PermissionError:
                made.setsockopt(socket.SOL_SOCKET, plain, buffer_bytes)
        # An error comes without a copy of what it is about.
        made.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        made.settimeout(PATIENCE_S)
    except BaseException:
        made.close()
        raise
    return made


def asked(
    made: socket.socket, request: bytes, first: int, last: int
) -> Iterator[tuple[int, int, bytes]]:
    """Send, and give what comes back until the message `last` is acknowledged or refused.

    The request's messages have the numbers `first` to `last`. A dump ends with DONE, a transaction
    that is refused as a whole with an error of number `first`.
    """
    made.send(request)
    while True:
        for kind, sequence, body in messages(made.recv(1 << 18)):
            # What a request that was given up has left behind is not ours.
            if not first <= sequence <= last:
                continue
            if kind == DONE:
                return
            yield kind, sequence, body
            if kind == ERROR and (sequence == last or (sequence == first and status(body))):
                return


def failure(number: int, what: str) -> OSError:
    """The error with this number, and what it is about."""
    if number == errno.EPERM:
        return OSError(number, f"{what}: {os.strerror(number)}: run as root, or with CAP_NET_ADMIN")
    return OSError(number, f"{what}: {os.strerror(number)}")
