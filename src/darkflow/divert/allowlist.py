"""The list of what is never diverted, in nft's words: no SYN that it covers is held or shielded."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from darkflow.divert.families import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from darkflow.divert.dispatcher import Allowed
    from darkflow.divert.families import Family

Range = tuple[bytes, bytes]
TO, FROM, PORTS = "allowed_to", "allowed_from", "allowed_ports"


def sets(allowed: Allowed) -> list[tuple[str, str, str]]:
    """(name, what stands in it as nft declares that, elements) of each set; empty ones, too."""
    found = [(PORTS, "type inet_service", ", ".join(map(str, sorted(allowed.ports))))]
    for family in FAMILIES:
        kind = f"type {family.address}; flags interval"
        for name, ranges in ((TO, allowed.addresses), (FROM, allowed.sources)):
            elements = ", ".join(_texts(ranges, 4 if family.digit == "4" else 16))
            found.append((name + family.digit, kind, elements))
    return found


def rules(family: Family) -> list[str]:
    """A SYN that it covers goes no further in its chain."""
    return [
        f"{family.ip} daddr @{TO}{family.digit} return",
        f"{family.ip} saddr @{FROM}{family.digit} return",
        f"tcp dport @{PORTS} return",
    ]


def replaced(allowed: Allowed, table: str) -> str:
    """What makes the sets of a loaded table be these, in one transaction of nft."""
    lines = []
    for name, _, elements in sets(allowed):
        lines.append(f"flush set netdev {table} {name}")
        if elements:
            lines.append(f"add element netdev {table} {name} {{ {elements} }}")
    return "\n".join(lines) + "\n"


def _texts(ranges: Iterable[Range], octets: int) -> list[str]:
    """Those of one family, without overlaps, which nft refuses."""
    merged: list[Range] = []
    for first, last in sorted(one for one in ranges if len(one[0]) == octets):
        if merged and first <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], last)
        else:
            merged.append((first, last))
    return [
        str(ip_address(first)) if first == last else f"{ip_address(first)}-{ip_address(last)}"
        for first, last in merged
    ]
