"""The namespace for real: any address answers, nothing chatters, nothing stays."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from darkflow.divert import launch, portrules
from darkflow.divert.honeynet import INNER_MAC, OUTER_MAC, Honeynet, commands
from darkflow.divert.namespace import (
    NAMESPACES,
    Namespace,
    default_name,
    entered,
    found_host,
    running,
)
from darkflow.divert.state import STATE, SYSCTL, state_path
from honeypots import CLIENT4, CLIENT6, World, run

SYN, ACK = 2, 16
ETH_P_ALL = 3
KILLED_RUN = """
import os, sys, time
from darkflow.divert import honeynet, namespace
if sys.argv[2] == "old":
    found = namespace.found_host
    namespace.found_host = lambda: honeynet.Host(**{**vars(found()), "force_forwarding": False})
made = namespace.Namespace(honeynet.Honeynet(("203.0.113.0/24",), name=sys.argv[1]))
made.make()
print("up", flush=True)
time.sleep(600)
"""


@contextlib.contextmanager
def made(net: Honeynet) -> Iterator[Namespace]:
    """A namespace with its port rules, and a listener that names what it was asked for."""
    namespace = Namespace(net)
    namespace.make(portrules.render(net, ()))
    stopping = threading.Event()
    listeners = namespace.listeners(net.responder_port)
    threads = [threading.Thread(target=serve, args=(sock, stopping)) for sock in listeners]
    for thread in threads:
        thread.start()
    try:
        yield namespace
    finally:
        stopping.set()
        for thread, sock in zip(threads, listeners, strict=True):
            thread.join()
            sock.close()
        namespace.remove()


def serve(listener: socket.socket, stopping: threading.Event) -> None:
    """Tell each client its own address and the one it has asked for."""
    listener.settimeout(0.05)
    while not stopping.is_set():
        with contextlib.suppress(TimeoutError):
            connection, peer = listener.accept()
            with connection:
                name = connection.getsockname()
                connection.sendall(f"{peer[0]} {name[0]} {name[1]}".encode())


def asked(place: World, address: str, port: int, source: str = "") -> str:
    """What the listener says to a client."""
    options = {"source_address": (source, 0)} if source else {}
    with place.connect(address, port, **options) as sock:
        return sock.recv(200).decode()


def snapshot() -> dict[str, str]:
    """Every setting of this network namespace that can be read."""
    found = {}
    for path in sorted(SYSCTL.rglob("*")):
        if path.is_file() and "neigh" not in path.parts:
            with contextlib.suppress(OSError):
                found[str(path)] = path.read_text()
    # Measured by the kernel as time goes.
    return {name: text for name, text in found.items() if "icmp_msgs" not in name}


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("203.0.113.77", CLIENT4), ("203.0.113.0", CLIENT4), ("203.0.113.255", CLIENT4),
        ("2001:db8:b::", CLIENT6), ("2001:db8:b:0:1234:5678:9abc:def0", CLIENT6),
    ],
)  # fmt: skip
def test_any_address_and_port_answers_in_its_own_name(
    place: World, address: str, client: str
) -> None:
    with made(place.net):
        place.divert()
        for port in (1, 22, 80, 65535):
            assert asked(place, address, port) == f"{client} {address} {port}"


def test_a_client_with_a_watched_address_gets_its_answer_too(place: World) -> None:
    run("ip", "-n", place.client, "addr", "add", "203.0.113.5/32", "dev", "c0")
    run("ip", "-n", place.client, "addr", "add", "2001:db8:b::5/128", "dev", "c0", "nodad")
    with made(place.net):
        place.divert()
        run("ip", "route", "add", "203.0.113.5", "via", CLIENT4)
        run("ip", "-6", "route", "add", "2001:db8:b::5", "via", CLIENT6)
        assert asked(place, "203.0.113.7", 80, "203.0.113.5") == "203.0.113.5 203.0.113.7 80"
        said = asked(place, "2001:db8:b::7", 80, "2001:db8:b::5")
        assert said == "2001:db8:b::5 2001:db8:b::7 80"


def test_the_whole_address_space_may_be_watched(place: World) -> None:
    net = Honeynet(("0.0.0.0/0", "::/0"), name=place.net.name)
    with made(net) as namespace:
        place.divert()
        assert asked(place, "203.0.113.9", 443) == f"{CLIENT4} 203.0.113.9 443"
        assert asked(place, "2001:db8:b::9", 443) == f"{CLIENT6} 2001:db8:b::9 443"
        with entered(namespace.fd):
            for address in ("127.0.0.1", "::1"):
                with socket.create_connection((address, 1), timeout=5) as sock:
                    assert sock.recv(200)


def frames(device: str) -> socket.socket:
    """Everything that passes a device, from now on."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    sock.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
    sock.bind((device, ETH_P_ALL))
    return sock


