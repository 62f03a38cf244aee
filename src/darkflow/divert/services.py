"""The programs of the honeypot as `[[honeypot.service]]` names them: read, checked, described.

Each takes ports, and is either a command that runs inside the namespace or a host elsewhere.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from darkflow.units import parse_bytes, parse_count

MOST_SERVICES = 64
LARGEST_PORT = 65535
RESTARTS = ("always", "on-failure", "never")

Range = tuple[int, int]


@dataclass(frozen=True)
class Key:
    """One key of a service: what it takes, its default, whom it is for, and what it does."""

    name: str
    kind: str
    default: Any
    only: str
    help: str


KEYS = (
    Key("name", "text", None, "", "what it is called in log, sessions and status: letters, digits,"
        " `-` and `_`, 32 at most"),
    Key("ports", "ports", None, "", "ports that it takes, single ones and ranges:"
        ' `["22", "2222-2230"]`. No two services may take the same'),
    Key("command", "command", None, "command", "what runs in the namespace: a text with the shell's"
        " quotes (no shell reads it) or a list of words"),
    Key("port", "port", None, "command", "the port that the program listens on, when it is not the"
        " one that was asked for"),
    Key("user", "text", "nobody", "command", "who runs it: a name or `uid:gid`; not root"),
    Key("directory", "text", "", "command", "working directory and HOME; without it an empty"
        " `/tmp` of its own"),
    Key("environment", "table", {}, "command", "its environment, beside PATH, HOME and LANG"),
    Key("memory", "bytes", "1GiB", "command", "what it may allocate, with all its processes where"
        " cgroup v2 can be written to, otherwise each of them"),
    Key("open-files", "count", "8192", "command", "files and connections that a process may have"
        " open"),
    Key("processes", "count", "512", "command", "processes and threads, with all others of its"
        " user"),
    Key("cpu", "cores", "", "command", "CPU time in cores, as `0.5`: needs cgroup v2; without a"
        " limit it comes after everything else on the machine (nice 10)"),
    Key("restart", "restart", "always", "command", "what to do when it ends: `always`, `on-failure`"
        " or `never`. It waits 1 s, then twice as long each time, a minute at most"),
    Key("log", "text", "", "", "file for what it prints; without one its lines come into Darkflow's"
        " own log, 20 a second at most"),
    Key("log-bytes", "bytes", "10MiB", "", "size at which that file is renamed to `.1` and begun"
        " anew; the one before goes"),
    Key("to", "address", None, "to", "instead of a command: a host elsewhere, `198.51.100.7:22` or"
        " `[2001:db8::7]:22`, that gets the connections"),
    Key("proxy-protocol", "flag", False, "to", "tell that host both true addresses first, in a line"
        " of the PROXY protocol (version 1)"),
    Key("connections", "count", "1000", "to", "connections to that host at one time; those beyond"
        " are reset"),
    Key("idle", "seconds", "300", "to", "seconds without a byte after which a connection ends"),
)  # fmt: skip


@dataclass(frozen=True)
class Service:
    """One service; `target` (address, port) for a host elsewhere, otherwise `command`."""

    name: str
    ports: tuple[Range, ...]
    command: tuple[str, ...] = ()
    port: int | None = None
    user: tuple[int, int, tuple[int, ...]] = (65534, 65534, ())
    directory: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    memory_bytes: int = 1 << 30
    open_files: int = 8192
    processes: int = 512
    cpu: float | None = None
    restart: str = "always"
    log: str = ""
    log_bytes: int = 10 << 20
    target: tuple[str, int] | None = None
    proxy_protocol: bool = False
    connections: int = 1000
    idle_s: int = 300

    def takes(self, port: int) -> bool:
        """Whether connections to this port are its own."""
        return any(first <= port <= last for first, last in self.ports)


def read_services(tables: object, responder_port: int = 1) -> tuple[Service, ...]:
    """The services of a configuration file's tables; ValueError says in one line what is wrong."""
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ValueError("service: write each one below a line [[honeypot.service]]")
    if len(tables) > MOST_SERVICES:
        raise ValueError(f"service: {len(tables)} of them, {MOST_SERVICES} can be had")
    services: list[Service] = []
    for number, table in enumerate(tables, 1):
        name = table.get("name")
        what = f'service "{name}"' if isinstance(name, str) else f"service {number}"
        try:
            service = _service({key.replace("_", "-"): value for key, value in table.items()})
            _against(service, services, responder_port)
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from None
        services.append(service)
    return tuple(services)


