"""Small networks of namespaces in which the data plane really works: router, bridge, mirror.

```
  out (client) --- outside [gw] inside --- in (live host; nobody else is at home)
                         [gw] hp0 --- hp1 [hp] answers for every watched address
```
With a mirror, gw is a router that Darkflow is not on: it copies what passes `outside`, in both
directions, to `mirror` of a machine `df`, whose own way out (`up`) leads back to gw.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from shutil import which
from typing import Any

from darkflow.divert.dispatcher import Flow
from darkflow.divert.nft import Nft
from darkflow.divert.plan import Plan
from darkflow.divert.replay import checksum
from darkflow.lab.namespaces import (
    NAMESPACES,
    _without_offload,
    entered,
    owned,
    remove_leftovers,
    uninterrupted,
)

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
ROUTER, BRIDGE, MIRROR = "router", "bridge", "mirror"
NETWORKS = ("203.0.113.0/24", "2001:db8:b::/64")
CLIENT = {4: "198.51.100.2", 6: "2001:db8:a::2"}
LIVE = {4: "203.0.113.10", 6: "2001:db8:b::10"}
ABSENT = {4: "203.0.113.77", 6: "2001:db8:b::77"}
# A client that no kernel is behind: frames to it are sent, and nobody answers them.
NOBODY = {4: "198.51.100.99", 6: "2001:db8:a::99"}
HP0_MAC, HP1_MAC = "02:00:00:00:03:01", "02:00:00:00:03:02"
MACS = {"o0": "02:00:00:00:01:02", "outside": "02:00:00:00:01:01",
        "i0": "02:00:00:00:02:02", "inside": "02:00:00:00:02:01",
        "hp0": HP0_MAC, "hp1": HP1_MAC,
        "up0": "02:00:00:00:04:02", "way": "02:00:00:00:04:01",
        "mirror": "02:00:00:00:05:02", "span": "02:00:00:00:05:01"}  # fmt: skip
SYSCTLS = {"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1",
           "ipv4/conf/all/rp_filter": "0", "ipv4/conf/default/rp_filter": "0",
           "ipv6/conf/all/accept_dad": "0", "ipv6/conf/default/accept_dad": "0"}  # fmt: skip
# What the routed networks have in common; `gw` of a bridge is one host among others.
ROUTES = {
    "gw": ["addr add 198.51.100.1/24 dev outside", "addr add 2001:db8:a::1/64 dev outside",
           "addr add 203.0.113.1/24 dev inside", "addr add 2001:db8:b::1/64 dev inside"],
    "in": ["addr add 203.0.113.10/24 dev i0", "addr add 2001:db8:b::10/64 dev i0",
           "route add default via 203.0.113.1", "-6 route add default via 2001:db8:b::1"],
}  # fmt: skip
BRIDGED = {
    "gw": ["link add br0 type bridge", "link set br0 up", "link set outside master br0",
           "link set inside master br0", "addr add 198.51.100.5/24 dev br0",
           "addr add 2001:db8:a::5/64 dev br0"],
    "in": ["addr add 198.51.100.1/24 dev i0", "addr add 2001:db8:a::1/64 dev i0",
           "addr add 203.0.113.10/32 dev lo", "addr add 2001:db8:b::10/128 dev lo",
           "route add blackhole 203.0.113.0/24", "-6 route add blackhole 2001:db8:b::/64"],
}  # fmt: skip
OUT = ["addr add 198.51.100.2/24 dev o0", "addr add 2001:db8:a::2/64 dev o0",
       "route add default via 198.51.100.1", "-6 route add default via 2001:db8:a::1"]  # fmt: skip
# The honeypot's side as docs/dataplane.md says: AnyIP, fixed neighbours.
HONEYPOT = ["addr add 169.254.1.2/32 dev hp1", "route add local 203.0.113.0/24 dev lo",
            "-6 route add local 2001:db8:b::/64 dev lo",
            f"neigh add 169.254.1.1 lladdr {HP0_MAC} dev hp1 nud permanent",
            f"neigh add fe80::1 lladdr {HP0_MAC} dev hp1 nud permanent",
            "route add default via 169.254.1.1 dev hp1 onlink",
            "-6 route add default via fe80::1 dev hp1"]  # fmt: skip
MIRRORED = {
    "gw": ["addr add 192.0.2.1/30 dev way", "addr add 2001:db8:c::1/64 dev way"],
    "df": ["addr add 192.0.2.2/30 dev up0", "addr add 2001:db8:c::2/64 dev up0",
           "route add default via 192.0.2.1", "-6 route add default via 2001:db8:c::1"],
}  # fmt: skip


def cannot() -> str | None:
    """Why there can be no such network here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in ("ip", "tc", "nft") if which(name) is None]
    return f"{', '.join(missing)} missing" if missing else None