def test_neither_end_says_anything_of_itself(place: World) -> None:
    """No ARP, neighbour discovery, router solicitation, multicast report in 2 s, at both ends."""
    namespace = Namespace(place.net)
    caught: list[bytes] = []
    stopping = threading.Event()

    def catch() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as sock:
            sock.settimeout(0.05)
            while not stopping.is_set():
                with contextlib.suppress(TimeoutError):
                    frame, (device, *_) = sock.recvfrom(2000)
                    if device == place.net.outer:
                        caught.append(frame)

    thread = threading.Thread(target=catch)
    thread.start()
    time.sleep(0.1)
    try:
        namespace.make()
        time.sleep(2)
        # That it would have seen something: a datagram out of the namespace is seen.
        with entered(namespace.fd), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"seen", ("192.0.2.1", 9))
        time.sleep(0.2)
    finally:
        stopping.set()
        thread.join()
        namespace.remove()
    assert len(caught) == 1
    assert caught[0].endswith(b"seen")


def is_syn_ack(frame: bytes) -> bool:
    return frame[12:14] == b"\x08\x00" and frame[23] == 6 and frame[47] & (SYN | ACK) == SYN | ACK


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)


def syns(count: int) -> Iterator[bytes]:
    """SYNs as frames for hp1, each of another source."""
    macs = bytes.fromhex((INNER_MAC + OUTER_MAC).replace(":", ""))
    for number in range(count):
        source = struct.pack("!BBH", 198, 18 + (number >> 16), number & 0xFFFF)
        target = socket.inet_aton(f"203.0.113.{number % 256}")
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 60, 6, 0, source, target)
        ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
        tcp = struct.pack("!HHIIBBHHH", 40000, 80 + number % 7, number, 0, 80, SYN, 1024, 0, 0)
        pseudo = source + target + struct.pack("!HH", 6, 20)
        yield (
            macs
            + b"\x08\x00"
            + ip
            + tcp[:16]
            + struct.pack("!H", checksum(pseudo + tcp))
            + tcp[18:]
        )


def test_20000_single_syns_are_each_answered(place: World) -> None:
    """Two seconds' worth of the rate that is asked for, as fast as they can be sent."""
    count = 20_000
    ready = list(syns(count))
    answered: set[bytes] = set()
    with made(place.net) as namespace, frames(place.net.outer) as sock:
        sock.settimeout(0.5)
        caught: list[bytes] = []

        def catch() -> None:
            with contextlib.suppress(TimeoutError):
                while True:
                    caught.append(sock.recv(2000))

        thread = threading.Thread(target=catch)
        thread.start()
        for at, frame in enumerate(ready):
            sock.send(frame)
            if at % 500 == 0:
                time.sleep(0.01)
        thread.join()
        # By the backlog: cookies are for floods.
        with entered(namespace.fd):
            names, values = Path("/proc/thread-self/net/netstat").read_text().splitlines()[:2]
        sent = dict(zip(names.split(), values.split(), strict=True))["SyncookiesSent"]
        assert sent == "0"
    for frame in caught:
        if is_syn_ack(frame):
            answered.add(frame[30:34])
            # What leaves is finished: no card has to do it.
            pseudo = frame[26:34] + struct.pack("!HH", 6, len(frame) - 34)
            assert checksum(pseudo + frame[34:]) == 0
    assert len(answered) == count


def test_what_it_changes_is_as_it_was_before(place: World) -> None:
    before, networks = snapshot(), run("ip", "-j", "addr")
    namespace = Namespace(place.net)
    namespace.make(portrules.render(place.net, ()))
    assert (NAMESPACES / place.net.name).exists()
    assert state_path(place.net.name).exists()
    namespace.remove()
    namespace.remove()
    assert snapshot() == before
    assert run("ip", "-j", "addr") == networks
    assert not (NAMESPACES / place.net.name).exists()
    assert not state_path(place.net.name).exists()


@pytest.mark.parametrize("kernel", ["new", "old"])
def test_what_a_killed_run_has_left_is_put_right(place: World, kernel: str) -> None:
    """Also where IPv6 forwarding had to be switched on for the whole machine."""
    (SYSCTL / "ipv6/conf/m0/accept_ra").write_text("1")
    before = snapshot()
    argv = [sys.executable, "-c", KILLED_RUN, place.net.name, kernel]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        if kernel == "old":
            assert (SYSCTL / "ipv6/conf/m0/forwarding").read_text() == "1\n"
            assert (SYSCTL / "ipv6/conf/m0/accept_ra").read_text() == "2\n"
        with pytest.raises(BlockingIOError, match=f"runs already .process {process.pid}"):
            Namespace(place.net).make()
        os.close(running(place.net.name))
        process.send_signal(signal.SIGKILL)
    assert snapshot() != before
    with made(place.net):
        place_is_served(place)
    assert snapshot() == before
    with pytest.raises(LookupError, match="no honeypot"):
        running(place.net.name)


