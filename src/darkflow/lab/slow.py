"""A host that takes its time: it answers each SYN, but only when some seconds have passed.

    python -m darkflow.lab.slow INTERFACE SECONDS ADDRESS... [--mute]

A program of our own, as not every kernel can hold packets back (tc netem). It plays its addresses
on a packet socket; the interface's own kernel does not know them. After its SYN+ACK it does what a
real host does: it resets a client that acknowledges something else than its own sequence number;
a mute one says nothing more.
"""

from __future__ import annotations

import select
import socket
import struct
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from darkflow.divert.replay import TCP, checksum

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
# Our own sequence numbers begin here, so that it is seen whose answer a packet is.
ISN = 0x510_0000
MOST_FLOWS = 10_000
_ETH_P_ALL = 0x0003
_IPV4, _IPV6 = b"\x08\x00", b"\x86\xdd"


@dataclass(frozen=True)
class Segment:
    """A TCP segment: frame's addresses, packed addresses and the fields that matter here."""

    macs: bytes
    src: bytes
    dst: bytes
    ports: tuple[int, int]
    seq: int
    ack: int
    flags: int

    @property
    def flow(self) -> tuple[bytes, int, bytes, int]:
        """The client's side first."""
        return self.src, self.ports[0], self.dst, self.ports[1]


def read(frame: bytes) -> Segment | None:
    """The segment in an Ethernet frame; None when there is none, or it has IP options."""
    kind = frame[12:14]
    if kind == _IPV4 and len(frame) >= 54 and frame[14] == 0x45 and frame[23] == TCP:
        src, dst, at = frame[26:30], frame[30:34], 34
    elif kind == _IPV6 and len(frame) >= 74 and frame[20] == TCP:
        src, dst, at = frame[22:38], frame[38:54], 54
    else:
        return None
    sport, dport, seq, ack, _, flags = struct.unpack_from("!HHIIBB", frame, at)
    return Segment(frame[:12], src, dst, (sport, dport), seq, ack, flags)


def written(segment: Segment) -> bytes:
    """The frame of a segment without payload, its checksums right; a SYN carries an MSS."""
    options = b"\x02\x04\x05\xb4" if segment.flags & SYN else b""
    length = 20 + len(options)
    tcp = struct.pack(
        "!HHIIBBHHH", *segment.ports, segment.seq, segment.ack, length << 2, segment.flags,
        65535, 0, 0,
    ) + options  # fmt: skip
    pseudo = segment.src + segment.dst + struct.pack("!II", length, TCP)
    tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
    if len(segment.src) == 16:
        return segment.macs + _IPV6 + struct.pack("!IHBB", 6 << 28, length, TCP, 64) + (
            segment.src + segment.dst + tcp
        )  # fmt: skip
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0, 64, TCP, 0)
    ip += segment.src + segment.dst
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    return segment.macs + _IPV4 + ip + tcp


def back(segment: Segment, flags: int, seq: int, ack: int) -> Segment:
    """An answer to a segment."""
    macs = segment.macs[6:] + segment.macs[:6]
    ports = (segment.ports[1], segment.ports[0])
    return replace(
        segment, macs=macs, src=segment.dst, dst=segment.src, ports=ports,
        seq=seq & 0xFFFFFFFF, ack=ack & 0xFFFFFFFF, flags=flags,
    )  # fmt: skip


class SlowHost:
    """Segments and time in, segments out; no socket, no clock."""

    def __init__(self, addresses: Sequence[bytes], delay_s: float, mute: bool = False) -> None:
        self._addresses = frozenset(addresses)
        self._mute = mute
        self._delay_s = delay_s
        self._due: deque[tuple[float, Segment]] = deque()
        self._known: OrderedDict[tuple[bytes, int, bytes, int], int] = OrderedDict()

    def heard(self, segment: Segment, now_s: float) -> Segment | None:
        """What is answered at once: a reset to who acknowledges what was never said."""
        if segment.dst not in self._addresses or segment.flags & RST:
            return None
        if segment.flags & (SYN | ACK) == SYN:
            if segment.flow not in self._known and len(self._due) < MOST_FLOWS:
                self._known[segment.flow] = 0
                self._due.append((now_s + self._delay_s, segment))
                if len(self._known) > MOST_FLOWS:
                    self._known.popitem(last=False)
            return None
        if self._known.get(segment.flow) and segment.ack != ISN + 1 and not self._mute:
            return back(segment, RST, segment.ack, 0)
        return None

    def due(self, now_s: float) -> list[Segment]:
        """The SYN+ACKs whose time has come."""
        found = []
        while self._due and self._due[0][0] <= now_s:
            _, segment = self._due.popleft()
            self._known[segment.flow] = 1
            found.append(back(segment, SYN | ACK, ISN, segment.seq + 1))
        return found

    def rest_s(self, now_s: float) -> float | None:
        """How long until the next one; None when nobody waits."""
        return max(0.0, self._due[0][0] - now_s) if self._due else None


def packed(address: str) -> bytes:
    """An address as it stands in a packet."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def main(argv: Sequence[str]) -> None:
    """Play it until somebody ends us."""
    interface, seconds, *addresses = [word for word in argv if word != "--mute"]
    host = SlowHost([packed(one) for one in addresses], float(seconds), "--mute" in argv)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL)) as sock:
        sock.bind((interface, 0))
        sys.stderr.write("listening\n")
        sys.stderr.flush()
        while True:
            ready, _, _ = select.select([sock], [], [], host.rest_s(time.monotonic()))
            answers: list[Segment] = []
            if ready:
                frame, (_, _, kind, *_) = sock.recvfrom(2048)
                segment = read(frame) if kind != socket.PACKET_OUTGOING else None
                said = host.heard(segment, time.monotonic()) if segment is not None else None
                answers += [said] if said is not None else []
            for answer in answers + host.due(time.monotonic()):
                sock.send(written(answer))


if __name__ == "__main__":
    main(sys.argv[1:])
