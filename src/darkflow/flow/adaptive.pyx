"""Which destinations have been dark often and long, and for how short a time their SYNs are held.

A destination is an address and port. It is listed when it was dark at least `often` times in a row,
over at least `long_ns`, and its address, on whatever port, was not heard (SYN+ACK or RST) within
`alive_ns`. Until packets have been seen for so long nobody can know that: listed destinations are
watched, and held for T. Both tables are sets of few places under a keyed hash. A full set of destinations
forgets the one with the fewest dark flows. A full set of addresses forgets who was heard first, but
keeps when that was, and takes every other address of the set for heard then: it may cost a short
hold, and never gives one to an address that was heard.

What short holds cost is measured on every attempt to a listed destination, whatever its hold: it
counts as false for each hold that is shorter than its answer's delay, if that is within T. The hold
in use is the shortest whose share of false ones is at most `bound` with 95% confidence; before there
is so much evidence, and after too many false ones, it is T, and listed destinations are watched on.
Beyond WINDOW / bound cases all counts are halved, so that old evidence fades.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from darkflow.flow.attempts cimport LEVELS
from darkflow.flow.hashing cimport siphash
from darkflow.flow.layout cimport NO_TIME, STATE_DARK, STATE_HELD, attempt_t, key_of, row_t
from darkflow.flow.networks cimport Networks
from darkflow.flow.queues cimport HOLD_EARLY, HOLD_ON, HOLD_T, HOLD_WATCHED, is_early
from darkflow.flow.evidence import cases_needed

cdef enum:
    WAYS = 4                        # destinations of a set: two cache lines
    WINDOW = 20

# Entries of each table: 32 bytes of a destination, 22 of an address.
MAX_SIZE = 1 << 26


cdef inline uint64_t passed(int64_t t_ns, int64_t since_ns) noexcept nogil:
    """Time from `since_ns` to `t_ns`, which is not before; 0 otherwise."""
    return <uint64_t>t_ns - <uint64_t>since_ns if t_ns > since_ns else 0


cdef inline uint64_t tag_of(
    const uint8_t *address, uint8_t family, const uint8_t *port, const uint64_t *key
) noexcept nogil:
    """Of an address and, unless that is NULL, a port; never 0."""
    cdef int size = 4 if family == 4 else 16
    cdef uint8_t text[18]
    memcpy(text, address, size)
    if port == NULL:
        return siphash(text, size, key) | 1
    memcpy(text + size, port, 2)
    return siphash(text, size + 2, key) | 1


cdef class Adaptive:
    """Tells which SYNs need not be held for T.

    holds: T, and the shortest hold, in ns; the others are twice and four times that, if shorter than
    T. evidence: `often`, `long_ns`, `alive_ns`. bound: share of attempts to listed destinations that
    may be answered between the hold and T. size: entries of each table. networks: only addresses
    of these are learnt. seed: 16 bytes; with room for all, verdicts do not depend on it.
    """

    def __init__(self, holds, evidence, double bound, size, Networks networks, seed=bytes(16)):
        cdef int i
        self.hold_ns, shortest_ns = holds
        often, long_ns, alive_ns = evidence
        if not 0 < shortest_ns < self.hold_ns:
            raise ValueError("the shortest hold must be longer than 0 and shorter than T")
        if often < 1 or long_ns <= 0 or alive_ns <= 0 or not 0 < bound < 1:
            raise ValueError("adaptive: counts, times and bound must be above 0, the bound below 1")
        if not 1 <= size <= MAX_SIZE:
            raise ValueError(f"the adaptive tables (--adaptive-size) have 1 to {MAX_SIZE} entries")
        for i in range(2 + 2 * LEVELS):
            self.holds[i] = self.hold_ns
        self.levels = 0
        while self.levels < LEVELS and shortest_ns << self.levels < self.hold_ns:
            self.holds[HOLD_EARLY + self.levels] = shortest_ns << self.levels
            self.levels += 1
        self.often, self.long_ns, self.alive_ns = often, long_ns, alive_ns
        enough = cases_needed(bound, WINDOW)
        for i in range(MOST_FALSE):
            self.needed[i] = enough[i] if i < len(enough) else <uint64_t>-1
        self.most_cases = int(WINDOW / bound)
        self.networks = networks
        memcpy(self.key, <const uint8_t *>seed, 16)
        self.silent_sets = (size + WAYS - 1) // WAYS
        self.heard_sets = (size + HEARD_WAYS - 1) // HEARD_WAYS
        self.silent = <silent_t *>calloc(self.silent_sets * WAYS, sizeof(silent_t))
        self.heard = <heard_t *>calloc(self.heard_sets, sizeof(heard_t))
        if self.silent == NULL or self.heard == NULL:
            raise MemoryError("no memory for the adaptive tables: lower --adaptive-size")
        self.forget()

    def __dealloc__(self):
        free(self.silent)
        free(self.heard)

    @property
    def counters(self):
        """Attempts to listed destinations; verdicts before T; those of them that were answered by
        T after all; those whose record ended before T, so that nobody knows; entries lost."""
        return {
            "adaptive_listed": self.listed, "adaptive_early": self.early,
            "adaptive_false": self.false_dark, "adaptive_unwatched": self.unwatched,
            "adaptive_evicted": self.evicted,
        }

    @property
    def short_hold_ns(self):
        """How long a SYN to a listed destination is held now."""
        shortened = self.listened and self.level < self.levels
        return self.holds[HOLD_EARLY + self.level] if shortened else self.hold_ns

    @property
    def memory_bytes(self):
        """What both tables hold allocated."""
        return self.silent_sets * WAYS * sizeof(silent_t) + self.heard_sets * sizeof(heard_t)

    cdef void forget(self) noexcept nogil:
        """Time begins anew: nothing is known of anybody. The counters go on."""
        memset(self.silent, 0, self.silent_sets * WAYS * sizeof(silent_t))
        memset(self.heard, 0, self.heard_sets * sizeof(heard_t))
        memset(self.falses, 0, sizeof(self.falses))
        self.cases = 0
        self.first_ns = NO_TIME
        self.listened = False
        self._govern()

    cdef silent_t *_silent(self, uint64_t tag) noexcept nogil:
        """The entry of a destination, or NULL."""
        cdef silent_t *place = &self.silent[((tag >> 1) % self.silent_sets) * WAYS]
        cdef int i
        for i in range(WAYS):
            if place[i].tag == tag:
                return &place[i]
        return NULL

    cdef bint _alive(self, const uint8_t *address, uint8_t family, int64_t t_ns) noexcept nogil:
        """Whether an address was, or may have been, heard within `alive_ns`."""
        cdef uint64_t tag = tag_of(address, family, NULL, self.key)
        cdef const heard_t *known = &self.heard[(tag >> 1) % self.heard_sets]
        cdef int i
        for i in range(HEARD_WAYS):
            if known.tag[i] == tag:
                return passed(t_ns, known.last_ns[i]) <= <uint64_t>self.alive_ns
        return known.forgotten and passed(t_ns, known.forgotten_ns) <= <uint64_t>self.alive_ns

    cdef void _listen(self, int64_t t_ns) noexcept nogil:
        """Something was seen: for how long now? Whoever was heard before that may be alive."""
        if self.first_ns == NO_TIME:
            self.first_ns = t_ns
        self.listened = passed(t_ns, self.first_ns) >= <uint64_t>self.alive_ns

    cdef uint8_t judge(self, const row_t *row) noexcept nogil:
        """How the attempt that this SYN opens is held."""
        cdef const uint8_t *key = key_of(row.head, row.family)
        cdef int size = 4 if row.family == 4 else 16
        cdef const silent_t *known = self._silent(
            tag_of(key + size, row.family, key + 2 * size + 2, self.key)
        )
        if not self.listened:
            self._listen(row.t_ns)
        if (
            known == NULL or known.flows < self.often
            or passed(row.t_ns, known.since_ns) < <uint64_t>self.long_ns
            or passed(row.t_ns, known.last_ns) > <uint64_t>self.alive_ns
            or self._alive(key + size, row.family, row.t_ns)
        ):
            return HOLD_T
        self.listed += 1
        if self.listened and self.level < self.levels:
            return HOLD_EARLY + self.level
        return HOLD_WATCHED

    cdef bint holds_on(self, const attempt_t *a, int64_t t_ns) noexcept nogil:
        """Its hold has passed: whether it goes on waiting until T, though it was to be short.

        So do those that were answered: a retransmission that crosses the answer opens nothing.
        """
        cdef const uint8_t *address = key_of(a.head, a.family) + (4 if a.family == 4 else 16)
        if not is_early(a.hold):
            return False
        if (
            a.state != STATE_HELD or self.level > a.hold - HOLD_EARLY
            or self._alive(address, a.family, t_ns)
        ):
            return True
        self.early += 1
        return False

    cdef void hear(self, const row_t *row) noexcept nogil:
        """A SYN+ACK or RST: whoever sent it is there."""
        cdef const uint8_t *key = key_of(row.head, row.family)
        cdef int size = 4 if row.family == 4 else 16
        cdef uint64_t tag
        cdef heard_t *known
        cdef silent_t *silent
        cdef int i, at = 0
        if not self.listened:
            self._listen(row.t_ns)
        if not self.networks.watches(key, row.family):
            return
        silent = self._silent(tag_of(key, row.family, key + 2 * size, self.key))
        if silent != NULL:
            silent.flows = 0
        tag = tag_of(key, row.family, NULL, self.key)
        known = &self.heard[(tag >> 1) % self.heard_sets]
        for i in range(HEARD_WAYS):
            if known.tag[i] == tag or known.tag[i] == 0:
                at = i
                break
            if known.last_ns[i] < known.last_ns[at]:
                at = i
        else:
            if passed(row.t_ns, known.last_ns[at]) <= <uint64_t>self.alive_ns:
                self.evicted += 1
            if not known.forgotten or known.last_ns[at] > known.forgotten_ns:
                known.forgotten_ns = known.last_ns[at]
            known.forgotten = 1
        known.tag[at] = tag
        known.last_ns[at] = row.t_ns

    cdef void answered(self, const attempt_t *a, int64_t t_ns) noexcept nogil:
        """An attempt gets its answer, in time or late; `a` is as it was before."""
        cdef int i
        cdef bint in_time = t_ns - a.t0_ns <= self.hold_ns
        if a.hold == HOLD_T or (a.state == STATE_DARK and not is_early(a.hold)):
            return
        if a.state == STATE_DARK and in_time:
            self.false_dark += 1
        self.cases += 1
        for i in range(self.levels):
            self.falses[i] += in_time and t_ns - a.t0_ns > self.holds[HOLD_EARLY + i]
        self._govern()

    cdef void dark(self, const attempt_t *a, int64_t t_ns) noexcept nogil:
        """The verdict of an attempt, at `t_ns`: its destination is silent once more."""
        cdef const uint8_t *key = key_of(a.head, a.family)
        cdef int size = 4 if a.family == 4 else 16
        cdef uint64_t tag
        cdef silent_t *place
        cdef silent_t *known
        cdef int i
        if a.hold == HOLD_WATCHED or a.hold >= HOLD_ON:
            self.cases += 1
            self._govern()
        if not self.networks.watches(key + size, a.family):
            return
        tag = tag_of(key + size, a.family, key + 2 * size + 2, self.key)
        known = self._silent(tag)
        if known == NULL:
            place = &self.silent[((tag >> 1) % self.silent_sets) * WAYS]
            known = place
            for i in range(WAYS):
                # What is over counts nothing; of the others who was dark least, then longest ago.
                if passed(t_ns, place[i].last_ns) > <uint64_t>self.alive_ns:
                    place[i].flows = 0
                if place[i].tag == 0:
                    known = &place[i]
                    break
                if place[i].flows < known.flows or (
                    place[i].flows == known.flows and place[i].last_ns < known.last_ns
                ):
                    known = &place[i]
            if known.tag and known.flows:
                self.evicted += 1
            known.tag = tag
            known.flows = 0
        if known.flows == 0 or passed(t_ns, known.last_ns) > <uint64_t>self.alive_ns:
            known.flows = 0
            known.since_ns = t_ns
        known.flows += 1
        known.last_ns = t_ns

    cdef void ended(self, const attempt_t *a, int64_t t_ns) noexcept nogil:
        """A dark flow's record ended without an answer: was an early one watched until T?"""
        if not is_early(a.hold):
            return
        if t_ns - a.t0_ns < self.hold_ns:
            self.unwatched += 1
            return
        self.cases += 1
        self._govern()

    cdef void _govern(self) noexcept nogil:
        """Choose the hold by what was measured."""
        cdef int i
        cdef uint64_t false_dark
        if self.cases >= self.most_cases:
            self.cases >>= 1
            for i in range(self.levels):
                self.falses[i] = (self.falses[i] + 1) >> 1
        self.level = self.levels
        for i in range(self.levels):
            false_dark = self.falses[i]
            if false_dark < MOST_FALSE and self.cases >= self.needed[false_dark]:
                self.level = i
                return