def place_is_served(place: World) -> None:
    """A client gets through, without leaving settings of its own."""
    run("ip", "route", "add", "203.0.113.0/24", "via", "192.0.0.9", "dev", "hp0", "onlink")
    (SYSCTL / "ipv4/conf/m0/forwarding").write_text("1")
    assert asked(place, "203.0.113.77", 80) == f"{CLIENT4} 203.0.113.77 80"
    (SYSCTL / "ipv4/conf/m0/forwarding").write_text("0")


def test_programs_inside_end_with_it(place: World) -> None:
    namespace = Namespace(place.net)
    namespace.make()
    sleeper = subprocess.Popen(["ip", "netns", "exec", place.net.name, "sleep", "600"])
    until = time.monotonic() + 5
    inside = os.fstat(namespace.fd).st_ino
    while Path(f"/proc/{sleeper.pid}/ns/net").stat().st_ino != inside:
        assert time.monotonic() < until
        time.sleep(0.01)
    namespace.remove()
    assert sleeper.wait(5) == -signal.SIGKILL


def test_a_name_that_is_only_a_file_here_is_no_hindrance(place: World) -> None:
    """As it looks from another mount namespace, which is where `ip netns exec` puts one."""
    (NAMESPACES / place.net.name).touch()
    with made(place.net) as namespace:
        found = running(place.net.name)
        assert os.fstat(found).st_ino == os.fstat(namespace.fd).st_ino
        os.close(found)


def test_what_the_machine_refuses_is_said_in_a_line(place: World) -> None:
    net = Honeynet(("203.0.113.0/24",), name=place.net.name, outer="a-name-that-is-too-long")
    with pytest.raises(OSError, match="the kernel refuses `ip link add a-name-that"):
        Namespace(net).make()
    with pytest.raises(OSError, match=r"nft refuses the honeypot's port rules: .*syntax error"):
        Namespace(place.net).make("no rules")
    assert not (NAMESPACES / place.net.name).exists()
    assert not list(STATE.glob(f"{place.net.name}*"))


def test_each_of_the_machines_namespaces_has_its_own(place: World) -> None:
    """Two honeypots at one time, where nobody gave them names."""
    assert default_name() == f"{place.machine}_honeypot"
    with made(Honeynet(place.net.networks, name=default_name())) as here:
        with place.away():
            assert default_name() == f"{place.client}_honeypot"
            with made(Honeynet(place.net.networks, name=default_name())) as there:
                assert os.fstat(here.fd).st_ino != os.fstat(there.fd).st_ino
                os.close(running(default_name()))
        os.close(running(default_name()))
        with entered(here.fd):
            assert default_name() == f"{place.machine}_honeypot_honeypot"
    names = []
    thread = threading.Thread(target=lambda: names.append(unnamed()))
    thread.start()
    thread.join()
    assert names == ["darkflow"]


def unnamed() -> str:
    """The same in a namespace without a name, as the machine's first one is."""
    launch.unshare(launch.CLONE_NEWNET)
    return default_name()


def test_an_interface_of_another_is_left_alone(place: World) -> None:
    run("ip", "link", "add", "hp0", "type", "bridge")
    with pytest.raises(OSError, match="there is an interface hp0 already, which is not Darkflow's"):
        Namespace(place.net).make()
    assert "hp0" in run("ip", "link")


def described(namespace: str) -> list[str]:
    """Links, neighbours, routes and rules of a namespace, without what differs by chance."""
    found = []
    for words in ("-d link", "neigh", "route show table all", "-6 route show table all", "rule",
                  "-6 rule"):  # fmt: skip
        text = run("ip", "-n", namespace, *words.split())
        # pyroute2 signs its routes as static, ip as boot, which it does not show.
        found += [" ".join(line.replace(" proto static", "").split()) for line in text.splitlines()]
    # The kernel takes a while to say of a link that it is up.
    by_chance = r"^\d+: |@if\d+|link-netns.*|NO-CARRIER,|state \w+"
    return [re.sub(by_chance, "", line) for line in found]


def outer_end(place: World) -> list[str]:
    """The same of what the machine has of it."""
    return [line for line in described(place.machine) if "hp0" in line]


def test_the_script_does_the_same(place: World) -> None:
    """What --dry-run prints, run by a shell, makes what `make` makes."""
    rules = portrules.render(place.net, ())
    lines = [one for one in commands(place.net, found_host(), rules, {}) if "ethtool" not in one]
    with made(place.net) as namespace:
        time.sleep(0.2)
        expected, machine = described(place.net.name), outer_end(place)
        with entered(namespace.fd):
            settings = snapshot()
    try:
        run("sh", "-e", "-c", "\n".join(lines))
        time.sleep(0.2)
        assert described(place.net.name) == expected
        assert outer_end(place) == machine
        fd = os.open(NAMESPACES / place.net.name, os.O_RDONLY)
        with entered(fd):
            assert snapshot() == settings
        os.close(fd)
    finally:
        run("ip", "netns", "del", place.net.name)
