"""The honeypot's network as a description: links, neighbours, routes, rules, settings, in order.

Nothing here touches the system, so it is checked without root; `namespace.py` does what it says,
and `--dry-run` prints it. The namespace has one link, `hp1` inside and `hp0` outside. Both ends
know each other's MAC for good, so neither ARP nor neighbour discovery ever passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import collapse_addresses, ip_network
from typing import Any

# Locally administered, and the same on every machine: nothing but hp0 ever sees them.
OUTER_MAC, INNER_MAC = "02:64:66:00:00:00", "02:64:66:00:00:01"
# Next hops that need no address of their own: RFC 7600's dummy address, and link-local ones.
OUTER4, OUTER6 = "192.0.0.8", "fe80::1"
INNER4, INNER6 = "192.0.0.9", "fe80::2"
# Whatever the watched interface lets through has room; what leaves is cut to `mtu`.
DEVICE_MTU = 65535
# IPv4 and TCP, IPv6 and TCP.
HEADERS4, HEADERS6 = 40, 60
# Routes of what the honeypot sends with a watched address as its source.
TABLE = 100
LOCAL_TABLE = 255
LOCAL_PRIORITY, ANSWER_PRIORITY, LOOPBACK_PRIORITY = 100, 20, 10
ONLINK = 4  # linux/rtnetlink.h, RTNH_F_ONLINK
PERMANENT = 0x80  # linux/neighbour.h, NUD_PERMANENT
AF_INET, AF_INET6 = 2, 10


@dataclass(frozen=True)
class Honeynet:
    """What the honeypot's network is made from.

    networks: the watched ones, IPv4 and IPv6, as CIDR texts. The built-in responder listens on
    `responder_port` inside. `mtu` bounds what the honeypot sends.
    """

    networks: tuple[str, ...]
    name: str = "darkflow"
    outer: str = "hp0"
    inner: str = "hp1"
    responder_port: int = 1
    mtu: int = 1500

    def of_family(self, version: int) -> tuple[str, ...]:
        """The watched networks of IPv4 (4) or IPv6 (6), without overlaps."""
        networks: Any = [net for net in map(ip_network, self.networks) if net.version == version]
        return tuple(str(net) for net in collapse_addresses(networks))


@dataclass(frozen=True)
class Host:
    """What must be known of the machine: it decides which settings the outer end needs.

    `forwarding6` and `accept_ra`: what net.ipv6.conf.all.forwarding is, and the interfaces that
    would forget their default router when it is switched on.
    """

    ipv6: bool = True
    rp_filter: int = 0
    force_forwarding: bool = True
    forwarding6: bool = False
    accept_ra: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """One thing to do: as an operator would type it, and as `namespace.py` does it.

    what: "set" (a file below /proc/sys/net and its value), "offload" (a device), or an object of
    rtnetlink with its action; names of devices among the values stand for their indexes.
    """

    command: str
    what: str
    action: str
    values: dict[str, Any]


def outside(net: Honeynet, host: Host) -> list[Step]:
    """What is done on the machine's side, once the link is there."""
    steps = [*machine_settings(host), *_end_settings(net, host)]
    steps.append(_without_offload(net.outer))
    steps.append(_up(net.outer))
    steps += _neighbours(net.outer, INNER_MAC, (INNER4, INNER6), host.ipv6)
    return steps


def machine_settings(host: Host) -> list[Step]:
    """What the machine's own settings must become; they are put back at the end."""
    if not host.ipv6 or host.force_forwarding or host.forwarding6:
        return []
    # With forwarding an interface heeds router advertisements only if it is told to.
    heed = [_set(f"ipv6/conf/{name}/accept_ra", "2") for name in host.accept_ra]
    return [*heed, _set("ipv6/conf/all/forwarding", "1")]


def _end_settings(net: Honeynet, host: Host) -> list[Step]:
    """hp0 forwards, whatever address the honeypot speaks for, and says nothing itself."""
    settings = {
        "ipv4/conf/{}/forwarding": "1",
        # The greater of this and `all` counts: where `all` is strict, loose is what can be had.
        "ipv4/conf/{}/rp_filter": "2" if host.rp_filter == 1 else "0",
        "ipv4/conf/{}/arp_ignore": "8",
        "ipv4/conf/{}/send_redirects": "0",
    }
    if host.ipv6:
        settings |= {"ipv6/conf/{}/disable_ipv6": "0", **_QUIET6}
        if host.force_forwarding:
            settings["ipv6/conf/{}/force_forwarding"] = "1"
    return [_set(key.format(net.outer), value) for key, value in settings.items()]


