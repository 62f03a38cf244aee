from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from darkflow.flow.batch cimport Events, Packets
from darkflow.flow.layout cimport attempt_t, event_t, row_t
from darkflow.flow.tally cimport Tally

cdef class Engine(Tally):
    cdef uint64_t key[2]
    cdef int64_t now_ns
    cdef uint64_t queue_size
    cdef uint64_t table_size
    cdef Events events
    cdef readonly bint tells
    cdef uint32_t _rows(self, Packets packets, uint32_t begin) except? 0 nogil
    cdef int _advance(self, int64_t now_ns) except -1 nogil
    cdef int _turn_dark(self, uint32_t number) except -1 nogil
    cdef int _end(self, uint32_t number, int64_t t_ns, uint8_t why) except -1 nogil
    cdef int _syn(self, const row_t *row, uint32_t hash) except -1 nogil
    cdef int _open(self, const row_t *row, uint32_t hash, uint32_t replaced) except -1 nogil
    cdef void _repeat(self, const row_t *row, attempt_t *a) noexcept nogil
    cdef int _answer(self, const row_t *row, uint32_t hash) except -1 nogil
    cdef int _unsolicited(self, const row_t *row) except -1 nogil
    cdef void _icmp(self, const row_t *row, uint32_t hash) noexcept nogil
    cdef int _emit(
        self, const attempt_t *a, uint8_t kind, int64_t t_ns, uint8_t detail
    ) except -1 nogil
