"""Every setting once: name, default, unit and help; the command line and the docs come from it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ipaddress
    from collections.abc import Callable, Mapping
    from typing import Any

    Ranges = tuple[tuple[bytes, bytes], ...]
    WatchedRanges = tuple[tuple[str, ...], Ranges, Ranges]

SECOND_NS = 1_000_000_000
TUNNEL_NAMES = ("vxlan", "gre", "erspan", "geneve", "mpls", "pppoe", "ipip", "gtp")

_TIME_UNITS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": SECOND_NS,
    "": SECOND_NS,
    "m": 60 * SECOND_NS,
    "min": 60 * SECOND_NS,
    "h": 3600 * SECOND_NS,
}
_BYTE_UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
LONGEST_NS = 24 * 3600 * SECOND_NS
MOST_BYTES = 1 << 40


def _split(text: str) -> tuple[str, str]:
    """A number and the unit behind it."""
    stripped = text.strip()
    at = 0
    while at < len(stripped) and stripped[at] in "0123456789.":
        at += 1
    return stripped[:at], stripped[at:].strip()


def _scaled(text: str, units: Mapping[str, int], example: str) -> int:
    """A decimal number times its unit, without a detour over binary fractions."""
    number, unit = _split(text)
    whole, _, fraction = number.partition(".")
    if unit not in units or not (whole + fraction).isascii() or not (whole + fraction).isdigit():
        raise ValueError(f"{text!r} is not understood: write for example {example}")
    scale = units[unit]
    return int(whole or "0") * scale + int(int(fraction or "0") * scale // 10 ** len(fraction))


def parse_time(text: str) -> int:
    """A length of time in ns from "5s", "50ms", "1.5m" or a bare number of seconds."""
    time_ns = _scaled(text, _TIME_UNITS, "5s, 50ms or 2.5 (seconds)")
    if time_ns > LONGEST_NS:
        raise ValueError(f"{text!r} is longer than a day")
    return time_ns


def parse_positive_time(text: str) -> int:
    """As parse_time, but longer than 0."""
    time_ns = parse_time(text)
    if time_ns == 0:
        raise ValueError(f"{text!r} is too short: it must be longer than 0")
    return time_ns


def parse_bytes(text: str) -> int:
    """A number of bytes, at most 1 TiB, from "64MiB" or a bare number."""
    size_bytes = _scaled(text, _BYTE_UNITS, "256MiB")
    if size_bytes > MOST_BYTES:
        raise ValueError(f"{text!r} is more than 1 TiB")
    return size_bytes


def parse_count(text: str) -> int:
    """A whole number of at least 1."""
    if not text.strip().isascii() or not text.strip().isdigit() or int(text) < 1:
        raise ValueError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def parse_rows(text: str) -> int:
    """A number of rows that somebody may want to read: 1 to 1000."""
    rows = parse_count(text)
    if rows > 1000:
        raise ValueError(f"{text!r} is more than 1000 rows; --events has all dark flows")
    return rows


def parse_size(text: str) -> int:
    """A number of table entries: 1 to 2^29."""
    size = parse_count(text)
    if size > 1 << 29:
        raise ValueError(f"{text!r} is more than the largest table, {1 << 29}")
    return size


def parse_days(text: str) -> int:
    """A number of days: 1 to 36500."""
    days = parse_count(text)
    if days > 36_500:
        raise ValueError(f"{text!r} is more than 36500 days")
    return days


def parse_store_bytes(text: str) -> int:
    """A number of bytes that a store can do with: at least 1 MiB."""
    size_bytes = parse_bytes(text)
    if size_bytes < 1 << 20:
        raise ValueError(f"{text!r} is less than 1 MiB")
    return size_bytes


def parse_block(text: str) -> int:
    """A ring's block in bytes: a power of two from 64 KiB to 64 MiB."""
    size_bytes = parse_bytes(text)
    if size_bytes & (size_bytes - 1) or not 1 << 16 <= size_bytes <= 1 << 26:
        raise ValueError(f"{text!r} is not a power of two from 64KiB to 64MiB")
    return size_bytes


def parse_block_time(text: str) -> int:
    """A block's time-out in ns: 1 ms to 1 s."""
    time_ns = parse_time(text)
    if not 1_000_000 <= time_ns <= SECOND_NS:
        raise ValueError(f"{text!r} is not between 1ms and 1s")
    return time_ns


def parse_workers(text: str) -> int:
    """A number of workers: 1 to 64."""
    workers = parse_count(text)
    if workers > 64:
        raise ValueError(f"{text!r} is more than 64")
    return workers