def name_of(services: Iterable[Service], port: int) -> str | None:
    """The service that takes a port; None: the built-in responder."""
    return next((service.name for service in services if service.takes(port)), None)


def keys_as_markdown() -> str:
    """The table of keys as it stands in the docs."""
    rows = ["| key | default | meaning |", "|---|---|---|"]
    for key in KEYS:
        default = f"`{str(key.default).lower()}`" if key.default in (True, False) else ""
        if isinstance(key.default, str) and key.default:
            default = f"`{key.default}`"
        rows.append(f"| `{key.name}` | {default} | {key.help} |")
    return "\n".join(rows)


def _service(table: Mapping[str, Any]) -> Service:
    known = {key.name: key for key in KEYS}
    for name in table:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            meant = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(known)}"
            raise ValueError(f'unknown key "{name}": {meant}')
    for name in ("name", "ports"):
        if name not in table:
            raise ValueError(f"{name} is missing")
    if ("command" in table) == ("to" in table):
        raise ValueError("write either command or to")
    kind = "to" if "to" in table else "command"
    for name in table:
        if known[name].only not in ("", kind):
            raise ValueError(f"{name} goes with {known[name].only}, not with {kind}")
    read: dict[str, Any] = {}
    for key in KEYS:
        if key.name in table or key.default not in (None, ""):
            try:
                read[key.name] = _READ[key.kind](table.get(key.name, key.default))
            except ValueError as error:
                raise ValueError(f"{key.name}: {error}") from None
    return _from(read)


def _from(read: Mapping[str, Any]) -> Service:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", read["name"]):
        raise ValueError("name: letters, digits, - and _ only, 32 at most")
    return Service(
        name=read["name"],
        ports=read["ports"],
        command=read.get("command", ()),
        port=read.get("port"),
        user=_user(read["user"]),
        directory=read.get("directory", ""),
        environment=read["environment"],
        memory_bytes=read["memory"],
        open_files=read["open-files"],
        processes=read["processes"],
        cpu=read.get("cpu"),
        restart=read["restart"],
        log=read.get("log", ""),
        log_bytes=read["log-bytes"],
        target=read.get("to"),
        proxy_protocol=read["proxy-protocol"],
        connections=read["connections"],
        idle_s=read["idle"],
    )


def _against(service: Service, others: Sequence[Service], responder_port: int) -> None:
    """What a service may not share with those before it, or with the responder."""
    if _shared(listens_on(service), [(responder_port, responder_port)]):
        raise ValueError(f"port: {responder_port} is where the built-in responder listens")
    for other in others:
        if other.name == service.name:
            raise ValueError("there are two of this name")
        both = _shared(service.ports, other.ports)
        if both:
            raise ValueError(f'ports: "{other.name}" takes port {both} already')
        both = _shared(listens_on(service), listens_on(other))
        if both:
            raise ValueError(f'port: "{other.name}" listens on {both} already')


def listens_on(service: Service) -> tuple[Range, ...]:
    """The ports that its program listens on inside; none for a host elsewhere."""
    if service.target is not None:
        return ()
    return service.ports if service.port is None else ((service.port, service.port),)


def _shared(some: Sequence[Range], others: Sequence[Range]) -> int | None:
    """A port that is in both."""
    for first, last in some:
        for low, high in others:
            if first <= high and low <= last:
                return max(first, low)
    return None


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("write a text")
    return value


