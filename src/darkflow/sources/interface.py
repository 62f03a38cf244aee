"""One network interface, watched through a TPACKET_V3 ring (packet(7), packet_mmap)."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import socket
import struct

from darkflow.sources.kernel_filter import packed, program
from darkflow.sources.ring import RingWalker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from darkflow.flow.batch import Frames

ETH_P_ALL = 0x0003
SOL_PACKET, SO_ATTACH_FILTER = 263, 26
PACKET_ADD_MEMBERSHIP, PACKET_RX_RING, PACKET_STATISTICS = 1, 5, 6
PACKET_VERSION, PACKET_IGNORE_OUTGOING = 10, 23
PACKET_MR_PROMISC, TPACKET_V3 = 1, 2
SIOCGIFHWADDR = 0x8927
ARPHRD_ETHER, ARPHRD_LOOPBACK, ARPHRD_NONE = 1, 772, 65534
ETHERNET, RAW_IP = 1, 101
FRAME_BYTES = 1 << 11  # the kernel only wants it to divide a block


class RingSize:
    """How large a ring is and when the kernel hands a block over that is not full."""

    __slots__ = ("block_bytes", "blocks", "timeout_ms")

    def __init__(self, block_bytes: int = 1 << 20, blocks: int = 32, timeout_ms: int = 8) -> None:
        self.block_bytes = block_bytes
        self.blocks = blocks
        self.timeout_ms = timeout_ms


class Interface:
    """A ring on one interface; needs CAP_NET_RAW, and CAP_NET_ADMIN to see all packets.

    `outgoing`: whether packets that this machine sends count too. OSError says what is missing.
    """

    def __init__(
        self,
        name: str,
        size: RingSize,
        source: int = 0,
        tunnels: bool = False,
        outgoing: bool = True,
    ) -> None:
        self.name = name
        self.size = size
        self._index = socket.if_nametoindex(name)
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            kind = self._kind()
            self._attach(packed(program(kind != RAW_IP, tunnels)))
            self._map = self._ring()
            if not outgoing:
                self._socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            # Bound last: nothing is caught before the filter and the ring are there.
            self._socket.bind((name, ETH_P_ALL))
            self._promiscuous()
        except BaseException:
            self._socket.close()
            raise
        self.walker = RingWalker(self._map, size.block_bytes, kind, source)

    def _ask(self, request: int) -> bytes:
        asked = struct.pack("256s", self.name.encode()[:15])
        return fcntl.ioctl(self._socket.fileno(), request, asked)

    def _kind(self) -> int:
        kind = struct.unpack_from("H", self._ask(SIOCGIFHWADDR), 16)[0]
        if kind in (ARPHRD_ETHER, ARPHRD_LOOPBACK):
            return ETHERNET
        if kind == ARPHRD_NONE:
            return RAW_IP
        raise OSError(errno.EPROTONOSUPPORT, f"neither Ethernet nor raw IP (ARPHRD {kind})")

    def _attach(self, code: bytes) -> None:
        buffer = ctypes.create_string_buffer(code, len(code))
        fprog = struct.pack("HL", len(code) // 8, ctypes.addressof(buffer))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, fprog)

    def _ring(self) -> mmap.mmap:
        size = self.size
        self._socket.setsockopt(SOL_PACKET, PACKET_VERSION, struct.pack("i", TPACKET_V3))
        frames = size.block_bytes // FRAME_BYTES * size.blocks
        request = (size.block_bytes, size.blocks, FRAME_BYTES, frames, size.timeout_ms, 0, 0)
        self._socket.setsockopt(SOL_PACKET, PACKET_RX_RING, struct.pack("7I", *request))
        return mmap.mmap(self._socket.fileno(), size.block_bytes * size.blocks)

    def _promiscuous(self) -> None:
        member = struct.pack("iHH8s", self._index, PACKET_MR_PROMISC, 0, b"")
        self._socket.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, member)

    def fileno(self) -> int:
        """For poll."""
        return self._socket.fileno()

    def read(self, out: Frames) -> bool:
        """Frames of one block, or False at once when there is none."""
        return self.walker.walk(out)

    @property
    def is_gone(self) -> bool:
        """Whether this interface no longer exists, or is another one under the same name."""
        try:
            return socket.if_nametoindex(self.name) != self._index
        except OSError:
            return True

    def take_error(self) -> int:
        """What has happened to the interface (ENETDOWN: it was set down), 0 for nothing."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def take_drops(self) -> int:
        """Packets that found no room in the ring since the last call; the kernel counts anew."""
        counted = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 12)
        return int(struct.unpack("III", counted)[1])

    def close(self) -> None:
        """Give the ring back."""
        os.close(self._socket.detach())
