"""What the lab's internet looks like: namespaces, links, addresses, routes and who is at home.

Only a description: nothing here touches the system, so it is checked without root. `namespaces.py`
builds it. Every address is from the ranges kept for documentation (RFC 5737, RFC 3849).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

OUTSIDE = "outside"
GATEWAY = "gateway"
INSIDE = "inside"
# Where Darkflow runs when the gateway only mirrors its wire.
MACHINE = "machine"
MODES = ("mirror", "inline")

WATCHED_NETWORKS = ("203.0.113.0/24", "2001:db8:b::/64")
# On the gateway's wire: whoever is absent there is asked for three times, then the gateway says so.
ON_LINK_NETWORKS = ("203.0.113.0/25", "2001:db8:b::/65")
# Behind a firewall that drops: nothing ever comes back, and nobody is told.
SILENT_NETWORKS = ("203.0.113.128/25", "2001:db8:b:0:8000::/65")
# Where the outside scanners live, and the far internet in which nobody answers.
OUTSIDE_NETWORKS = ("198.51.100.0/25", "2001:db8:a::/65")
FAR_NETWORKS = ("198.51.100.128/25", "2001:db8:a:0:8000::/65")

# Interfaces of the outside and the gateway on the wire that is captured.
WAN = "wan0"
GATEWAY_OUTSIDE = "outside0"
GATEWAY_OUTSIDE_MAC = "02:00:5e:00:00:01"
GATEWAY_INSIDE = "inside0"
LAN, LAN_MAC = "lan0", "02:00:5e:00:00:20"
# The mirror's port, at the gateway and at the machine, and the machine's own way back.
SPAN, COPIES = "span0", "copies0"


@dataclass(frozen=True)
class Interface:
    """One end of a link; `addresses` carry their prefix length."""

    namespace: str
    name: str
    mac: str
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Route:
    """A way to `destination`; no `via` drops without a word."""

    namespace: str
    destination: str
    via: str | None


@dataclass(frozen=True)
class Neighbour:
    """Where frames for an address go that no kernel answers for."""

    namespace: str
    interface: str
    address: str
    mac: str


@dataclass(frozen=True)
class Mirror:
    """Copies of all that passes an interface, both ways, leave by another one."""

    namespace: str
    interface: str
    to: str


@dataclass(frozen=True)
class Topology:
    """Everything `namespaces.built` needs to know."""

    namespaces: tuple[str, ...]
    links: tuple[tuple[Interface, Interface], ...]
    routes: tuple[Route, ...]
    forwarding: tuple[str, ...]
    neighbours: tuple[Neighbour, ...] = ()
    mirrors: tuple[Mirror, ...] = ()

    def interfaces(self) -> list[Interface]:
        """Both ends of every link."""
        return [end for link in self.links for end in link]

    def settings(self, namespace: str) -> dict[str, str]:
        """The namespace's files below /proc/sys/net, set before its links appear."""
        forward = "1" if namespace in self.forwarding else "0"
        return {
            "ipv4/ip_forward": forward,
            "ipv6/conf/all/forwarding": forward,
            # Without this an IPv6 address is unusable for its first second or two.
            "ipv6/conf/default/accept_dad": "0",
            "ipv6/conf/default/accept_ra": "0",
            # New namespaces inherit the machine's own choice; asymmetric paths are wanted here.
            "ipv4/conf/all/rp_filter": "0",
            "ipv4/conf/default/rp_filter": "0",
        }


@dataclass(frozen=True)
class Host:
    """A live host of the watched network, with the ports that have a server."""

    name: str
    ipv4: str
    ipv6: str
    open_ports: tuple[int, ...]

    @property
    def addresses(self) -> tuple[str, str]:
        """Both addresses, IPv4 first."""
        return (self.ipv4, self.ipv6)


WEB = Host("web", "203.0.113.10", "2001:db8:b::10", (80,))
SHOP = Host("shop", "203.0.113.20", "2001:db8:b::20", (80, 8080))
PRINTER = Host("printer", "203.0.113.30", "2001:db8:b::30", ())
INFECTED = Host("infected", "203.0.113.66", "2001:db8:b::66", ())
HOSTS = (WEB, SHOP, PRINTER, INFECTED)
# Of the honeypot's lab alone: a host that takes longer than T to answer; lab/slow.py plays it.
SLOW = Host("slow", "203.0.113.40", "2001:db8:b::40", ())
GATEWAY_ADDRESSES = ("203.0.113.1", "2001:db8:b::1", "198.51.100.1", "2001:db8:a::1")


@dataclass(frozen=True)
class Source:
    """An address pair of the outside, one for each tool, so that a capture can be read by eye."""

    ipv4: str
    ipv6: str


CURL = Source("198.51.100.10", "2001:db8:a::10")
PATIENT = Source("198.51.100.11", "2001:db8:a::11")
NMAP = Source("198.51.100.20", "2001:db8:a::20")
# No interface owns masscan's address: its own TCP stack answers ARP and ends its handshakes,
# and no kernel sends a RST in between.
MASSCAN = Source("198.51.100.30", "2001:db8:a::30")
ZMAP = Source("198.51.100.40", "2001:db8:a::40")
HPING3 = Source("198.51.100.50", "2001:db8:a::50")
BACKSCATTER = Source("198.51.100.60", "2001:db8:a::60")
KERNEL_SOURCES = (CURL, PATIENT, NMAP, ZMAP, HPING3, BACKSCATTER)


