"""Which addresses have been seen sending: for telling a mirror that loses one direction.

A host that sends is there and its packets pass us, so its answers would pass us too. If what it is
asked stays dark nearly always, they do not. Addresses are kept as bits of two windows, this one and
the one before; a source address of a SYN, an answer or a reset counts.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from darkflow.flow.batch cimport Events, Packets
from darkflow.flow.layout cimport EVENT_DARK, KIND_ICMP, key_of

cdef enum:
    BITS = 1 << 20
    # With more of them set, an address that was never seen is too often taken for another.
    MOST_SET = BITS >> 4


cdef inline uint32_t _bit_of(const uint8_t *address, uint8_t family) noexcept nogil:
    cdef uint64_t word[2]
    if family == 4:
        word[0] = word[1] = 0
        memcpy(word, address, 4)
    else:
        memcpy(word, address, 16)
    word[0] = (word[0] ^ (word[1] * 0x9E3779B97F4A7C15ULL)) * 0xD6E8FEB86659FD93ULL
    return <uint32_t>(word[0] >> 44)


cdef class Senders:
    """Addresses that send, and dark flows to them, since the last `turn`."""

    def __cinit__(self):
        self.fresh = <uint8_t *>calloc(BITS // 8, 1)
        self.old = <uint8_t *>calloc(BITS // 8, 1)
        if self.fresh == NULL or self.old == NULL:
            raise MemoryError("no memory for the mirror check")

    def __dealloc__(self):
        free(self.fresh)
        free(self.old)

    def note(self, Packets packets):
        """Note the sources of a batch of rows; the batch as it came."""
        with nogil:
            self._note(packets)
        return packets

    cdef void _note(self, Packets packets) noexcept nogil:
        cdef uint32_t i, bit
        cdef uint8_t mask
        if self.set_bits > MOST_SET:
            # Nothing can be told of this window any more, so a flood is not looked at.
            return
        for i in range(packets.count):
            if packets.rows[i].kind == KIND_ICMP:
                continue
            bit = _bit_of(
                key_of(packets.rows[i].head, packets.rows[i].family), packets.rows[i].family
            )
            mask = <uint8_t>(1 << (bit & 7))
            if not self.fresh[bit >> 3] & mask:
                self.fresh[bit >> 3] |= mask
                self.set_bits += 1

    def count(self, Events events):
        """Count those dark flows of a batch whose destination has been seen sending."""
        cdef uint32_t i, bit
        cdef uint8_t mask, family
        for i in range(events.count):
            if events.events[i].kind != EVENT_DARK:
                continue
            family = events.events[i].attempt.family
            bit = _bit_of(
                key_of(events.events[i].attempt.head, family) + (4 if family == 4 else 16), family
            )
            mask = <uint8_t>(1 << (bit & 7))
            if (self.fresh[bit >> 3] | self.old[bit >> 3]) & mask:
                self.dark_at_senders += 1

    def turn(self):
        """A new window; (dark flows to senders, whether they can be told) of the one that ends."""
        told = self.dark_at_senders, self.set_bits + self.old_bits <= MOST_SET
        self.fresh, self.old = self.old, self.fresh
        memset(self.fresh, 0, BITS // 8)
        self.old_bits, self.set_bits = self.set_bits, 0
        self.dark_at_senders = 0
        return told
