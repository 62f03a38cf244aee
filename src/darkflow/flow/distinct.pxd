# How many different things there were: a small exact set of keyed hashes. What does not fit into it
# goes to a sketch (sketches.py); the set then keeps the sketch from seeing the same again.

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free

cdef enum:
    FIRST_HASHES = 8
    MOST_HASHES = 512               # of one set; above any threshold that can be set
    # The lowest bits of a hash say what kind of thing it stands for.
    KIND_BITS = 3

ctypedef struct set_t:
    uint64_t *hashes                # 0 is empty
    uint32_t mask
    uint32_t count


cdef inline bint has(const set_t *s, uint64_t hash) noexcept nogil:
    cdef uint64_t i = hash >> KIND_BITS
    if s.hashes == NULL:
        return False
    while s.hashes[i & s.mask]:
        if s.hashes[i & s.mask] == hash:
            return True
        i += 1
    return False


cdef inline bint _grow(set_t *s) noexcept nogil:
    cdef uint32_t mask = 2 * s.mask + 1 if s.hashes != NULL else 2 * FIRST_HASHES - 1
    cdef uint64_t *hashes = <uint64_t *>calloc(<size_t>mask + 1, sizeof(uint64_t))
    cdef uint64_t i, place
    if hashes == NULL:
        return False
    if s.hashes != NULL:
        for i in range(<uint64_t>s.mask + 1):
            if s.hashes[i]:
                place = s.hashes[i] >> KIND_BITS
                while hashes[place & mask]:
                    place += 1
                hashes[place & mask] = s.hashes[i]
        free(s.hashes)
    s.hashes = hashes
    s.mask = mask
    return True


cdef inline bint enter(set_t *s, uint64_t hash) noexcept nogil:
    """Add what is not there; False when there is no room for it."""
    cdef uint64_t i = hash >> KIND_BITS
    if s.count >= MOST_HASHES:
        return False
    if (s.hashes == NULL or (s.count + 1) * 2 > s.mask) and not _grow(s):
        return False
    while s.hashes[i & s.mask]:
        i += 1
    s.hashes[i & s.mask] = hash
    s.count += 1
    return True


cdef inline void forget(set_t *s) noexcept nogil:
    free(s.hashes)
    s.hashes = NULL
    s.mask = s.count = 0
