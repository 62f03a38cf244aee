"""Which program gets a connection, as nft's rules inside the namespace: pure text.

A port that its program listens on needs no rule. Another one is changed on its way in (the address
stays what the client asked for). All others come to the built-in responder's socket by TPROXY,
whose connections have the true address and port as their own, without connection tracking.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from darkflow.divert.honeynet import Honeynet
from darkflow.divert.services import LARGEST_PORT, Range, Service

# What programs inside wanted to send and nobody has asked for, in packets.
STOPPED = "stopped"
# Connection tracking is for changed ports alone: a forged SYN must not stay in it for a minute.
TRACKING = {
    "netfilter/nf_conntrack_tcp_timeout_syn_recv": "5",
    "netfilter/nf_conntrack_tcp_timeout_established": "600",
    "netfilter/nf_conntrack_tcp_timeout_fin_wait": "30",
    "netfilter/nf_conntrack_tcp_timeout_close_wait": "30",
    "netfilter/nf_conntrack_tcp_timeout_last_ack": "10",
    "netfilter/nf_conntrack_tcp_timeout_time_wait": "10",
    # What was never tracked is not picked up in its middle, and every window will do.
    "netfilter/nf_conntrack_tcp_loose": "0",
    "netfilter/nf_conntrack_tcp_be_liberal": "1",
}


def relay_ports(net: Honeynet, services: Sequence[Service]) -> dict[str, int]:
    """Where the relay of each host elsewhere listens inside: ports nobody else listens on."""
    taken = {net.responder_port, *(one.port for one in services if one.port is not None)}
    for one in services:
        if one.command and one.port is None:
            taken.update(*(range(first, last + 1) for first, last in one.ports))
    free = (port for port in range(1, LARGEST_PORT + 1) if port not in taken)
    return {one.name: next(free) for one in services if one.target is not None}


def changed(service: Service) -> tuple[Range, ...]:
    """Its ports that are not the one it listens on."""
    if service.port is None:
        return ()
    ranges: list[Range] = []
    for first, last in service.ports:
        if first <= service.port <= last:
            parts = ((first, service.port - 1), (service.port + 1, last))
            ranges += [(low, high) for low, high in parts if low <= high]
        else:
            ranges.append((first, last))
    return tuple(ranges)


def settings(services: Sequence[Service]) -> dict[str, str]:
    """Settings of the namespace that the rules want, once they are loaded."""
    return dict(TRACKING) if any(changed(one) for one in services) else {}


def render(net: Honeynet, services: Sequence[Service]) -> str:
    """The ruleset; loaded again it replaces itself."""
    relays = relay_ports(net, services)
    programs = [one for one in services if one.command]
    moved = [(one, changed(one)) for one in programs if changed(one)]
    lines = ["table inet darkflow", "delete table inet darkflow", "table inet darkflow {"]
    lines += [
        "\tchain connections {",
        "\t\ttype filter hook prerouting priority mangle; policy accept;",
        f'\t\tiifname != "{net.inner}" accept',
    ]
    lines += [f"\t\ttcp dport {_set(one.ports)} accept  # {one.name}" for one in programs]
    for one in services:
        if one.target is not None:
            lines += _to_socket(f"tcp dport {_set(one.ports)} ", relays[one.name], one.name)
    lines += [*_to_socket("", net.responder_port, "the responder"), "\t}"]
    lines += _contained(net)
    if relays:
        # Connections from inside are no client's: nothing in here reaches the host elsewhere.
        ports = _set([(port, port) for port in relays.values()])
        lines += [
            "\tchain inside {",
            "\t\ttype filter hook input priority filter; policy accept;",
            f'\t\tiifname != "{net.inner}" tcp dport {ports} drop',
            "\t}",
        ]
    if moved:
        lines += _moves(net, moved)
    return "\n".join([*lines, "}"]) + "\n"


def _contained(net: Honeynet) -> list[str]:
    """Only answers go out, also while the machine's own rules are gone."""
    stop = f'counter name "{STOPPED}" drop'
    return [
        f"\tcounter {STOPPED} {{ }}",
        "\tchain out {",
        "\t\ttype filter hook output priority filter; policy accept;",
        f'\t\toifname "{net.inner}" meta l4proto != tcp {stop}',
        f'\t\toifname "{net.inner}" tcp flags & (syn | ack) == syn {stop}',
        "\t}",
    ]


def _to_socket(condition: str, port: int, name: str) -> list[str]:
    return [
        f"\t\t{condition}meta l4proto tcp meta nfproto ipv4 tproxy ip to 127.0.0.1:{port}"
        f" accept  # {name}",
        f"\t\t{condition}meta l4proto tcp meta nfproto ipv6 tproxy ip6 to [::1]:{port} accept",
    ]


def _moves(net: Honeynet, moved: Sequence[tuple[Service, tuple[Range, ...]]]) -> list[str]:
    asked = _set([one for _, ranges in moved for one in ranges])
    own = _set([(one.port, one.port) for one, _ in moved if one.port is not None])
    lines = [
        "\tchain untracked_in {",
        "\t\ttype filter hook prerouting priority raw; policy accept;",
        f"\t\ttcp dport != {asked} notrack",
        "\t}",
        "\tchain untracked_out {",
        "\t\ttype filter hook output priority raw; policy accept;",
        f"\t\ttcp sport != {own} notrack",
        "\t}",
        "\tchain moved {",
        "\t\ttype nat hook prerouting priority dstnat; policy accept;",
    ]
    for one, ranges in moved:
        match = f'\t\tiifname "{net.inner}" tcp dport {_set(ranges)}'
        lines.append(f"{match} dnat to :{one.port}  # {one.name}")
    return [*lines, "\t}"]


def _set(ranges: Iterable[Range]) -> str:
    words = {f"{first}" if first == last else f"{first}-{last}" for first, last in sorted(ranges)}
    ordered = sorted(words, key=lambda word: int(word.partition("-")[0]))
    return "{ " + ", ".join(ordered) + " }"