def packed(address: str) -> bytes:
    """An address as bytes."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def flow_of(version: int, port: int, resp: str | None = None, resp_port: int = 80) -> Flow:
    """From the client to an absent address, or another one."""
    return packed(CLIENT[version]), port, packed(resp or ABSENT[version]), resp_port


def turned(flow: Flow) -> Flow:
    """The reverse flow."""
    return flow[2], flow[3], flow[0], flow[1]


def tcp_packet(flow: Flow, flags: int, seq: int = 1, ack: int = 0, data: bytes = b"") -> bytes:
    """An IP packet from the first end of `flow` to the second, with right checksums."""
    source, source_port, target, target_port = flow
    head = struct.pack("!HHIIBBHHH", source_port, target_port, seq, ack, 0x50, flags, 8192, 0, 0)
    tcp = head + data
    pseudo = source + target + struct.pack("!II", len(tcp), 6)
    tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
    return ip_packet(source, target, 6, tcp)


def ip_packet(source: bytes, target: bytes, proto: int, inner: bytes) -> bytes:
    """An IP packet without options."""
    if len(source) == 16:
        return struct.pack("!IHBB", 6 << 28, len(inner), proto, 64) + source + target + inner
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(inner), 7, 0, 64, proto, 0) + source + target
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + inner


def frame(packet: bytes, to: str, of: str, vlan: int = 0) -> bytes:
    """An Ethernet frame."""
    kind = b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"
    tag = struct.pack("!HH", 0x8100, vlan) if vlan else b""
    return bytes.fromhex((to + of).replace(":", "")) + tag + kind + packet


class Stand:
    """One such network; gone when its context ends."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.where = "df" if kind == MIRROR else "gw"
        self.outside = "mirror" if kind == MIRROR else "outside"
        self.roles = ["out", "gw", "in", "hp"] + ["df"] * (kind == MIRROR)
        self._name = owned()
        self._endings: list[Callable[[], object]] = []

    def name(self, role: str) -> str:
        """The namespace's full name."""
        return f"{self._name}-{role}"

    def at(self, role: str) -> AbstractContextManager[None]:
        """The calling thread inside."""
        return entered(self.name(role))

    def run(self, role: str, *argv: str) -> str:
        """Run a program inside to its end; it must succeed."""
        argv = ("ip", "netns", "exec", self.name(role), *argv)
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{argv}: {done.stdout}{done.stderr}")
        return done.stdout

    def ip(self, role: str, lines: list[str]) -> None:
        """Run `ip` commands inside."""
        for line in lines:
            subprocess.run(["ip", "-n", self.name(role), *line.split()], check=True, timeout=60)

    def build(self) -> None:
        """Make it all."""
        remove_leftovers()
        for role in self.roles:
            subprocess.run(["ip", "netns", "add", self.name(role)], check=True, timeout=60)
            self.ip(role, ["link set lo up"])
            with self.at(role):
                for key, value in SYSCTLS.items():
                    Path("/proc/sys/net", key).write_text(value)
        self._link("out", "o0", "gw", "outside")
        self._link("in", "i0", "gw", "inside")
        self._link(self.where, "hp0", "hp", "hp1")
        for role, lines in (BRIDGED if self.kind == BRIDGE else ROUTES).items():
            self.ip(role, lines)
        self.ip("out", OUT)
        for address in NOBODY.values():
            device = "br0" if self.kind == BRIDGE else "outside"
            self.ip("gw", [f"neigh add {address} lladdr 02:00:00:00:01:99 dev {device}"])
        self.ip("hp", HONEYPOT)
        if self.kind == MIRROR:
            self._mirror()

    def without_offload(self) -> None:
        """Each packet is a frame of its own, with finished checksums, as on a wire."""
        devices = {"out": ["o0"], "gw": ["outside", "inside"], "in": ["i0"], "hp": ["hp1"]}
        devices.setdefault(self.where, []).append("hp0")
        if self.kind == MIRROR:
            devices["gw"] += ["way", "span"]
            devices["df"] += ["up0", "mirror"]
        for role, names in devices.items():
            with self.at(role):
                for name in names:
                    _without_offload(name)

    def _mirror(self) -> None:
        self._link("gw", "way", "df", "up0")
        self._link("gw", "span", "df", "mirror")
        for role, lines in MIRRORED.items():
            self.ip(role, lines)
        self.run("gw", "tc", "qdisc", "add", "dev", "outside", "clsact")
        for way in ("ingress", "egress"):
            self.run("gw", *f"tc filter add dev outside {way} protocol all prio 1 u32 match u32 0 0"
                           " action mirred egress mirror dev span".split())  # fmt: skip

    def _link(self, role: str, device: str, other: str, far: str) -> None:
        self.ip(role, [f"link add {device} address {MACS[device]} type veth peer name {far}"
                       f" address {MACS[far]} netns {self.name(other)}",
                       f"link set {device} up"])  # fmt: skip
        self.ip(other, [f"link set {far} up"])

    def plan(self, **changes: Any) -> Plan:
        """A plan for this network."""
        inline: dict[str, Any] = {"mode": "inline", "inside": "inside"}
        mode = {"mode": "mirror"} if self.kind == MIRROR else inline
        known = {"outside": self.outside, "hp1_mac": HP1_MAC, "networks": NETWORKS}
        return Plan(**{**mode, **known, **changes})

    def nft(self, **changes: Any) -> Nft:
        """The data plane, applied where Darkflow stands."""
        with self.at(self.where):
            made = Nft()
            self._endings.append(made.close)
            made.apply(self.plan(**changes))
        return made

    def send(self, role: str, device: str, *frames: bytes) -> None:
        """Send frames out of a device."""
        with self.at(role), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
            sock.bind((device, 0))
            for one in frames:
                sock.send(one)

    def answer(self, packet: bytes) -> None:
        """A packet of the inside network on its way to the client."""
        to = MACS["o0"] if self.kind == BRIDGE else MACS["inside"]
        self.send("in", "i0", frame(packet, to, MACS["i0"]))

    def knock(self, *packets: bytes) -> None:
        """Packets of a client on their way in."""
        to = MACS["i0"] if self.kind == BRIDGE else MACS["outside"]
        self.send("out", "o0", *(frame(packet, to, MACS["o0"]) for packet in packets))

    @contextmanager
    def mute(self, role: str, device: str) -> Iterator[None]:
        """No TCP leaves by this device meanwhile, whatever the kernel wants to say."""
        chain = f"type filter hook egress device {device} priority 0; policy accept;"
        self.run(
            role, "nft", f"table netdev mute {{ chain c {{ {chain} meta l4proto tcp drop; }}; }}"
        )
        try:
            yield
        finally:
            self.run(role, "nft", "delete table netdev mute")

    def listening(self, role: str, word: bytes, port: int = 80) -> Server:
        """A server inside, for all addresses of both families."""
        with self.at(role):
            server = Server(word, port)
        self._endings.append(server.close)
        return server

    def seen(self, role: str, device: str) -> Tap:
        """All that passes a device from now on."""
        with self.at(role):
            tap = Tap(device)
        self._endings.append(tap.close)
        return tap

    def client(self, flow: Flow, timeout_s: float = 5.0) -> socket.socket:
        """A connection of the client's kernel."""
        with self.at("out"):
            family = socket.AF_INET if len(flow[0]) == 4 else socket.AF_INET6
            sock = socket.socket(family, socket.SOCK_STREAM)
            self._endings.append(sock.close)
            sock.settimeout(timeout_s)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((socket.inet_ntop(family, flow[0]), flow[1]))
            sock.connect((socket.inet_ntop(family, flow[2]), flow[3]))
        return sock

    @contextmanager
    def cleared(self) -> Iterator[Stand]:
        """The network for one test: what it has started ends with it."""
        try:
            yield self
        finally:
            self._end()

    def _end(self) -> None:
        while self._endings:
            with suppress(OSError):
                self._endings.pop()()

    def remove(self) -> None:
        """Take it all down."""
        self._end()
        for role in self.roles:
            if (NAMESPACES / self.name(role)).exists():
                subprocess.run(["ip", "netns", "del", self.name(role)], check=False, timeout=60)