# No address of its own, so no neighbour discovery, router solicitation or multicast report.
_QUIET6 = {
    "ipv6/conf/{}/addr_gen_mode": "1",
    "ipv6/conf/{}/accept_ra": "0",
    "ipv6/conf/{}/autoconf": "0",
    "ipv6/conf/{}/accept_dad": "0",
    "ipv6/conf/{}/router_solicitations": "0",
}

_INSIDE = {
    "ipv4/ip_forward": "0",
    "ipv4/conf/{}/rp_filter": "0",
    "ipv4/conf/{}/arp_ignore": "8",
    # A program may choose one of the watched addresses, and any port without being root.
    "ipv4/ip_nonlocal_bind": "1",
    "ipv4/ip_unprivileged_port_start": "0",
    # A forged SYN gets two SYN+ACKs at most. 10,000 SYNs a second wait 3 s each in a listener's
    # backlog; beyond it cookies answer, which need no memory (and no tcp_max_syn_backlog).
    "ipv4/tcp_synack_retries": "1",
    "ipv4/tcp_syncookies": "1",
    "core/somaxconn": "65535",
    # Clients that are gone are forgotten within half a minute, not after a quarter of an hour.
    "ipv4/tcp_retries2": "6",
    "ipv4/tcp_orphan_retries": "2",
    "ipv4/tcp_fin_timeout": "10",
    # Nothing is to be learnt about the next client from the last one.
    "ipv4/tcp_no_metrics_save": "1",
    # No ICMP comes in, so neither does "fragmentation needed".
    "ipv4/tcp_mtu_probing": "1",
}

_INSIDE6 = {
    "ipv6/conf/{}/disable_ipv6": "0",
    "ipv6/conf/{}/forwarding": "0",
    "ipv6/ip_nonlocal_bind": "1",
    **_QUIET6,
}


def inside_settings(host: Host) -> list[Step]:
    """The namespace's settings, before its link comes: what is new takes up `default`."""
    steps = []
    for key, value in (_INSIDE | (_INSIDE6 if host.ipv6 else {})).items():
        if "{}" in key:
            steps += [_set(key.format(place), value) for place in ("all", "default")]
        else:
            steps.append(_set(key, value))
    return [step for step in steps if not _unknown_to_all(step)]


def _unknown_to_all(step: Step) -> bool:
    # `addr_gen_mode` of "all" would change every interface at once; `default` is what counts.
    return step.action.endswith("conf/all/addr_gen_mode")


def inside(net: Honeynet, host: Host) -> list[Step]:
    """What is done in the namespace, once the link is there."""
    steps = [_without_offload(net.inner), _up("lo"), _up(net.inner)]
    steps += _neighbours(net.inner, OUTER_MAC, (OUTER4, OUTER6), host.ipv6)
    for version in (4, 6) if host.ipv6 else (4,):
        steps += _routes(net, version)
    return steps


def link(net: Honeynet) -> Step:
    """The link itself; its inner end is made in the namespace."""
    return Step(
        f"ip link add {net.outer} address {OUTER_MAC} mtu {DEVICE_MTU} type veth"
        f" peer name {net.inner} address {INNER_MAC} mtu {DEVICE_MTU} netns {net.name}",
        "link",
        "add",
        {
            "ifname": net.outer,
            "address": OUTER_MAC,
            "mtu": DEVICE_MTU,
            "kind": "veth",
            "peer": {"ifname": net.inner, "address": INNER_MAC, "mtu": DEVICE_MTU},
        },
    )


