"""Enters tunnels, as mirrors of clouds and switches need: to the first TCP header inside.

Each step reads one header and says which protocol follows where; the walk ends at TCP, at
something that is no tunnel, or after MAX_DEPTH tunnels. A packet that is no tunnel keeps the place
of its own IP header, so that it is judged as if nothing had been entered.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from darkflow.flow.layers cimport (
    ETHERTYPE_IPV4, ETHERTYPE_IPV6, FOUND, LOST_NOT_IP, LOST_NOT_TCP, LOST_SHORT, PROTO_TCP,
    ip_header, place_t, skip_vlans,
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
    ETHERNET = 0x6558       # "transparent Ethernet bridging", GRE's and Geneve's word for a frame
    STOP = -1               # nothing further inside

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


ctypedef struct inner_t:            # what follows: an EtherType and where it begins
    uint16_t ethertype
    uint32_t at


cdef int enter_tunnels(
    const uint8_t *d, uint32_t n, uint16_t ethertype, uint32_t at, uint32_t tunnels, place_t *place
) noexcept nogil:
    """Walk inwards from (ethertype, at); `place` is the innermost IP header that was reached."""
    cdef inner_t here
    cdef int depth, lost
    here.ethertype = ethertype
    here.at = at
    for depth in range(MAX_DEPTH + 1):
        lost = _to_ip(d, n, &here, tunnels)
        if lost:
            return lost
        lost = ip_header(d, n, here.at, place)
        if lost:
            return lost
        if place.proto == PROTO_TCP or depth == MAX_DEPTH:
            return FOUND
        if _inside_ip(d, n, place, tunnels, &here) == STOP:
            return FOUND
    return FOUND


cdef int _to_ip(const uint8_t *d, uint32_t n, inner_t *here, uint32_t tunnels) noexcept nogil:
    """Through Ethernet, VLAN, MPLS and PPPoE to an IP header."""
    cdef int step, lost
    # Each turn passes one header (a label stack in one), so the bound is on headers in a row.
    for step in range(2 * MAX_DEPTH):
        lost = skip_vlans(d, n, &here.ethertype, &here.at)
        if lost:
            return lost
        if here.ethertype == ETHERTYPE_IPV4 or here.ethertype == ETHERTYPE_IPV6:
            return FOUND
        if here.ethertype == ETHERNET:
            if n < here.at + 14:
                return LOST_SHORT
            here.ethertype = be16(d + here.at + 12)
            here.at += 14
        elif here.ethertype == 0x8847 or here.ethertype == 0x8848:
            if not tunnels & MPLS:
                return LOST_NOT_IP
            lost = _mpls(d, n, here)
            if lost:
                return lost
        elif here.ethertype == 0x8864 and tunnels & PPPOE:
            lost = _pppoe(d, n, here)
            if lost:
                return lost
        else:
            return LOST_NOT_IP
    return LOST_NOT_IP


cdef int _mpls(const uint8_t *d, uint32_t n, inner_t *here) noexcept nogil:
    """Pop the label stack; what follows is told by its first nibble (RFC 3032, 4385)."""
    cdef bint bottom = False
    while not bottom:
        if n < here.at + 4:
            return LOST_SHORT
        bottom = d[here.at + 2] & 1
        here.at += 4
    if n < here.at + 1:
        return LOST_SHORT
    here.ethertype = ETHERNET
    if d[here.at] >> 4 == 4 or d[here.at] >> 4 == 6:
        here.ethertype = ETHERTYPE_IPV4
    elif d[here.at] >> 4 == 0:                          # pseudowire control word
        here.at += 4
    return FOUND


cdef int _pppoe(const uint8_t *d, uint32_t n, inner_t *here) noexcept nogil:
    """Session header (RFC 2516), then PPP's protocol number."""
    if n < here.at + 8:
        return LOST_SHORT
    if d[here.at] != 0x11 or d[here.at + 1] != 0:
        return LOST_NOT_IP
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
        return FOUND
    if protocol == 0x281:                               # MPLS over PPP
        here.ethertype = 0x8847
        return FOUND
    return LOST_NOT_IP