def _port(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{value!r} is no port: write for example 2222")
    text = str(value).strip()
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= LARGEST_PORT):
        raise ValueError(f'"{text}" is no port from 1 to 65535')
    return int(text)


def _ports(value: object) -> tuple[Range, ...]:
    values = value if isinstance(value, list) else [value]
    ranges: list[Range] = []
    for one in values:
        first, dash, last = str(one).partition("-")
        try:
            low, high = _port(first), _port(last if dash else first)
        except ValueError:
            low, high = 1, 0
        if low > high or isinstance(one, bool | float | dict | list):
            raise ValueError(f'{one!r} is no port or range: write for example ["22", "2222-2230"]')
        if any(low <= last and first <= high for first, last in ranges):
            raise ValueError(f"{one!r} is there twice")
        ranges.append((low, high))
    if not ranges:
        raise ValueError('none is given: write for example ["22"]')
    return tuple(ranges)


def _command(value: object) -> tuple[str, ...]:
    import shlex

    try:
        words = shlex.split(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"cannot be read ({error})") from None
    if not isinstance(words, list) or not words or not all(isinstance(one, str) for one in words):
        raise ValueError("write a command with its arguments")
    if not words[0] or any("\0" in word for word in words):
        raise ValueError("write a command with its arguments")
    return tuple(words)


def _environment(value: object) -> dict[str, str]:
    example = 'write for example environment = { COWRIE_STDOUT = "yes" }'
    if not isinstance(value, dict):
        raise ValueError(example)
    for name, text in value.items():
        if not isinstance(text, str) or not name or "=" in name or "\0" in name + text:
            raise ValueError(f"{name}: {example}")
    return dict(value)


def _bytes(value: object) -> int:
    size_bytes = parse_bytes(str(value))
    if size_bytes < 1 << 16:
        raise ValueError(f'"{value}" is less than 64KiB')
    return size_bytes


def _count(value: object) -> int:
    if isinstance(value, bool):
        raise ValueError("write a number")
    return parse_count(str(value))


def _cores(value: object) -> float:
    try:
        cores = float(str(value))
    except ValueError:
        cores = 0
    if not 0.01 <= cores <= 1024 or isinstance(value, bool):
        raise ValueError(f"{value!r} is no number of cores: write for example 0.5")
    return cores


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("write true or false")
    return value


def _restart(value: object) -> str:
    if value not in RESTARTS:
        raise ValueError(f"{value!r} is none of {', '.join(RESTARTS)}")
    return str(value)


def _address(value: object) -> tuple[str, int]:
    from ipaddress import ip_address

    host, _, port = str(value).rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address = ip_address(bare)
        if (address.version == 6) != (bare != host):
            raise ValueError
        return str(address), _port(port)
    except ValueError:
        raise ValueError(
            f"{value!r} is no address and port: write for example 198.51.100.7:22"
        ) from None


def _user(text: str) -> tuple[int, int, tuple[int, ...]]:
    """Ids of a user: its own, its group's and those of its other groups."""
    import os
    import pwd

    uid, colon, gid = text.partition(":")
    if colon and uid.isdigit() and gid.isdigit():
        found: tuple[int, int, tuple[int, ...]] = (int(uid), int(gid), ())
    else:
        try:
            entry = pwd.getpwnam(text)
        except KeyError:
            raise ValueError(f'user: there is no user "{text}"') from None
        groups = tuple(os.getgrouplist(text, entry.pw_gid))
        found = (entry.pw_uid, entry.pw_gid, groups)
    if not 0 < found[0] < 1 << 31 or not 0 < found[1] < 1 << 31:
        raise ValueError("user: root it may not be")
    return found


_READ = {
    "text": _text, "ports": _ports, "port": _port, "command": _command, "table": _environment,
    "bytes": _bytes, "count": _count, "cores": _cores, "flag": _flag, "restart": _restart,
    "address": _address, "seconds": _count,
}  # fmt: skip
