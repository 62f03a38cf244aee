"""The honeypot's namespace: made as `honeynet.py` describes it, entered, removed without trace."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from darkflow.divert import launch
from darkflow.divert.cgroups import Cgroups
from darkflow.divert.honeynet import (
    OUTER_MAC,
    Honeynet,
    Host,
    Step,
    inside,
    inside_settings,
    link,
    outside,
)
from darkflow.divert.state import SYSCTL, State, read_state, state_path

NAMESPACES = Path("/run/netns")
BACKLOG = 65535
DEVICES = ("oif", "ifindex", "index")

# linux/in.h, linux/in6.h
_IP_TRANSPARENT, _IPV6_TRANSPARENT = 19, 75
# linux/sockios.h, linux/ethtool.h
_SIOCGIFHWADDR, _SIOCETHTOOL, _ETHTOOL_STXCSUM, _ETHTOOL_SGSO = 0x8927, 0x8946, 0x17, 0x24


class Namespace:
    """The namespace of one honeypot; `claim` and `make` before all else, `remove` at the end."""

    def __init__(self, net: Honeynet) -> None:
        self.net = net
        self.fd = -1
        self._state: State | None = None
        # Whether something here is ours.
        self._begun = False
        self._makes = True

    def claim(self) -> None:
        """Be the only honeypot here, before anything is touched; BlockingIOError says who is it."""
        if self._state is None:
            try:
                self._state = State(self.net.name)
            except PermissionError as error:
                raise PermissionError(
                    f"the honeypot needs root: it keeps what it changes in {error.filename}"
                ) from None

    def do_without(self) -> None:
        """Where nothing is to be made: put right what a killed run has left, and stay here."""
        self.claim()
        assert self._state is not None
        self._begun, self._makes = True, False
        _clear(self.net, self._state, others=True)
        self._state.keep(self.fd, [])

    def make(self, rules: str = "", settings: Mapping[str, str] | None = None) -> None:
        """Make it, over what a killed run has left; nft loads `rules` inside.

        settings: files below /proc/sys/net inside, for after that, as far as they are there.
        OSError says in a sentence what the system refuses, BlockingIOError that the namespace is
        in use.
        """
        need_root()
        self.claim()
        assert self._state is not None
        try:
            self._begun = True
            _clear(self.net, self._state)
            self._make(rules, settings or {})
        except Exception:
            self.remove()
            raise

    def _make(self, rules: str, settings: Mapping[str, str]) -> None:
        assert self._state is not None
        host = found_host()
        self.fd = _new_namespace(self.net.name)
        with entered(self.fd):
            for step in inside_settings(host):
                _do(None, step)
        self._state.keep(self.fd, outside(self.net, host))
        first = link(self.net)
        first.values["peer"]["net_ns_fd"] = self.fd
        _do_all([first])
        _do_all(outside(self.net, host))
        with entered(self.fd):
            _do_all(inside(self.net, host))
            if rules:
                _load(rules)
            for key, value in settings.items():
                if (SYSCTL / key).exists():
                    (SYSCTL / key).write_text(value)

    def unplug(self) -> None:
        """Let nothing in or out any more: before the rules go that hold its programs in."""
        from pyroute2 import IPRoute
        from pyroute2.netlink.exceptions import NetlinkError

        with contextlib.suppress(OSError, NetlinkError), IPRoute() as ipr:  # it may have gone
            ipr.link("set", index=socket.if_nametoindex(self.net.outer), state="down")

    def remove(self) -> None:
        """Remove it with every program in it, put the machine's settings back; twice is fine."""
        if self._state is None:
            return
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        state, self._state = self._state, None
        if not self._begun:
            state.leave()
            return
        try:
            _clear(self.net, state, others=not self._makes)
        finally:
            state.end()

    def listeners(self, port: int) -> list[socket.socket]:
        """Sockets inside to which the port rules may hand any connection, IPv4 and IPv6.

        They listen already, do not block, and the local address of what they accept is the address
        and port that the client asked for. Needs root; serving them does not.
        """
        found = []
        with entered(self.fd):
            for family, level, option, address in (
                (socket.AF_INET, socket.SOL_IP, _IP_TRANSPARENT, "127.0.0.1"),
                (socket.AF_INET6, socket.IPPROTO_IPV6, _IPV6_TRANSPARENT, "::1"),
            ):
                if family == socket.AF_INET6 and not (SYSCTL / "ipv6").exists():
                    continue
                sock = socket.socket(family, socket.SOCK_STREAM)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.setsockopt(level, option, 1)
                sock.bind((address, port))
                sock.listen(BACKLOG)
                sock.setblocking(False)
                found.append(sock)
        return found


