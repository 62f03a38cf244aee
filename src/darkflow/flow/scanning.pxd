# What is known of one source of dark flows, or of one who was only answered so far; see scans.pyx.

from libc.stdint cimport int8_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from darkflow.flow.distinct cimport set_t
from darkflow.flow.layout cimport attempt_t
from darkflow.flow.most cimport senders_t
from darkflow.flow.networks cimport TRANSIT
from darkflow.flow.pool cimport entry_t
from darkflow.flow.tops cimport tops_t

cdef enum:
    DARK = 1                        # kinds of things that are told apart
    LIVE = 2
    PORT = 3
    PAIR = 4
    SOURCE = 5                      # address within a prefix
    OUTSIDE = 6                     # dark host outside of a source of our own: one of DARK
    KINDS = 7
    # Lists, in the order in which their sources make room; three of IPv4, then three of IPv6.
    ANSWERED = 0                    # without a dark flow: no scan is lost with them
    NEW = 1                         # with one dark target
    KNOWN = 2
    LISTS_EACH = 3


ctypedef struct source_t:
    entry_t entry
    set_t seen
    int64_t start_ns                # first and last SYN of dark flows
    int64_t last_ns
    uint64_t dark_flows
    uint64_t live_flows
    uint64_t packets
    uint32_t flows_by[TRANSIT + 1]  # dark flows by direction
    uint16_t counts[KINDS]          # that the exact set has told apart: at most MOST_HASHES
    tops_t tops
    senders_t senders
    int8_t walk
    uint8_t trw
    uint8_t begun
    uint8_t sketched
    uint8_t inside_told


ctypedef struct flow_t:             # an attempt, with the hashes of what it may be the first with
    const attempt_t *attempt
    uint64_t hashes[OUTSIDE]
    uint16_t port
    uint8_t direction               # of a dark one
    bint dark
    bint whole                      # it counts for its source's whole address, not for a prefix


cdef inline uint8_t list_of(const source_t *s) noexcept nogil:
    cdef uint8_t first = LISTS_EACH if s.entry.family == 6 else 0
    if s.dark_flows == 0:
        return first + ANSWERED
    return first + (KNOWN if s.begun or s.counts[PAIR] > 1 else NEW)


cdef inline int main_direction(const source_t *s) noexcept nogil:
    """That of most dark flows; of equals the first of networks.DIRECTIONS."""
    cdef int most = 0
    cdef int i
    for i in range(1, TRANSIT + 1):
        if s.flows_by[i] > s.flows_by[most]:
            most = i
    return most
