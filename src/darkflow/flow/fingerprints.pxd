from libc.stdint cimport int64_t, uint32_t, uint64_t
from darkflow.flow.attempts cimport attempts_t
from darkflow.flow.layout cimport attempt_t
from darkflow.flow.tools cimport source_t

cdef class Fingerprints:
    cdef source_t *sources
    cdef uint64_t capacity, count, limit, hand
    cdef uint64_t *index            # hash << 32 | number of the source; 0 is empty
    cdef uint32_t mask
    cdef uint64_t key[2]
    cdef bint unicornscan           # somebody's SYNs have had its key: others' may have too
    cdef readonly uint64_t dropped
    cdef void ahead(self, const attempts_t *table) noexcept nogil
    cdef void _expect(self, attempt_t *a) noexcept nogil
    cdef void note(self, attempt_t *a, int64_t now_ns) noexcept nogil
    cdef void note_held(self, const attempts_t *table, int64_t now_ns) noexcept nogil
    cdef bint look(self, attempt_t *a) noexcept nogil
    cdef source_t *_find(self, const attempt_t *a) noexcept nogil
    cdef source_t *_enter(self, const attempt_t *a, uint32_t now_s) noexcept nogil
    cdef bint _grow(self) noexcept nogil
    cdef uint64_t _replaced(self, uint32_t now_s) noexcept nogil
    cdef void _leave(self, uint64_t number) noexcept nogil