def parse_rotate_size(text: str) -> int:
    """The size of a file in bytes: at least 64 KiB."""
    size_bytes = parse_bytes(text)
    if size_bytes < 1 << 16:
        raise ValueError(f"{text!r} is less than 64KiB")
    return size_bytes


def parse_tunnels(text: str) -> tuple[str, ...]:
    """Names of tunnels from a comma-separated list, or "all"."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in (*TUNNEL_NAMES, "all"):
            raise ValueError(f"unknown tunnel {name!r}: choose from {', '.join(TUNNEL_NAMES)}")
    return names


def parse_listen(text: str) -> tuple[str, int]:
    """Where to listen: "9465" or ":9465" is localhost, others are written out, IPv6 in brackets."""
    import ipaddress

    host, _, port = text.strip().rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    example = "write for example 127.0.0.1:9465 or [::1]:9465"
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{text!r} has no port from 1 to 65535: {example}")
    if bare in ("", "localhost"):
        return "127.0.0.1", int(port)
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        address = None
    if address is None or (address.version == 6) != (bare != host):
        raise ValueError(f"{text!r} is no address and port: {example}")
    return str(address), int(port)


def parse_networks(text: str) -> WatchedRanges:
    """Watched networks from comma-separated CIDRs, IPv4 and IPv6.

    (CIDRs, IPv4 ranges, IPv6 ranges); a range is its first and last packed address, and the
    ranges are sorted and disjoint.
    """
    import ipaddress

    v4: list[ipaddress.IPv4Network] = []
    v6: list[ipaddress.IPv6Network] = []
    for word in (word.strip() for word in text.split(",")):
        try:
            network = ipaddress.ip_network(word, strict=False)
        except ValueError:
            raise ValueError(
                f"{word!r} is no network: write for example 192.0.2.0/24 or 2001:db8::/32"
            ) from None
        if "/" in word and ipaddress.ip_interface(word).ip != network.network_address:
            raise ValueError(f"{word!r} has host bits set: did you mean {network}?")
        if isinstance(network, ipaddress.IPv4Network):
            v4.append(network)
        else:
            v6.append(network)
    return (
        tuple(str(network) for network in (*v4, *v6)),
        tuple(_ends(network) for network in ipaddress.collapse_addresses(v4)),
        tuple(_ends(network) for network in ipaddress.collapse_addresses(v6)),
    )


def _ends(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> tuple[bytes, bytes]:
    return network.network_address.packed, network.broadcast_address.packed


class Setting:
    """One setting: name, flags, default and unit as a user writes them, help, how it is read."""

    # No dataclass: its import alone costs a third of `darkflow --help`.
    __slots__ = ("default", "flags", "help", "name", "parse", "unit")

    def __init__(
        self,
        name: str,
        flags: tuple[str, ...],
        default: str | None,
        unit: str,
        help: str,
        parse: Callable[[str], Any],
    ) -> None:
        self.name = name
        self.flags = flags
        self.default = default
        self.unit = unit
        self.help = help
        self.parse = parse

    @property
    def is_list(self) -> bool:
        """Whether it takes several values with commas between them; in TOML: a list."""
        return self.unit.endswith(",...")


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "networks", ("--networks",), None, "CIDR,...",
        "watched networks, IPv4 and IPv6; they make a flow inbound, outbound, internal or transit"
        " (default: every address is watched, so every flow is internal)", parse_networks,
    ),
    Setting(
        "hold", ("-T", "--hold"), "5s", "time",
        "how long a SYN may stay without an answer before its flow is dark", parse_positive_time,
    ),
    Setting(
        "idle", ("--idle",), "60s", "time",
        "how long a dark flow is kept after its last packet: SYNs within it belong to the same"
        " record", parse_positive_time,
    ),
    Setting(
        "reorder", ("--reorder",), "1s", "time",
        "disorder within a capture that is put right; what comes later is clamped and counted",
        parse_time,
    ),
    Setting(
        "decap", ("--decap",), "", "tunnel,...",
        "enter tunnels; alone it means all of them: vxlan, gre, erspan, geneve, mpls, pppoe, ipip,"
        " gtp", parse_tunnels,
    ),
    Setting(
        "limit", ("--limit",), None, "packets", "stop after this many packets", parse_count
    ),
    Setting(
        "queue_size", ("--queue-size",), "1048576", "SYNs",
        "slots of the delay queue; SYNs beyond them are counted and not judged", parse_size,
    ),
    Setting(
        "flow_table_size", ("--flow-table-size",), "1048576", "flows",
        "dark flows kept for their later SYNs; a flow beyond them is reported at its verdict and"
        " then forgotten", parse_size,
    ),
    Setting(
        "reorder_size", ("--reorder-size",), "262144", "packets",
        "packets that may wait to be put in order; beyond them waiting is cut short", parse_size,
    ),
    Setting(
        "summary_size", ("--summary-size",), "4000000", "entries",
        "sources that the tables tell apart; beyond them distinct counts are lower bounds",
        parse_size,
    ),
    Setting(
        "frame_buffer", ("--frame-buffer",), "256MiB", "bytes",
        "memory for whole frames that await their verdict for --dark-pcap", parse_bytes,
    ),
    Setting(
        "top", ("--top",), "10", "rows", "rows of the tables of ports, sources", parse_rows
    ),
    Setting(
        "ring_size", ("--ring-size",), "32MiB", "bytes",
        "memory that the kernel fills with packets, of each interface: at least 2 blocks",
        parse_bytes,
    ),
    Setting(
        "ring_block", ("--ring-block",), "1MiB", "bytes",
        "blocks in which the kernel hands packets over: a power of two from 64KiB to 64MiB",
        parse_block,
    ),
    Setting(
        "ring_timeout", ("--ring-timeout",), "32ms", "time",
        "when the kernel hands over a block that is not full; verdicts come this much and some 10"
        " ms after T", parse_block_time,
    ),
    Setting(
        "workers", ("--workers",), "1", "threads",
        "threads among which the kernel deals out the flows, each with its own rings, queue and"
        " table", parse_workers,
    ),
    Setting(
        "stats", ("--stats",), "60s", "time", "how often a line on the state is logged",
        parse_positive_time,
    ),
    Setting(
        "metrics", ("--metrics",), None, "address:port",
        "answer Prometheus there, at /metrics, and /healthz; a port alone is one of localhost"
        " (default: off)", parse_listen,
    ),
    Setting(
        "output_buffer", ("--output-buffer",), "64MiB", "bytes",
        "memory for what waits for a slow or failing output, of each output; lines and frames"
        " beyond it are counted and lost", parse_bytes,
    ),
    Setting(
        "rotate_size", ("--rotate-size",), None, "bytes",
        "size at which a file of --events or --dark-pcap is put aside and a new one begun (default:"
        " never)", parse_rotate_size,
    ),
    Setting(
        "rotate_time", ("--rotate-time",), None, "time",
        "how long such a file is written, in full periods of UTC, a day at most (default: for"
        " ever)", parse_positive_time,
    ),
    Setting(
        "rotate_keep", ("--rotate-keep",), "10", "files",
        "files put aside that stay, of each output; the oldest go first", parse_count,
    ),
    Setting(
        "store_flush", ("--store-flush",), "2s", "time",
        "how long rows for --store may wait in memory; 100,000 of them are written at once",
        parse_positive_time,
    ),
    Setting(
        "store_rows", ("--store-rows",), "500000", "rows",
        "rows that may wait while the store cannot be written; those beyond them are counted and"
        " lost", parse_size,
    ),
    Setting(
        "store_days", ("--store-days",), "30", "days",
        "days that stay in the store, counted back from today, or from its newest day if that is"
        " earlier", parse_days,
    ),
    Setting(
        "store_bytes", ("--store-bytes",), "10GiB", "bytes",
        "size of the store; the oldest days go first", parse_store_bytes,
    ),
)  # fmt: skip


# The settings that only one command has; the others are everybody's.
ONLY = {
    "analyze": ("reorder", "limit", "summary_size", "top"),
    "sensor": (
        "ring_size", "ring_block", "ring_timeout", "workers", "stats", "metrics",
        "output_buffer", "rotate_size", "rotate_time", "rotate_keep",
    ),
}  # fmt: skip


# What `darkflow doctor` looks at; it has no others.
DOCTOR = (
    "networks", "decap", "queue_size", "flow_table_size", "ring_size", "ring_block", "workers",
    "store_bytes",
)  # fmt: skip

# The settings that a running sensor takes up when it reads its file again (SIGHUP). The others
# are built into what it allocates at its start.
LIVE = ("networks", "stats", "store_flush", "store_rows", "store_days", "store_bytes")


def settings_of(command: str) -> list[Setting]:
    """The settings that a command has."""
    if command == "doctor":
        return [setting for setting in SETTINGS if setting.name in DOCTOR]
    others = {name for other, names in ONLY.items() if other != command for name in names}
    return [setting for setting in SETTINGS if setting.name not in others]


def settings_as_markdown(command: str) -> str:
    """The table of a command's settings as it stands in the docs."""
    rows = ["| setting | unit | default | meaning |", "|---|---|---|---|"]
    for setting in settings_of(command):
        flags = ", ".join(f"`{flag}`" for flag in setting.flags)
        default = f"`{setting.default}`" if setting.default else ""
        rows.append(f"| {flags} | {setting.unit} | {default} | {setting.help} |")
    return "\n".join(rows)
