"""Whether hosts of the watched networks are seen answering: a mirror may carry one direction only.

What counts is a SYN+ACK, or a reset that refuses a SYN (RFC 9293, 3.10.7.1: ACK set, sequence
number 0), from a watched address to one that is not. Other resets end connections, and pass where
answers do not when the two directions take different ways.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from darkflow.flow.batch cimport Packets
from darkflow.flow.layout cimport KIND_ANSWER, KIND_RESET, be32, key_of, row_t, tcp_at
from darkflow.flow.networks cimport Networks

cdef enum:
    ACK = 16


cdef class Answers:
    """See the stub."""

    cdef Networks networks
    cdef readonly uint64_t count
    cdef readonly int64_t first_ns

    def __init__(self, Networks networks):
        self.networks = networks

    def note(self, Packets packets):
        """See the stub."""
        cdef uint32_t i
        cdef const row_t *row
        with nogil:
            for i in range(packets.count):
                row = &packets.rows[i]
                if row.kind != KIND_ANSWER and row.kind != KIND_RESET:
                    continue
                if self._is_answer(row):
                    self.count += 1
                    if self.first_ns == 0:
                        self.first_ns = row.t_ns
        return packets

    cdef bint _is_answer(self, const row_t *row) noexcept nogil:
        cdef const uint8_t *tcp = row.head + tcp_at(row.family)
        cdef const uint8_t *key = key_of(row.head, row.family)
        if row.kind == KIND_RESET and (not tcp[13] & ACK or be32(tcp + 4) != 0):
            return False
        return self.networks.watches(key, row.family) and not self.networks.watches(
            key + (4 if row.family == 4 else 16), row.family
        )

    def forget(self):
        """See the stub."""
        self.first_ns = 0
