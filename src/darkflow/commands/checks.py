"""What `darkflow doctor` finds out about the machine, one finding for each thing it looks at."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

from darkflow.sources import card, kernel

OK, WARNING, FAILED, UNKNOWN = "ok", "warning", "failed", "unknown"
ARPHRD_ETHER, ARPHRD_LOOPBACK, ARPHRD_NONE = 1, 772, 65534
KINDS = {ARPHRD_ETHER: "Ethernet", ARPHRD_LOOPBACK: "loopback", ARPHRD_NONE: "raw IP"}
# Beside its tables a sensor takes some 40 MiB; with a store, which brings its own, some 200.
PROGRAM_BYTES, STORE_PROGRAM_BYTES = 64 << 20, 256 << 20
# An attempt takes 192 bytes, and up to 32 in the index.
ATTEMPT_BYTES = 224
SLOW_CLOCKS = ("hpet", "acpi_pm", "jiffies", "pit", "refined-jiffies")
CLOCK_ERROR_US = 1_000_000
REMOTE = ("nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "lustre", "afs", "sshfs")
FLEETING = {
    "tmpfs": "is memory: all is lost when the machine stops",
    "ramfs": "is memory: all is lost when the machine stops",
    "overlay": "is a container's own layer: all is lost with the container",
}
LEAST_BYTES = 64 << 20
LEAST_FILES = 10_000


class Finding(NamedTuple):
    """One thing that was looked at: `state` is ok, warning, failed or unknown (it may not look).

    `about`: which interface or folder; `mend`: what to do, a command where there is one.
    """

    check: str
    state: str
    found: str
    mend: str = ""
    about: str = ""


def mebibytes(size_bytes: float) -> str:
    """A size to read."""
    for unit, scale in (("GiB", 1 << 30), ("MiB", 1 << 20)):
        if size_bytes >= scale:
            return f"{size_bytes / scale:.1f} {unit}"
    return f"{size_bytes / 1024:.1f} KiB"


def kernel_findings() -> Iterator[Finding]:
    """Version, and what packet sockets can do."""
    release = os.uname().release
    try:
        features = kernel.packet_features()
    except PermissionError:
        text = f"Linux {release}; what its packet sockets can do needs CAP_NET_RAW to be tried"
        yield Finding("kernel", UNKNOWN, text, "sudo darkflow doctor")
    else:
        lacks = [name for name, there in features.items() if not there]
        if not lacks:
            yield Finding("kernel", OK, f"Linux {release}: {', '.join(features)}")
        elif "AF_PACKET" in lacks or "TPACKET_V3" in lacks:
            text = f"Linux {release} lacks {', '.join(lacks)}: no packet can be taken"
            mend = "sudo modprobe af_packet  # or a kernel of 4.20 or newer with CONFIG_PACKET"
            yield Finding("kernel", FAILED, text, mend)
        else:
            text = f"Linux {release} lacks {', '.join(lacks)}: several interfaces or workers fail"
            yield Finding("kernel", WARNING, text, "a kernel of 4.20 or newer")
    netdev = kernel.configured("CONFIG_NF_TABLES_NETDEV")
    told = {True: "there", False: "not there", None: "not told by this kernel"}[netdev]
    yield Finding("nftables", OK, f"netdev family: {told}; the sensor does not need it")


def permission_findings() -> Iterator[Finding]:
    """Whether packets may be taken."""
    mine = kernel.capabilities()
    if mine["CAP_NET_RAW"]:
        yield Finding("permission", OK, "CAP_NET_RAW: packets may be taken")
    else:
        yield Finding(
            "permission",
            FAILED,
            "CAP_NET_RAW is missing: no packet may be taken",
            "run as root (sudo darkflow ...), or as a systemd service with"
            " AmbientCapabilities=CAP_NET_RAW",
        )


def interface_findings(name: str) -> Iterator[Finding]:
    """One interface: there, up, linked, what it does to packets, what it has lost."""
    try:
        found = card.Card(name)
    except OSError:
        there = ", ".join(card.names())
        yield Finding("interface", FAILED, f"is not there; there are: {there}", "ip link", name)
        return
    if found.kind not in KINDS:
        text = f"is neither Ethernet nor raw IP (ARPHRD {found.kind})"
        yield Finding("interface", FAILED, text, "watch another interface: ip link", name)
        return
    driver = f", driver {found.driver}" if found.driver else ""
    text = f"{KINDS[found.kind]}, MTU {found.mtu}{driver}"
    if not found.is_up:
        mend = f"sudo ip link set dev {name} up"
        yield Finding("interface", FAILED, f"{text}: is down", mend, name)
    elif not found.has_carrier:
        mend = f"ip -s link show dev {name}  # check the cable and the mirror's configuration"
        yield Finding("interface", FAILED, f"{text}: is up, but has no link", mend, name)
    else:
        yield Finding("interface", OK, f"{text}: is up and has a link", "", name)
    yield _promiscuous(found)
    yield _offloads(found)
    yield _losses(name)


def _promiscuous(found: card.Card) -> Finding:
    if found.kind == ARPHRD_NONE:
        return Finding("promiscuous", OK, "has no addresses of its own: sees all", "", found.name)
    try:
        can = found.can_be_promiscuous()
    except PermissionError:
        return Finding("promiscuous", UNKNOWN, "needs CAP_NET_RAW to be tried", "", found.name)
    if can:
        return Finding("promiscuous", OK, "can take what is sent to others", "", found.name)
    return Finding(
        "promiscuous",
        FAILED,
        "cannot: only what is sent to this machine would be seen",
        "watch an interface with a cable; in a virtual machine allow promiscuous mode on the host",
        found.name,
    )


def _offloads(found: card.Card) -> Finding:
    """Never a fault: what the card puts together are segments of data."""
    if found.offloads is None:
        return Finding("offloads", OK, "the driver tells of none", "", found.name)
    states = ", ".join(f"{name} {'on' if on else 'off'}" for name, on in found.offloads.items())
    stamps = "can" if found.hardware_stamps else "cannot"
    text = (
        f"{states}: no matter, a SYN, SYN+ACK or RST is never merged and a VLAN tag taken off is"
        f" no loss; {stamps} stamp packets with the time (--timestamps hardware)"
    )
    return Finding("offloads", OK, text, "", found.name)


def _losses(name: str) -> Finding:
    count = card.lost(name)
    if count is None:
        return Finding("card", UNKNOWN, "/sys does not tell what the card has lost", "", name)
    if count == 0:
        return Finding("card", OK, "has lost no packet since it was set up", "", name)
    text = f"has lost {count:,} packets since it was set up: its own buffer was full"
    mend = f"sudo ethtool -G {name} rx 4096  # at most what ethtool -g {name} allows"
    return Finding("card", WARNING, text, mend, name)


def memory_findings(settings: dict[str, Any], interfaces: int, store: bool) -> Iterator[Finding]:
    """Rings against the machine's memory, tables against the control group's limit.

    A ring is the kernel's memory: neither a control group's limit nor that of locked memory
    (RLIMIT_MEMLOCK) holds for it.
    """
    workers = settings["workers"]
    rings = settings["ring_size"] * max(interfaces, 1) * workers
    slots = (settings["queue_size"] + settings["flow_table_size"]) * workers
    tables = slots * ATTEMPT_BYTES + (STORE_PROGRAM_BYTES if store else PROGRAM_BYTES)
    free = kernel.free_memory_bytes()
    text = (
        f"rings {mebibytes(rings)}, the rest at most {mebibytes(tables)};"
        f" {mebibytes(free)} are free"
    )
    mend = "lower --ring-size, --queue-size or --flow-table-size"
    if rings + tables > free:
        yield Finding("memory", FAILED if rings > free else WARNING, text, mend)
    else:
        yield Finding("memory", OK, text)
    limit = kernel.cgroup_limit_bytes()
    if limit is None:
        yield Finding("memory limit", OK, "no control group sets one")
    elif tables > limit:
        text = f"{mebibytes(limit)} of its control group, where {mebibytes(tables)} may be needed"
        mend = f"MemoryMax={tables * 5 // 4 >> 20}M in the systemd unit, or {mend}"
        yield Finding("memory limit", WARNING, text, mend)
    else:
        yield Finding("memory limit", OK, f"{mebibytes(limit)} of its control group: enough")


def clock_findings() -> Iterator[Finding]:
    """Whether the time of an event is the time of the world, and whether asking for it is quick."""
    try:
        error_us = kernel.clock_error_us()
    except OSError as error:
        yield Finding("clock", UNKNOWN, f"may not be asked: {error.strerror}")
    else:
        mend = "sudo timedatectl set-ntp true  # or: sudo apt-get install chrony"
        if error_us is None:
            text = "nothing keeps it right (NTP): events may have the wrong time"
            yield Finding("clock", WARNING, text, mend)
        elif error_us > CLOCK_ERROR_US:
            text = f"is kept right, but may be {error_us / 1e6:.1f} s wrong"
            yield Finding("clock", WARNING, text, "chronyc tracking  # or: timedatectl")
        else:
            text = f"is kept right (NTP), to {error_us / 1000:.1f} ms at most"
            yield Finding("clock", OK, text)
    source = kernel.clock_source()
    if source in SLOW_CLOCKS:
        text = f"{source} is slow to ask, and it is asked for every packet"
        mend = "clocksource=tsc tsc=reliable on the kernel's command line, if the machine has one"
        yield Finding("clock source", WARNING, text, mend)
    else:
        yield Finding("clock source", OK if source else UNKNOWN, source or "not told")


def store_findings(folder: str, settings: dict[str, Any]) -> Iterator[Finding]:
    """The disk under a store: writable, large enough, and one that stays."""
    if not (find_spec("deltalake") and find_spec("polars")):
        text = "needs deltalake and polars"
        yield Finding("store", FAILED, text, "pip install 'darkflow[store]'", folder)
    path = Path(folder).absolute()
    there = next(place for place in (path, *path.parents) if place.exists())
    quoted = quote(str(there))
    try:
        if not there.is_dir():
            raise NotADirectoryError(20, f"{there} is no folder")
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(bytes(4096))
            file.flush()
    except OSError as error:
        text = f"cannot be written: {error.strerror or error}"
        mend = f"sudo install -d -o $(id -u) {quote(folder)}  # if it is full: df -h {quoted}"
        yield Finding("store", FAILED, text, mend, folder)
        return
    yield Finding("store", OK, "can be written", "", folder)
    yield _room(folder, path, there, settings["store_bytes"])
    kind = kernel.file_system(there)
    if kind in REMOTE or kind.startswith("fuse"):
        text = f"{kind}: when the network or the server is away, rows wait and then are lost"
        yield Finding(
            "file system", WARNING, text, "put the store on a disk of this machine", folder
        )
    elif kind in FLEETING:
        text = f"{kind} {FLEETING[kind]}"
        yield Finding("file system", WARNING, text, "put the store on a disk", folder)
    else:
        yield Finding("file system", OK if kind else UNKNOWN, kind or "not told", "", folder)


def _room(folder: str, path: Path, there: Path, wanted_bytes: int) -> Finding:
    disk = os.statvfs(there)
    free = disk.f_bavail * disk.f_frsize
    held = sum(entry.stat().st_size for entry in path.rglob("*.parquet")) if path.exists() else 0
    needed = max(wanted_bytes - held, 0)
    text = (
        f"{mebibytes(free)} free, {mebibytes(held)} held, --store-bytes {mebibytes(wanted_bytes)}"
    )
    look = quote(str(there))
    fits = max((held + free) * 9 // 10 >> 20, 1)
    mend = f"--store-bytes {fits}MiB  # or make room: df -h {look}"
    if free < LEAST_BYTES:
        mend = f"df -h {look}  # make room"
        return Finding("room", FAILED, f"{text}: the disk is full", mend, folder)
    if disk.f_files and disk.f_favail < LEAST_FILES:
        mend = f"df -i {look}  # delete files"
        return Finding("room", WARNING, f"only {disk.f_favail:,} more files fit", mend, folder)
    if free < needed:
        return Finding("room", WARNING, f"{text}: the disk is full before that", mend, folder)
    return Finding("room", OK, text, "", folder)
