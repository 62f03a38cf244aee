"""Frames to packet rows: finds the TCP header, keeps what the engine needs, counts the rest.

Only SYNs, answers (SYN+ACK), resets and ICMP errors that quote a TCP packet become rows; everything
else is counted. The outermost TCP header behind VLAN tags counts, unless tunnels are to be entered.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from darkflow.flow.batch cimport Frames, Packets
from darkflow.flow.kept cimport KeptFrames, is_larger
from darkflow.flow.layers cimport (
    ETHERTYPE_IPV4, ETHERTYPE_IPV6, FOUND, LOST_FRAGMENT, LOST_LINK_TYPE, LOST_MALFORMED,
    LOST_NO_TIME, LOST_NOT_IP, LOST_NOT_TCP, LOST_SHORT, PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP,
    PROTO_UDP, ip_header, link_header, place_t, skip_vlans,
)
from darkflow.flow.layout cimport (
    CLAMPED, HEAD_BYTES, KIND_ANSWER, KIND_ICMP, KIND_RESET, KIND_SYN, MAX_FRAMES, REPORTER_AT,
    be16, frame_t, row_t, tcp_at,
)
from darkflow.flow.tunnels cimport enter_tunnels
from darkflow.flow.tunnels import tunnel_mask

# In the order of the LOST_ numbers in layers.pxd.
LOST_NAMES = (
    "", "no_time", "link_type", "not_ip", "not_tcp", "fragment", "short", "malformed",
)
# A capture with more unknown link types than this is nonsense; the rest are counted together.
MAX_LINK_TYPES = 64


cdef inline int locate(
    const frame_t *f, uint32_t tunnels, place_t *place
) noexcept nogil:
    """Offsets of the IP and transport headers that count."""
    cdef uint16_t ethertype
    cdef uint32_t at
    cdef int lost = link_header(f.data, f.caplen, f.link, &ethertype, &at)
    if lost:
        return lost
    if ethertype != 0:
        if ethertype != ETHERTYPE_IPV4 and ethertype != ETHERTYPE_IPV6:
            lost = skip_vlans(f.data, f.caplen, &ethertype, &at)
            if lost:
                return lost
        if ethertype != ETHERTYPE_IPV4 and ethertype != ETHERTYPE_IPV6:
            if tunnels:
                return enter_tunnels(f.data, f.caplen, ethertype, at, tunnels, place)
            return LOST_NOT_IP
    elif f.link == 1 or f.link == 113 or f.link == 276:
        return LOST_NOT_IP
    lost = ip_header(f.data, f.caplen, at, place)
    if lost == FOUND and tunnels and place.proto != PROTO_TCP:
        return enter_tunnels(f.data, f.caplen, ETHERTYPE_IPV4, at, tunnels, place)
    return lost


cdef inline void copy_headers(
    const uint8_t *d, const place_t *place, uint32_t transport_bytes, row_t *row
) noexcept nogil:
    cdef int size = tcp_at(place.family)
    memcpy(row.head, d + place.ip, size)
    memcpy(row.head + size, d + place.transport, transport_bytes)
    row.family = place.family
    row.tcp_len = <uint8_t>transport_bytes


cdef uint16_t payload_of(const uint8_t *d, const place_t *place) noexcept nogil:
    """Bytes behind the TCP header as the IP header tells; 0 where it tells nothing (offload)."""
    cdef const uint8_t *ip = d + place.ip
    cdef int end
    if place.family == 4:
        end = be16(ip + 2)
    else:
        end = be16(ip + 4) + 40
        if end == 40:
            return 0
    cdef int begin = <int>(place.transport - place.ip) + (d[place.transport + 12] >> 4) * 4
    return <uint16_t>(end - begin) if end > begin else 0


cdef bint quoted_tcp(const frame_t *f, const place_t *place, row_t *row) noexcept nogil:
    """Fill a row from an ICMP error that quotes a TCP packet (RFC 792, RFC 4443)."""
    cdef const uint8_t *d = f.data
    cdef uint32_t n = f.caplen
    cdef uint32_t at = place.transport
    cdef uint8_t kind
    cdef place_t quoted
    if n < at + 8:
        return False
    kind = d[at]
    if place.family == 4:
        # Unreachable, source quench, time exceeded, parameter problem.
        if place.proto != PROTO_ICMP or not (kind == 3 or kind == 4 or kind == 11 or kind == 12):
            return False
    elif place.proto != PROTO_ICMPV6 or kind < 1 or kind > 4:
        return False
    if ip_header(d, n, at + 8, &quoted) != FOUND or quoted.proto != PROTO_TCP:
        return False
    if n < quoted.transport + 8:                        # ports and sequence number
        return False
    copy_headers(d, &quoted, 8, row)
    if place.family == 4:
        memcpy(row.head + REPORTER_AT, d + place.ip + 12, 4)
    else:
        memcpy(row.head + REPORTER_AT, d + place.ip + 8, 16)
    row.kind = KIND_ICMP
    row.icmp_type = kind
    row.icmp_code = d[at + 1]
    return True


cdef inline int decode_one(
    const frame_t *f, uint32_t tunnels, counts_t *counts, row_t *row
) noexcept nogil:
    """1: a row was filled, 0: the packet is counted only, or -(why there is no TCP header)."""
    cdef place_t place
    cdef const uint8_t *d = f.data
    cdef const uint8_t *tcp
    cdef uint32_t header
    cdef uint8_t flags
    cdef int lost = locate(f, tunnels, &place)
    if lost:
        return -lost
    if place.proto != PROTO_TCP:
        if place.proto == PROTO_ICMP or place.proto == PROTO_ICMPV6:
            if quoted_tcp(f, &place, row):
                counts.icmp_errors += 1
                counts.lost[LOST_NOT_TCP] += 1
                return 1
        return -LOST_NOT_TCP
    if f.caplen < place.transport + 14:
        return -LOST_SHORT
    tcp = d + place.transport
    if tcp[12] >> 4 < 5:
        return -LOST_MALFORMED
    counts.tcp += 1
    flags = tcp[13]
    if flags & 4:
        counts.rst += 1
        row.kind = KIND_RESET
    elif flags & 2 == 0:
        return 0
    elif flags & 16:
        counts.synack += 1
        row.kind = KIND_ANSWER
    else:
        counts.syn += 1
        row.kind = KIND_SYN
    header = (tcp[12] >> 4) * 4
    if header > f.caplen - place.transport:
        header = f.caplen - place.transport
    copy_headers(d, &place, header, row)
    if row.kind == KIND_SYN:
        row.payload_bytes = payload_of(d, &place)
        row.ip_at = <uint16_t>place.ip if place.ip <= 0xFFFF else 0
    return 1


cdef inline bint is_boring(const frame_t *f, counts_t *counts) noexcept nogil:
    """Count what most packets are: TCP without SYN and RST, or UDP, without options before it.

    Which of them a packet is cannot be predicted, so there is no branch on it. False: look closely.
    """
    cdef const uint8_t *d = f.data
    cdef uint32_t at
    cdef uint8_t proto
    cdef uint32_t v4, v6, plain, tcp
    if f.link != 1 or f.caplen < 54 + 14 or not f.timed:
        return False
    v4 = (d[12] == 0x08) & (d[13] == 0x00) & (d[14] == 0x45) & (((d[20] & 0x1F) | d[21]) == 0)
    v6 = (d[12] == 0x86) & (d[13] == 0xDD) & (d[14] >> 4 == 6)
    at = 34 + 20 * v6
    proto = d[23 - 3 * v6]
    tcp = proto == PROTO_TCP
    plain = (d[at + 13] & 6 == 0) & (d[at + 12] >= 0x50)
    if not ((v4 | v6) & ((tcp & plain) | (proto == PROTO_UDP))):
        return False
    counts.tcp += tcp
    counts.lost[LOST_NOT_TCP] += not tcp
    return True


cdef class Decoder:
    """Turns batches of frames into rows and counts every packet exactly once.

    `tunnels`: names of encapsulations to enter (see tunnels.pyx); `kept`: where whole SYN frames
    are kept, if anybody wants them.
    """

    def __init__(self, tunnels=(), KeptFrames kept=None):
        self.tunnels = tunnel_mask(tunnels)
        self.kept = kept
        self.out = Packets(MAX_FRAMES)
        self.link_types = {}
        memset(&self.counts, 0, sizeof(counts_t))

    def decode(self, Frames frames):
        """Rows of one batch; they are valid until the next call."""
        with nogil:
            self._decode_all(frames)
        self.out.now_ns = frames.now_ns
        return self.out

    cdef int _decode_all(self, Frames frames) except -1 nogil:
        cdef uint32_t i
        cdef uint32_t count = 0
        cdef int got
        cdef const frame_t *f
        cdef row_t *row
        self.counts.packets += frames.count
        for i in range(frames.count):
            f = &frames.frames[i]
            if not self.tunnels and is_boring(f, &self.counts):
                continue
            if not f.timed:
                self.counts.lost[LOST_NO_TIME] += 1
                continue
            row = &self.out.rows[count]
            row.payload_bytes = 0
            got = decode_one(f, self.tunnels, &self.counts, row)
            if got < 0:
                self.counts.lost[-got] += 1
                if got == -LOST_LINK_TYPE:
                    with gil:
                        self._unknown_link(f.link)
            elif got:
                row.t_ns = f.t_ns
                row.source = f.source
                row.digits = f.digits
                row.kept = NULL
                if self.kept is not None and row.kind == KIND_SYN:
                    if not self.kept.only_larger or is_larger(row):
                        row.kept = self.kept.copy(
                            f, row, frames.told_ns[i] if f.timed == CLAMPED else f.t_ns
                        )
                count += 1
        self.out.count = count
        return 0

    cdef int _unknown_link(self, uint32_t link) except -1:
        name = link if link in self.link_types or len(self.link_types) < MAX_LINK_TYPES else -1
        self.link_types[name] = self.link_types.get(name, 0) + 1
        return 0

    @property
    def counters(self):
        """packets = tcp + the sum of `undecoded`, whose link types are told by number."""
        c = self.counts
        undecoded = {name: c.lost[i] for i, name in enumerate(LOST_NAMES) if i}
        del undecoded["link_type"]
        for link, count in sorted(self.link_types.items()):
            undecoded[f"link_type_{link}" if link >= 0 else "link_type_other"] = count
        return {
            "packets": c.packets, "tcp": c.tcp, "syn": c.syn, "synack": c.synack, "rst": c.rst,
            "icmp_errors": c.icmp_errors, "undecoded": undecoded,
        }
