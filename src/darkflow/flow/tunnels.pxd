from libc.stdint cimport uint8_t, uint16_t, uint32_t
from darkflow.flow.layers cimport place_t

cdef int enter_tunnels(
    const uint8_t *d, uint32_t n, uint16_t ethertype, uint32_t at, uint32_t tunnels, place_t *place
) noexcept nogil
