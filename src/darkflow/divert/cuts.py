"""What the packet path has cut, as the kernel tells it: NFLOG (nfnetlink_log) read over netlink.

Each cut's own packet, the late SYN+ACK or RST, is logged with the time at which it came in.
"""

from __future__ import annotations

import errno
import socket
import struct
import time
from typing import NamedTuple

from darkflow.divert import netlink
from darkflow.divert.dispatcher import Flow
from darkflow.divert.netlink import attribute, attributes
from darkflow.divert.ruleset import BY_ALIVE, BY_CLIENT

# An ACK: the host has another connection with these addresses and ports.
SYN_ACK, RST, ACK = "syn_ack", "rst", "ack"
# What follows a late SYN+ACK, first of all; the fourth, silence, tells nothing.
RST_BY_CLIENT, RST_BY_SERVER, FIN = "rst_by_client", "rst_by_server", "fin"
ENDS = (RST_BY_CLIENT, RST_BY_SERVER, FIN)

# linux/netfilter/nfnetlink_log.h
_NFLOG = 4 << 8
PACKET, CONFIGURE = _NFLOG, _NFLOG | 1
CONFIG_COMMAND, CONFIG_MODE, CONFIG_FLAGS = 1, 2, 6
BIND, COPY_PACKET, WITH_SEQUENCE = 1, 2, 1
TIMESTAMP, PAYLOAD, PREFIX, SEQUENCE = 3, 9, 10, 12
LOGGED_BYTES = 128

TCP, RST_BIT = 6, 4
# Headers of IPv6 that may stand before TCP (RFC 8200): hop-by-hop, routing, destination options.
_EXTENSIONS = (0, 43, 60)
MOST_EXTENSIONS = 8


class Cut(NamedTuple):
    """A flow that the kernel has cut: when the packet that did it came in, and what it was.

    Or, with `by` one of ENDS, the first end of a flow that a late SYN+ACK has cut; with ACK the
    flow may not be diverted yet.
    """

    flow: Flow
    t_ns: int
    by: str


def cut_of(packet: bytes) -> tuple[Flow, str] | None:
    """The flow that a late answer belongs to, and whether it is a SYN_ACK or RST.

    packet: from the IP header on; None if that cannot be read.
    """
    if len(packet) >= 40 and packet[0] >> 4 == 4 and packet[9] == TCP:
        at, source, target = (packet[0] & 15) * 4, packet[12:16], packet[16:20]
    elif len(packet) >= 60 and packet[0] >> 4 == 6:
        at, source, target = _tcp_at(packet), packet[8:24], packet[24:40]
    else:
        return None
    if at < 20 or len(packet) < at + 14:
        return None
    source_port, target_port = struct.unpack_from("!HH", packet, at)
    # The client is whom the answer is sent to.
    return (target, target_port, source, source_port), RST if packet[at + 13] & RST_BIT else SYN_ACK


def _end_of(flow: Flow, flag: str, sender: bytes) -> tuple[Flow, str]:
    """The flow as the client began it, and what has ended it."""
    if sender == BY_CLIENT.encode():
        flow = (*flow[2:], *flow[:2])
        return flow, RST_BY_CLIENT if flag == RST else FIN
    return flow, RST_BY_SERVER if flag == RST else FIN


def _tcp_at(packet: bytes) -> int:
    """Where TCP begins behind an IPv6 header, 0 if it does not."""
    kind, at = packet[6], 40
    for _ in range(MOST_EXTENSIONS):
        if kind == TCP:
            return at
        if kind not in _EXTENSIONS or at + 2 > len(packet):
            break
        kind, at = packet[at], at + 8 * (packet[at + 1] + 1)
    return 0


class Cuts:
    """The cuts that are told in an NFLOG group, in the network namespace of the making thread.

    lost: cuts that nobody heard of, as the buffer was full. OSError if the group is taken.
    """

    def __init__(self, group: int, buffer_bytes: int = 1 << 22) -> None:
        self.lost = 0
        self.unreadable = 0
        self._next: int | None = None
        self._socket = netlink.opened(buffer_bytes)
        try:
            self._configure(group)
            self._socket.setblocking(False)
        except BaseException:
            self._socket.close()
            raise

    def _configure(self, group: int) -> None:
        requests = (
            (CONFIG_COMMAND, struct.pack("B", BIND)),
            (CONFIG_MODE, struct.pack("!IBx", LOGGED_BYTES, COPY_PACKET)),
            (CONFIG_FLAGS, struct.pack("!H", WITH_SEQUENCE)),
        )
        for number, (kind, value) in enumerate(requests, 1):
            head = struct.pack("=IHHIIBBH", 20 + 4 + len(value) + (-len(value) % 4), CONFIGURE,
                               netlink.REQUEST | netlink.ACK, number, 0, 0, 0,
                               socket.htons(group))  # fmt: skip
            for came, sequence, body in netlink.asked(
                self._socket, head + attribute(kind, value), number, number
            ):
                if came == netlink.ERROR and sequence == number and netlink.status(body):
                    self._refused(netlink.status(body), group)

    def _refused(self, number: int, group: int) -> None:
        # The kernel says of a group that is taken what it says to those who may not ask.
        if number in (errno.EPERM, errno.EBUSY):
            why = "is taken by another program (use another), or CAP_NET_ADMIN is missing"
            raise OSError(number, f"NFLOG group {group} {why}")
        raise netlink.failure(number, f"NFLOG group {group} cannot be read")

    def fileno(self) -> int:
        """For poll."""
        return self._socket.fileno()

    def read(self) -> list[Cut]:
        """All cuts that are told by now; at once."""
        found: list[Cut] = []
        while True:
            try:
                data = self._socket.recv(1 << 16)
            except BlockingIOError:
                return found
            except OSError as error:
                # The numbers of the next ones say how many are missing.
                if error.errno != errno.ENOBUFS:
                    raise
                continue
            for kind, _, body in netlink.messages(data):
                if kind == PACKET:
                    self._take(attributes(body[4:]), found)

    def _take(self, told: dict[int, bytes], found: list[Cut]) -> None:
        if SEQUENCE in told:
            number = int.from_bytes(told[SEQUENCE], "big")
            if self._next is not None:
                self.lost += (number - self._next) & 0xFFFFFFFF
            self._next = (number + 1) & 0xFFFFFFFF
        cut = cut_of(told.get(PAYLOAD, b""))
        sender = told.get(PREFIX, b"").rstrip(b"\0")
        if cut is not None and sender == BY_ALIVE.encode():
            cut = cut[0], ACK
        elif cut is not None and sender:
            cut = _end_of(*cut, sender)
        if cut is None:
            self.unreadable += 1
            return
        # Without anybody who captures the kernel may not stamp packets at all.
        stamp = told.get(TIMESTAMP)
        if stamp is None:
            t_ns = time.time_ns()
        else:
            seconds, us = struct.unpack("!QQ", stamp)
            t_ns = seconds * 1_000_000_000 + us * 1_000
        found.append(Cut(cut[0], t_ns, cut[1]))

    def close(self) -> None:
        """Listen no longer."""
        self._socket.close()
