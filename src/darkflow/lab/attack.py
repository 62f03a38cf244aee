"""What comes from outside in the honeypot's lab: real scanners and clients, and who they talk to.

A list, made without touching anything. Scanners are told to be as patient as T asks for: an
absent address answers T after its SYN.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from darkflow.lab.topology import (
    BACKSCATTER,
    CURL,
    GATEWAY_OUTSIDE_MAC,
    HPING3,
    INFECTED,
    INSIDE,
    MASSCAN,
    NMAP,
    PATIENT,
    SLOW,
    WAN,
    WEB,
    ZMAP,
)
from darkflow.lab.traffic import REQUESTS_PER_S, Step

RATE_PPS = 250
# Beyond T: the answer's own way, and the scanner's.
MORE_S = 3.0
SLOW_PORT = 2323
SILENT = ("203.0.113.200", "2001:db8:b:0:8000::200")
# Of these the gateway says after 3 s that there is no such host, and clients give up. Inline
# Darkflow holds that back until the honeypot answers; from a mirror nobody can.
UNREACHABLE = ("203.0.113.77", "2001:db8:b::77")
BANNERS4, BANNERS6 = "203.0.113.0/24", "2001:db8:b::/122"
BANNER_PORTS = (22, 80)
# curl: 0 got it, 7 could not connect, 28 ran out of time, 52 and 56 no or cut answer.
_CURL_GAVE_UP = frozenset({0, 7, 28, 52, 56})
# Talks to a port that says nothing by itself, and stays.
_CLIENT = """
import socket, sys
source, address, port, seconds = sys.argv[1:]
client = socket.create_connection((address, int(port)), float(seconds), (source, 0))
client.sendall(b"hello, is anybody there?\\r\\n")
client.settimeout(float(seconds))
try:
    while data := client.recv(4096):
        sys.stdout.write(f"{data!r}\\n")
except OSError as error:
    sys.stdout.write(f"{error}\\n")
