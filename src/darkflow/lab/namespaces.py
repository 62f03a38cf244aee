"""Builds a described topology out of network namespaces, and removes it whatever happens.

The links join the lab's own namespaces only: none ends in the namespace of the machine, so no
packet has a way out. Names carry the process that owns them (its id and its start time, as ids are
used again): two labs live side by side, and what a killed run left behind is known as such.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import re
import shutil
import signal
import socket
import struct
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from darkflow.lab.topology import Interface, Mirror, Neighbour, Route, Topology

PREFIX = "darkflow-lab"
NAMESPACES = Path("/run/netns")

_OWNER = rf"{PREFIX}-(?P<pid>\d+)\.(?P<start>\d+)-"
_NAME = re.compile(rf"{_OWNER}\d+-\w+")
_FOLDER = re.compile(rf"{_OWNER}\w+")
_run_number = itertools.count(1)

# linux/ethtool.h, linux/sockios.h
_SIOCETHTOOL = 0x8946
_ETHTOOL_STXCSUM = 0x17
_ETHTOOL_SGSO = 0x24
# linux/pkt_sched.h, linux/if_ether.h
_CLSACT_INGRESS, _CLSACT_EGRESS = 0xFFFFFFF2, 0xFFFFFFF3
_ETH_P_ALL = 0x0003


@contextlib.contextmanager
def built(topology: Topology) -> Iterator[dict[str, str]]:
    """The topology, up and running; gives each namespace's full name by its role.

    Needs root. Raises OSError with a sentence when the system refuses.
    """
    remove_leftovers()
    owner = owned()
    names = {role: f"{owner}-{role}" for role in topology.namespaces}
    try:
        with uninterrupted():
            _build_or_say_why(topology, names)
        yield names
    finally:
        _remove(list(names.values()))


def owned() -> str:
    """What the names of one more network of this process begin with."""
    return f"{PREFIX}-{os.getpid()}.{start_time(os.getpid())}-{next(_run_number)}"


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """SIGINT and SIGTERM wait until this is over: what is half done would be lost sight of.

    What they raise would also be swallowed where Python calls back (os.register_at_fork), and a
    child that was just forked would go on alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for which in came[:1]:
            signal.raise_signal(which)


@contextlib.contextmanager
def workspace() -> Iterator[Path]:
    """A folder of this run, gone afterwards; a killed run's goes with its namespaces."""
    start = start_time(os.getpid())
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}-{os.getpid()}.{start}-") as name:
        yield Path(name)


@contextlib.contextmanager
def entered(name: str) -> Iterator[None]:
    """The calling thread inside a namespace; sockets opened here stay in it."""
    from pyroute2 import netns

    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        netns.setns(name, flags=0)
        try:
            yield
        finally:
            netns.setns(home)
    finally:
        os.close(home)


def existing() -> list[str]:
    """Every namespace of any lab on this machine."""
    try:
        return sorted(p.name for p in NAMESPACES.iterdir() if _NAME.fullmatch(p.name))
    except FileNotFoundError:
        return []


def remove_leftovers() -> list[str]:
    """Removes what runs that are no more have left: programs, namespaces, folders; their names."""
    dead = [name for name in existing() if not _is_owned(name)]
    _remove(dead)
    folders = [
        path
        for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}-*")
        if _FOLDER.fullmatch(path.name) and not _is_owned(path.name) and path.is_dir()
    ]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    return [*dead, *map(str, folders)]


def _build_or_say_why(topology: Topology, names: dict[str, str]) -> None:
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        _build(topology, names)
    except NetlinkError as error:
        raise OSError(f"the kernel refuses the lab's links or routes: {error}") from error


def _build(topology: Topology, names: dict[str, str]) -> None:
    from pyroute2 import netns

    for role, name in names.items():
        netns.create(name)
        # Made in a child process of pyroute2's, which keeps its errors to itself.
        if not (NAMESPACES / name).exists():
            raise OSError(f"network namespace {name} cannot be made: is this a container?")
        with entered(name):
            for key, value in topology.settings(role).items():
                Path("/proc/sys/net", key).write_text(value)
    for end, other in topology.links:
        _add_link(end, other, names)
    for interface in topology.interfaces():
        _configure(interface, names[interface.namespace])
    for role, name in names.items():
        _add_routes([route for route in topology.routes if route.namespace == role], name)
    for neighbour in topology.neighbours:
        _add_neighbour(neighbour, names[neighbour.namespace])
    for mirror in topology.mirrors:
        _add_mirror(mirror, names[mirror.namespace])


