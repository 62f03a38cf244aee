"""Which watched addresses and ports were asked, by how many, and whether they ever answered.

One hash table of records, of each address and of each address and port, and one set of 64-bit keyed
hashes of (source, record), both limited: what does not fit is counted in `dropped`. What is known
of an address then is less than what happened, never more.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset
from darkflow.flow.batch cimport Events
from darkflow.flow.hashing cimport siphash
from darkflow.flow.layout cimport (
    EVENT_DARK, EVENT_LATE, EVENT_REACHED, EVENT_UNSOLICITED, KIND_RESET, NO_TIME, attempt_t, be16,
    event_t, key_of,
)
from darkflow.flow.networks cimport INBOUND, INTERNAL, Networks

# Delays of answers are counted up to these: candidates for T, each an edge of delays.EDGES_NS.
GRID_NS = tuple(
    tenths * 100_000_000
    for tenths in (1, 2, 3, 5, 8, 10, 15, 20, 30, 40, 50, 60, 80, 100, 150, 200, 300)
)

cdef enum:
    FIRST_SIZE = 1 << 10
    EDGES = 17
    BINS = EDGES + 1
    SEEN_LIMIT = 4                  # (source, record) pairs per record

ctypedef struct endpoint_t:
    uint64_t hash                   # never 0: 0 is a free place
    int64_t first_ns                # first and last SYN that nobody answered in time
    int64_t last_ns
    int64_t first_answer_ns
    int64_t last_answer_ns
    uint32_t *delays                # allocated with the first answer
    uint32_t dark
    uint32_t sources                # of them, different ones
    uint32_t answered               # SYN+ACK in time
    uint32_t refused                # RST in time
    uint32_t late                   # of the dark: answered after the verdict
    uint16_t port
    uint8_t family
    uint8_t whole                   # of the address, all its ports together
    uint8_t address[16]


cdef class Endpoints:
    """Takes events, answers in time included (Engine(tells=True)), of watched destinations.

    networks: which are watched. limit: records; four times as many (source, record) pairs. With
    `answers_only` nothing is kept of those that do not answer, nor of whole addresses.
    """

    cdef endpoint_t *records
    cdef uint64_t *seen
    cdef uint64_t mask, seen_mask, seen_count, limit
    cdef uint64_t key[2]
    cdef int64_t edges[EDGES]
    cdef bint answers_only
    cdef Networks networks
    cdef readonly uint64_t count, dropped
    cdef readonly int64_t last_ns   # the latest event, or NO_TIME
    cdef readonly str name

    def __cinit__(self):
        self.records = <endpoint_t *>calloc(FIRST_SIZE, sizeof(endpoint_t))
        self.seen = <uint64_t *>calloc(FIRST_SIZE, sizeof(uint64_t))
        if self.records == NULL or self.seen == NULL:
            raise MemoryError("no memory for the table of addresses")
        self.mask = self.seen_mask = FIRST_SIZE - 1

    def __init__(self, Networks networks, seed=bytes(16), limit=4_000_000, answers_only=False):
        self.name = "the table of addresses"
        self.networks = networks
        self.limit = limit
        self.answers_only = answers_only
        self.last_ns = NO_TIME
        memcpy(self.key, <const uint8_t *>seed, 16)
        for i, edge in enumerate(GRID_NS):
            self.edges[i] = edge

    def __dealloc__(self):
        self._free()

    cdef void _free(self) noexcept:
        cdef uint64_t i
        if self.records != NULL:
            for i in range(self.mask + 1):
                free(self.records[i].delays)
        free(self.records)
        free(self.seen)

    def write(self, Events events):
        """Count the events of one batch."""
        cdef size_t i
        with nogil:
            for i in range(events.count):
                self._event(&events.events[i])

    def close(self):
        """Nothing is left to do."""

    cdef void _event(self, const event_t *event) noexcept nogil:
        cdef const attempt_t *a = &event.attempt
        cdef int direction
        if event.kind == EVENT_UNSOLICITED:
            return
        if event.t_ns > self.last_ns:
            self.last_ns = event.t_ns
        if event.kind != EVENT_REACHED and event.kind != EVENT_LATE:
            if event.kind != EVENT_DARK or self.answers_only:
                return
        direction = self.networks.direction(a)
        if direction != INBOUND and direction != INTERNAL:
            return
        if not self.answers_only:
            self._count(event, True)
        self._count(event, False)

    cdef void _count(self, const event_t *event, bint whole) noexcept nogil:
        cdef const attempt_t *a = &event.attempt
        cdef endpoint_t *e = self._record(a, whole)
        if e == NULL:
            return
        if event.kind == EVENT_DARK:
            if e.dark == 0 or a.t0_ns < e.first_ns:
                e.first_ns = a.t0_ns
            if e.dark == 0 or a.t0_ns > e.last_ns:
                e.last_ns = a.t0_ns
            e.dark += 1
            e.sources += self._is_new_source(a, e)
            return
        if e.delays == NULL:
            e.delays = <uint32_t *>calloc(BINS, sizeof(uint32_t))
            if e.delays == NULL:
                self.dropped += 1
                return
            e.first_answer_ns = e.last_answer_ns = event.t_ns
        e.first_answer_ns = min(e.first_answer_ns, event.t_ns)
        e.last_answer_ns = max(e.last_answer_ns, event.t_ns)
        e.delays[self._bin(event.t_ns - a.t0_ns)] += 1
        if event.kind == EVENT_LATE:
            e.late += 1
        elif event.detail == KIND_RESET:
            e.refused += 1
        else:
            e.answered += 1

    cdef int _bin(self, int64_t delay_ns) noexcept nogil:
        cdef int i = 0
        while i < EDGES and self.edges[i] < delay_ns:
            i += 1
        return i

    cdef endpoint_t *_record(self, const attempt_t *a, bint whole) noexcept nogil:
        """The record of an address or of its port, made if there is room for one."""
        cdef const uint8_t *key = key_of(a.head, a.family)
        cdef int size = 4 if a.family == 4 else 16
        cdef uint16_t port = 0 if whole else be16(key + 2 * size + 2)
        cdef uint8_t text[20]
        cdef uint64_t hash
        cdef endpoint_t *e
        memcpy(text, key + size, size)
        text[size] = <uint8_t>(port >> 8)
        text[size + 1] = <uint8_t>(port & 0xFF)
        text[size + 2] = whole
        hash = siphash(text, size + 3, self.key) | 1
        e = self._place(hash)
        while e.hash:
            if (
                e.hash == hash and e.family == size and e.port == port and e.whole == whole
                and memcmp(e.address, key + size, size) == 0
            ):
                return e
            e = self._after(e)
        if self.count >= self.limit or not self._has_room():
            self.dropped += 1
            return NULL
        e = self._place(hash)
        while e.hash:
            e = self._after(e)
        e.hash = hash
        memcpy(e.address, key + size, size)
        e.family = size
        e.port = port
        e.whole = whole
        self.count += 1
        return e

    cdef endpoint_t *_place(self, uint64_t hash) noexcept nogil:
        return &self.records[(hash >> 1) & self.mask]

    cdef endpoint_t *_after(self, endpoint_t *e) noexcept nogil:
        return &self.records[(<uint64_t>(e - self.records) + 1) & self.mask]

    cdef bint _has_room(self) noexcept nogil:
        """Whether one more record fits; at most half of the places are taken, so probes end."""
        cdef endpoint_t *old = self.records
        cdef uint64_t mask = self.mask
        cdef endpoint_t *e
        cdef uint64_t i
        if (self.count + 1) * 2 <= mask:
            return True
        e = <endpoint_t *>calloc((mask + 1) * 2, sizeof(endpoint_t))
        if e == NULL:
            return False
        self.records = e
        self.mask = mask * 2 + 1
        for i in range(mask + 1):
            if old[i].hash:
                e = self._place(old[i].hash)
                while e.hash:
                    e = self._after(e)
                e[0] = old[i]
        free(old)
        return True

    cdef bint _is_new_source(self, const attempt_t *a, const endpoint_t *e) noexcept nogil:
        """Enter who asked; True if it had not asked here before. A 64-bit hash stands for both."""
        cdef uint8_t text[24]
        cdef int size = 4 if a.family == 4 else 16
        cdef uint64_t hash, i
        memcpy(text, key_of(a.head, a.family), size)
        memcpy(text + size, &e.hash, 8)
        hash = siphash(text, size + 8, self.key) | 1
        i = hash >> 1
        while self.seen[i & self.seen_mask]:
            if self.seen[i & self.seen_mask] == hash:
                return False
            i += 1
        if self.seen_count >= SEEN_LIMIT * self.limit or not self._has_room_for_source():
            self.dropped += 1
            return False
        i = hash >> 1
        while self.seen[i & self.seen_mask]:
            i += 1
        self.seen[i & self.seen_mask] = hash
        self.seen_count += 1
        return True

    cdef bint _has_room_for_source(self) noexcept nogil:
        cdef uint64_t mask = self.seen_mask * 2 + 1
        cdef uint64_t *grown
        cdef uint64_t i, at
        if (self.seen_count + 1) * 2 <= self.seen_mask:
            return True
        grown = <uint64_t *>calloc(mask + 1, sizeof(uint64_t))
        if grown == NULL:
            return False
        for i in range(self.seen_mask + 1):
            if self.seen[i]:
                at = self.seen[i] >> 1
                while grown[at & mask]:
                    at += 1
                grown[at & mask] = self.seen[i]
        free(self.seen)
        self.seen = grown
        self.seen_mask = mask
        return True

    def take(self):
        """Everything counted until now, as a table of its own; this one begins anew."""
        cdef Endpoints fresh = Endpoints(self.networks, bytes(16), self.limit, self.answers_only)
        self.records, fresh.records = fresh.records, self.records
        self.seen, fresh.seen = fresh.seen, self.seen
        self.mask, fresh.mask = fresh.mask, self.mask
        self.seen_mask, fresh.seen_mask = fresh.seen_mask, self.seen_mask
        fresh.count, fresh.seen_count = self.count, self.seen_count
        fresh.last_ns = self.last_ns
        self.count = self.seen_count = 0
        memcpy(fresh.key, self.key, 16)
        return fresh

    def rows(self):
        """Each record as a tuple of analysis.addresses.Endpoint, in no order.

        Address (packed), port or None for the whole address, dark flows, their sources, first and
        last of them (None without), answered, refused, late, first and last answer (None without),
        delays of answers by the edges of GRID_NS and beyond.
        """
        cdef uint64_t i
        cdef const endpoint_t *e
        for i in range(self.mask + 1):
            e = &self.records[i]
            if e.hash:
                answers = e.delays != NULL
                yield (
                    bytes(e.address[:e.family]), None if e.whole else e.port, e.dark, e.sources,
                    e.first_ns if e.dark else None, e.last_ns if e.dark else None,
                    e.answered, e.refused, e.late,
                    e.first_answer_ns if answers else None, e.last_answer_ns if answers else None,
                    tuple([e.delays[k] for k in range(BINS)]) if answers else (),
                )
