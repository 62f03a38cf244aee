"""What the operator's own files say of an address: a name, its country, its autonomous system."""

from __future__ import annotations

import ipaddress
import os
import stat
import struct
from dataclasses import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LARGEST_BYTES = 64 << 20
LARGEST_DATABASE_BYTES = 2 << 30
# What a file that is damaged makes maxminddb raise; its own InvalidDatabaseError is a RuntimeError.
DAMAGE = (ValueError, RuntimeError, TypeError, LookupError, struct.error)
NAME_CHARACTERS = 200
# RFC 6793
LARGEST_ASN = (1 << 32) - 1
ASN_DIGITS = 10


@dataclass(frozen=True, slots=True)
class Label:
    """None where a file says nothing, or there is none."""

    known: str | None = None
    country: str | None = None
    asn: int | None = None


NOBODY = Label()


class Labels:
    """Names from a list of CIDRs, countries and systems from MMDB files.

    `failed`: lookups in MMDB files that are damaged; `troubles`: a line for each of these files.
    ValueError says what is wrong with a file, and where.
    """

    def __init__(self, known: str | None = None, geoip: tuple[str, ...] = ()) -> None:
        self.failed = 0
        self.troubles: list[str] = []
        # Names by length of prefix, the longest first, then by the network's bits.
        self._names: dict[tuple[int, int], dict[int, str]] = {}
        if known:
            self._read(known)
        self._names = dict(sorted(self._names.items(), reverse=True))
        self._databases = [(path, _open(path)) for path in geoip]

    def of(self, address: bytes, length: int | None = None) -> Label:
        """What is said of a packed address, or of the prefix of that length that begins there.

        A name holds for a prefix only if it is the name of the whole; country and system are those
        of its first address.
        """
        if not self._names and not self._databases:
            return NOBODY
        country, asn = None, None
        for path, database in self._databases:
            if len(address) == 16 and database.metadata().ip_version == 4:
                continue
            try:
                record = database.get(ipaddress.ip_address(address))
            except DAMAGE:
                self._fail(path)
                continue
            if isinstance(record, dict):
                country = country or _country(record)
                asn = asn if asn is not None else _asn(record)
        return Label(self._name(address, length), country, asn)

    def _fail(self, path: str) -> None:
        self.failed += 1
        line = (
            f"{path} is damaged: countries or systems of some addresses are missing: get it again"
        )
        if line not in self.troubles:
            self.troubles.append(line)

    def _name(self, address: bytes, prefix_length: int | None) -> str | None:
        bits = 8 * len(address)
        longest = bits if prefix_length is None else prefix_length
        number = int.from_bytes(address, "big")
        for (length, size), names in self._names.items():
            if size != bits or length > longest:
                continue
            if (name := names.get(number >> (bits - length))) is not None:
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
        found = os.stat(path)  # noqa: PTH116 (pathlib is slow to import)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{path}: is no MMDB file")
    if found.st_size > LARGEST_DATABASE_BYTES:
        raise ValueError(f"{path}: larger than 2 GiB: is it an MMDB file?")
    try:
        # Not mapped: the file may be written anew while it is used.
        database = maxminddb.open_database(path, maxminddb.MODE_MEMORY)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except MemoryError:
        raise ValueError(f"{path}: no memory for its {found.st_size >> 20} MiB") from None
    except DAMAGE:
        raise ValueError(f"{path}: is no MMDB file") from None
    if database.metadata().ip_version not in (4, 6):
        raise ValueError(f"{path}: is no MMDB file")
    return database


def _country(record: dict[str, Any]) -> str | None:
    """As GeoLite2, DB-IP and IPinfo have it."""
    for name in ("country", "registered_country", "country_code"):
        found = record.get(name)
        if isinstance(found, dict):
            found = found.get("iso_code")
        if isinstance(found, str) and len(found) == 2 and found.isascii() and found.isalpha():
            return found
    return None


def _asn(record: dict[str, Any]) -> int | None:
    found = record.get("autonomous_system_number", record.get("asn"))
    if isinstance(found, str):
        digits = found.upper().removeprefix("AS")
        if len(digits) > ASN_DIGITS or not (digits.isascii() and digits.isdigit()):
            return None
        found = int(digits)
    # Those of a damaged file can be of any size, and the store's column is not.
    return found if isinstance(found, int) and 0 <= found <= LARGEST_ASN else None
