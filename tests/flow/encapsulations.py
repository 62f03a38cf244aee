"""Every encapsulation that the decoder enters, as builders: a table for tests and fuzzer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from darkflow.flow.batch import Frames
from darkflow.flow.decode import Decoder
from flow import packets as p


class Encapsulation(NamedTuple):
    """`wrap` puts an IP packet into a tunnel: an IP packet, or a frame if nothing but it is IP."""

    names: frozenset[str]
    wrap: Callable[[bytes, int], bytes]
    makes_frame: bool = False
    # What tshark 4.0 makes of it, where that differs from us for a reason.
    tshark_differs: str = ""


def carried(body: bytes, proto: int, family: int) -> bytes:
    """Something of an IP protocol in an outer IP packet of a family."""
    return p.ipv4(body, proto) if family == 4 else p.ipv6(body, proto)


def in_udp(names: str, build: Callable[[bytes], bytes]) -> Encapsulation:
    """A tunnel in UDP."""
    return in_ip(names, 17, build)


def in_gre(names: str, build: Callable[[bytes], bytes]) -> Encapsulation:
    """A tunnel in GRE."""
    return in_ip(names, 47, build)


def in_ip(names: str, proto: int, build: Callable[[bytes], bytes]) -> Encapsulation:
    """A tunnel in IP."""
    return Encapsulation(
        frozenset(names.split()), lambda inner, family: carried(build(inner), proto, family)
    )


def in_frame(names: str, ethertype: int, build: Callable[[bytes], bytes]) -> Encapsulation:
    """A tunnel right behind the Ethernet header."""
    return Encapsulation(
        frozenset(names.split()),
        lambda inner, _: p.ethernet(build(inner), ethertype),
        makes_frame=True,
    )


def ip_in_ip(inner: bytes, family: int) -> bytes:
    """Any family in any other: protocol 4 or 41 by what lies within."""
    return carried(inner, 4 if inner[0] >> 4 == 4 else 41, family)


CONTROL_WORD = bytes.fromhex("00000005")
# tshark must be told which labels are pseudowires, and otherwise looks only for a control word.
NOT_GUESSED = "without a control word, tshark does not guess that a pseudowire carries Ethernet"
GUESSED = "tshark takes an Ethernet address that begins with 0 for a control word"
FRAME_TYPE = "tshark does not look at the frame type, which says that this is IP"

ENCAPSULATIONS: dict[str, Encapsulation] = {
    "vxlan": in_udp("vxlan", lambda ip: p.vxlan(p.framed(ip))),
    "vxlan_vlan": in_udp("vxlan", lambda ip: p.vxlan(p.framed(ip, [p.TYPE_VLAN]))),
    "vxlan_linux_port": in_udp("vxlan", lambda ip: p.vxlan(p.framed(ip), 8472)),
    "vxlan_group_policy": in_udp("vxlan", lambda ip: p.vxlan(p.framed(ip), flags=0x88)),
    "gre": in_gre("gre", lambda ip: p.gre(ip, p.type_of(ip))),
    "gre_checksum": in_gre("gre", lambda ip: p.gre(ip, p.type_of(ip), 8)),
    "gre_key": in_gre("gre", lambda ip: p.gre(ip, p.type_of(ip), 2)),
    "gre_sequence": in_gre("gre", lambda ip: p.gre(ip, p.type_of(ip), 1)),
    "gre_all_fields": in_gre("gre", lambda ip: p.gre(ip, p.type_of(ip), 11)),
    "gre_bridged": in_gre("gre", lambda ip: p.gre(p.framed(ip), p.TYPE_BRIDGED)),
    "nvgre": in_gre("gre", lambda ip: p.gre(p.framed(ip), p.TYPE_BRIDGED, 2)),
    "gre_mpls": in_gre("gre mpls", lambda ip: p.gre(p.mpls(ip, 2), p.TYPE_MPLS)),
    "pptp": in_gre("gre", lambda ip: p.pptp(ip, head=b"\xff\x03" + ppp_of(ip))),
    "pptp_ack": in_gre("gre", lambda ip: p.pptp(ip, True, b"\xff\x03" + ppp_of(ip))),
    "pptp_compressed": in_gre("gre", lambda ip: p.pptp(ip, head=ppp_of(ip)[1:])),
    "erspan_1": in_gre("erspan", lambda ip: p.erspan(p.framed(ip), 1)),
    "erspan_2": in_gre("erspan", lambda ip: p.erspan(p.framed(ip), 2)),
    "erspan_2_vlan": in_gre("erspan", lambda ip: p.erspan(p.framed(ip, [p.TYPE_QINQ]), 2)),
    "erspan_3": in_gre("erspan", lambda ip: p.erspan(p.framed(ip), 3)),
    "erspan_3_subheader": in_gre("erspan", lambda ip: p.erspan(p.framed(ip), 3, True)),
    "erspan_3_ip": in_gre("erspan", lambda ip: p.erspan(ip, 3, kind=2))._replace(
        tshark_differs=FRAME_TYPE
    ),
    "geneve_ip": in_udp("geneve", lambda ip: p.geneve(ip, p.type_of(ip))),
    "geneve_frame": in_udp("geneve", lambda ip: p.geneve(p.framed(ip), p.TYPE_BRIDGED)),
    "geneve_options": in_udp("geneve", lambda ip: p.geneve(p.framed(ip), p.TYPE_BRIDGED, 32)),
    "mpls": in_frame("mpls", p.TYPE_MPLS, p.mpls),
    "mpls_multicast": in_frame("mpls", 0x8848, p.mpls),
    "mpls_3_labels": in_frame("mpls", p.TYPE_MPLS, lambda ip: p.mpls(ip, 3)),
    "mpls_20_labels": in_frame("mpls", p.TYPE_MPLS, lambda ip: p.mpls(ip, 20)),
    "mpls_control_word": in_frame(
        "mpls", p.TYPE_MPLS, lambda ip: p.mpls(CONTROL_WORD + p.framed(ip), 2)
    ),
    "mpls_control_word_zero": in_frame(
        "mpls", p.TYPE_MPLS, lambda ip: p.mpls(CONTROL_WORD + p.framed(ip, to=p.MAC_ZERO), 2)
    ),
    "mpls_frame": in_frame(
        "mpls", p.TYPE_MPLS, lambda ip: p.mpls(p.framed(ip, to=b"\x22" + p.MAC_TO[1:]))
    )._replace(tshark_differs=NOT_GUESSED),
    "mpls_frame_zero": in_frame(
        "mpls", p.TYPE_MPLS, lambda ip: p.mpls(p.framed(ip, to=p.MAC_ZERO))
    )._replace(tshark_differs=GUESSED),
    "mpls_frame_zeros": in_frame(
        "mpls", p.TYPE_MPLS, lambda ip: p.mpls(p.framed(ip, to=bytes(2) + p.MAC_ZERO[2:]))
    )._replace(tshark_differs=GUESSED),
    "mpls_in_ip": in_ip("mpls", 137, lambda ip: p.mpls(ip, 2)),
    "mpls_in_udp": in_udp("mpls", lambda ip: p.udp(p.mpls(ip, 2), 6635)),
    "pppoe": in_frame("pppoe", p.TYPE_PPPOE, p.pppoe),
    "pppoe_vlan": in_frame(
        "pppoe", p.TYPE_VLAN, lambda ip: b"\0\5\x88\x64" + p.pppoe(ip)
    ),
    "ipip": Encapsulation(frozenset(["ipip"]), ip_in_ip),
    "ipip_options": Encapsulation(
        frozenset(["ipip"]),
        lambda ip, family: (
            p.ipv4(ip, proto_of(ip), bytes(8))
            if family == 4
            else p.ipv6(p.extension(ip, proto_of(ip), 1), 60)
        ),
    ),
    "gtp": in_udp("gtp", p.gtp),
    "gtp_sequence": in_udp("gtp", lambda ip: p.gtp(ip, 2)),
    "gtp_n_pdu": in_udp("gtp", lambda ip: p.gtp(ip, 3)),
    "gtp_extension": in_udp("gtp", lambda ip: p.gtp(ip, 0, 1)),
    "gtp_extensions": in_udp("gtp", lambda ip: p.gtp(ip, 2, 3)),
}  # fmt: skip


def proto_of(packet: bytes) -> int:
    """The protocol number of an IP packet within another."""
    return 4 if packet[0] >> 4 == 4 else 41


def ppp_of(packet: bytes) -> bytes:
    """PPP's protocol number of an IP packet."""
    return b"\0\x21" if packet[0] >> 4 == 4 else b"\0\x57"


