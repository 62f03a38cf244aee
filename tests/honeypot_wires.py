"""A client, a router, a server, and `darkflow honeypot` inline on the router or on its mirror.

Inline it runs on the router. On a mirror it runs on a machine of its own, which gets copies of all
that passes the router's outside, and whose own packets go back to the router by another wire: so
the honeypot's answers are copied, too. The upper half of the watched networks is silent: the router
drops what is for it. The lower half is on the server's wire.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

from running import DARKFLOW

WATCHED4, WATCHED6 = "203.0.113.0/24", "2001:db8:b::/64"
NETWORKS = f"{WATCHED4},{WATCHED6}"
CLIENT4, CLIENT6 = "198.51.100.10", "2001:db8:c::10"
# Nobody's: for programs that bring a TCP of their own, which no kernel disturbs.
OWN4, OWN6 = "198.51.100.30", "2001:db8:c::30"
SERVER4, SERVER6 = "203.0.113.80", "2001:db8:b::80"
MODES = ("inline", "mirror")
# The sender of the bench writes frames with these.
CLIENT_MAC, ROUTER_MAC = "02:00:5e:00:00:01", "02:00:5e:00:00:02"
SERVER_MAC, INSIDE_MAC = "02:00:5e:00:00:80", "02:00:5e:00:00:03"
PROGRAMS = ("ip", "nft", "tc", "tcpdump", "sysctl", "curl")

# Settings of our own link, and what changes by itself.
OTHER = re.compile(r"\.hp0\.|random|stable_secret|_ratelimit|nr_|\.tcp_fastopen_key")

_count = itertools.count(1)


def cannot(*programs: str) -> str | None:
    """Why there can be no such site here, or None; `programs`: what else is needed."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in (*PROGRAMS, *programs) if which(name) is None]
    return f"{', '.join(missing)} missing" if missing else None


def silent(version: int, number: int) -> str:
    """An address, 1 to 120, at which nobody is and of which nobody says so."""
    return f"203.0.113.{128 + number}" if version == 4 else f"2001:db8:b:0:8000::{number:x}"


def absent(version: int, number: int) -> str:
    """An address, 1 to 70, on the server's wire where nobody answers the router's question."""
    return f"203.0.113.{1 + number}" if version == 4 else f"2001:db8:b::{1 + number:x}"


def written(address: str) -> str:
    """The address as it stands in a URL."""
    return f"[{address}]" if ":" in address else address


