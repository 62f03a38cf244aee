"""What the system tells of a network interface, as the old ioctls and /sys tell it: only read."""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from pathlib import Path

from darkflow.sources.interface import (
    PACKET_ADD_MEMBERSHIP,
    PACKET_MR_PROMISC,
    SIOCGIFHWADDR,
    SOL_PACKET,
)

SIOCGIFFLAGS, SIOCGIFMTU, SIOCETHTOOL = 0x8913, 0x8921, 0x8946
IFF_UP, IFF_RUNNING, IFF_PROMISC = 0x1, 0x40, 0x100
# linux/ethtool.h; who has no privileges may ask all of these.
GDRVINFO, GFLAGS, GGRO, GET_TS_INFO = 0x03, 0x25, 0x2B, 0x41
FLAG_LRO, FLAG_RXVLAN = 1 << 15, 1 << 8
RX_HARDWARE, RAW_HARDWARE = 1 << 2, 1 << 6


class Card:
    """One interface. OSError when it is not there, or when it cannot be asked."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.index = socket.if_nametoindex(name)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.flags: int = struct.unpack_from("H", self._ask(SIOCGIFFLAGS), 16)[0]
            self.mtu: int = struct.unpack_from("i", self._ask(SIOCGIFMTU), 16)[0]
            self.kind: int = struct.unpack_from("H", self._ask(SIOCGIFHWADDR), 16)[0]
            self.driver = self._driver()
            self.offloads = self._offloads()
            self.hardware_stamps = self._hardware_stamps()
        finally:
            self._socket.close()

    def _ask(self, request: int) -> bytes:
        asked = struct.pack("256s", self.name.encode()[:15])
        return fcntl.ioctl(self._socket.fileno(), request, asked)

    def _ethtool(self, command: int, size: int) -> bytes | None:
        """What the driver answers, the command in front; None when it does not know."""
        data = array.array("B", struct.pack("I", command) + bytes(size - 4))
        pointer = struct.pack("16sP", self.name.encode()[:15], data.buffer_info()[0])
        try:
            fcntl.ioctl(self._socket.fileno(), SIOCETHTOOL, pointer.ljust(40, b"\0"))
        except OSError:
            return None
        return data.tobytes()

    def _driver(self) -> str:
        told = self._ethtool(GDRVINFO, 196)
        return "" if told is None else told[4:36].split(b"\0")[0].decode(errors="replace")

    def _offloads(self) -> dict[str, bool] | None:
        flags, gro = self._ethtool(GFLAGS, 8), self._ethtool(GGRO, 8)
        if flags is None or gro is None:
            return None
        on = struct.unpack_from("I", flags, 4)[0]
        return {
            "gro": bool(struct.unpack_from("I", gro, 4)[0]),
            "lro": bool(on & FLAG_LRO),
            "rx-vlan": bool(on & FLAG_RXVLAN),
        }

    def _hardware_stamps(self) -> bool | None:
        told = self._ethtool(GET_TS_INFO, 44)
        if told is None:
            return None
        wanted = RX_HARDWARE | RAW_HARDWARE
        return bool(struct.unpack_from("I", told, 4)[0] & wanted == wanted)

    @property
    def is_up(self) -> bool:
        """Whether it has been set up."""
        return bool(self.flags & IFF_UP)

    @property
    def has_carrier(self) -> bool:
        """Whether there is a link."""
        try:
            # The flag follows up to a second later.
            return Path(f"/sys/class/net/{self.name}/carrier").read_text().strip() == "1"
        except OSError:
            return bool(self.flags & IFF_RUNNING)

    def can_be_promiscuous(self) -> bool:
        """Try it, for a moment. PermissionError without CAP_NET_RAW."""
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as taker:
            member = struct.pack("iHH8s", self.index, PACKET_MR_PROMISC, 0, b"")
            try:
                taker.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, member)
            except OSError:
                return False
            # The ioctl hides what a packet socket has asked for.
            try:
                flags = Path(f"/sys/class/net/{self.name}/flags").read_text()
            except OSError:
                return True
            return bool(int(flags, 16) & IFF_PROMISC)


def names() -> list[str]:
    """Every interface of this network namespace."""
    return [name for _, name in socket.if_nameindex()]


def lost(name: str) -> int | None:
    """Packets that the card or its driver has lost since it was made; None if /sys has no word.

    Without rx_dropped: while nobody watches, that also counts what no protocol wanted.
    """
    counts = []
    for counter in ("rx_missed_errors", "rx_fifo_errors"):
        try:
            counts.append(int(Path(f"/sys/class/net/{name}/statistics/{counter}").read_text()))
        except (OSError, ValueError):
            return None
    return sum(counts)
