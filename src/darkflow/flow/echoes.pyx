"""The honeypot's own answers, seen again by a mirror: they are not the real host's.

A mirror sees what the honeypot sends on its way out. Its SYN+ACKs and RSTs would look like late
answers of the real host, and would cut every flow at once. They pass the honeypot's interface
first; what is seen there is remembered for a second by flow, sequence and acknowledgement number,
and taken out where it comes again. What the honeypot's interface shows itself concerns no engine.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy
from darkflow.flow.batch cimport Packets
from darkflow.flow.hashing cimport siphash
from darkflow.flow.layout cimport (
    KIND_ANSWER, KIND_RESET, key_bytes, key_of, row_t, tcp_at,
)

cdef enum:
    WAYS = 16                   # places of one hash: at 20,000 answers in a second 2.4 are taken
    ECHO_NS = 1_000_000_000

ctypedef struct seen_t:
    uint64_t hash
    int64_t t_ns


cdef class Echoes:
    """Takes the rows of the honeypot's interface and their echoes out of batches.

    source: number of that interface among the live ones. seed: 16 bytes, the hash's key. places:
    answers that are remembered, a power of two; when they are full the oldest of 16 is forgotten.
    """

    cdef seen_t *seen
    cdef uint64_t sets
    cdef uint64_t key[2]
    cdef uint32_t source
    cdef readonly uint64_t echoes
    cdef readonly uint64_t answers
    cdef readonly uint64_t forgotten

    def __cinit__(self, source, seed, places=1 << 17):
        if len(seed) != 16 or places < WAYS or places & (places - 1):
            raise ValueError("a seed of 16 bytes and a power of two of places")
        self.source = source
        self.sets = places // WAYS
        memcpy(self.key, <const uint8_t *>seed, 16)
        self.seen = <seen_t *>calloc(places, sizeof(seen_t))
        if self.seen == NULL:
            raise MemoryError("no memory for echoes")

    def __dealloc__(self):
        free(self.seen)

    def filter(self, Packets packets):
        """The same batch without them; rows must be in the order of time."""
        cdef uint32_t i
        cdef uint32_t left = 0
        cdef row_t *row
        with nogil:
            for i in range(packets.count):
                row = &packets.rows[i]
                if row.source == self.source:
                    if row.kind == KIND_ANSWER or row.kind == KIND_RESET:
                        self.answers += 1
                        self._remember(self._hash(row), row.t_ns)
                elif (row.kind == KIND_ANSWER or row.kind == KIND_RESET) and self._is_echo(row):
                    self.echoes += 1
                else:
                    if left != i:
                        packets.rows[left] = row[0]
                    left += 1
        packets.count = left
        return packets

    cdef uint64_t _hash(self, const row_t *row) noexcept nogil:
        """Of the flow, sequence and acknowledgement number and the kind."""
        cdef uint8_t told[45]
        cdef int size = key_bytes(row.family)
        memcpy(told, key_of(row.head, row.family), size)
        memcpy(told + size, row.head + tcp_at(row.family) + 4, 8)
        told[size + 8] = row.kind
        return siphash(told, size + 9, self.key)

    cdef void _remember(self, uint64_t hash, int64_t t_ns) noexcept nogil:
        cdef seen_t *place = &self.seen[(hash & (self.sets - 1)) * WAYS]
        cdef seen_t *oldest = place
        cdef int way
        for way in range(WAYS):
            if place[way].hash == hash:
                oldest = &place[way]
                break
            if place[way].t_ns < oldest.t_ns:
                oldest = &place[way]
        if oldest.hash and oldest.hash != hash and t_ns - oldest.t_ns <= ECHO_NS:
            self.forgotten += 1
        oldest.hash = hash
        oldest.t_ns = t_ns

    cdef bint _is_echo(self, const row_t *row) noexcept nogil:
        cdef uint64_t hash = self._hash(row)
        cdef seen_t *place = &self.seen[(hash & (self.sets - 1)) * WAYS]
        cdef int way
        for way in range(WAYS):
            if place[way].hash == hash and row.t_ns - place[way].t_ns <= ECHO_NS:
                return True
        return False