def need_root() -> None:
    """PermissionError for whoever may not make a namespace."""
    if os.geteuid() != 0:
        raise PermissionError("the honeypot needs root: it makes a network namespace")


def default_name() -> str:
    """What a honeypot's namespace is called when nobody says: another in each named namespace."""
    own = _identity(Path("/proc/thread-self/ns/net"))
    for path in NAMESPACES.iterdir() if NAMESPACES.exists() else ():
        if _identity(path) == own:
            return f"{path.name}_honeypot"
    return Honeynet.name


def running(name: str) -> int:
    """A file number for the namespace of a honeypot that runs; LookupError when none does."""
    kept = read_state(state_path(name))
    for path in (f"/proc/{kept.get('pid')}/fd/{kept.get('fd')}", NAMESPACES / name):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        if os.fstat(fd).st_dev == Path("/proc/self/ns/net").stat().st_dev:
            return fd
        os.close(fd)
    raise LookupError(f"no honeypot {name!r} runs here: start it with darkflow honeypot")


@contextlib.contextmanager
def entered(fd: int) -> Iterator[None]:
    """The calling thread inside a namespace; sockets opened here stay in it."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        launch.setns(fd)
        try:
            yield
        finally:
            launch.setns(home)
    finally:
        os.close(home)


def found_host() -> Host:
    """What the machine is like now."""
    conf6 = SYSCTL / "ipv6/conf"
    heeding = []
    if conf6.exists():
        for interface in sorted(conf6.iterdir()):
            if interface.name not in ("all", "default") and _is(interface / "accept_ra", "1"):
                heeding.append(interface.name)
    return Host(
        ipv6=conf6.exists(),
        rp_filter=int((SYSCTL / "ipv4/conf/all/rp_filter").read_text()),
        force_forwarding=(conf6 / "all/force_forwarding").exists(),
        forwarding6=_is(conf6 / "all/forwarding", "1"),
        accept_ra=tuple(heeding),
    )


def _is(path: Path, value: str) -> bool:
    return path.exists() and path.read_text().strip() == value


def _clear(net: Honeynet, state: State, others: bool = False) -> None:
    """Remove namespace, programs, link and changed settings, as far as they are there.

    others: a link of that name that is another program's is no error, and stays.
    """
    # The link first: without it nothing inside reaches anybody, and with the last user of the
    # namespace it goes by itself, at some moment.
    if _is_device(net.outer) and not (others and _mac(net.outer) != OUTER_MAC):
        if _mac(net.outer) != OUTER_MAC:
            raise OSError(f"there is an interface {net.outer} already, which is not Darkflow's")
        try:
            _do_all([Step(f"ip link del {net.outer}", "link", "del", {"index": net.outer})])
        except OSError:
            if _is_device(net.outer):
                raise
    path = NAMESPACES / net.name
    if _is_namespace(path):
        _kill_inhabitants(path)
        launch.umount(str(path))
        path.unlink(missing_ok=True)
    Cgroups(net.name).remove()
    state.restore()


def _is_device(name: str) -> bool:
    # (/sys may be that of another namespace.)
    return name in {known for _, known in socket.if_nameindex()}


def _is_namespace(path: Path) -> bool:
    """Whether a namespace is mounted there; in another mount namespace it is but a file."""
    return path.exists() and path.stat().st_dev == Path("/proc/self/ns/net").stat().st_dev


def _mac(name: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        found = fcntl.ioctl(sock, _SIOCGIFHWADDR, struct.pack("40s", name.encode()))
    return found[18:24].hex(":")


def _kill_inhabitants(path: Path) -> None:
    """End every program in the namespace: nobody but the honeypot has a way into it."""
    doomed = _identity(path)
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        if doomed is not None and _identity(process / "ns/net") == doomed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process.name), signal.SIGKILL)


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells one namespace from another; None when it has gone meanwhile."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino)


def _new_namespace(name: str) -> int:
    """A new namespace under a name that `ip netns` knows; its file number."""
    made: list[int] = []
    errors: list[OSError] = []

    def make() -> None:
        # In a thread of its own: it leaves the machine's namespace for good.
        try:
            made.append(_unshared(name))
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=make, name="darkflow namespace")
    thread.start()
    thread.join()
    if errors:
        why = errors[0].strerror or str(errors[0])
        raise OSError(f"network namespace {name} cannot be made ({why}): it needs root, and in a"
                      " container CAP_SYS_ADMIN")  # fmt: skip
    return made[0]


def _unshared(name: str) -> int:
    with contextlib.suppress(FileExistsError):
        NAMESPACES.mkdir(parents=True)
        NAMESPACES.chmod(0o755)  # as iproute2 does
    try:
        launch.mount("", str(NAMESPACES), "none", launch.MS_SHARED | launch.MS_REC)
    except OSError:
        # As iproute2 does: a mount of its own, which other mount namespaces hear of.
        launch.mount(str(NAMESPACES), str(NAMESPACES), "none", launch.MS_BIND | launch.MS_REC)
        launch.mount("", str(NAMESPACES), "none", launch.MS_SHARED | launch.MS_REC)
    launch.unshare(launch.CLONE_NEWNET)
    path = NAMESPACES / name
    path.touch(mode=0o444)
    own = "/proc/thread-self/ns/net"
    launch.mount(own, str(path), "none", launch.MS_BIND)
    return os.open(own, os.O_RDONLY | os.O_CLOEXEC)


def _do_all(steps: list[Step]) -> None:
    try:
        from pyroute2 import IPRoute
        from pyroute2.netlink.exceptions import NetlinkError
    except ImportError:
        raise OSError("the honeypot needs pyroute2: pip install 'darkflow[honeypot]'") from None
    with IPRoute() as ipr:
        for step in steps:
            try:
                _do(ipr, step)
            except (NetlinkError, OSError) as error:
                raise OSError(f"the kernel refuses `{step.command}`: {error}") from error


def _do(ipr: Any, step: Step) -> None:
    if step.what == "set":
        (SYSCTL / step.action).write_text(step.values["value"])
    elif step.what == "offload":
        _without_offload(step.action)
    else:
        values = dict(step.values)
        for key in DEVICES:
            if key in values:
                values[key] = socket.if_nametoindex(values[key])
        getattr(ipr, step.what)(step.action, **values)


def _without_offload(interface: str) -> None:
    import array

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for command in (_ETHTOOL_STXCSUM, _ETHTOOL_SGSO):
            value = array.array("B", struct.pack("II", command, 0))
            address, _ = value.buffer_info()
            fcntl.ioctl(sock, _SIOCETHTOOL, struct.pack("16sP8x", interface.encode(), address))


def _load(rules: str) -> None:
    """Give nft a ruleset, in the namespace of the calling thread."""
    import subprocess

    try:
        done = subprocess.run(
            ["nft", "-f", "-"], input=rules, text=True, capture_output=True, check=False
        )
    except FileNotFoundError:
        raise OSError("nft is missing: install the package nftables") from None
    if done.returncode != 0:
        raise OSError(f"nft refuses the honeypot's port rules: {done.stderr.strip()}")
