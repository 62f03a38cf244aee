# Records by address, of one size, in lists by when something was last heard of them; never more
# than a limit. What each record is, is its owner's business: it begins with an entry_t.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy, memset

cdef enum:
    LISTS = 6
    FIRST_RECORDS = 64


ctypedef struct entry_t:
    uint64_t hash
    int64_t heard_ns                # network time of the last event: gaps count from here
    uint32_t prev
    uint32_t next
    uint8_t address[16]
    uint8_t family
    uint8_t prefix                  # of an address that stands for all with the same beginning
    uint8_t list
    uint8_t spare[5]


ctypedef struct ends_t:
    uint32_t head
    uint32_t tail


ctypedef struct pool_t:
    uint8_t *records                # numbered from 1
    size_t record_bytes
    uint32_t capacity
    uint32_t limit
    uint32_t free_number            # records that were used before
    uint32_t fresh                  # numbers that were ever used
    uint32_t count
    uint32_t *index                 # 0 is empty
    uint32_t mask
    ends_t lists[LISTS]


cdef inline entry_t *at(const pool_t *p, uint32_t number) noexcept nogil:
    return <entry_t *>(p.records + (number - 1) * p.record_bytes)


cdef inline bint pool_init(pool_t *p, size_t record_bytes, uint32_t limit) noexcept nogil:
    memset(p, 0, sizeof(pool_t))
    p.record_bytes = record_bytes
    p.limit = limit
    p.index = <uint32_t *>calloc(2 * FIRST_RECORDS, sizeof(uint32_t))
    p.mask = 2 * FIRST_RECORDS - 1
    return p.index != NULL


cdef inline void pool_free(pool_t *p) noexcept nogil:
    free(p.records)
    free(p.index)


cdef inline uint32_t pool_find(const pool_t *p, const entry_t *wanted) noexcept nogil:
    """The number of the record with this address, or 0. At most half the index is used."""
    cdef uint32_t i = <uint32_t>wanted.hash & p.mask
    cdef entry_t *e
    while p.index[i]:
        e = at(p, p.index[i])
        if (
            e.hash == wanted.hash and e.prefix == wanted.prefix and e.family == wanted.family
            and memcmp(e.address, wanted.address, 16) == 0
        ):
            return p.index[i]
        i = (i + 1) & p.mask
    return 0


cdef inline void _index(pool_t *p, uint32_t number) noexcept nogil:
    cdef uint32_t i = <uint32_t>at(p, number).hash & p.mask
    while p.index[i]:
        i = (i + 1) & p.mask
    p.index[i] = number


cdef inline bint _more(pool_t *p) noexcept nogil:
    """Room for twice as many records; the index is twice as long as they are many."""
    cdef uint32_t capacity = max(2 * p.capacity, FIRST_RECORDS)
    cdef uint32_t *index = <uint32_t *>calloc(2 * <size_t>capacity, sizeof(uint32_t))
    cdef uint8_t *records = NULL
    cdef uint32_t *old = p.index
    cdef uint32_t i, old_mask = p.mask
    if index != NULL:
        records = <uint8_t *>realloc(p.records, capacity * p.record_bytes)
    if records == NULL:
        free(index)
        return False
    p.records = records
    p.capacity = capacity
    p.index = index
    p.mask = 2 * capacity - 1
    for i in range(old_mask + 1):
        if old[i]:
            _index(p, old[i])
    free(old)
    return True


cdef inline uint32_t pool_take(pool_t *p, const entry_t *wanted) noexcept nogil:
    """A cleared record for this address, in no list yet; 0 at the limit, or without memory."""
    cdef uint32_t number = p.free_number
    if p.count >= p.limit:
        return 0
    if number:
        p.free_number = at(p, number).next
    else:
        if p.fresh == p.capacity and not _more(p):
            return 0
        p.fresh += 1
        number = p.fresh
    memset(at(p, number), 0, p.record_bytes)
    memcpy(at(p, number), wanted, sizeof(entry_t))
    _index(p, number)
    p.count += 1
    return number


cdef inline void pool_give(pool_t *p, uint32_t number) noexcept nogil:
    """Take a record, which is in no list any more, out of the index; no tombstones."""
    cdef uint32_t hole = <uint32_t>at(p, number).hash & p.mask
    cdef uint32_t i, home
    while p.index[hole] != number:
        hole = (hole + 1) & p.mask
    i = hole
    while True:
        i = (i + 1) & p.mask
        if p.index[i] == 0:
            break
        home = <uint32_t>at(p, p.index[i]).hash & p.mask
        if ((i - home) & p.mask) >= ((i - hole) & p.mask):
            p.index[hole] = p.index[i]
            hole = i
    p.index[hole] = 0
    p.count -= 1
    at(p, number).next = p.free_number
    p.free_number = number


cdef inline void put_last(pool_t *p, uint32_t number, uint8_t list) noexcept nogil:
    cdef entry_t *e = at(p, number)
    e.list = list
    e.prev = p.lists[list].tail
    e.next = 0
    if e.prev:
        at(p, e.prev).next = number
    else:
        p.lists[list].head = number
    p.lists[list].tail = number


cdef inline void take_out(pool_t *p, uint32_t number) noexcept nogil:
    cdef entry_t *e = at(p, number)
    if e.prev:
        at(p, e.prev).next = e.next
    else:
        p.lists[e.list].head = e.next
    if e.next:
        at(p, e.next).prev = e.prev
    else:
        p.lists[e.list].tail = e.prev