cdef int _inside_ip(
    const uint8_t *d, uint32_t n, const place_t *place, uint32_t tunnels, inner_t *here
) noexcept nogil:
    """The tunnel that an IP packet carries, or STOP."""
    cdef uint32_t at = place.transport
    here.at = at
    here.ethertype = ETHERTYPE_IPV4                     # the inner header tells its version
    if place.proto == 4 or place.proto == 41:
        return FOUND if tunnels & IPIP and n > at else STOP
    if place.proto == 47:
        return _gre(d, n, tunnels, here)
    if place.proto == 137 and tunnels & MPLS:           # MPLS in IP, RFC 4023
        here.ethertype = 0x8847
        return FOUND if n >= at + 4 else STOP
    if place.proto != 17 or n < at + 16:
        return STOP
    here.at = at + 8
    cdef uint16_t port = be16(d + at + 2)
    if (port == 4789 or port == 8472) and tunnels & VXLAN:
        if not d[here.at] & 8:                          # RFC 7348: the VNI flag must be set
            return STOP
        here.at += 8
        here.ethertype = ETHERNET
        return FOUND if n >= here.at + 14 else STOP
    if port == 6081 and tunnels & GENEVE:
        return _geneve(d, n, here)
    if port == 2152 and tunnels & GTP:
        return _gtp(d, n, here)
    return STOP


cdef int _geneve(const uint8_t *d, uint32_t n, inner_t *here) noexcept nogil:
    """RFC 8926: version 0, options in 4-byte units, an EtherType; OAM packets carry no user data."""
    if d[here.at] >> 6 or d[here.at + 1] & 0x80:
        return STOP
    here.ethertype = be16(d + here.at + 2)
    here.at += 8 + (d[here.at] & 0x3F) * 4
    return FOUND if n > here.at else STOP


cdef int _gtp(const uint8_t *d, uint32_t n, inner_t *here) noexcept nogil:
    """GTP-U version 1 (3GPP TS 29.281), G-PDU only; extension headers are stepped over."""
    cdef uint8_t flags = d[here.at]
    cdef uint8_t following = 0
    if flags >> 5 != 1 or not flags & 0x10 or d[here.at + 1] != 0xFF:
        return STOP
    here.at += 8
    if flags & 7:
        if n < here.at + 4:
            return STOP
        following = d[here.at + 3] if flags & 4 else 0
        here.at += 4
    while following:
        if n < here.at + 4 or d[here.at] == 0:
            return STOP
        if n < here.at + <uint32_t>d[here.at] * 4:
            return STOP
        here.at += <uint32_t>d[here.at] * 4
        following = d[here.at - 1]
    if n <= here.at or (d[here.at] >> 4 != 4 and d[here.at] >> 4 != 6):
        return STOP
    return FOUND


cdef int _gre(const uint8_t *d, uint32_t n, uint32_t tunnels, inner_t *here) noexcept nogil:
    """GRE (RFC 2784, 2890), its PPTP form (RFC 2637), and ERSPAN types I, II and III in it."""
    cdef uint8_t flags, version
    cdef uint32_t at = here.at
    if n < at + 4:
        return STOP
    flags = d[at]
    version = d[at + 1] & 7
    here.ethertype = be16(d + at + 2)
    at += 4
    if version == 1:
        at += 4                                         # payload length and call id
        at += 4 if flags & 0x10 else 0
        at += 4 if d[here.at + 1] & 0x80 else 0
        here.at = at
        if here.ethertype != 0x880B or not tunnels & GRE:
            return STOP
        return FOUND if _ppp(d, n, here) == FOUND else STOP
    if version != 0 or flags & 0x40:                    # routing: deprecated, never seen
        return STOP
    at += 4 if flags & 0x80 else 0
    at += 4 if flags & 0x20 else 0
    at += 4 if flags & 0x10 else 0
    here.at = at
    if here.ethertype == 0x88BE:
        here.at += 8 if flags & 0x10 else 0             # type I has neither sequence nor header
        here.ethertype = ETHERNET
        return FOUND if tunnels & ERSPAN and n >= here.at + 14 else STOP
    if here.ethertype == 0x22EB:
        if not tunnels & ERSPAN or n < at + 12:
            return STOP
        here.at += 12 + (8 if d[at + 11] & 1 else 0)    # the O bit: a platform subheader
        here.ethertype = ETHERNET
        return FOUND if n >= here.at + 14 else STOP
    return FOUND if tunnels & GRE and n > here.at else STOP