def run(*argv: str, limit_s: float = 60, check: bool = True) -> str:
    """Run a command to its end: its standard output. It must succeed, unless `check` is False."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=limit_s)
    assert not check or done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout


class Site:
    """The namespaces; `machine` is where Darkflow runs, on interfaces that `place` names."""

    def __init__(self, mode: str) -> None:
        name = f"df-hp-{os.getpid()}-{next(_count)}"
        self.mode = mode
        self.client, self.router, self.server = (f"{name}-{who}" for who in "crs")
        self.machine = self.router if mode == "inline" else f"{name}-m"
        self.place = {
            "inline": ("--outside", "outside", "--inside", "inside"),
            "mirror": ("--mirror", "copies", "--no-answers-expected"),
        }[mode]
        self._started: list[subprocess.Popen[bytes]] = []
        self._keeper: subprocess.Popen[bytes] | None = None

    @property
    def namespaces(self) -> list[str]:
        """All of them."""
        return list(dict.fromkeys((self.client, self.router, self.server, self.machine)))

    def inside(self, namespace: str, *argv: str) -> list[str]:
        """The command that runs another one in a namespace."""
        if namespace == self.machine and self._keeper is not None:
            return ["nsenter", "-t", str(self._keeper.pid), "-m", "-n", *argv]
        return ["ip", "netns", "exec", namespace, *argv]

    def run(self, namespace: str, *argv: str, limit_s: float = 60, check: bool = True) -> str:
        """Run a command in a namespace to its end: its standard output."""
        return run(*self.inside(namespace, *argv), limit_s=limit_s, check=check)

    def start(self, namespace: str, *argv: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a program in a namespace; it ends with the site at the latest."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL,
                   "stderr": subprocess.DEVNULL, **options}  # fmt: skip
        process = subprocess.Popen(self.inside(namespace, *argv), **options)
        self._started.append(process)
        return process

    def _ip(self, namespace: str, *lines: str) -> None:
        subprocess.run(["ip", "-n", namespace, "-batch", "-"], input="\n".join(lines), text=True,
                       check=True, timeout=30)  # fmt: skip

    def build(self) -> None:
        """Make it all."""
        for namespace in self.namespaces:
            run("ip", "netns", "add", namespace)
            quiet = [f"net.ipv6.conf.{one}.accept_dad=0" for one in ("all", "default")]
            quiet += [f"net.ipv4.conf.{one}.rp_filter=0" for one in ("all", "default")]
            self.run(namespace, "sysctl", "-qw", *quiet)
        forward = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self.run(self.router, "sysctl", "-qw", *forward)
        c, r, s = self.client, self.router, self.server
        run("ip", "link", "add", "c0", "address", CLIENT_MAC, "netns", c, "type", "veth",
            "peer", "name", "outside", "address", ROUTER_MAC, "netns", r)  # fmt: skip
        run("ip", "link", "add", "s0", "address", SERVER_MAC, "netns", s, "type", "veth",
            "peer", "name", "inside", "address", INSIDE_MAC, "netns", r)  # fmt: skip
        self._ip(
            c,
            *_end("c0", CLIENT4, CLIENT6),
            *_neighbours("c0", ROUTER_MAC, "198.51.100.1", "2001:db8:c::1"),
            "route add default via 198.51.100.1",
            "route add default via 2001:db8:c::1",
        )
        self._ip(
            s,
            *_end("s0", SERVER4, SERVER6),
            *_neighbours("s0", INSIDE_MAC, "203.0.113.1", "2001:db8:b::1"),
            "route add default via 203.0.113.1",
            "route add default via 2001:db8:b::1",
        )
        self._ip(
            r,
            *_end("outside", "198.51.100.1", "2001:db8:c::1"),
            *_end("inside", "203.0.113.1", "2001:db8:b::1"),
            *_neighbours("outside", CLIENT_MAC, CLIENT4, CLIENT6, OWN4, OWN6),
            "route add blackhole 203.0.113.128/25",
            "route add blackhole 2001:db8:b:0:8000::/65",
            f"route add default via {CLIENT4}",
            f"route add default via {CLIENT6}",
        )
        if self.mode == "mirror":
            self._mirror()
        self._alone()

    def _alone(self) -> None:
        """The machine gets folders of its own for namespaces and state: tests run in parallel."""
        own = "mount -t tmpfs none /run/netns && mkdir -p /run/darkflow &&" \
            " mount -t tmpfs none /run/darkflow && echo && exec sleep 1d"  # fmt: skip
        keeper = self.start(self.machine, "unshare", "-m", "sh", "-c", own, stdout=subprocess.PIPE)
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == b"\n"
        self._keeper = keeper

    def _mirror(self) -> None:
        """The router copies what passes outside; the machine's own way out is another wire."""
        m, r = self.machine, self.router
        run("ip", "link", "add", "copies", "netns", m, "type", "veth",
            "peer", "name", "span", "netns", r)  # fmt: skip
        run("ip", "link", "add", "uplink", "netns", m, "type", "veth",
            "peer", "name", "downlink", "netns", r)  # fmt: skip
        for namespace, device in ((m, "copies"), (r, "span")):
            self.run(namespace, "sysctl", "-qw", f"net.ipv6.conf.{device}.disable_ipv6=1")
            self._ip(namespace, f"link set {device} up mtu 9000")
        self._ip(
            m,
            *_end("uplink", "192.0.2.2", "2001:db8:d::2"),
            "route add default via 192.0.2.1",
            "route add default via 2001:db8:d::1",
        )
        self._ip(r, *_end("downlink", "192.0.2.1", "2001:db8:d::1"))
        self.run(r, "tc", "qdisc", "add", "dev", "outside", "clsact")
        for way in ("ingress", "egress"):
            self.run(r, "tc", "filter", "add", "dev", "outside", way, "protocol", "all", "u32",
                     "match", "u32", "0", "0", "action", "mirred", "egress", "mirror", "dev",
                     "span")  # fmt: skip

    def serve(self, port: int = 80, banner: str = "") -> None:
        """A web server on both of the server's addresses, or one that says its banner."""
        for address in (SERVER4, SERVER6):
            self.start(self.server, "/usr/bin/python3", "-c", SERVER, address, str(port), banner)
        until(lambda: self.run(self.server, "ss", "-Hltn", f"sport = :{port}").count("\n") == 2)

    def curl(self, url: str, *options: str, limit_s: float = 20) -> tuple[str, float]:
        """What curl gets, and the seconds until it was connected; ("", 0) when it was not."""
        said = self.run(self.client, "curl", "-sk", "-m", str(limit_s), "-w", "\n%{time_connect}",
                        *options, url, limit_s=limit_s + 10, check=False)  # fmt: skip
        page, _, connected = said.rpartition("\n")
        return page, float(connected)

    def end_all(self) -> None:
        """End what still runs, and take everything away."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.wait(10)
        for namespace in self.namespaces:
            subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)


SERVER = """
import socket, socketserver, sys
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads = True, True
    address_family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
    request_queue_size = 1024
class Talk(socketserver.BaseRequestHandler):
    def handle(self):
        if sys.argv[3]:
            self.request.sendall(sys.argv[3].encode() + b"\\r\\n")
            self.request.settimeout(5)
        if self.request.recv(4096).startswith(b"GET"):
            self.request.sendall(b"HTTP/1.0 200 OK\\r\\nContent-Length: 10\\r\\n\\r\\nthe server")
