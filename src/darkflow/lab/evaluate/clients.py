"""Who does what in the evaluation's network, as a list; nothing here touches the system."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from darkflow.lab import attack
from darkflow.lab.attack import Asked
from darkflow.lab.topology import (
    CURL,
    GATEWAY,
    GATEWAY_INSIDE,
    GATEWAY_OUTSIDE,
    INFECTED,
    INSIDE,
    LAN_MAC,
    PATIENT,
    SLOW,
    WEB,
    Neighbour,
    Topology,
    honeypot_internet,
)
from darkflow.lab.traffic import Step

# Answers as late as the slow host, and then says nothing more, whatever it gets.
MUTE = "203.0.113.41"
ABSENT = "203.0.113.200"
# A client that has left: what is sent to it passes the wire, and nobody takes it.
GONE, GONE_MAC = "198.51.100.61", "02:00:5e:00:00:99"
# In the far internet nobody answers, and no honeypot does either.
FAR_DEFAULT, FAR_CURL, FAR_SOCKET = "198.51.100.200", "198.51.100.201", "198.51.100.202"
SCHEDULES = {"kernel": FAR_DEFAULT, "curl": FAR_CURL, "socket": FAR_SOCKET}
CURL_S, SOCKET_S = 10.0, 3.0
TOOLS = ("masscan", "zmap", "nmap", "hping3", "worm")
VISITS_PER_S = 20
# What is to follow the late SYN+ACK, and the port by which it is known afterwards.
OUTCOMES = {"rst_by_server": 2323, "rst_by_client": 2324, "fin": 2325, "silence": 2326}

# Connects, with a time-out or (0) the kernel's own patience, says something or not, stays, closes.
_CLIENT = """
import socket, sys, time
source, address, port, patience, word, stay = sys.argv[1:]
client = socket.socket()
client.bind((source, 0))
client.settimeout(float(patience) or None)
began = time.monotonic()
try:
    client.connect((address, int(port)))
    client.sendall(word.encode())
    sys.stdout.write(f"connected {time.monotonic() - began}" + chr(10))
    sys.stdout.flush()
    time.sleep(float(stay))
except OSError as error:
    sys.stdout.write(f"gave up {time.monotonic() - began} {error}" + chr(10))
client.close()
"""


@dataclass(frozen=True)
class Times:
    """How long things take: the whole run, T, until an idle flow goes, between two samples.

    outcomes: clients of each kind; many: all scanners, each at its own time.
    """

    active_s: float
    hold_s: float
    idle_s: float
    sample_s: float
    outcomes: int
    many: bool


FULL = Times(178.0, 5.0, 60.0, 10.0, 4, True)
QUICK = Times(5.5, 0.7, 3.0, 1.0, 1, False)


def network() -> Topology:
    """The honeypot's lab by mirror, and a host more."""
    plain = honeypot_internet("mirror")
    mute = Neighbour(GATEWAY, GATEWAY_INSIDE, MUTE, LAN_MAC)
    gone = Neighbour(GATEWAY, GATEWAY_OUTSIDE, GONE, GONE_MAC)
    return replace(plain, neighbours=(*plain.neighbours, mute, gone))


def steps(times: Times, directory: Path, python: str) -> list[Step]:
    """Everything that is started, in order of time."""
    asked = Asked("mirror", times.hold_s, times.active_s, directory, python)
    found = [
        *visits(times), *attack.visitors(asked), *schedules(python), *late(times, python),
        *_sequences(asked), *scans(asked, times),
    ]  # fmt: skip
    return sorted(found, key=lambda step: step.at_s)


def visits(times: Times) -> Iterator[Step]:
    """Many connections to the live web server: what the delays are measured on."""
    count = max(1, int((times.active_s - 1.0) * VISITS_PER_S))
    argv = ["curl", "--silent", "--output", "/dev/null", "--interface", CURL.ipv4]
    argv += ["--connect-timeout", "5", "--rate", f"{VISITS_PER_S}/s"]
    argv.append(f"http://{WEB.ipv4}/?[1-{count}]")
    yield Step(0.0, "visits", CURL.ipv4, (WEB.ipv4,), (80,), tuple(argv))


