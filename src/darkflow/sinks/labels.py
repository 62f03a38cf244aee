"""What the operator's own files say of an address: a name, its country, its autonomous system."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

LARGEST_BYTES = 64 << 20
NAME_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Label:
    """None where a file says nothing, or there is none."""

    known: str | None = None
    country: str | None = None
    asn: int | None = None


NOBODY = Label()


class Labels:
    """Names from a list of CIDRs, countries and systems from MMDB files.

    ValueError says what is wrong with a file, and where.
    """

    def __init__(self, known: str | None = None, geoip: tuple[str, ...] = ()) -> None:
        # Names by length of prefix, the longest first, then by the network's bits.
        self._names: dict[tuple[int, int], dict[int, str]] = {}
        if known:
            self._read(known)
        self._names = dict(sorted(self._names.items(), reverse=True))
        self._databases = [_open(path) for path in geoip]

    def of(self, address: bytes) -> Label:
        """What is said of a packed address."""
        if not self._names and not self._databases:
            return NOBODY
        country, asn = None, None
        for database in self._databases:
            record = database.get(str(ipaddress.ip_address(address)))
            if isinstance(record, dict):
                country = country or _country(record)
                asn = asn if asn is not None else _asn(record)
        return Label(self._name(address), country, asn)

    def _name(self, address: bytes) -> str | None:
        bits = 8 * len(address)
        number = int.from_bytes(address, "big")
        for (length, size), names in self._names.items():
            if size == bits and (name := names.get(number >> (bits - length))) is not None:
                return name
        return None

    def _read(self, path: str) -> None:
        try:
            with open(path, "rb") as file:  # noqa: PTH123 (pathlib is slow to import)
                data = file.read(LARGEST_BYTES + 1)
        except OSError as error:
            raise ValueError(f"cannot read {path}: {error.strerror}") from None
        if len(data) > LARGEST_BYTES:
            raise ValueError(f"{path}: larger than 64 MiB: is it a list of networks?")
        for number, raw in enumerate(data.split(b"\n"), 1):
            try:
                line = raw.decode().partition("#")[0].strip()
                if not line:
                    continue
                cidr, *rest = line.replace(",", " ", 1).split(None, 1)
                network = ipaddress.ip_network(cidr)
                if not rest:
                    raise ValueError(f"{cidr} has no name behind it")
            except UnicodeDecodeError:
                raise ValueError(f"{path}: line {number}: not UTF-8") from None
            except ValueError as error:
                raise ValueError(
                    f"{path}: line {number}: {error}: write for example 192.0.2.0/24 some-scanner"
                ) from None
            bits = network.max_prefixlen
            first = int(network.network_address) >> (bits - network.prefixlen)
            names = self._names.setdefault((network.prefixlen, bits), {})
            names[first] = rest[0].strip()[:NAME_CHARACTERS]


def _open(path: str) -> Any:
    try:
        import maxminddb
    except ImportError:
        raise ValueError("--geoip needs maxminddb: pip install 'darkflow[scans]'") from None
    try:
        return maxminddb.open_database(path)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except maxminddb.InvalidDatabaseError:
        raise ValueError(f"{path}: is no MMDB file") from None


def _country(record: dict[str, Any]) -> str | None:
    """As GeoLite2, DB-IP and IPinfo have it."""
    for name in ("country", "registered_country", "country_code"):
        found = record.get(name)
        if isinstance(found, dict):
            found = found.get("iso_code")
        if isinstance(found, str) and len(found) == 2:
            return found
    return None


def _asn(record: dict[str, Any]) -> int | None:
    found = record.get("autonomous_system_number", record.get("asn"))
    if isinstance(found, str):
        digits = found.upper().removeprefix("AS")
        return int(digits) if digits.isascii() and digits.isdigit() else None
    return found if isinstance(found, int) else None
