"""Which scanner sent a dark flow's SYN, by its own marks and those of its source's other SYNs.

Looked at when the verdict "dark" falls, and again when the record ends, so that a source's first
flows gain by what its later ones have shown; answered SYNs cost nothing. The rules are in tools.pxd.
Sources stand in a table of limited size (keyed hash); when it is full, a hand goes round and
replaces one that has shown least and has been silent longest.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy, memset
from darkflow.flow.attempts cimport LINE_BYTES, attempts_t, prefetch, slot
from darkflow.flow.hashing cimport siphash
from darkflow.flow.layout cimport STATE_HELD, attempt_t, key_of
from darkflow.flow.tools cimport (
    MAY_BE_UNICORNSCAN, SURE_HIGH, SURE_LOW, WITH_STATE, confirmed, forget, judge, learn, looks_of, source_t,
)

cdef enum:
    FIRST_SOURCES = 1 << 10
    STEPS = 32                      # sources that the hand looks at for one that it replaces
    FORGET_S = 3600                 # what a source showed before so long a silence counts no more
    SECOND_NS = 1_000_000_000


cdef inline bint _silent(const source_t *s, uint32_t now_s) noexcept nogil:
    return now_s > s.last_s and now_s - s.last_s > FORGET_S


cdef class Fingerprints:
    """The sources of dark flows, at most `limit`, and what their SYNs have shown.

    seed: 16 bytes, the hash's key; what comes out does not depend on it. `dropped`: sources that
    were replaced within an hour of their last dark flow.
    """

    def __cinit__(self):
        self.sources = <source_t *>calloc(FIRST_SOURCES, sizeof(source_t))
        self.index = <uint64_t *>calloc(2 * FIRST_SOURCES, sizeof(uint64_t))
        if self.sources == NULL or self.index == NULL:
            raise MemoryError("no memory for the sources of dark flows")
        self.capacity = FIRST_SOURCES
        self.mask = 2 * FIRST_SOURCES - 1

    def __init__(self, limit, seed):
        self.limit = limit
        memcpy(self.key, <const uint8_t *>seed, 16)

    def __dealloc__(self):
        free(self.sources)
        free(self.index)

    def clear(self):
        """Forget all sources."""
        self.count = self.hand = 0
        self.unicornscan = False
        memset(self.index, 0, (<uint64_t>self.mask + 1) * sizeof(uint64_t))

    @property
    def memory_bytes(self):
        """What is allocated now."""
        return self.capacity * sizeof(source_t) + (<uint64_t>self.mask + 1) * sizeof(uint64_t)

    cdef void ahead(self, const attempts_t *table) noexcept nogil:
        """The next three verdicts come soon: ask the memory for what they will look at."""
        cdef attempt_t *a
        cdef uint64_t entry
        cdef int i
        if not table.held.head:
            return
        a = slot(table, table.held.head)
        prefetch(&table.index[a.hash & table.mask])
        if a.source_hash:
            entry = self.index[a.source_hash & self.mask]
            if entry:
                prefetch(&self.sources[<uint32_t>entry - 1])
        if not a.next:
            return
        a = slot(table, a.next)
        if a.state == STATE_HELD:
            self._expect(a)
        if a.next:
            a = slot(table, a.next)
            for i in range(3):
                prefetch(<const uint8_t *>a + i * LINE_BYTES)

    cdef void _expect(self, attempt_t *a) noexcept nogil:
        """The hash of an attempt's source, whose place in the index will be looked at."""
        if looks_of(a) & WITH_STATE:
            a.source_hash = <uint32_t>siphash(
                key_of(a.head, a.family), 4 if a.family == 4 else 16, self.key
            ) | 1
            prefetch(&self.index[a.source_hash & self.mask])

    cdef void note(self, attempt_t *a, int64_t now_ns) noexcept nogil:
        """The verdict: learn from the SYN and say which tool sent it, as far as is known now."""
        cdef uint32_t looks = looks_of(a)
        cdef uint32_t now_s = <uint32_t>(now_ns // SECOND_NS)
        cdef uint8_t best[2]
        cdef source_t unknown
        cdef source_t *s = NULL
        cdef bint first
        if not looks:
            return
        if looks & WITH_STATE:
            if not a.source_hash:
                self._expect(a)
            s = self._enter(a, now_s)
        if s == NULL:                               # nothing to remember, or no memory for it
            memset(&unknown, 0, sizeof(source_t))
            s = &unknown
        first = s.credit == 0
        if not first and _silent(s, now_s):
            first = True
            forget(s)
        s.last_s = now_s
        learn(s, a, looks)
        self.unicornscan |= s.order != 0
        s.credit = 1 if first else (4 if confirmed(s) else 2)
        judge(s, a, looks, best)
        a.tool, a.sureness = best[0], best[1]

    cdef void note_held(self, const attempts_t *table, int64_t now_ns) noexcept nogil:
        """The input ends: what is held will have no verdict, but its sources have shown it."""
        cdef uint32_t number = table.held.head
        while number:
            if slot(table, number).state == STATE_HELD:
                self.note(slot(table, number), now_ns)
            number = slot(table, number).next

    cdef bint look(self, attempt_t *a) noexcept nogil:
        """The record ends: what the source has shown since then counts too. Whether it changed.

        A name by looks alone may be taken back; one that numbers have confirmed stays.
        """
        cdef uint8_t best[2]
        cdef source_t *s
        cdef uint32_t looks
        if not a.source_hash or a.sureness == SURE_HIGH:
            return False
        looks = looks_of(a)
        if looks == MAY_BE_UNICORNSCAN and not self.unicornscan:
            return False
        s = self._find(a)
        if s == NULL:
            return False
        judge(s, a, looks, best)
        if best[1] == a.sureness or (best[1] < a.sureness and a.sureness != SURE_LOW):
            return False
        a.tool, a.sureness = best[0], best[1]
        return True

    cdef source_t *_find(self, const attempt_t *a) noexcept nogil:
        cdef uint32_t i = a.source_hash & self.mask
        cdef int size = 4 if a.family == 4 else 16
        cdef source_t *s
        while self.index[i]:
            if <uint32_t>(self.index[i] >> 32) == a.source_hash:
                s = &self.sources[<uint32_t>self.index[i] - 1]
                if s.family == a.family and (
                    memcmp(s.address, key_of(a.head, a.family), size) == 0
                ):
                    return s
            i = (i + 1) & self.mask
        return NULL

    cdef source_t *_enter(self, const attempt_t *a, uint32_t now_s) noexcept nogil:
        """The source of an attempt, made if it was not there; NULL without memory for any."""
        cdef source_t *s = self._find(a)
        cdef uint64_t number
        cdef uint32_t i
        if s != NULL:
            return s
        if self.count < self.limit and (self.count < self.capacity or self._grow()):
            number = self.count
            self.count += 1
        else:
            number = self._replaced(now_s)
        s = &self.sources[number]
        memset(s, 0, sizeof(source_t))
        memcpy(s.address, key_of(a.head, a.family), 4 if a.family == 4 else 16)
        s.family = a.family
        s.hash = a.source_hash
        i = s.hash & self.mask
        while self.index[i]:
            i = (i + 1) & self.mask
        self.index[i] = <uint64_t>s.hash << 32 | (number + 1)
        return s

    cdef bint _grow(self) noexcept nogil:
        cdef uint64_t capacity = self.capacity * 2
        cdef uint32_t mask = <uint32_t>(2 * capacity - 1)
        cdef uint64_t number
        cdef uint32_t i
        cdef uint64_t *index = <uint64_t *>calloc(2 * capacity, sizeof(uint64_t))
        cdef source_t *sources
        if index == NULL:
            return False
        sources = <source_t *>realloc(self.sources, capacity * sizeof(source_t))
        if sources == NULL:
            free(index)
            return False
        for number in range(self.count):
            i = sources[number].hash & mask
            while index[i]:
                i = (i + 1) & mask
            index[i] = <uint64_t>sources[number].hash << 32 | (number + 1)
        free(self.index)
        self.sources, self.capacity = sources, capacity
        self.index, self.mask = index, mask
        return True

    cdef uint64_t _replaced(self, uint32_t now_s) noexcept nogil:
        """Take a source out; its place. The hand lets pass who has credit, each time for one."""
        cdef uint64_t least = self.hand
        cdef source_t *s
        cdef int step
        for step in range(STEPS):
            s = &self.sources[self.hand]
            if s.credit <= 1 or _silent(s, now_s):
                least = self.hand
                break
            s.credit -= 1
            if s.credit < self.sources[least].credit:
                least = self.hand
            self.hand = (self.hand + 1) % self.count
        self.hand = (least + 1) % self.count
        # The next one's turn comes soon: its place in the index, and the source behind it.
        prefetch(&self.index[self.sources[self.hand].hash & self.mask])
        prefetch(&self.sources[(self.hand + 1) % self.count])
        self.dropped += not _silent(&self.sources[least], now_s)
        self._leave(least)
        return least

    cdef void _leave(self, uint64_t number) noexcept nogil:
        """Take a source out of the index; later entries of the probe move up."""
        cdef uint32_t hole = self.sources[number].hash & self.mask
        cdef uint32_t i, home
        while <uint32_t>self.index[hole] != number + 1:
            hole = (hole + 1) & self.mask
        i = hole
        while True:
            i = (i + 1) & self.mask
            if self.index[i] == 0:
                break
            home = <uint32_t>(self.index[i] >> 32) & self.mask
            if ((i - home) & self.mask) >= ((i - hole) & self.mask):
                self.index[hole] = self.index[i]
                hole = i
        self.index[hole] = 0