def _routes(net: Honeynet, version: int) -> list[Step]:
    """AnyIP: every watched address is the namespace's own, so a program on 0.0.0.0 has them all.

    What it sends goes out even to a client with a watched address, which would be local otherwise:
    hence a rule before the one for local addresses, and another before that for 127.0.0.1.
    """
    family = AF_INET6 if version == 6 else AF_INET
    ip = "ip -6" if version == 6 else "ip"
    steps = [_default(net, version, None), _default(net, version, TABLE)]
    for prefix in net.of_family(version):
        values = {"dst": prefix, "family": family, "type": "local", "table": LOCAL_TABLE,
                  "oif": "lo", "scope": 0 if version == 6 else 254}  # fmt: skip
        steps.append(Step(f"{ip} route add local {prefix} dev lo", "route", "add", values))
    loopback = "::1/128" if version == 6 else "127.0.0.0/8"
    local = {"table": LOCAL_TABLE}
    steps += [
        _rule(version, LOOPBACK_PRIORITY, f"iif lo to {loopback} lookup local",
              {"iifname": "lo", "dst": loopback, **local}),
        _rule(version, LOCAL_PRIORITY, "lookup local", local),
        Step(f"{ip} rule del pref 0 lookup local", "rule", "del",
             {"family": family, "priority": 0, **local}),
    ]  # fmt: skip
    for prefix in net.of_family(version):
        steps.append(_rule(version, ANSWER_PRIORITY, f"iif lo from {prefix} lookup {TABLE}",
                           {"iifname": "lo", "src": prefix, "table": TABLE}))  # fmt: skip
    return steps


def _default(net: Honeynet, version: int, table: int | None) -> Step:
    via = OUTER6 if version == 6 else OUTER4
    advmss = net.mtu - (HEADERS6 if version == 6 else HEADERS4)
    values: dict[str, Any] = {
        "dst": "::/0" if version == 6 else "0.0.0.0/0",
        "family": AF_INET6 if version == 6 else AF_INET,
        "gateway": via,
        "oif": net.inner,
        "flags": ONLINK,
        "metrics": {"mtu": net.mtu, "advmss": advmss},
    }
    where = ""
    if table is not None:
        values["table"] = table
        where = f" table {table}"
    ip = "ip -6" if version == 6 else "ip"
    return Step(
        f"{ip} route add default via {via} dev {net.inner} onlink mtu {net.mtu} advmss {advmss}"
        f"{where}",
        "route",
        "add",
        values,
    )


def _rule(version: int, priority: int, text: str, values: dict[str, Any]) -> Step:
    ip = "ip -6" if version == 6 else "ip"
    values = {"family": AF_INET6 if version == 6 else AF_INET, "priority": priority, **values}
    return Step(f"{ip} rule add pref {priority} {text}", "rule", "add", values)


def _neighbours(device: str, mac: str, addresses: tuple[str, str], ipv6: bool) -> list[Step]:
    return [
        Step(
            f"ip neigh add {address} lladdr {mac} dev {device} nud permanent",
            "neigh",
            "add",
            {"dst": address, "lladdr": mac, "ifindex": device, "state": PERMANENT,
             "family": AF_INET6 if ":" in address else AF_INET},
        )
        for address in (addresses if ipv6 else addresses[:1])
    ]  # fmt: skip


def _up(device: str) -> Step:
    return Step(f"ip link set {device} up", "link", "set", {"index": device, "state": "up"})


def _without_offload(device: str) -> Step:
    """Checksums and segments are finished before they enter the link.

    What is captured on hp0 then is what is on the wire, frame for frame.
    """
    return Step(f"ethtool -K {device} tx off gso off", "offload", device, {})


def _set(path: str, value: str) -> Step:
    return Step(f"sysctl -qw net/{path}={value}", "set", path, {"value": value})


def commands(net: Honeynet, host: Host, rules: str, settings: Mapping[str, str]) -> list[str]:
    """What is done to make the namespace, as lines of a shell script.

    `rules` for nft and then `settings` go inside at the end.
    """
    enter = f"ip netns exec {net.name} "
    lines = [
        f"ip netns add {net.name}",
        *(enter + step.command for step in inside_settings(host)),
        link(net).command,
        *(step.command for step in outside(net, host)),
        *(enter + step.command for step in inside(net, host)),
    ]
    if rules:
        lines.append(f"{enter}nft -f - <<'END'\n{rules.strip()}\nEND")
    return [*lines, *(enter + _set(key, value).command for key, value in settings.items())]
