from libc.stdint cimport uint8_t
from darkflow.flow.layout cimport attempt_t

cdef enum:
    INBOUND = 0
    OUTBOUND = 1
    INTERNAL = 2
    TRANSIT = 3

cdef class Networks:
    cdef list kept
    cdef const uint8_t *table[2]
    cdef readonly tuple cidrs
    cdef bint contains(
        self, const uint8_t *table, const uint8_t *address, uint8_t family
    ) noexcept nogil
    cdef bint watches(self, const uint8_t *address, uint8_t family) noexcept nogil
    cdef int direction(self, const attempt_t *attempt) noexcept nogil
