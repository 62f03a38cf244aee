from libc.stdint cimport int64_t, uint64_t
from darkflow.flow.layout cimport frame_t, kept_t, row_t

cdef class KeptFrames:
    cdef kept_t *head
    cdef kept_t *tail
    cdef readonly uint64_t bytes_held
    cdef readonly uint64_t limit_bytes
    cdef readonly uint64_t dropped
    cdef readonly bint only_larger
    cdef kept_t *copy(self, const frame_t *frame, const row_t *row, int64_t t_ns) noexcept nogil
    cdef void link(self, kept_t *kept) noexcept nogil
    cdef void _free_head(self) noexcept nogil


cdef inline void judge(kept_t *last, unsigned char verdict) noexcept nogil:
    """Give one verdict to all frames of an attempt."""
    while last != NULL:
        last.verdict = verdict
        last = last.same


cdef inline bint is_larger(const row_t *row) noexcept nogil:
    """Whether a SYN is more than the two headers in its row: options, extension headers, payload."""
    if row.payload_bytes:
        return True
    return row.head[0] & 15 != 5 if row.family == 4 else row.head[6] != 6
