"""What the kernel's data plane has to know, in one place and checked."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from darkflow.divert.dispatcher import Allowed

MODES = ("mirror", "inline", "sensor")
CUTS = ("always", "unless-established")
SECOND_NS = 1_000_000_000
DAY_NS = 24 * 3600 * SECOND_NS
LEAST_NS = 10_000_000
MOST_FLOWS = 1 << 29

# What the kernel takes as the name of a device, less what would need care in nft's language.
_DEVICE = re.compile(r"[A-Za-z0-9_.@-]{1,15}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.IGNORECASE)


@dataclass(frozen=True)
class Plan:
    """How flows are diverted. ValueError with one line when that cannot be.

    mode: `mirror` (copies come in), `inline` (router or bridge between outside and inside) or
        `sensor` (a third party gets copies of dark flows and answers nothing).
    outside: where clients' packets come in; of a mirror the port of the copies, both directions.
    inside: where the real hosts' answers come in; None: they come in on `outside`, too.
    hp0: the way to the honeypot, or the interface that a third-party sensor listens on.
    hp1_mac: the honeypot's MAC address; a sensor gets the frames as they are.
    networks: watched networks; none: all addresses.
    """

    mode: str
    outside: str
    inside: str | None = None
    hp0: str = "hp0"
    hp1_mac: str = ""
    networks: tuple[str, ...] = ()
    # T: ICMP errors about a SYN are held back for this long.
    hold_ns: int = 5 * SECOND_NS
    # A diverted flow without packets is let go after this.
    idle_ns: int = 60 * SECOND_NS
    # The most diverted flows of one family.
    flows: int = 1 << 20
    # The most SYNs of one family, held and not answered, that the kernel knows of.
    held: int = 1 << 18
    # NFLOG group that cuts are told in.
    group: int = 7
    # Inline: no ICMP unreachable about a held or diverted flow goes out.
    shield: bool = True
    # What is never diverted: nothing about it is held back either.
    allowed: Allowed = field(default_factory=Allowed)
    # SYN+ACKs that the honeypot may send in a second, twice as many at once; 0: no limit.
    syn_acks: int = 0
    # What a late answer does to a flow whose client has already talked to the honeypot.
    cut: str = "always"

    def __post_init__(self) -> None:
        """Check it all."""
        _one_of("mode", self.mode, MODES)
        _one_of("cut", self.cut, CUTS)
        for name in (self.outside, self.inside, self.hp0):
            if name is not None and (not _DEVICE.fullmatch(name) or name in (".", "..")):
                raise ValueError(f"{name!r} is no name of an interface")
        if len({self.outside, self.inside, self.hp0}) < 3:
            raise ValueError(
                f"outside, inside and the way to the honeypot must be different interfaces, not"
                f" {self.outside}, {self.inside} and {self.hp0}"
            )
        if self.mode == "inline" and self.inside is None:
            raise ValueError("inline needs an inside interface: where the real hosts' answers come")
        if self.mode == "mirror" and self.inside is not None:
            raise ValueError("a mirror carries both directions on one interface: it has no inside")
        if self.mode != "sensor" and not _is_mac(self.hp1_mac):
            raise ValueError(f"{self.hp1_mac!r} is no MAC address of a honeypot")
        self._check_numbers()
        watched(self.networks)

    def _check_numbers(self) -> None:
        for what, time_ns in (("hold", self.hold_ns), ("idle", self.idle_ns)):
            if not LEAST_NS <= time_ns <= DAY_NS:
                raise ValueError(f"{what}: {time_ns} ns is not between 10 ms and a day")
        for what, size in (("flows", self.flows), ("held", self.held)):
            if not 1 <= size <= MOST_FLOWS:
                raise ValueError(f"{what}: {size} is not between 1 and {MOST_FLOWS}")
        if not 0 <= self.syn_acks <= MOST_FLOWS:
            raise ValueError(f"syn_acks: {self.syn_acks} is not between 0 and {MOST_FLOWS}")
        if not 0 <= self.group <= 0xFFFF:
            raise ValueError(f"group: {self.group} is no NFLOG group, 0 to 65535")

    @property
    def shielded(self) -> bool:
        """Whether ICMP errors are held back: only who stands in their way can do that."""
        return self.shield and self.mode == "inline"

    @property
    def holds(self) -> bool:
        """Whether the kernel knows of held SYNs: where nobody answers, nothing can go wrong."""
        return self.mode != "sensor"

    @property
    def limits_answers(self) -> bool:
        """Whether the kernel counts SYN+ACKs: a third party's sensor sends none."""
        return self.syn_acks > 0 and self.mode != "sensor"

    @property
    def established_wins(self) -> bool:
        """Whether a flow whose client has talked to the honeypot outlives a late answer."""
        return self.cut == "unless-established"


def watched(networks: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Networks of IPv4 and of IPv6, sorted and without overlaps; ValueError says which is none."""
    import ipaddress

    v4: list[ipaddress.IPv4Network] = []
    v6: list[ipaddress.IPv6Network] = []
    for word in networks:
        try:
            network = ipaddress.ip_network(word)
        except ValueError as error:
            raise ValueError(f"{word!r} is no network: {error}") from None
        if isinstance(network, ipaddress.IPv4Network):
            v4.append(network)
        else:
            v6.append(network)
    return (
        tuple(str(network) for network in ipaddress.collapse_addresses(v4)),
        tuple(str(network) for network in ipaddress.collapse_addresses(v6)),
    )


def _one_of(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{what}: {value!r} is none of {', '.join(choices)}")


def _is_mac(text: str) -> bool:
    # The lowest bit of the first byte makes it a group's address.
    return bool(_MAC.fullmatch(text)) and not int(text[:2], 16) & 1