def schedules(python: str) -> Iterator[Step]:
    """Clients that nobody ever answers: the kernel's patience, curl's, and a socket's."""
    curl = ["curl", "--silent", "--output", "/dev/null", "--interface", INFECTED.ipv4]
    curl += ["--connect-timeout", f"{CURL_S:g}", f"http://{FAR_CURL}/"]
    for tool, address, argv in (
        ("kernel", FAR_DEFAULT, _client(python, (INFECTED.ipv4, FAR_DEFAULT, 80), 0.0)),
        ("curl", FAR_CURL, curl),
        ("socket", FAR_SOCKET, _client(python, (INFECTED.ipv4, FAR_SOCKET, 80), SOCKET_S)),
    ):
        step = Step(0.2, tool, INFECTED.ipv4, (address,), (80,), tuple(argv), INSIDE)
        yield replace(step, good_exit_codes=frozenset({0, 28}))


def late(times: Times, python: str) -> Iterator[Step]:
    """Clients of hosts that answer 2 s after T, one kind for each row of Table 1."""
    hold_s = times.hold_s
    # The first talks to the honeypot and stays, the second has given up before the honeypot
    # answers, the third closes when the late answer has passed, the fourth has left meanwhile.
    for name, address, patience_s, word, stay_s in (
        ("rst_by_server", SLOW.ipv4, hold_s + 6, "hello\r\n", 4.0),
        ("rst_by_client", SLOW.ipv4, 0.6 * hold_s, "", 0.0),
        ("fin", MUTE, hold_s + 6, "", 3.5),
    ):
        ends = (PATIENT.ipv4, address, OUTCOMES[name])
        argv = _client(python, ends, patience_s, word, stay_s)
        for number in range(times.outcomes):
            step = Step(0.5 + 0.2 * number, name, ends[0], (address,), (ends[2],), tuple(argv))
            yield replace(step, good_exit_codes=frozenset({0, 1}))
    port = OUTCOMES["silence"]
    for number in range(times.outcomes):
        once = ["hping3", "-S", "-c", "1", "-a", GONE, "-s", str(4000 + number)]
        once += ["-p", str(port), MUTE]
        step = Step(0.5 + 0.2 * number, "silence", GONE, (MUTE,), (port,), tuple(once))
        yield replace(step, good_exit_codes=frozenset({0, 1}))


def _sequences(asked: Asked) -> Iterator[Step]:
    """A page of a live host, and one of a host that is not there."""
    for address in (WEB.ipv4, ABSENT):
        argv = ["curl", "--silent", "--output", "/dev/null", "--interface", PATIENT.ipv4]
        argv += ["--max-time", f"{asked.patience_s + 5:g}", f"http://{address}/"]
        yield Step(0.4, "curl", PATIENT.ipv4, (address,), (80,), tuple(argv))


def scans(asked: Asked, times: Times) -> Iterator[Step]:
    """The scanners, far enough from each other that each is a spike of its own."""
    if not times.many:
        yield replace(attack.zmap(asked), at_s=1.0)
        yield from (replace(step, at_s=1.5) for step in attack.hping3(asked))
        return
    for at_s, some in (
        (20.0, list(attack.masscan(asked))),
        (42.0, [attack.zmap(asked)]),
        (58.0, list(attack.nmap(asked))),
        (73.0, [*attack.hping3(asked), attack.worm(asked)]),
        (95.0, list(attack.masscan(asked))),
    ):
        yield from (replace(step, at_s=at_s) for step in some)


def scans_of(some: list[Step]) -> list[Step]:
    """Those of the steps that are scanners."""
    return [step for step in some if step.tool in TOOLS]


def _client(
    python: str, ends: tuple[str, str, int], patience_s: float, word: str = "", stay_s: float = 0.0
) -> list[str]:
    source, address, port = ends
    return [
        python, "-I", "-c", _CLIENT, source, address, str(port), f"{patience_s:g}", word,
        f"{stay_s:g}",
    ]  # fmt: skip
