# Which flow a packet row belongs to, and the numbers that tell its SYNs apart.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy
from darkflow.flow.hashing cimport siphash
from darkflow.flow.layout cimport (
    KIND_ANSWER, KIND_RESET, be16, be32, key_bytes, key_of, row_t, tcp_at,
)


cdef inline void reverse_key(const row_t *row, uint8_t *reverse) noexcept nogil:
    """Key of the reverse flow: of the attempt that an answer answers."""
    cdef const uint8_t *k = key_of(row.head, row.family)
    cdef int size = 4 if row.family == 4 else 16
    memcpy(reverse, k + size, size)
    memcpy(reverse + size, k, size)
    memcpy(reverse + 2 * size, k + 2 * size + 2, 2)
    memcpy(reverse + 2 * size + 2, k + 2 * size, 2)


cdef inline uint32_t hash_of(const row_t *row, const uint64_t *seed) noexcept nogil:
    """Hash of the flow that the row belongs to."""
    cdef uint8_t reverse[36]
    if row.kind == KIND_ANSWER or row.kind == KIND_RESET:
        reverse_key(row, reverse)
        return <uint32_t>siphash(reverse, key_bytes(row.family), seed)
    return <uint32_t>siphash(key_of(row.head, row.family), key_bytes(row.family), seed)


cdef inline uint32_t isn_of(const uint8_t *head, uint8_t family) noexcept nogil:
    return be32(head + tcp_at(family) + 4)


cdef inline uint16_t ip_id_of(const row_t *row) noexcept nogil:
    return be16(row.head + 4) if row.family == 4 else 0
