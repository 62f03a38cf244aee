"""Which watched addresses and ports nobody answers from, and how sure that is.

Dark IP learning (related work of the DarkFlow paper) puts an address on the list of unused ones
after it was asked for long and by many and never answered; DarkPots also takes the firewall's list
of what it blocks as evidence. Darkflow needs no such list to work: it is a view for people, and it
says how much it knows.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

DAY_NS = 86_400_000_000_000
# How much of the doubt is left when the firewall's list says so, too.
DOUBT_IF_BLOCKED = 0.1


class Endpoint(NamedTuple):
    """What was seen of an address (port None: of all its ports together) or of a port of it.

    Times are ns since 1970, None for what never happened; `delays` counts answers by the edges of
    sinks.endpoints.GRID_NS and beyond.
    """

    address: bytes
    port: int | None
    dark: int
    sources: int
    first_ns: int | None
    last_ns: int | None
    answered: int
    refused: int
    late: int
    first_answer_ns: int | None
    last_answer_ns: int | None
    delays: tuple[int, ...]

    @property
    def answers(self) -> int:
        """SYN+ACKs and RSTs, in time or late: somebody is there."""
        return self.answered + self.refused + self.late


@dataclass(frozen=True)
class Evidence:
    """How silence is weighed at `end_ns`, when the observation ends.

    settle_ns: silence of this length is half a proof. half_life_ns: what is so old counts half.
    """

    end_ns: int
    settle_ns: int
    half_life_ns: int

    def sure(self, endpoint: Endpoint, blocked: bool) -> float:
        """0 to 1: that nothing answers there. 0 after any answer.

        Each source that asked in vain halves the doubt, and so does each `settle_ns` between the
        first and the last who did; the smaller proof limits the larger. Since then it decays.
        """
        if endpoint.answers:
            return 0.0
        proof = 0.0
        if endpoint.first_ns is not None and endpoint.last_ns is not None:
            silence = (endpoint.last_ns - endpoint.first_ns) / self.settle_ns
            age = max(self.end_ns - endpoint.last_ns, 0) / self.half_life_ns
            proof = _proof(endpoint.sources) * _proof(silence) * 2.0 ** -min(age, 1000)
        return 1 - (1 - proof) * DOUBT_IF_BLOCKED if blocked else proof


def _proof(halvings: float) -> float:
    return float(1 - 2.0 ** -min(halvings, 60))


class Blocked:
    """A firewall's list: one address or CIDR per line, with :PORT if only that port is meant."""

    def __init__(self, lines: Iterable[str]) -> None:
        """ValueError names the line that is not understood."""
        # By port (None: all) and version and length of the prefix: the networks' numbers.
        self._networks: dict[tuple[int | None, int, int], set[int]] = {}
        for number, line in enumerate(lines, 1):
            text = line.partition("#")[0].strip()
            if text:
                self._add(text, number)

    def _add(self, text: str, number: int) -> None:
        host, port = _host_and_port(text)
        try:
            network = ipaddress.ip_network(host, strict=False)
            if port is not None and not (port.isascii() and port.isdigit() and int(port) < 65536):
                raise ValueError
        except ValueError:
            raise ValueError(
                f"line {number}: {text!r} is not understood: write for example 192.0.2.7,"
                " 192.0.2.0/28:23 or [2001:db8::7]:443"
            ) from None
        key = (None if port is None else int(port), network.version, network.prefixlen)
        bits = network.max_prefixlen - network.prefixlen
        self._networks.setdefault(key, set()).add(int(network.network_address) >> bits)

    def has(self, endpoint: Endpoint) -> bool:
        """Whether the list says that nothing reaches this address, or this port of it."""
        number = int.from_bytes(endpoint.address, "big")
        version, bits = (4, 32) if len(endpoint.address) == 4 else (6, 128)
        return any(
            number >> (bits - length) in networks
            for (port, of, length), networks in self._networks.items()
            if of == version and (port is None or port == endpoint.port)
        )


def _host_and_port(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if bracket and not rest:
            return host, None
        return (host, rest[1:]) if rest.startswith(":") else (text, None)
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, port
    return text, None


Found = tuple[Endpoint, dict[str, Any]]


def unused(
    endpoints: Iterable[Endpoint], evidence: Evidence, blocked: Blocked, least: float = 0.0
) -> list[dict[str, Any]]:
    """Blocks of addresses that never answered, then silent ports of those that did.

    least: only what is at least so sure. Blocks are whole CIDRs whose every address was asked for;
    a block's numbers are sums, but `sources` and `sure` are those of its least known address.
    """
    known = list(endpoints)
    alive = {e.address for e in known if e.port is None and e.answers}
    silent: list[Found] = []
    ports: list[Found] = []
    for e in known:
        if e.answers or (e.port is not None and e.address not in alive):
            continue
        listed = blocked.has(e)
        row: dict[str, Any] = {
            "sources": e.sources, "attempts": e.dark, "first_ns": e.first_ns, "last_ns": e.last_ns,
            "sure": evidence.sure(e, listed), "blocked": listed,
        }  # fmt: skip
        if row["sure"] >= least:
            (silent if e.port is None else ports).append((e, row))
    rows = [_block(block, members) for block, members in _blocks(silent)]
    ports.sort(key=lambda one: (len(one[0].address), one[0].address, one[0].port or 0))
    return rows + [
        {"block": _text(e.address), "addresses": 1, "port": e.port} | row for e, row in ports
    ]


def used(endpoints: Iterable[Endpoint]) -> list[dict[str, Any]]:
    """Addresses and ports that answered: `open` with a SYN+ACK or late, else `closed`."""
    rows = [e for e in endpoints if e.port is not None and e.answers]
    rows.sort(key=lambda e: (len(e.address), e.address, e.port or 0))
    return [
        {
            "address": _text(e.address), "port": e.port,
            "state": "open" if e.answered or e.late else "closed",
            "answered": e.answered, "refused": e.refused, "late": e.late,
            "unanswered": e.dark - min(e.late, e.dark),
            "first_ns": e.first_answer_ns, "last_ns": e.last_answer_ns,
        }
        for e in rows
    ]  # fmt: skip


def _blocks(silent: list[Found]) -> Iterator[tuple[str, list[Found]]]:
    """The largest CIDRs that the addresses fill, with those in them."""
    for size in (4, 16):
        family = sorted((f for f in silent if len(f[0].address) == size), key=lambda f: f[0])
        numbers = [int.from_bytes(f[0].address, "big") for f in family]
        at = 0
        while at < len(family):
            # A block begins at a multiple of its size, and all of it must be there.
            length = 1
            while (
                numbers[at] % (2 * length) == 0
                and at + 2 * length <= len(family)
                and numbers[at + 2 * length - 1] == numbers[at] + 2 * length - 1
            ):
                length *= 2
            prefix = 8 * size - length.bit_length() + 1
            text = _text(family[at][0].address)
            name = text if length == 1 else f"{text}/{prefix}"
            yield name, family[at : at + length]
            at += length


def _block(name: str, members: list[Found]) -> dict[str, Any]:
    rows = [row for _, row in members]
    return {
        "block": name,
        "addresses": len(rows),
        "port": None,
        "sources": min(row["sources"] for row in rows),
        "attempts": sum(row["attempts"] for row in rows),
        "first_ns": min(row["first_ns"] for row in rows),
        "last_ns": max(row["last_ns"] for row in rows),
        "sure": min(row["sure"] for row in rows),
        "blocked": all(row["blocked"] for row in rows),
    }


def _text(address: bytes) -> str:
    return str(ipaddress.ip_address(address))