@contextmanager
def stand(kind: str) -> Iterator[Stand]:
    """A network that is gone afterwards, whatever happens."""
    made = Stand(kind)
    try:
        with uninterrupted():
            made.build()
        yield made
    finally:
        with uninterrupted():
            made.remove()


class Server:
    """Answers what it is told with its own word before it, one thread a connection."""

    def __init__(self, word: bytes, port: int) -> None:
        self._word = word
        self.accepted = 0
        self.sockets: list[socket.socket] = []
        self._socket = socket.create_server(
            ("::", port), family=socket.AF_INET6, backlog=4096, dualstack_ipv6=True
        )
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._socket.accept()
                self.accepted += 1
                self.sockets.append(sock)
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError), sock:
            while data := sock.recv(1 << 16):
                sock.sendall(self._word + data)

    def close(self) -> None:
        """Stop."""
        # A thread in accept() is not woken by close alone.
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for sock in self.sockets:
            sock.close()


class Tap:
    """The TCP and ICMP packets that pass a device, from the IP header on, with their times."""

    def __init__(self, device: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self._socket.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # SO_RCVBUFFORCE
        self._socket.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS
        self._socket.bind((device, 3))
        self._socket.setblocking(False)
        self.packets: list[tuple[int, bytes]] = []

    def read(self) -> list[tuple[int, bytes]]:
        """All so far: (time in ns, packet)."""
        with suppress(BlockingIOError):
            while True:
                data, more, _, _ = self._socket.recvmsg(1 << 16, 64)
                seconds, nanoseconds = struct.unpack("qq", more[0][2][:16])
                self.packets.append((seconds * 10**9 + nanoseconds, data))
        return self.packets

    def of(self, source: bytes) -> list[bytes]:
        """The packets that claim to come from this address."""
        at = slice(12, 16) if len(source) == 4 else slice(8, 24)
        family = 4 if len(source) == 4 else 6
        return [p for _, p in self.read() if p[0] >> 4 == family and p[at] == source]

    def close(self) -> None:
        """Look no longer."""
        self._socket.close()


def flags_of(packet: bytes) -> int:
    """TCP flags of a packet without options or extension headers."""
    return packet[33] if packet[0] >> 4 == 4 else packet[53]


def until(there: Callable[[], bool], limit_s: float = 10.0) -> None:
    """Wait until it is so; fail when it does not become so."""
    end_s = time.monotonic() + limit_s
    while not there():
        assert time.monotonic() < end_s, "nothing came of it"
        time.sleep(0.01)
