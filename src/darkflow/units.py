"""Values as users write them: times, sizes, counts, networks; what is wrong with one is said."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ipaddress
    from collections.abc import Mapping

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
MOST = 10**18
SMALLEST_SHARE = 1e-9


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
    """A whole number of at least 1, at most 10^18."""
    digits = text.strip().lstrip("0")
    if not text.strip().isascii() or not text.strip().isdigit() or not digits:
        raise ValueError(f"{text!r} is not a whole number of at least 1")
    if len(digits) > len(str(MOST)) or int(digits) > MOST:
        raise ValueError(f"{text!r} is more than {MOST}")
    return int(digits)


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


def parse_share(text: str) -> float:
    """A share of at least 10^-9 and less than 1, from "0.01%" or "0.0001"."""
    number, unit = _split(text)
    try:
        share = float(number) / {"%": 100, "": 1}[unit]
    except (ValueError, KeyError):
        share = 0.0
    if not 0 < share < 1:
        raise ValueError(f"{text!r} is no share between 0 and 1: write for example 0.01% or 0.0001")
    if round(share, 12) < SMALLEST_SHARE:
        raise ValueError(f"{text!r} is too small a share: at least 0.0000001%")
    return share


def parse_every(text: str) -> int:
    """How often, in ns: at least 1 s and at most a day; 0: never."""
    time_ns = parse_time(text)
    if 0 < time_ns < SECOND_NS:
        raise ValueError(f"{text!r} is too short: at least 1s, or 0 for never")
    return time_ns


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


def parse_payload(text: str) -> int:
    """First bytes of a session that are kept: 0 to 64 KiB."""
    size_bytes = parse_bytes(text)
    if size_bytes > 1 << 16:
        raise ValueError(f"{text!r} is more than 64KiB")
    return size_bytes


def parse_sessions(text: str) -> int:
    """A number of sessions: 0 to 2^29."""
    return 0 if text.strip() == "0" else parse_size(text)


def parse_marker(text: str) -> str:
    """A word of at most 32 letters and digits."""
    if not (text.isascii() and text.isalnum() and len(text) <= 32):
        raise ValueError(f"{text!r} is no word of at most 32 letters and digits")
    return text


def parse_tunnels(text: str) -> tuple[str, ...]:
    """Names of tunnels from a comma-separated list, or "all"."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in (*TUNNEL_NAMES, "all"):
            raise ValueError(f"unknown tunnel {name!r}: choose from {', '.join(TUNNEL_NAMES)}")
    return names


def parse_when(text: str) -> str:
    """yes, no or auto."""
    if text not in ("yes", "no", "auto"):
        raise ValueError(f"{text!r} is none of yes, no, auto")
    return text


def parse_yes_no(text: str) -> bool:
    """yes or no."""
    if text not in ("yes", "no"):
        raise ValueError(f"{text!r} is neither yes nor no")
    return text == "yes"


def parse_few(text: str) -> int:
    """A number of targets that are told apart exactly: 1 to 128."""
    count = parse_count(text)
    if count > 128:
        raise ValueError(f"{text!r} is more than 128")
    return count


def parse_sources(text: str) -> int:
    """A number of sources that are kept: 16 to 2^24."""
    count = parse_count(text)
    if not 16 <= count <= 1 << 24:
        raise ValueError(f"{text!r} is not between 16 and {1 << 24}")
    return count


def parse_rate(text: str) -> int:
    """A number of alerts: 0 to 1000."""
    rate = 0 if text.strip() == "0" else parse_count(text)
    if rate > 1000:
        raise ValueError(f"{text!r} is more than 1000")
    return rate


def parse_words(text: str) -> tuple[str, ...]:
    """What a comma-separated list names."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


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
