# Walks from the link layer to the transport header; every length is checked before it is read.

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from darkflow.flow.layout cimport be16

# Why a frame gave no TCP header. Packets in = TCP + each of these.
cdef enum:
    FOUND = 0
    LOST_NO_TIME = 1        # pcapng simple packet block: no time, so nothing can be judged
    LOST_LINK_TYPE = 2
    LOST_NOT_IP = 3
    LOST_NOT_TCP = 4
    LOST_FRAGMENT = 5       # a fragment other than the first
    LOST_SHORT = 6          # captured bytes end before the TCP flags
    LOST_MALFORMED = 7
    LOST_KINDS = 8

cdef enum:
    ETHERTYPE_IPV4 = 0x0800
    ETHERTYPE_IPV6 = 0x86DD
    PROTO_ICMP = 1
    PROTO_TCP = 6
    PROTO_UDP = 17
    PROTO_ICMPV6 = 58


ctypedef struct place_t:            # where the headers of one packet lie
    uint32_t ip
    uint32_t transport
    uint8_t family
    uint8_t proto


cdef inline int link_header(
    const uint8_t *d, uint32_t n, uint32_t link, uint16_t *ethertype, uint32_t *at
) noexcept nogil:
    """Network protocol and its offset for one link type; 0 as protocol means any IP."""
    ethertype[0] = 0
    if link == 1:                                       # Ethernet
        if n < 14:
            return LOST_SHORT
        ethertype[0] = be16(d + 12)
        at[0] = 14
    elif link == 12 or link == 14 or link == 101 or link == 228 or link == 229:     # raw IP
        at[0] = 0
    elif link == 0 or link == 108:                      # BSD loopback: a host-order family
        if n < 4:
            return LOST_SHORT
        if not (d[1] == 0 and d[2] == 0 and (
            (d[3] == 0 and _is_family(d[0])) or (d[0] == 0 and _is_family(d[3]))
        )):
            return LOST_NOT_IP
        at[0] = 4
    elif link == 113:                                   # Linux cooked
        if n < 16:
            return LOST_SHORT
        ethertype[0] = be16(d + 14)
        at[0] = 16
    elif link == 276:                                   # Linux cooked, version 2
        if n < 20:
            return LOST_SHORT
        ethertype[0] = be16(d)
        at[0] = 20
    else:
        return LOST_LINK_TYPE
    return FOUND


cdef inline bint _is_family(uint8_t family) noexcept nogil:
    """AF_INET, and AF_INET6 of NetBSD, FreeBSD, Darwin, Linux."""
    return family == 2 or family == 24 or family == 28 or family == 30 or family == 10


cdef inline bint is_vlan(uint16_t ethertype) noexcept nogil:
    return (
        ethertype == 0x8100 or ethertype == 0x88A8
        or ethertype == 0x9100 or ethertype == 0x9200 or ethertype == 0x9300
    )


cdef inline int skip_vlans(
    const uint8_t *d, uint32_t n, uint16_t *ethertype, uint32_t *at
) noexcept nogil:
    """Step over any number of VLAN tags."""
    while is_vlan(ethertype[0]):
        if n < at[0] + 4:
            return LOST_SHORT
        ethertype[0] = be16(d + at[0] + 2)
        at[0] += 4
    return FOUND


cdef inline int ip_header(
    const uint8_t *d, uint32_t n, uint32_t at, place_t *place
) noexcept nogil:
    """Fill `place` from the IP header at `at`; the version in the header counts (RFC 791, 8200)."""
    cdef uint32_t size
    place.ip = at
    if n < at + 1:
        return LOST_SHORT
    if d[at] >> 4 == 4:
        if n < at + 20:
            return LOST_SHORT
        size = (d[at] & 15) * 4
        if size < 20:
            return LOST_MALFORMED
        if be16(d + at + 6) & 0x1FFF:
            return LOST_FRAGMENT
        place.family = 4
        place.proto = d[at + 9]
        place.transport = at + size
        return FOUND
    if d[at] >> 4 == 6:
        return _ipv6_header(d, n, at, place)
    return LOST_MALFORMED


cdef inline int _ipv6_header(
    const uint8_t *d, uint32_t n, uint32_t at, place_t *place
) noexcept nogil:
    cdef uint32_t p = at + 40
    cdef uint8_t proto
    if n < p:
        return LOST_SHORT
    proto = d[at + 6]
    # Each header is at least 8 bytes long, so the captured length bounds this loop.
    while proto == 0 or proto == 43 or proto == 60 or proto == 135 or proto == 44 or proto == 51:
        if n < p + 8:
            return LOST_SHORT
        if proto == 44:                                 # fragment
            if be16(d + p + 2) & 0xFFF8:
                return LOST_FRAGMENT
            proto = d[p]
            p += 8
        elif proto == 51:                               # authentication header: 4-byte units
            proto = d[p]
            p += (<uint32_t>d[p + 1] + 2) * 4
        else:                                           # hop-by-hop, routing, destination, mobility
            proto = d[p]
            p += 8 + <uint32_t>d[p + 1] * 8
    place.family = 6
    place.proto = proto
    place.transport = p
    return FOUND