Server((sys.argv[1], int(sys.argv[2])), Talk).serve_forever()
"""


def _end(device: str, ipv4: str, ipv6: str) -> list[str]:
    return [
        "link set lo up",
        f"addr add {ipv4}/24 dev {device}",
        f"addr add {ipv6}/64 dev {device} nodad",
        f"link set {device} up",
    ]


def _neighbours(device: str, mac: str, *addresses: str) -> list[str]:
    # Asked over a fresh link, one is answered after a second or so.
    return [f"neigh add {address} lladdr {mac} dev {device}" for address in addresses]


@contextmanager
def site(mode: str) -> Iterator[Site]:
    """A site that is gone afterwards, whatever happens."""
    made = Site(mode)
    try:
        made.build()
        yield made
    finally:
        made.end_all()


def until(there: Callable[[], bool], limit_s: float = 20, why: Callable[[], str] = str) -> None:
    """Wait until it is so; fail when it does not become so."""
    end = time.monotonic() + limit_s
    while not there():
        assert time.monotonic() < end, f"nothing came of it: {why()}"
        time.sleep(0.02)


class Honeypot:
    """A running `darkflow honeypot` of a site."""

    def __init__(self, place: Site, folder: Path, *options: str) -> None:
        self.site = place
        self.events_path, self.log_path = folder / "events.jsonl", folder / "log"
        self.socket = str(folder / "control.sock")
        argv = [str(DARKFLOW), "honeypot", *place.place, "--networks", NETWORKS, "--control",
                self.socket, "--events", str(self.events_path), *options]  # fmt: skip
        with self.log_path.open("ab") as log:
            self.process = place.start(place.machine, *argv, stderr=log)
        self.wait_for(lambda: Path(self.socket).exists() and self._answers())

    def _answers(self) -> bool:
        try:
            services = self.status().get("services", {})
        except ValueError:  # a killed one has left its socket
            return False
        return "running" in services.get("responder", "")

    @property
    def log(self) -> str:
        """What it has logged."""
        return self.log_path.read_text()

    def ask(self, *words: str, check: bool = True) -> str:
        """What `darkflow WORDS` says of it."""
        argv = (str(DARKFLOW), *words, "--control", self.socket)
        return self.site.run(self.site.machine, *argv, check=check)

    def ask_inside(self, *argv: str, check: bool = True) -> str:
        """What a command says that `darkflow honeypot exec` runs."""
        words = (str(DARKFLOW), "honeypot", "exec", "--", *argv)
        return self.site.run(self.site.machine, *words, check=check)

    def status(self) -> dict[str, Any]:
        """`darkflow status --json`, without the cost of a new process."""
        from darkflow.commands.control import ask

        return ask(self.socket, command="status")

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """Its events so far, of one kind."""
        if not self.events_path.exists():
            return []
        lines = self.events_path.read_text().splitlines(keepends=True)
        found = [json.loads(line) for line in lines if line.endswith("\n")]
        return [event for event in found if kind in ("", event["event_type"])]

    def wait_for(self, there: Callable[[], bool], limit_s: float = 20) -> None:
        """Wait until it is so; fail when it does not become so, or Darkflow ends."""

        def is_there() -> bool:
            assert self.process.poll() is None, f"it has ended: {self.log}"
            return there()

        until(is_there, limit_s, lambda: self.log)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal and wait for the end: (exit status, seconds)."""
        began = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(30), time.monotonic() - began


class Tcpdump:
    """What passes an interface, for a while: `packets` gives the lines of it."""

    def __init__(self, place: Site, path: Path, namespace: str, device: str, *what: str) -> None:
        self.path = path
        argv = ["tcpdump", "-q", "-Z", "root", "-i", device, "-B", "32768", "-U", "-w", str(path)]
        argv += ["--time-stamp-precision=nano", "--immediate-mode", *what]
        self.process = place.start(namespace, *argv, stderr=subprocess.PIPE)
        assert self.process.stderr is not None
        assert any(b"listening" in line for line in self.process.stderr)

    def end(self) -> list[str]:
        """Write it to its end; nothing may have been lost. Its packets, as lines of tcpdump."""
        self.stop()
        return run("tcpdump", "-ttnr", str(self.path)).splitlines()

    def stop(self) -> None:
        """Write it to its end; nothing may have been lost."""
        time.sleep(0.1)
        self.process.terminate()
        assert self.process.stderr is not None
        said = self.process.stderr.read()
        assert self.process.wait(20) == 0
        assert b"\n0 packets dropped by kernel" in said


def ends_of(event: dict[str, Any]) -> Sequence[Any]:
    """The flow of an event: source, its port, destination, its port."""
    return tuple(event[name] for name in ("src_ip", "src_port", "dest_ip", "dest_port"))


def state(place: Site) -> dict[str, str]:
    """What Darkflow may change of the machine, as text."""
    here = place.machine
    settings = place.run(here, "sysctl", "-a", check=False).splitlines()
    links = place.run(here, "ip", "-br", "link").splitlines()
    return {
        "settings": "\n".join(
            line for line in settings if line.startswith("net.ip") and not OTHER.search(line)
        ),
        "tables": place.run(here, "nft", "list", "tables"),
        "links": " ".join(line.split()[0] for line in links),
        "routes": "".join(place.run(here, "ip", way, "route") for way in ("-4", "-6")),
        "rules": "".join(place.run(here, "ip", way, "rule") for way in ("-4", "-6")),
        "files": place.run(here, "ls", "/run/netns", "/run/darkflow"),
    }
