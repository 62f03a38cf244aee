from libc.stdint cimport int64_t, uint64_t

cdef enum:
    MAX_BINS = 96

cdef class Delays:
    cdef int64_t *samples
    cdef uint64_t capacity
    cdef uint64_t sample_limit
    cdef int64_t edges[MAX_BINS]
    cdef int edge_count
    cdef uint64_t bins[MAX_BINS]
    cdef readonly uint64_t count
    cdef readonly int64_t max_ns
    cdef readonly double sum_ns
    cdef void add(self, int64_t delay_ns) noexcept nogil
    cdef int64_t _select(self, int64_t rank) noexcept nogil
