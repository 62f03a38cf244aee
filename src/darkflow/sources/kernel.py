"""What the kernel offers and lets this process do, read or tried: for `darkflow doctor`."""

from __future__ import annotations

import ctypes
import errno
import gzip
import os
import socket
import struct
from pathlib import Path

from darkflow.sources.fanout import FANOUT_UNIQUE_ID, PACKET_FANOUT
from darkflow.sources.interface import (
    PACKET_IGNORE_OUTGOING,
    PACKET_VERSION,
    SOL_PACKET,
    TPACKET_V3,
)

FANOUT_HASH = 0
CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_ADMIN": 21}
STA_UNSYNC = 0x40


def capabilities() -> dict[str, bool]:
    """Which of the capabilities that matter here this process has now."""
    status = Path("/proc/self/status").read_text()
    effective = int(status.partition("CapEff:")[2].split()[0], 16)
    return {name: bool(effective >> bit & 1) for name, bit in CAPABILITIES.items()}


def packet_features() -> dict[str, bool]:
    """What packet sockets can do here, tried on loopback; PermissionError without CAP_NET_RAW.

    Nothing is caught: the socket's protocol stays 0.
    """
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as tried:
            features = {
                "TPACKET_V3": _takes(tried, PACKET_VERSION, TPACKET_V3),
                "ignoring what goes out": _takes(tried, PACKET_IGNORE_OUTGOING, 0),
            }
            tried.bind(("lo", 0))
            # A socket that is not bound to a protocol may not join: EINVAL, where others say
            # ENOPROTOOPT. So what is looked at is whether the option is known.
            fanout = FANOUT_HASH | FANOUT_UNIQUE_ID
            features["fanout"] = _takes(tried, PACKET_FANOUT, fanout << 16)
            return features
    except PermissionError:
        raise
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT:
            return {"AF_PACKET": False}
        raise


def _takes(tried: socket.socket, option: int, value: int) -> bool:
    try:
        tried.setsockopt(SOL_PACKET, option, struct.pack("I", value))
    except OSError as error:
        return option == PACKET_FANOUT and error.errno == errno.EINVAL
    return True


def configured(option: str) -> bool | None:
    """Whether the kernel was built with it, as a module or in it; None when nothing says so."""
    texts = []
    try:
        texts.append(gzip.decompress(Path("/proc/config.gz").read_bytes()).decode())
    except (OSError, EOFError):
        try:
            texts.append(Path(f"/boot/config-{os.uname().release}").read_text())
        except OSError:
            return None
    lines = texts[0].splitlines()
    return f"{option}=y" in lines or f"{option}=m" in lines


class _Timex(ctypes.Structure):
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def clock_error_us() -> int | None:
    """The most by which the clock is wrong, as who sets it says; None: nobody sets it.

    adjtimex(2) with nothing to change. OSError where a sandbox forbids to ask.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    told = _Timex()
    if libc.adjtimex(ctypes.byref(told)) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return None if told.status & STA_UNSYNC else told.maxerror


def clock_source() -> str:
    """The kernel's clock, "tsc" for example; "" when nothing says so."""
    folder = Path("/sys/devices/system/clocksource/clocksource0")
    try:
        return (folder / "current_clocksource").read_text().strip()
    except OSError:
        return ""


def free_memory_bytes() -> int:
    """What the kernel could give away without swapping."""
    return int(Path("/proc/meminfo").read_text().partition("MemAvailable:")[2].split()[0]) << 10


def cgroup_limit_bytes(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """The lowest memory limit of the control groups (version 1 or 2) that this process is in."""
    limits = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top, name = root / controllers, "memory.limit_in_bytes"
        if not controllers:
            top, name = root, "memory.max"
        group = top / path.lstrip("/")
        while group.is_relative_to(top):
            try:
                text = (group / name).read_text().strip()
            except OSError:
                text = ""
            # Version 1 writes a number near 2^63 where there is no limit, version 2 "max".
            if text.isdigit() and int(text) < 1 << 60:
                limits.append(int(text))
            group = group.parent
    return min(limits, default=None)


def file_system(path: Path) -> str:
    """The type of the file system that a path lies on, "ext4" for example; "" if unknown."""
    best, found = -1, ""
    where = path.resolve()
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        front, _, back = line.partition(" - ")
        point = Path(front.split()[4].replace("\\040", " "))
        depth = len(point.parts)
        # What was mounted later lies on top.
        if depth >= best and (where == point or point in where.parents):
            best, found = depth, back.split()[0]
    return found