"""


@dataclass(frozen=True)
class Asked:
    """How Darkflow stands there, T, and how long the live server is visited."""

    mode: str
    hold_s: float
    active_s: float
    directory: Path
    python: str

    @property
    def patience_s(self) -> float:
        """How long a client waits for an absent address."""
        return self.hold_s + MORE_S


def steps(asked: Asked) -> list[Step]:
    """Everything that comes, in order of time."""
    found = [
        *visitors(asked), *curl(asked), *ssh(asked), *masscan(asked), zmap(asked), *nmap(asked),
        *hping3(asked), *slow(asked), worm(asked),
    ]  # fmt: skip
    return sorted(found, key=lambda step: step.at_s)


def by_tool(asked: Asked) -> dict[str, list[Step]]:
    """What `darkflow lab attack TOOL` sends."""
    return {
        "curl": list(curl(asked)),
        "ssh": list(ssh(asked)),
        "masscan": list(masscan(asked)),
        "zmap": [zmap(asked)],
        "nmap": list(nmap(asked)),
        "hping3": list(hping3(asked)),
        "slow": list(slow(asked)),
    }


def visitors(asked: Asked) -> Iterator[Step]:
    """Who visits the live web server, all the time: this must not change."""
    count = max(1, int((asked.active_s - 1.0) * REQUESTS_PER_S))
    for source, address in ((CURL.ipv4, WEB.ipv4), (CURL.ipv6, WEB.ipv6)):
        argv = [*_curl(source, 5.0), "--write-out", "%{http_code}\\n"]
        argv += ["--rate", f"{REQUESTS_PER_S}/s", f"http://{_in_url(address)}/?[1-{count}]"]
        yield Step(0.0, "visitor", source, (address,), (80,), tuple(argv))


def curl(asked: Asked) -> Iterator[Step]:
    """Clients of web servers that are not there: they get a page at T."""
    for address in (*SILENT, *(UNREACHABLE if asked.mode == "inline" else ())):
        source = PATIENT.ipv6 if ":" in address else PATIENT.ipv4
        argv = ["curl", "--silent", "--show-error", "--interface", source, "--max-time"]
        argv += [f"{asked.patience_s + 5:g}", "--write-out", "\\nconnected after %{time_connect}"]
        argv.append(f"http://{_in_url(address)}/")
        yield Step(0.3, "curl", source, (address,), (80,), tuple(argv))


def ssh(asked: Asked) -> Iterator[Step]:
    """A client that would log in to a host that is not there."""
    address = "203.0.113.199"
    argv = ["ssh", "-F", "/dev/null", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]
    argv += ["-o", "UserKnownHostsFile=/dev/null", "-b", PATIENT.ipv4]
    argv += ["-o", f"ConnectTimeout={int(asked.patience_s) + 5}", f"root@{address}", "id"]
    step = Step(0.5, "ssh", PATIENT.ipv4, (address,), (22,), tuple(argv))
    yield replace(step, good_exit_codes=frozenset({255}))


def masscan(asked: Asked) -> Iterator[Step]:
    """Banners of a /24 in which four hosts live, and of 64 addresses of IPv6."""
    router = GATEWAY_OUTSIDE_MAC.replace(":", "-")
    for at_s, source, target in ((0.6, MASSCAN.ipv4, BANNERS4), (1.0, MASSCAN.ipv6, BANNERS6)):
        argv = ["masscan", "--interface", WAN, "--adapter-ip", source, "--adapter-port", "61000"]
        # It wants to know the IPv4 router even when it has nothing to send there.
        argv += ["--router-mac", router]
        argv += ["--router-mac-ipv6", router] if ":" in source else []
        argv += ["--rate", str(RATE_PPS), "--wait", f"{asked.patience_s + 2:.0f}", "--banners"]
        argv += [f"-p{','.join(map(str, BANNER_PORTS))}", target, "-oJ", "-"]
        yield Step(at_s, "masscan", source, (target,), BANNER_PORTS, tuple(argv))


def zmap(asked: Asked) -> Step:
    """One SYN to each address of the /24."""
    argv = ["zmap", "--config", str(asked.directory / "zmap.conf")]
    argv += ["--blacklist-file", str(asked.directory / "spared"), "--interface", WAN]
    argv += ["--gateway-mac", GATEWAY_OUTSIDE_MAC, "--source-ip", ZMAP.ipv4]
    argv += ["--target-port", "8080", "--rate", str(RATE_PPS), "--sender-threads", "1"]
    argv += ["--cooldown-time", f"{asked.patience_s:.0f}", "--quiet", "--disable-syslog"]
    argv += ["203.0.113.0/24"]
    return Step(1.5, "zmap", ZMAP.ipv4, ("203.0.113.0/24",), (8080,), tuple(argv))


def nmap(asked: Asked) -> Iterator[Step]:
    """Two small networks, one of each family."""
    wait = f"{int(1000 * asked.patience_s)}ms"
    for at_s, source, target in (
        (2.0, NMAP.ipv4, "203.0.113.192/27"),
        (2.5, NMAP.ipv6, "2001:db8:b:0:8000::/124"),
    ):
        argv = ["nmap", "-n", "-Pn", "-sS", "-e", WAN, "-S", source, "-T4", "--max-retries", "0"]
        argv += ["--initial-rtt-timeout", wait, "--max-rtt-timeout", wait]
        argv += ["--min-rtt-timeout", wait, "--min-parallelism", "64", "--max-rate"]
        argv += [str(RATE_PPS), "-p", "22,80,445", "-oG", "-"]
        argv += ["-6"] if ":" in source else []
        yield Step(at_s, "nmap", source, (target,), (22, 80, 445), (*argv, target))


def hping3(asked: Asked) -> Iterator[Step]:
    """A blind scan of random addresses, and the answers of somebody attacked in our name."""
    del asked
    random = ["--rand-dest", "203.0.113.x", "-I", WAN, "--quiet"]
    targets, codes = ("203.0.113.0/24",), frozenset({0, 1})
    scan = ["hping3", "-S", "-a", HPING3.ipv4, "-p", "445", "-c", "100", "-i", "u10000", *random]
    step = Step(3.0, "hping3", HPING3.ipv4, targets, (445,), tuple(scan))
    yield replace(step, good_exit_codes=codes)
    echo = ["hping3", "-S", "-A", "-a", BACKSCATTER.ipv4, "-s", "80", "-k", "-p", "4444"]
    echo += ["-c", "60", "-i", "u20000", *random]
    step = Step(4.0, "hping3", BACKSCATTER.ipv4, targets, (4444,), tuple(echo))
    yield replace(step, good_exit_codes=codes, sends="syn-ack")


def slow(asked: Asked) -> Iterator[Step]:
    """Clients of the host that answers later than T: the honeypot has them by then."""
    for address in SLOW.addresses:
        source = PATIENT.ipv6 if ":" in address else PATIENT.ipv4
        argv = [asked.python, "-I", "-c", _CLIENT, source, address, str(SLOW_PORT)]
        argv += [f"{asked.hold_s + 6:g}"]
        yield Step(0.4, "client", source, (address,), (SLOW_PORT,), tuple(argv))


def worm(asked: Asked) -> Step:
    """A host of our own looks for victims in the far internet, with an ordinary TCP stack."""
    argv = [*_curl(INFECTED.ipv4, min(1.5, asked.hold_s)), "--parallel", "--parallel-max", "30"]
    argv += ["--parallel-immediate", "http://198.51.100.[160-189]:445/"]
    targets = tuple(f"198.51.100.{n}" for n in range(160, 190))
    step = Step(3.5, "worm", INFECTED.ipv4, targets, (445,), tuple(argv))
    return replace(step, namespace=INSIDE, good_exit_codes=_CURL_GAVE_UP)


def _curl(source: str, limit_s: float) -> list[str]:
    argv = ["curl", "--silent", "--show-error", "--output", "/dev/null"]
    return [*argv, "--interface", source, "--connect-timeout", f"{limit_s:g}"]


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address
