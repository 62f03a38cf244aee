"""Enters tunnels, as mirrors of clouds and switches need: to the first TCP header inside.

Each turn reads the headers of one tunnel and says what follows where. The walk ends at TCP, at
something that is no tunnel, or after MAX_DEPTH tunnels. What is said of the packet then:

- The innermost IP header that was reached counts, with all that is wrong with it: a packet is
  `malformed`, a `fragment` or `not_tcp` by what it carries, not by what carries it.
- Captured bytes that end in a tunnel's headers, or behind them, make it `short`: so a snap length
  that leaves no room for the tunnel shows as what it is.
- A tunnel that is not to be entered, or whose header is wrong, of another version or a control
  message, is no tunnel; nor is one that holds no IP (ARP, PPP's LCP). The IP packet that carries it
  counts then (`not_tcp`), or the frame if no IP packet does (`not_ip`).
- Only the captured bytes bound the walk, not the lengths in outer headers: offload leaves them 0.
- An ICMP error inside a tunnel counts like any other. One that quotes a tunnel's packet is not
  looked into: routers need not quote enough of it.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from darkflow.flow.layers cimport (
    ETHERTYPE_IPV4, ETHERTYPE_IPV6, FOUND, LOST_NOT_IP, LOST_SHORT, PROTO_TCP, ip_header, is_vlan,
    place_t, skip_vlans,
)
from darkflow.flow.layout cimport be16

cdef enum:
    VXLAN = 1
    GRE = 2
    ERSPAN = 4
    GENEVE = 8
    MPLS = 16
    PPPOE = 32
    IPIP = 64
    GTP = 128
    MAX_DEPTH = 8           # tunnels within tunnels
    STOP = -1               # no tunnel that can be entered

cdef enum:
    ETHERTYPE_BRIDGED = 0x6558      # an Ethernet frame, in GRE and Geneve
    ETHERTYPE_PPP = 0x880B
    ETHERTYPE_MPLS = 0x8847
    ETHERTYPE_MPLS_MULTICAST = 0x8848
    ETHERTYPE_PPPOE = 0x8864
    ETHERTYPE_ERSPAN = 0x88BE
    ETHERTYPE_ERSPAN_III = 0x22EB
    PROTO_IPV4 = 4
    PROTO_UDP = 17
    PROTO_IPV6 = 41
    PROTO_GRE = 47
    PROTO_MPLS = 137
    PORT_GTP = 2152
    PORT_VXLAN = 4789
    PORT_GENEVE = 6081
    PORT_MPLS = 6635
    PORT_VXLAN_LINUX = 8472         # the kernel's default, older than the assignment of 4789

TUNNELS = {
    "vxlan": VXLAN, "gre": GRE, "erspan": ERSPAN, "geneve": GENEVE, "mpls": MPLS, "pppoe": PPPOE,
    "ipip": IPIP, "gtp": GTP,
}


def tunnel_mask(names):
    """The bits of the named tunnels; "all" means every one."""
    mask = 0
    for name in names:
        if name == "all":
            mask |= sum(TUNNELS.values())
        elif name in TUNNELS:
            mask |= TUNNELS[name]
        else:
            raise ValueError(f"unknown tunnel {name!r}: choose from {', '.join(TUNNELS)}")
    return mask


ctypedef struct inner_t:            # what follows, and where it begins
    uint32_t at
    uint16_t ethertype
    uint8_t framed                  # an Ethernet header, which tells the EtherType


cdef int enter_tunnels(
    const uint8_t *d, uint32_t n, uint16_t ethertype, uint32_t at, uint32_t tunnels, place_t *place
) noexcept nogil:
    """Walk inwards from (ethertype, at); `place` is the innermost IP header that was reached."""
    cdef inner_t here
    cdef int depth
    cdef int got = STOP
    cdef bint within_ip = False
    here.ethertype = ethertype
    here.at = at
    here.framed = False
    for depth in range(MAX_DEPTH + 1):
        got = _to_network(d, n, &here)
        if got != FOUND:
            return got
        if here.ethertype == ETHERTYPE_IPV4 or here.ethertype == ETHERTYPE_IPV6:
            got = ip_header(d, n, here.at, place)
            if got != FOUND or place.proto == PROTO_TCP:
                return got
            within_ip = True
            got = _in_ip(d, n, place, tunnels, &here)
        else:
            got = _in_frame(d, n, tunnels, &here)
        if got == STOP:
            break
        if got != FOUND:
            return got
    return FOUND if within_ip else LOST_NOT_IP


cdef int _to_network(const uint8_t *d, uint32_t n, inner_t *here) noexcept nogil:
    """Through an Ethernet header, if one is there, and VLAN tags."""
    if here.framed:
        if n < here.at + 14:
            return LOST_SHORT
        here.ethertype = be16(d + here.at + 12)
        here.at += 14
        here.framed = False
    return skip_vlans(d, n, &here.ethertype, &here.at)


cdef int _in_frame(
    const uint8_t *d, uint32_t n, uint32_t tunnels, inner_t *here
) noexcept nogil:
    """The tunnel that a frame carries without IP, or STOP."""
    if here.ethertype == ETHERTYPE_MPLS or here.ethertype == ETHERTYPE_MPLS_MULTICAST:
        return _mpls(d, n, here) if tunnels & MPLS else STOP
    if here.ethertype == ETHERTYPE_PPPOE:
        return _pppoe(d, n, here) if tunnels & PPPOE else STOP
    return STOP


cdef int _in_ip(
    const uint8_t *d, uint32_t n, const place_t *place, uint32_t tunnels, inner_t *here
) noexcept nogil:
    """The tunnel that an IP packet carries, or STOP."""
    here.at = place.transport
    if place.proto == PROTO_IPV4 or place.proto == PROTO_IPV6:
        here.ethertype = ETHERTYPE_IPV4                 # the inner header tells its version
        return FOUND if tunnels & IPIP else STOP
    if place.proto == PROTO_GRE:
        return _gre(d, n, tunnels, here)
    if place.proto == PROTO_MPLS:                       # RFC 4023
        return _mpls(d, n, here) if tunnels & MPLS else STOP
    if place.proto == PROTO_UDP:
        return _udp(d, n, tunnels, here)
    return STOP


cdef int _mpls(const uint8_t *d, uint32_t n, inner_t *here) noexcept nogil:
    """Pop the label stack (RFC 3032). Nothing in it says what follows: the first nibble must."""
    cdef bint bottom = False
    while not bottom:
        if n < here.at + 4:
            return LOST_SHORT
        bottom = d[here.at + 2] & 1
        here.at += 4
    if n < here.at + 1:
        return LOST_SHORT
    here.ethertype = ETHERTYPE_IPV4
    here.framed = not (d[here.at] >> 4 == 6 or (d[here.at] >> 4 == 4 and d[here.at] & 15 >= 5))
    if not here.framed:
        return FOUND
    # An Ethernet pseudowire: its control word begins with 16 bits of 0 (RFC 4448), but some
    # Ethernet addresses do, too. Where one stands, a known EtherType follows.
    if n < here.at + 14:
        return LOST_SHORT
    if d[here.at] == 0 and d[here.at + 1] == 0 and not _is_common(be16(d + here.at + 12)):
        here.at += 4
    return FOUND


cdef inline bint _is_common(uint16_t ethertype) noexcept nogil:
    return ethertype == ETHERTYPE_IPV4 or ethertype == ETHERTYPE_IPV6 or is_vlan(ethertype)


cdef int _pppoe(const uint8_t *d, uint32_t n, inner_t *here) noexcept nogil:
    """Session data of PPPoE (RFC 2516): version and type 1, code 0, then PPP."""
    if n < here.at + 6:
        return LOST_SHORT
    if d[here.at] != 0x11 or d[here.at + 1] != 0:
        return STOP
    here.at += 6
    return _ppp(d, n, here)


cdef int _ppp(const uint8_t *d, uint32_t n, inner_t *here) noexcept nogil:
    """PPP (RFC 1661): address and control may be there, the protocol may be one byte."""
    cdef uint16_t protocol
    if n < here.at + 4:
        return LOST_SHORT
    if d[here.at] == 0xFF and d[here.at + 1] == 3:
        here.at += 2
    protocol = d[here.at]
    here.at += 1
    if not protocol & 1:
        protocol = <uint16_t>(protocol << 8 | d[here.at])
        here.at += 1
    if protocol == 0x21 or protocol == 0x57:
        here.ethertype = ETHERTYPE_IPV4
    elif protocol == 0x281:                             # RFC 3032
        here.ethertype = ETHERTYPE_MPLS
    else:
        return STOP
    return FOUND


cdef int _udp(const uint8_t *d, uint32_t n, uint32_t tunnels, inner_t *here) noexcept nogil:
    """Tunnels in UDP: both ends send to the assigned port, from any."""
    cdef uint32_t at = here.at + 8
    cdef uint16_t port
    if n < here.at + 4:
        return STOP
    port = be16(d + here.at + 2)
    here.at = at
    if port == PORT_MPLS and tunnels & MPLS:            # RFC 7510
        return _mpls(d, n, here)
    if (port == PORT_VXLAN or port == PORT_VXLAN_LINUX) and tunnels & VXLAN:
        if n < at + 8:
            return LOST_SHORT
        if not d[at] & 8:                               # RFC 7348: the VNI flag must be set
            return STOP
        here.at += 8
        here.framed = True
        return FOUND
    if port == PORT_GENEVE and tunnels & GENEVE:
        return _geneve(d, n, here)
    if port == PORT_GTP and tunnels & GTP:
        return _gtp(d, n, here)
    return STOP


cdef int _geneve(const uint8_t *d, uint32_t n, inner_t *here) noexcept nogil:
    """RFC 8926: version 0, options in 4-byte units, an EtherType; OAM packets carry no user data."""
    cdef uint32_t at = here.at
    if n < at + 8:
        return LOST_SHORT
    if d[at] >> 6 or d[at + 1] & 0x80:
        return STOP
    here.ethertype = be16(d + at + 2)
    here.framed = here.ethertype == ETHERTYPE_BRIDGED
    here.at = at + 8 + (d[at] & 0x3F) * 4
    return FOUND


cdef int _gtp(const uint8_t *d, uint32_t n, inner_t *here) noexcept nogil:
    """GTP-U version 1 (3GPP TS 29.281), G-PDU only; extension headers are stepped over."""
    cdef uint32_t at = here.at
    cdef uint8_t flags
    cdef uint8_t following = 0
    if n < at + 8:
        return LOST_SHORT
    flags = d[at]
    if flags >> 5 != 1 or not flags & 0x10 or d[at + 1] != 0xFF:
        return STOP
    at += 8
    if flags & 7:
        if n < at + 4:
            return LOST_SHORT
        following = d[at + 3] if flags & 4 else 0
        at += 4
    while following:
        if n < at + 1:
            return LOST_SHORT
        if d[at] == 0:
            return STOP
        if n < at + <uint32_t>d[at] * 4:
            return LOST_SHORT
        at += <uint32_t>d[at] * 4
        following = d[at - 1]
    if n < at + 1:
        return LOST_SHORT
    # The session, and not the packet, says what it carries: it may be Ethernet or nothing known.
    if d[at] >> 4 != 4 and d[at] >> 4 != 6:
        return STOP
    here.ethertype = ETHERTYPE_IPV4
    here.at = at
    return FOUND


cdef int _gre(const uint8_t *d, uint32_t n, uint32_t tunnels, inner_t *here) noexcept nogil:
    """GRE (RFC 2784, 2890; NVGRE, RFC 7637), its PPTP form (RFC 2637), and ERSPAN in it."""
    cdef uint32_t at = here.at
    cdef uint8_t flags, version
    if not tunnels & (GRE | ERSPAN):
        return STOP
    if n < at + 4:
        return LOST_SHORT
    flags = d[at]
    version = d[at + 1] & 7
    here.ethertype = be16(d + at + 2)
    if version == 1 and here.ethertype == ETHERTYPE_PPP and tunnels & GRE:
        if not flags & 0x10:                            # no sequence number: no payload
            return STOP
        here.at = at + 12 + (4 if d[at + 1] & 0x80 else 0)
        return _ppp(d, n, here)
    if version != 0 or flags & 0x40:                    # routing: deprecated, never seen
        return STOP
    here.at = at + 4 + (4 if flags & 0x80 else 0) + (4 if flags & 0x20 else 0)
    here.at += 4 if flags & 0x10 else 0
    if here.ethertype == ETHERTYPE_ERSPAN or here.ethertype == ETHERTYPE_ERSPAN_III:
        return _erspan(d, n, flags & 0x10, here) if tunnels & ERSPAN else STOP
    here.framed = here.ethertype == ETHERTYPE_BRIDGED
    return FOUND if tunnels & GRE else STOP


cdef int _erspan(const uint8_t *d, uint32_t n, bint sequenced, inner_t *here) noexcept nogil:
    """ERSPAN types I to III (draft-foschiano-erspan): the header's version tells II from III."""
    cdef uint32_t at = here.at
    cdef uint8_t kind = 0
    if here.ethertype == ETHERTYPE_ERSPAN and not sequenced:
        here.framed = True                              # type I has no header of its own
        return FOUND
    if n < at + 8:
        return LOST_SHORT
    if d[at] >> 4 == 1:
        here.at = at + 8
    elif d[at] >> 4 == 2:
        if n < at + 12:
            return LOST_SHORT
        kind = d[at + 10] >> 2 & 31
        here.at = at + 12 + (8 if d[at + 11] & 1 else 0)    # the O bit: a platform subheader
    else:
        return STOP
    if kind != 0 and kind != 2:                         # an Ethernet frame, an IP packet
        return STOP
    here.framed = kind == 0
    here.ethertype = ETHERTYPE_IPV4
    return FOUND
