"""One network interface, watched through a TPACKET_V3 ring (packet(7), packet_mmap)."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import socket
import struct
import time

from darkflow.sources.kernel_filter import everything, packed, program
from darkflow.sources.ring import RingWalker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from darkflow.flow.batch import Frames
    from darkflow.sources.fanout import Fanout

ETH_P_ALL = 0x0003
SOL_PACKET, SO_ATTACH_FILTER = 263, 26
PACKET_ADD_MEMBERSHIP, PACKET_RX_RING, PACKET_STATISTICS = 1, 5, 6
PACKET_VERSION, PACKET_TIMESTAMP, PACKET_IGNORE_OUTGOING = 10, 17, 23
PACKET_MR_PROMISC, TPACKET_V3 = 1, 2
SIOCGIFFLAGS, SIOCETHTOOL = 0x8913, 0x8946
IFF_UP = 1
# linux/ethtool.h: whether there is a carrier. IFF_RUNNING tells of it up to a second late.
ETHTOOL_GLINK = 0x0A
SIOCGIFHWADDR, SIOCSHWTSTAMP = 0x8927, 0x89B0
STAMP_ALL, RAW_HARDWARE = 1, 1 << 6
ARPHRD_ETHER, ARPHRD_LOOPBACK, ARPHRD_NONE = 1, 772, 65534
ETHERNET, RAW_IP = 1, 101
NO_TIME = -(1 << 63)
SETTLED_NS = 1_000_000_000
FRAME_BYTES = 1 << 11  # the kernel only wants it to divide a block


class RingSize:
    """How large a ring is and when the kernel hands a block over that is not full."""

    __slots__ = ("block_bytes", "blocks", "timeout_ms")

    def __init__(self, block_bytes: int = 1 << 19, blocks: int = 64, timeout_ms: int = 24) -> None:
        self.block_bytes = block_bytes
        self.blocks = blocks
        self.timeout_ms = timeout_ms


class Watch:
    """How interfaces are watched.

    tunnels: the kernel lets them through. outgoing: packets that this machine sends count too.
    hardware: times are the network card's own. fanout: the group of rings to join, if any.
    whole: instead of what concerns the engine all packets, of each at most so many bytes.
    """

    __slots__ = ("fanout", "hardware", "outgoing", "size", "tunnels", "whole")

    def __init__(
        self,
        size: RingSize | None = None,
        tunnels: bool = False,
        outgoing: bool | None = None,
        hardware: bool = False,
        fanout: Fanout | None = None,
        whole: int = 0,
    ) -> None:
        self.size = size or RingSize()
        self.tunnels = tunnels
        self.outgoing = outgoing
        self.hardware = hardware
        self.fanout = fanout
        self.whole = whole


class Interface:
    """A ring on one interface; needs CAP_NET_RAW, and CAP_NET_ADMIN for hardware time stamps.

    OSError says what is missing.
    """

    def __init__(self, name: str, watch: Watch, source: int = 0) -> None:
        self.name = name
        self._fanout = watch.fanout
        # Until it is certain that all packets to come are later than the group's beginning.
        self._joining = watch.fanout is not None
        self._index = socket.if_nametoindex(name)
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            kind = self._kind()
            code = (
                everything(watch.whole) if watch.whole else program(kind != RAW_IP, watch.tunnels)
            )
            self._attach(packed(code))
            if watch.hardware:
                self._stamp_in_hardware()
            self._map = self._ring(watch.size)
            if watch.outgoing is False:
                self._socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            # Bound last: nothing is caught before the filter and the ring are there.
            self._socket.bind((name, ETH_P_ALL))
            self._promiscuous()
            if self._fanout is not None:
                self._fanout.join(self._socket, name, time.time_ns())
        except BaseException:
            self._socket.close()
            raise
        self.walker = RingWalker(self._map, watch.size.block_bytes, kind, source)

    def _ask(self, request: int, more: bytes = b"") -> bytes:
        asked = struct.pack("16s240s", self.name.encode()[:15], more)
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

    def _stamp_in_hardware(self) -> None:
        """Have the card stamp every packet it receives (kernel doc networking/timestamping)."""
        config = ctypes.create_string_buffer(struct.pack("iii", 0, 0, STAMP_ALL))
        try:
            self._ask(SIOCSHWTSTAMP, struct.pack("L", ctypes.addressof(config)))
        except PermissionError as error:
            raise OSError(
                error.errno, "time stamps of the network card need CAP_NET_ADMIN"
            ) from None
        except OSError as error:
            raise OSError(
                error.errno, "it has no hardware time stamps: use --timestamps kernel"
            ) from None
        self._socket.setsockopt(SOL_PACKET, PACKET_TIMESTAMP, RAW_HARDWARE)

    def _ring(self, size: RingSize) -> mmap.mmap:
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
        if self._joining and self._fanout is not None:
            self.walker.since_ns = since_ns = self._fanout.whole_ns(self.name)
            self._joining = self.walker.now_ns < since_ns + SETTLED_NS
        return self.walker.walk(out)

    def step(self, step_ns: int, now_ns: int) -> None:
        """As RingWalker's; a time that was taken before the step tells nothing after it."""
        if step_ns and self._joining and self.walker.since_ns <= now_ns - step_ns:
            self._joining = False
        if not self._joining:
            self.walker.since_ns = NO_TIME
        self.walker.step(step_ns, now_ns)

    @property
    def other_name(self) -> str | None:
        """What the interface is called now, if no longer as it was; None when it has gone."""
        try:
            return socket.if_indextoname(self._index)
        except OSError:
            return None

    @property
    def is_up(self) -> bool:
        """Whether packets can come: it is there, set up, and has a carrier (netdevice(7))."""
        name = (self.other_name or "").encode()
        fd = self._socket.fileno()
        link = ctypes.create_string_buffer(struct.pack("II", ETHTOOL_GLINK, 0), 8)
        asked = struct.pack("16sL232x", name, ctypes.addressof(link))
        try:
            told = fcntl.ioctl(fd, SIOCGIFFLAGS, struct.pack("16s240x", name))
            if not struct.unpack_from("H", told, 16)[0] & IFF_UP:
                return False
            fcntl.ioctl(fd, SIOCETHTOOL, asked)
        except OSError as error:
            # What is no card, as a tunnel, may know of no carrier.
            return bool(error.errno == errno.EOPNOTSUPP)
        return bool(struct.unpack("II", link.raw)[1])

    def take_error(self) -> int:
        """What has happened to the interface (ENETDOWN: it was set down), 0 for nothing."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def take_drops(self) -> int:
        """Packets that found no room in the ring since the last call; the kernel counts anew."""
        counted = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 12)
        return int(struct.unpack("III", counted)[1])

    def close(self) -> None:
        """Give the ring back."""
        if self._fanout is not None:
            self._fanout.leave(self.name)
        os.close(self._socket.detach())


def card_counters() -> dict[str, tuple[int, int]]:
    """What the kernel has counted by interface: (packets received, packets it had to drop).

    Drops here lie before any filter or ring: the card or its driver had no room.
    """
    with open("/proc/thread-self/net/dev", encoding="ascii") as lines:  # noqa: PTH123
        found = {}
        for line in list(lines)[2:]:
            name, _, rest = line.partition(":")
            words = rest.split()
            # received: bytes packets errs drop fifo frame compressed multicast
            found[name.strip()] = (int(words[1]), int(words[3]) + int(words[4]))
    return found