def internet() -> Topology:
    """Outside, gateway and inside in a row; no link leads anywhere else."""
    wan = Interface(
        OUTSIDE,
        WAN,
        "02:00:5e:00:00:10",
        tuple(f"{s.ipv4}/25" for s in KERNEL_SOURCES)
        + tuple(f"{s.ipv6}/65" for s in KERNEL_SOURCES),
    )
    gateway_outside = Interface(
        GATEWAY, GATEWAY_OUTSIDE, GATEWAY_OUTSIDE_MAC, ("198.51.100.1/25", "2001:db8:a::1/65")
    )
    gateway_inside = Interface(
        GATEWAY, GATEWAY_INSIDE, "02:00:5e:00:00:02", ("203.0.113.1/25", "2001:db8:b::1/65")
    )
    lan = Interface(
        INSIDE,
        LAN,
        LAN_MAC,
        tuple(f"{h.ipv4}/25" for h in HOSTS) + tuple(f"{h.ipv6}/65" for h in HOSTS),
    )
    return Topology(
        namespaces=(OUTSIDE, GATEWAY, INSIDE),
        links=((wan, gateway_outside), (gateway_inside, lan)),
        routes=_routes(),
        forwarding=(GATEWAY,),
    )


def honeypot_internet(mode: str) -> Topology:
    """The same with the slow host, and a place for Darkflow: `mirror` or `inline`.

    By mirror Darkflow has a machine of its own, which gets copies of what passes the gateway's
    outside; what it sends goes back to the gateway by another wire.
    """
    plain = internet()
    slow = tuple(Neighbour(GATEWAY, GATEWAY_INSIDE, a, LAN_MAC) for a in SLOW.addresses)
    if mode == "inline":
        return replace(plain, neighbours=slow)
    span = Interface(GATEWAY, SPAN, "02:00:5e:00:00:30", ())
    copies = Interface(MACHINE, COPIES, "02:00:5e:00:00:31", ())
    down = Interface(GATEWAY, "down0", "02:00:5e:00:00:32", ("192.0.2.1/30", "2001:db8:c::1/64"))
    uplink = Interface(
        MACHINE, "uplink0", "02:00:5e:00:00:33", ("192.0.2.2/30", "2001:db8:c::2/64")
    )
    ways = {4: "192.0.2.1", 6: "2001:db8:c::1"}
    back = [Route(MACHINE, net, ways[ip_network(net).version]) for net in OUTSIDE_NETWORKS]
    return replace(
        plain,
        namespaces=(*plain.namespaces, MACHINE),
        links=(*plain.links, (span, copies), (down, uplink)),
        routes=(*plain.routes, *back),
        neighbours=slow,
        mirrors=(Mirror(GATEWAY, GATEWAY_OUTSIDE, SPAN),),
    )


def place_of(mode: str) -> tuple[str, tuple[str, ...]]:
    """Where `darkflow honeypot` runs, and its options that name the interfaces there."""
    if mode == "inline":
        return GATEWAY, ("--outside", GATEWAY_OUTSIDE, "--inside", GATEWAY_INSIDE)
    # This mirror carries both directions for certain, also before any live host was asked.
    return MACHINE, ("--mirror", COPIES, "--no-answers-expected")


def _routes() -> tuple[Route, ...]:
    # Exact routes instead of default ones: a name server that some program asks for is then
    # unreachable at once, and the program does not wait for it.
    to_inside = [Route(OUTSIDE, net, _via(net, "198.51.100.1")) for net in WATCHED_NETWORKS]
    to_outside = [
        Route(INSIDE, net, _via(net, "203.0.113.1")) for net in OUTSIDE_NETWORKS + FAR_NETWORKS
    ]
    # The outside namespace forwards nothing, so what is sent into the far networks is lost there,
    # after it has passed the captured wire.
    far = [Route(GATEWAY, net, _via(net, CURL.ipv4)) for net in FAR_NETWORKS]
    silent = [Route(GATEWAY, net, None) for net in SILENT_NETWORKS]
    return tuple(to_inside + to_outside + far + silent)


def _via(destination: str, ipv4: str) -> str:
    """The next hop of the destination's family; the lab pairs x.y.z.N with 2001:db8:...::N."""
    if ip_network(destination).version == 4:
        return ipv4
    site = "a" if ipv4.startswith("198.51.100.") else "b"
    return f"2001:db8:{site}::{ipv4.rsplit('.', 1)[1]}"


def contains(networks: tuple[str, ...], address: str) -> bool:
    """Whether one of the networks holds the address."""
    parsed = ip_address(address)
    nets: list[IPv4Network | IPv6Network] = [ip_network(net) for net in networks]
    return any(parsed.version == net.version and parsed in net for net in nets)


def outcome(address: str, port: int) -> str:
    """What becomes of a SYN to address and port: the truth a reader of the capture is held to.

    `answered`, `refused`, `unreachable` (dark, the gateway may say host unreachable after 3 s) or
    `silent` (dark, nothing comes back). An address of no lab network is an error.
    """
    parsed = str(ip_address(address))
    for host in HOSTS:
        if parsed in host.addresses:
            return "answered" if port in host.open_ports else "refused"
    own = {a for s in KERNEL_SOURCES for a in (s.ipv4, s.ipv6)}
    if parsed in GATEWAY_ADDRESSES or parsed in own:
        return "refused"
    if contains(SILENT_NETWORKS + FAR_NETWORKS, parsed):
        return "silent"
    if contains(ON_LINK_NETWORKS + OUTSIDE_NETWORKS, parsed):
        return "unreachable"
    raise ValueError(f"{address} belongs to no network of the lab")