def nested(names: list[str], packet: bytes, families: list[int]) -> bytes:
    """A packet in tunnels, the innermost first, in a frame."""
    for at, name in enumerate(names):
        encapsulation = ENCAPSULATIONS[name]
        packet = encapsulation.wrap(packet, families[at % len(families)])
        if encapsulation.makes_frame:
            # Only a frame can go on carrying it: bridged by GRE, which counts as a tunnel too.
            if at == len(names) - 1:
                return packet
            packet = carried(p.gre(packet, p.TYPE_BRIDGED), 47, families[at % len(families)])
    return p.framed(packet)


INNER4 = (bytes([10, 9, 8, 7]), bytes([10, 6, 5, 4]))
INNER6 = (p.SRC6[:15] + b"\x77", p.DST6[:15] + b"\x88")
PORTS = (1111, 2222)


def inner_packet(family: int, segment: bytes | None = None) -> bytes:
    """A SYN with addresses that no outer header has."""
    segment = p.tcp(ports=PORTS) if segment is None else segment
    return p.ipv4(segment, ends=INNER4) if family == 4 else p.ipv6(segment, ends=INNER6)


def wrapped(name: str, packet: bytes, outer: int = 4) -> bytes:
    """A packet in one tunnel, in a frame."""
    encapsulation = ENCAPSULATIONS[name]
    whole = encapsulation.wrap(packet, outer)
    return whole if encapsulation.makes_frame else p.framed(whole)


def decode(
    frames: Sequence[bytes], tunnels: Sequence[str] = ("all",), link: int = p.ETHERNET
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Rows, whose times are numbers of frames, and the reasons that were counted."""
    decoder = Decoder(tunnels)
    rows: list[dict[str, Any]] = []
    for begin in range(0, len(frames), 4096):
        some = enumerate(frames[begin : begin + 4096], begin)
        rows += decoder.decode(Frames.of([(number, link, data) for number, data in some])).to_list()
    counters = decoder.counters
    assert counters["packets"] == counters["tcp"] + sum(counters["undecoded"].values())
    return rows, {why: count for why, count in counters["undecoded"].items() if count}
