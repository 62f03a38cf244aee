from libc.stdint cimport int64_t, uint64_t
from darkflow.flow.layout cimport frame_t, kept_t

cdef class KeptFrames:
    cdef kept_t *head
    cdef kept_t *tail
    cdef readonly uint64_t bytes_held
    cdef readonly uint64_t limit_bytes
    cdef readonly uint64_t dropped
    cdef kept_t *copy(self, const frame_t *frame, int64_t t_ns) noexcept nogil
    cdef void link(self, kept_t *kept) noexcept nogil
    cdef void _free_head(self) noexcept nogil


cdef inline void judge(kept_t *last, unsigned char verdict) noexcept nogil:
    """Give one verdict to all frames of an attempt."""
    while last != NULL:
        last.verdict = verdict
        last = last.same
