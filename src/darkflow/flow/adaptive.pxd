# Which destinations have been dark often and long, and for how short a time their SYNs are held.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from darkflow.flow.attempts cimport LEVELS
from darkflow.flow.layout cimport attempt_t, row_t
from darkflow.flow.networks cimport Networks

cdef enum:
    MOST_FALSE = 16
    HEARD_WAYS = 3

ctypedef struct silent_t:           # one address and port, and its dark flows in a row
    uint64_t tag                    # 0: free
    int64_t since_ns                # first verdict
    int64_t last_ns                 # last verdict
    uint64_t flows

ctypedef struct heard_t:            # a cache line: addresses that were heard
    uint64_t tag[HEARD_WAYS]        # 0: free
    int64_t last_ns[HEARD_WAYS]
    int64_t forgotten_ns            # the last time that one was heard that had to make room
    uint64_t forgotten

cdef class Adaptive:
    cdef Networks networks
    cdef readonly int64_t hold_ns
    cdef int64_t holds[2 + 2 * LEVELS]      # by attempt_t.hold
    cdef int64_t long_ns, alive_ns
    cdef int64_t first_ns                   # the first SYN or answer
    cdef bint listened                      # alive_ns has passed since then
    cdef readonly int levels, level
    cdef readonly uint64_t listed, early, false_dark, unwatched, evicted
    cdef uint64_t often
    cdef uint64_t key[2]
    cdef uint64_t cases, most_cases         # what the level is chosen from
    cdef uint64_t falses[LEVELS]
    cdef uint64_t needed[MOST_FALSE]
    cdef uint64_t silent_sets, heard_sets
    cdef silent_t *silent
    cdef heard_t *heard
    cdef silent_t *_silent(self, uint64_t tag) noexcept nogil
    cdef bint _alive(self, const uint8_t *address, uint8_t family, int64_t t_ns) noexcept nogil
    cdef void _listen(self, int64_t t_ns) noexcept nogil
    cdef void _govern(self) noexcept nogil
    cdef void forget(self) noexcept nogil
    cdef uint8_t judge(self, const row_t *row) noexcept nogil
    cdef bint holds_on(self, const attempt_t *a, int64_t t_ns) noexcept nogil
    cdef void hear(self, const row_t *row) noexcept nogil
    cdef void answered(self, const attempt_t *a, int64_t t_ns) noexcept nogil
    cdef void dark(self, const attempt_t *a, int64_t t_ns) noexcept nogil
    cdef void ended(self, const attempt_t *a, int64_t t_ns) noexcept nogil
