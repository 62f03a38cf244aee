"""A client, the machine and the honeypot's namespace: for tests of what runs inside.

The client's SYNs to watched addresses come to hp0 by a route; no ruleset diverts here.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import which
from typing import Any

from darkflow.divert import portrules
from darkflow.divert.honeynet import INNER4, INNER6, Honeynet
from darkflow.divert.keeper import Keeper
from darkflow.divert.namespace import NAMESPACES, Namespace, entered
from darkflow.divert.services import Service, read_services

WATCHED4, WATCHED6 = "203.0.113.0/24", "2001:db8:b::/64"
CLIENT4, CLIENT6 = "198.51.100.10", "2001:db8:a::10"
CLIENT_MAC, MACHINE_MAC = "02:00:5e:00:00:10", "02:00:5e:00:00:01"
# What stands on hp0: here without the sets of flows that may pass.
CONTAINED = """
table netdev df_contained {
    chain from_honeypot { type filter hook ingress device "hp0" priority 0; policy drop; }
}
"""


def is_everybodys(path: Path) -> bool:
    """Whether every user can read a file or folder, and get to it."""
    return all(one.stat().st_mode & 0o005 == 0o005 for one in (path, *path.parents))


# What the user nobody can run: the interpreter of the tests may be root's alone.
PYTHON = next(
    (
        path
        for path in (str(Path(sys.executable).resolve()), "/usr/bin/python3")
        if Path(path).exists() and is_everybodys(Path(path).resolve())
    ),
    "",
)


def cannot() -> str | None:
    """Why there can be no honeypot here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in ("ip", "nft", "sysctl") if which(name) is None]
    missing += [] if PYTHON else ["a python3 that every user may run"]
    return f"{', '.join(missing)} missing" if missing else None


def run(*argv: str) -> str:
    """Run a command to its end; it must succeed."""
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout


class World:
    """`client`, `machine` (where the test is while it lasts) and the honeypot of this name."""

    def __init__(self, name: str) -> None:
        self.client, self.machine = f"{name}-client", f"{name}-machine"
        self.net = Honeynet((WATCHED4, WATCHED6), name=f"{name}-hp")
        self.said: list[tuple[str, str, dict[str, Any]]] = []

    def build(self) -> None:
        """The wire between client and machine, and their routes."""
        for namespace in (self.client, self.machine):
            run("ip", "netns", "add", namespace)
            for setting in ("all", "default"):
                run(
                    "ip",
                    "netns",
                    "exec",
                    namespace,
                    "sysctl",
                    "-qw",
                    f"net.ipv6.conf.{setting}.accept_dad=0",
                    f"net.ipv4.conf.{setting}.rp_filter=0",
                )
        run("ip", "link", "add", "c0", "netns", self.client, "address", CLIENT_MAC, "type", "veth",
            "peer", "name", "m0", "netns", self.machine, "address", MACHINE_MAC)  # fmt: skip
        run("ip", "-n", self.client, "addr", "add", f"{CLIENT4}/24", "dev", "c0")
        run("ip", "-n", self.client, "addr", "add", f"{CLIENT6}/64", "dev", "c0", "nodad")
        run("ip", "-n", self.machine, "addr", "add", "198.51.100.1/24", "dev", "m0")
        run("ip", "-n", self.machine, "addr", "add", "2001:db8:a::1/64", "dev", "m0", "nodad")
        for namespace, device, mac, others in (
            (self.client, "c0", MACHINE_MAC, ("198.51.100.1", "2001:db8:a::1")),
            (self.machine, "m0", CLIENT_MAC, (CLIENT4, CLIENT6)),
        ):
            run("ip", "-n", namespace, "link", "set", "lo", "up")
            # No address that it made itself, so no solicitations from it.
            run("ip", "-n", namespace, "link", "set", device, "addrgenmode", "none", "up")
            for other in others:
                # Asked over a fresh link, one is answered after a second or so.
                run("ip", "-n", namespace, "neigh", "add", other, "lladdr", mac, "dev", device)
        run("ip", "-n", self.client, "route", "add", "default", "via", "198.51.100.1")
        run("ip", "-n", self.client, "-6", "route", "add", "default", "via", "2001:db8:a::1")

    def divert(self) -> None:
        """Everything for a watched network goes to the honeypot; m0 forwards it."""
        run("ip", "route", "add", WATCHED4, "via", INNER4, "dev", self.net.outer, "onlink")
        run("ip", "-6", "route", "add", WATCHED6, "via", INNER6, "dev", self.net.outer)
        run("sysctl", "-qw", "net.ipv4.conf.m0.forwarding=1", "net.ipv6.conf.all.forwarding=1")

    @contextmanager
    def away(self) -> Iterator[None]:
        """At the client."""
        fd = os.open(NAMESPACES / self.client, os.O_RDONLY)
        try:
            with entered(fd):
                yield
        finally:
            os.close(fd)

    def connect(self, address: str, port: int, **options: Any) -> socket.socket:
        """A connection of the client's."""
        with self.away():
            return socket.create_connection((address, port), timeout=10, **options)

    def say(self, level: str, message: str, **values: Any) -> None:
        """The log."""
        self.said.append((level, message, values))

    def lines(self, service: str) -> list[str]:
        """What the log has of a service."""
        return [message for _, message, values in self.said if values.get("service") == service]


@contextmanager
def world(number: int = 0) -> Iterator[World]:
    """Client and machine; the calling thread, and what it starts, is at the machine."""
    made = World(f"darkflow-test-{os.getpid()}-{number}")
    try:
        made.build()
        fd = os.open(NAMESPACES / made.machine, os.O_RDONLY)
        with entered(fd):
            os.close(fd)
            yield made
    finally:
        for name in (made.client, made.machine, made.net.name):
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)


class Honeypot:
    """A namespace with its services running."""

    def __init__(self, at: World, services: Sequence[Service], stack: ExitStack) -> None:
        self.world = at
        self.namespace = Namespace(at.net)
        stack.callback(self.namespace.remove)
        rules = portrules.render(at.net, services)
        self.namespace.make(rules, portrules.settings(services))
        at.divert()
        self.listeners = self.namespace.listeners(at.net.responder_port)
        ports = portrules.relay_ports(at.net, services)
        relayed = {name: self.namespace.listeners(port) for name, port in ports.items()}
        for sock in (*self.listeners, *(sock for some in relayed.values() for sock in some)):
            stack.callback(sock.close)
        self.keeper = Keeper(services, self.namespace, relayed, at.say)
        stack.callback(self.keeper.stop)
        self.keeper.start()

    def wait_for(self, there: Callable[[], bool], limit_s: float = 20) -> None:
        """Wait until it is so; fail when it does not become so."""
        end = time.monotonic() + limit_s
        while not there():
            assert time.monotonic() < end, f"nothing came of it; the log: {self.world.said}"
            time.sleep(0.01)

    def wait_for_port(self, port: int, limit_s: float = 30) -> None:
        """Wait until a program listens there, in the namespace."""

        def listens() -> bool:
            with entered(self.namespace.fd), socket.socket() as sock:
                return sock.connect_ex(("127.0.0.1", port)) == 0

        self.wait_for(listens, limit_s)


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that everybody can write to; pytest's own are root's alone."""
    with tempfile.TemporaryDirectory(prefix="darkflow-test-") as name:
        Path(name).chmod(0o777)
        yield Path(name)


@contextmanager
def honeypot(at: World, tables: list[dict[str, Any]]) -> Iterator[Honeypot]:
    """A honeypot with these services."""
    with ExitStack() as stack:
        yield Honeypot(at, read_services(tables), stack)
