from libc.stdint cimport uint8_t, uint32_t, uint64_t
from darkflow.flow.batch cimport Packets

cdef class Senders:
    cdef uint8_t *fresh
    cdef uint8_t *old
    cdef uint32_t set_bits
    cdef uint32_t old_bits
    cdef uint64_t dark_at_senders
    cdef void _note(self, Packets packets) noexcept nogil
