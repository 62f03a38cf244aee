# The rows that pass from stage to stage: one C struct per row, no Python object per packet.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "<stdint.h>":
    int64_t NO_TIME "INT64_MIN"     # before any packet

cdef enum:
    HEAD_BYTES = 100        # a fixed IPv6 header (40) and the longest TCP header (60)
    REPORTER_AT = 84        # in the head of an ICMP row: the address that sent the error
    MAX_FRAMES = 16384      # frames in one batch

cdef enum:
    NOT_TIMED = 0           # the capture gives no time (pcapng simple packet block)
    TIMED = 1
    CLAMPED = 2             # t_ns is later than the capture says: time must not run backwards

# What a packet is to the engine.
cdef enum:
    KIND_SYN = 1            # SYN set, ACK clear, RST clear
    KIND_ANSWER = 2         # SYN and ACK set, RST clear
    KIND_RESET = 3          # RST set
    KIND_ICMP = 4           # an ICMP or ICMPv6 error that quotes a TCP packet

# Where an attempt stands; see the transition table in engine.pyx.
cdef enum:
    STATE_FREE = 0
    STATE_HELD = 1
    STATE_ANSWERED = 2
    STATE_REFUSED = 3
    STATE_DARK = 4

cdef enum:
    EVENT_DARK = 1          # the verdict: T has passed without an answer
    EVENT_END = 2           # the dark flow's record is complete
    EVENT_LATE = 3          # an answer after the verdict
    EVENT_UNDECIDED = 4     # the input has ended before the verdict
    # Only from an engine that is asked for them:
    EVENT_REACHED = 5       # an answer or a reset in time: somebody is there
    EVENT_UNSOLICITED = 6   # an answer to nothing; its attempt is that packet, from who sent it

# Why a dark flow's record closed.
cdef enum:
    END_IDLE = 1
    END_LATE_ANSWER = 2
    END_TABLE_FULL = 3
    END_OF_CAPTURE = 4

# What became of a SYN frame that is kept for dark.pcap.
cdef enum:
    KEPT_PENDING = 0
    KEPT_DARK = 1
    KEPT_NOT = 2


ctypedef struct frame_t:            # captured bytes; data is valid until the source's next turn
    int64_t t_ns
    const uint8_t *data
    uint32_t caplen
    uint32_t origlen
    uint32_t link
    uint16_t source                 # which of several files or interfaces
    uint8_t digits                  # decimal digits of a second that the capture tells
    uint8_t timed                   # NOT_TIMED, TIMED or CLAMPED


ctypedef struct kept_t:             # a copy of a SYN's frame, in a list by time
    kept_t *next                    # the frame after it in time
    kept_t *same                    # the frame before it in the same attempt
    int64_t t_ns
    uint32_t caplen
    uint32_t origlen
    uint32_t link
    uint16_t ip_at                  # where the IP header that counts begins; 0: not told
    uint8_t digits
    uint8_t verdict
    uint8_t data[1]


ctypedef struct row_t:              # one decoded packet, 128 bytes
    int64_t t_ns
    kept_t *kept
    uint16_t payload_bytes
    uint16_t source
    uint8_t kind
    uint8_t family                  # 4 or 6
    uint8_t tcp_len                 # captured bytes of the TCP header in head
    uint8_t digits
    uint8_t icmp_type
    uint8_t icmp_code
    uint16_t ip_at                  # of a SYN: where its IP header begins in the frame; 0: far off
    # The fixed IP header and, right behind it, the TCP header: IPv4 options and IPv6 extension
    # headers are left out, so that addresses and ports stand together at a constant place.
    uint8_t head[HEAD_BYTES]


ctypedef struct attempt_t:          # one slot: a line of state, two lines of the SYN itself
    int64_t t0_ns
    int64_t last_syn_ns
    uint64_t number                 # counts attempts from 1
    kept_t *kept
    uint32_t hash
    uint32_t syn_count
    uint32_t new_isn_count
    uint32_t duplicate_count
    uint32_t prev
    uint32_t next
    uint16_t payload_bytes
    uint16_t last_ip_id
    uint8_t state
    uint8_t family
    uint8_t tcp_len
    uint8_t digits
    uint8_t head[HEAD_BYTES]
    uint8_t reporter[16]
    uint8_t icmp_known
    uint8_t icmp_type
    uint8_t icmp_code
    uint8_t icmp_family
    uint8_t changed                 # something came after the verdict: a SYN, a reason, a tool
    uint8_t tool                    # who sent the SYN, and how sure that is: tools.pxd
    uint8_t sureness
    uint8_t hold                    # for how long it is held: queues.pxd
    uint32_t source_hash            # of what is remembered of its source; 0: nothing


ctypedef struct event_t:            # an attempt as it stood when the event happened
    attempt_t attempt
    int64_t t_ns                    # verdict, end or late answer, network time
    uint8_t kind
    uint8_t detail                  # EVENT_END: why; of an answer: KIND_ANSWER or KIND_RESET
    uint8_t digits                  # precision of t_ns
    uint8_t spare[5]
    int64_t hold_ns                 # for how long its SYN was held, at most: T or less


cdef inline const uint8_t *key_of(const uint8_t *head, uint8_t family) noexcept nogil:
    """Source address, destination address, source port, destination port: contiguous."""
    return head + 12 if family == 4 else head + 8


cdef inline int key_bytes(uint8_t family) noexcept nogil:
    return 12 if family == 4 else 36


cdef inline int tcp_at(uint8_t family) noexcept nogil:
    return 20 if family == 4 else 40


cdef inline uint16_t be16(const uint8_t *p) noexcept nogil:
    return <uint16_t>(p[0] << 8 | p[1])


cdef inline uint32_t be32(const uint8_t *p) noexcept nogil:
    return (<uint32_t>p[0] << 24) | (<uint32_t>p[1] << 16) | (<uint32_t>p[2] << 8) | p[3]
