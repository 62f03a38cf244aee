from libc.stdint cimport int64_t, uint32_t, uint64_t
from darkflow.flow.batch cimport Packets
from darkflow.flow.layout cimport row_t

cdef class Reorder:
    cdef row_t *rows
    cdef uint64_t capacity
    cdef uint64_t begin
    cdef uint64_t end
    cdef bint sorted
    cdef int64_t horizon_ns
    cdef readonly int64_t reorder_ns
    cdef readonly uint64_t limit
    cdef readonly uint64_t clamped
    cdef Packets out
    cdef Packets _give(self, uint64_t until)
    cdef int _room(self, uint64_t more) except -1
    cdef row_t oldest               # the first in time of those that came out of order
    cdef uint64_t _first_behind(self, uint64_t end) noexcept nogil
    cdef int _sort(self, uint64_t sorted_end) except -1
    cdef void _append(self, Packets packets) noexcept nogil
    cdef uint64_t _before(self, int64_t t_ns) noexcept nogil
