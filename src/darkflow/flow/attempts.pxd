# Where attempts live: one pool of slots, one index over it, two lists through it.
#
# The delay queue and the flow table are lists of the same slots: a verdict relinks a slot instead
# of copying it, and one look-up answers for both. T is one constant and idle time is another, so
# in each list the order of expiry is the order of appending: no heap, no timer wheel.
# Slots come in segments that are allocated when first needed; the index grows by doubling.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memset
from darkflow.flow.layout cimport attempt_t, key_bytes, key_of

cdef extern from "<stdlib.h>" nogil:
    void *aligned_alloc(size_t alignment, size_t size)

cdef extern from *:
    """
    #define prefetch(p) __builtin_prefetch(p)
    """
    void prefetch(const void *p) noexcept nogil

cdef enum:
    LINE_BYTES = 64
    SEGMENT_BITS = 10
    SEGMENT_SLOTS = 1 << SEGMENT_BITS
    FIRST_INDEX = 1 << 13
    LEVELS = 3                      # holds that are shorter than T
    EARLY = 2 * LEVELS


ctypedef struct list_t:
    uint32_t head
    uint32_t tail
    uint32_t count


ctypedef struct attempts_t:
    attempt_t **segments
    uint32_t segment_count
    uint32_t segment_limit
    uint32_t free_slot              # slots that were used before, last freed first
    uint64_t *index                 # hash << 32 | slot number; 0 is empty: slots count from 1
    uint32_t mask
    uint32_t used
    list_t held                     # the delay queue, by t0
    list_t early[EARLY]             # those of shorter holds: queues.pxd
    list_t dark                     # the flow table, by last packet


cdef inline attempt_t *slot(const attempts_t *a, uint32_t number) noexcept nogil:
    number -= 1
    return &a.segments[number >> SEGMENT_BITS][number & (SEGMENT_SLOTS - 1)]


cdef inline bint attempts_init(attempts_t *a, uint64_t limit) noexcept nogil:
    memset(a, 0, sizeof(attempts_t))
    a.segment_limit = <uint32_t>((limit + SEGMENT_SLOTS - 1) >> SEGMENT_BITS)
    a.segments = <attempt_t **>calloc(a.segment_limit, sizeof(attempt_t *))
    a.index = <uint64_t *>calloc(FIRST_INDEX, sizeof(uint64_t))
    a.mask = FIRST_INDEX - 1
    return a.segments != NULL and a.index != NULL


cdef inline void attempts_free(attempts_t *a) noexcept nogil:
    cdef uint32_t i
    for i in range(a.segment_count):
        free(a.segments[i])
    free(a.segments)
    free(a.index)


cdef inline uint32_t find(
    const attempts_t *a, const uint8_t *key, uint8_t family, uint32_t hash
) noexcept nogil:
    """Slot number of the flow with this key, or 0. At most half the index is used: probes end."""
    cdef uint32_t i = hash & a.mask
    cdef uint64_t entry
    cdef attempt_t *s
    while True:
        entry = a.index[i]
        if entry == 0:
            return 0
        if <uint32_t>(entry >> 32) == hash:
            s = slot(a, <uint32_t>entry)
            if s.family == family and memcmp(key_of(s.head, family), key, key_bytes(family)) == 0:
                return <uint32_t>entry
        i = (i + 1) & a.mask


cdef inline void _enter(uint64_t *index, uint32_t mask, uint64_t entry) noexcept nogil:
    cdef uint32_t i = <uint32_t>(entry >> 32) & mask
    while index[i] != 0:
        i = (i + 1) & mask
    index[i] = entry


cdef inline bint _grow_index(attempts_t *a) noexcept nogil:
    cdef uint64_t size = (<uint64_t>a.mask + 1) * 2
    cdef uint64_t *index = <uint64_t *>calloc(size, sizeof(uint64_t))
    cdef uint32_t i
    if index == NULL:
        return False
    for i in range(a.mask + 1):
        if a.index[i] != 0:
            _enter(index, <uint32_t>(size - 1), a.index[i])
    free(a.index)
    a.index = index
    a.mask = <uint32_t>(size - 1)
    return True


cdef inline uint32_t take_slot(attempts_t *a) noexcept nogil:
    """A slot that is in no list and not in the index, or 0 when there is no memory for one."""
    cdef uint32_t number = a.free_slot
    cdef uint32_t i
    cdef attempt_t *fresh
    if number == 0:
        if a.segment_count == a.segment_limit:
            return 0
        fresh = <attempt_t *>aligned_alloc(LINE_BYTES, SEGMENT_SLOTS * sizeof(attempt_t))
        if fresh == NULL:
            return 0
        a.segments[a.segment_count] = fresh
        number = a.segment_count * SEGMENT_SLOTS + 1
        a.segment_count += 1
        for i in range(SEGMENT_SLOTS):
            fresh[i].next = number + i + 1
        fresh[SEGMENT_SLOTS - 1].next = 0
    a.free_slot = slot(a, number).next
    return number


cdef inline void give_slot(attempts_t *a, uint32_t number) noexcept nogil:
    slot(a, number).next = a.free_slot
    a.free_slot = number


cdef inline bint has_room(attempts_t *a) noexcept nogil:
    """Whether one more fits into the index, which stays at most half full."""
    return (<uint64_t>a.used + 1) * 2 <= a.mask or _grow_index(a)


cdef inline void enter(attempts_t *a, uint32_t number) noexcept nogil:
    """Put a slot into the index; ask has_room first."""
    _enter(a.index, a.mask, <uint64_t>slot(a, number).hash << 32 | number)
    a.used += 1


cdef inline void leave(attempts_t *a, uint32_t number) noexcept nogil:
    """Take a slot out of the index; later entries of the probe move up, so no tombstones."""
    cdef uint32_t hole = slot(a, number).hash & a.mask
    cdef uint32_t i, home
    while <uint32_t>a.index[hole] != number:
        hole = (hole + 1) & a.mask
    i = hole
    while True:
        i = (i + 1) & a.mask
        if a.index[i] == 0:
            break
        home = <uint32_t>(a.index[i] >> 32) & a.mask
        # Move it only if its home does not lie behind the hole.
        if ((i - home) & a.mask) >= ((i - hole) & a.mask):
            a.index[hole] = a.index[i]
            hole = i
    a.index[hole] = 0
    a.used -= 1


cdef inline void append(attempts_t *a, list_t *queue, uint32_t number) noexcept nogil:
    cdef attempt_t *s = slot(a, number)
    s.prev = queue.tail
    s.next = 0
    if queue.tail:
        slot(a, queue.tail).next = number
    else:
        queue.head = number
    queue.tail = number
    queue.count += 1


cdef inline void unlink(attempts_t *a, list_t *queue, uint32_t number) noexcept nogil:
    cdef attempt_t *s = slot(a, number)
    if s.prev:
        slot(a, s.prev).next = s.next
    else:
        queue.head = s.next
    if s.next:
        slot(a, s.next).prev = s.prev
    else:
        queue.tail = s.prev
    queue.count -= 1