def _add_link(end: Interface, other: Interface, names: dict[str, str]) -> None:
    from pyroute2 import IPRoute

    peer_namespace = os.open(NAMESPACES / names[other.namespace], os.O_RDONLY | os.O_CLOEXEC)
    peer = {"ifname": other.name, "address": other.mac, "net_ns_fd": peer_namespace}
    try:
        with entered(names[end.namespace]), IPRoute() as ipr:
            ipr.link("add", ifname=end.name, kind="veth", address=end.mac, peer=peer)
    finally:
        os.close(peer_namespace)


def _configure(interface: Interface, name: str) -> None:
    from pyroute2 import IPRoute

    with entered(name), IPRoute() as ipr:
        _without_offload(interface.name)
        if not interface.addresses:
            # Its kernel would announce itself, in the middle of the copies.
            Path("/proc/sys/net/ipv6/conf", interface.name, "disable_ipv6").write_text("1")
        index = _index(ipr, interface.name)
        ipr.link("set", index=_index(ipr, "lo"), state="up")
        ipr.link("set", index=index, state="up")
        for text in interface.addresses:
            address, length = text.split("/")
            ipr.addr("add", index=index, address=address, prefixlen=int(length))


def _add_routes(routes: list[Route], name: str) -> None:
    from pyroute2 import IPRoute

    with entered(name), IPRoute() as ipr:
        for route in routes:
            family = socket.AF_INET6 if ":" in route.destination else socket.AF_INET
            way = {"type": "blackhole"} if route.via is None else {"gateway": route.via}
            ipr.route("add", dst=route.destination, family=family, **way)


def _add_neighbour(neighbour: Neighbour, name: str) -> None:
    from pyroute2 import IPRoute
    from pyroute2.netlink.rtnl import ndmsg

    with entered(name), IPRoute() as ipr:
        ipr.neigh(
            "add",
            dst=neighbour.address,
            lladdr=neighbour.mac,
            ifindex=_index(ipr, neighbour.interface),
            state=ndmsg.states["permanent"],
        )


def _add_mirror(mirror: Mirror, name: str) -> None:
    from pyroute2 import IPRoute

    with entered(name), IPRoute() as ipr:
        index, to = _index(ipr, mirror.interface), _index(ipr, mirror.to)
        ipr.tc("add", "clsact", index)
        for parent in (_CLSACT_INGRESS, _CLSACT_EGRESS):
            ipr.tc(
                "add-filter",
                "u32",
                index,
                parent=parent,
                protocol=_ETH_P_ALL,
                # matchall is missing in some kernels.
                target=1,  # pyroute2 wants a class; nothing looks at it
                keys=["0x0/0x0+0"],
                action={
                    "kind": "mirred", "direction": "egress", "action": "mirror", "ifindex": to,
                },
            )  # fmt: skip


def _index(ipr: Any, name: str) -> int:
    found: list[int] = list(ipr.link_lookup(ifname=name))
    if not found:
        raise OSError(f"interface {name} is missing from the lab")
    return found[0]


def _without_offload(interface: str) -> None:
    """Checksums and segments are finished before the wire, as on a real one.

    A veth passes them on half done, and the capture would be full of bad checksums and of frames
    larger than the MTU.
    """
    import array

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for command in (_ETHTOOL_STXCSUM, _ETHTOOL_SGSO):
            value = array.array("B", struct.pack("II", command, 0))
            address, _ = value.buffer_info()
            request = struct.pack("16sP8x", interface.encode(), address)
            fcntl.ioctl(sock, _SIOCETHTOOL, request)


def _remove(names: list[str]) -> None:
    from pyroute2 import netns

    with uninterrupted():
        _kill_inhabitants(names)
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                netns.remove(name)


def _is_owned(name: str) -> bool:
    match = _NAME.fullmatch(name) or _FOLDER.fullmatch(name)
    return match is not None and start_time(int(match["pid"])) == int(match["start"])


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may itself hold spaces and parentheses (proc(5), field 22).
    return int(stat.rpartition(")")[2].split()[19])


def _kill_inhabitants(names: list[str]) -> None:
    """Ends every program in these namespaces: nobody but a lab has a way into them."""
    doomed = {_identity(NAMESPACES / name) for name in names} - {None}
    if not doomed:
        return
    for process in Path("/proc").iterdir():
        # The lab's own process is never inside for longer than it takes to open a socket.
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        if _identity(process / "ns/net") in doomed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process.name), signal.SIGKILL)


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells one namespace from another; None when it has gone meanwhile."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino)
