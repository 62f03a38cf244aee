"""The scenario: which program sends what to whom, and when.

A plain list, made without touching anything; `run.py` carries it out.
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
    OUTSIDE,
    PATIENT,
    SHOP,
    WAN,
    WEB,
    ZMAP,
)

RATE_PPS = 250
REQUESTS_PER_S = 3

# curl: 0 got it, 7 could not connect, 28 ran out of time.
_CURL_GAVE_UP = frozenset({0, 7, 28})


@dataclass(frozen=True)
class Step:
    """One program, started `at_s` after the start; all of them end with the scenario.

    `targets` are addresses or CIDR blocks. `sends` is `syn`, or `syn-ack` for backscatter.
    """

    at_s: float
    tool: str
    source: str
    targets: tuple[str, ...]
    ports: tuple[int, ...]
    argv: tuple[str, ...]
    namespace: str = OUTSIDE
    good_exit_codes: frozenset[int] = frozenset({0})
    sends: str = "syn"


def write_files(directory: Path) -> None:
    """The files that the programs of the scenario read."""
    site = directory / "site"
    site.mkdir()
    (site / "index.html").write_text("<!doctype html><title>lab</title><p>Somebody is at home.\n")
    # Debian's zmap reads a configuration and a list of networks to spare from /etc/zmap, and that
    # list holds the documentation ranges, which are all there is here.
    (directory / "zmap.conf").write_text("")
    (directory / "spared").write_text("")


def servers(directory: Path, python: str) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """The real servers of the inside: address, port and command line of each."""
    for host in (WEB, SHOP):
        for address in host.addresses:
            for port in host.open_ports:
                argv = [python, "-I", "-m", "http.server", "--bind", address]
                yield address, port, (*argv, "--directory", str(directory / "site"), str(port))


def scenario(active_s: float, directory: Path) -> list[Step]:
    """Everything that is sent in `active_s` seconds, in order of time."""
    steps = [
        *_visitors(active_s),
        *_nmap(active_s),
        *_masscan(active_s),
        _zmap(active_s, directory),
        *_hping3(active_s),
        _worm(active_s),
    ]
    return sorted(steps, key=lambda step: step.at_s)


def _visitors(active_s: float) -> Iterator[Step]:
    """Who means well: visitors of the web server, and clients of hosts that are gone."""
    count = max(1, int((active_s - 1.0) * REQUESTS_PER_S))
    for source, address in ((CURL.ipv4, WEB.ipv4), (CURL.ipv6, WEB.ipv6)):
        # The server closes after each answer, so each request is a connection of its own.
        argv = [*_curl(source, 5.0), "--write-out", "%{http_code}\\n"]
        argv += ["--rate", f"{REQUESTS_PER_S}/s", f"http://{_in_url(address)}/?[1-{count}]"]
        yield Step(0.0, "curl", source, (address,), (80,), tuple(argv))
    # These wait as long as they are let; the kernel sends their SYN again and again, until (in the
    # last case) the gateway says that there is no such host.
    gone = ("203.0.113.200", "2001:db8:b:0:8000::200", "203.0.113.77")
    for address in gone:
        source = PATIENT.ipv6 if ":" in address else PATIENT.ipv4
        argv = [*_curl(source, active_s), f"http://{_in_url(address)}/"]
        step = Step(0.2, "patient curl", source, (address,), (80,), tuple(argv))
        yield replace(step, good_exit_codes=_CURL_GAVE_UP)


def _nmap(active_s: float) -> Iterator[Step]:
    blocks = (
        (0.02, NMAP.ipv4, ("203.0.113.0/26",), (22, 80, 443)),
        (0.15, NMAP.ipv4, ("203.0.113.128/27",), (22, 3389)),
        (0.30, NMAP.ipv6, ("2001:db8:b::/122", "2001:db8:b:0:8000::/125"), (22, 80)),
    )
    for share, source, targets, ports in blocks:
        argv = ["nmap", "-n", "-Pn", "-sS", "-e", WAN, "-S", source, "-T4", "--max-retries", "1"]
        argv += ["--max-rate", str(RATE_PPS), "-p", _comma(ports)]
        argv += ["-6"] if ":" in source else []
        yield Step(share * active_s, "nmap", source, targets, ports, (*argv, *targets))


def _masscan(active_s: float) -> Iterator[Step]:
    router = GATEWAY_OUTSIDE_MAC.replace(":", "-")
    blocks = (
        (0.10, MASSCAN.ipv4, "203.0.113.0/24", (23, 80)),
        (0.35, MASSCAN.ipv6, "2001:db8:b::/122", (80, 8080)),
    )
    for share, source, target, ports in blocks:
        argv = ["masscan", "--interface", WAN, "--adapter-ip", source, "--adapter-port", "61000"]
        # It wants to know the IPv4 router even when it has nothing to send there.
        argv += ["--router-mac", router]
        argv += ["--router-mac-ipv6", router] if ":" in source else []
        argv += ["--rate", str(RATE_PPS), "--wait", "1", f"-p{_comma(ports)}", target]
        yield Step(share * active_s, "masscan", source, (target,), ports, tuple(argv))


def _zmap(active_s: float, directory: Path) -> Step:
    argv = ["zmap", "--config", str(directory / "zmap.conf")]
    argv += ["--blacklist-file", str(directory / "spared"), "--interface", WAN]
    argv += [
        "--gateway-mac",
        GATEWAY_OUTSIDE_MAC,
        "--source-ip",
        ZMAP.ipv4,
        "--target-port",
        "8080",
    ]
    argv += ["--rate", str(RATE_PPS), "--cooldown-time", "1", "--sender-threads", "1"]
    argv += ["--quiet", "--disable-syslog", "203.0.113.0/24"]
    return Step(0.2 * active_s, "zmap", ZMAP.ipv4, ("203.0.113.0/24",), (8080,), tuple(argv))


def _hping3(active_s: float) -> Iterator[Step]:
    """A blind scan of random addresses, and the answers of somebody attacked in our name."""
    random = ["--rand-dest", "203.0.113.x", "-I", WAN, "--quiet"]
    targets = ("203.0.113.0/24",)
    # hping3 ends with 1 when nothing came back.
    codes = frozenset({0, 1})
    scan = ["hping3", "-S", "-a", HPING3.ipv4, "-p", "445", "-c", "150", "-i", "u10000", *random]
    step = Step(0.25 * active_s, "hping3", HPING3.ipv4, targets, (445,), tuple(scan))
    yield replace(step, good_exit_codes=codes)
    echo = ["hping3", "-S", "-A", "-a", BACKSCATTER.ipv4, "-s", "80", "-k", "-p", "4444"]
    echo += ["-c", "60", "-i", "u20000", *random]
    step = Step(0.4 * active_s, "hping3", BACKSCATTER.ipv4, targets, (4444,), tuple(echo))
    yield replace(step, good_exit_codes=codes, sends="syn-ack")


def _worm(active_s: float) -> Step:
    """A host of our own looks for victims in the far internet, with an ordinary TCP stack."""
    source = INFECTED.ipv4
    argv = [*_curl(source, 1.5), "--parallel", "--parallel-max", "15", "--parallel-immediate"]
    argv += ["http://198.51.100.[160-189]:445/"]
    targets = tuple(f"198.51.100.{n}" for n in range(160, 190))
    step = Step(0.3 * active_s, "worm", source, targets, (445,), tuple(argv))
    return replace(step, namespace=INSIDE, good_exit_codes=_CURL_GAVE_UP)


def _curl(source: str, limit_s: float) -> list[str]:
    argv = ["curl", "--silent", "--show-error", "--output", "/dev/null"]
    return [*argv, "--interface", source, "--connect-timeout", f"{limit_s:g}"]


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _comma(ports: tuple[int, ...]) -> str:
    return ",".join(str(port) for port in ports)
