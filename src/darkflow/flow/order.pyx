"""Puts packet rows into the order of time, across disorder up to `reorder` and across files.

Rows wait until network time is `reorder` past them; what then leaves is sorted by time, by source
and, within one source, by arrival. A source clamps what comes later than that (the engine must
never see time run backwards), and so does this stage when its room was too small to wait.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, qsort, realloc
from libc.string cimport memcpy, memmove
from darkflow.flow.batch cimport Packets
from darkflow.flow.layout cimport NO_TIME, row_t


ctypedef struct turn_t:
    int64_t t_ns
    uint64_t at
    uint32_t source


cdef int _by_time(const void *a, const void *b) noexcept nogil:
    cdef const turn_t *x = <const turn_t *>a
    cdef const turn_t *y = <const turn_t *>b
    if x.t_ns != y.t_ns:
        return -1 if x.t_ns < y.t_ns else 1
    if x.source != y.source:
        return -1 if x.source < y.source else 1
    return -1 if x.at < y.at else 1


cdef class Reorder:
    """Holds rows for `reorder_ns`, at most about `limit` of them beyond what one turn brings."""

    def __init__(self, reorder_ns, limit=262_144):
        if reorder_ns < 0:
            raise ValueError(f"reorder must not be negative, but is {reorder_ns} ns")
        self.reorder_ns = reorder_ns
        self.limit = limit
        self.horizon_ns = NO_TIME
        self.sorted = True
        self.out = Packets()

    def __dealloc__(self):
        cdef uint64_t i
        for i in range(self.begin, self.end):
            free(self.rows[i].kept)
        free(self.rows)

    def __len__(self):
        return self.end - self.begin

    def put(self, Packets packets):
        """Take a batch in and give out the rows that are safe now, valid until the next call.

        The batch's `now_ns` promises that no source brings anything older than that minus
        `reorder`. The batch that comes out has as `now_ns` the time that has surely passed.
        """
        cdef int64_t safe_ns
        cdef int64_t floor = packets.now_ns
        self._room(packets.count)
        cdef uint64_t sorted_end = self.end
        with nogil:
            self._append(packets)
        safe_ns = floor - self.reorder_ns if floor > NO_TIME + self.reorder_ns else NO_TIME
        if self.end - self.begin > self.limit:
            # No room to wait: give up waiting for this turn, but never pass what a source has.
            safe_ns = floor
        if safe_ns > self.horizon_ns:
            self.horizon_ns = safe_ns
        self._sort(sorted_end)
        return self._give(self._before(self.horizon_ns))

    def restart(self):
        """Time begins anew, after `rest`."""
        self.horizon_ns = NO_TIME

    def rest(self):
        """All that is left, at the end of all sources."""
        if self.end > self.begin and self.rows[self.end - 1].t_ns > self.horizon_ns:
            self.horizon_ns = self.rows[self.end - 1].t_ns
        return self._give(self.end)

    cdef Packets _give(self, uint64_t until):
        self.out.rows = self.rows + self.begin
        self.out.count = <uint32_t>(until - self.begin)
        self.out.now_ns = self.horizon_ns
        self.begin = until
        return self.out

    cdef void _append(self, Packets packets) noexcept nogil:
        cdef uint32_t i
        cdef row_t *row
        cdef int64_t last = self.rows[self.end - 1].t_ns if self.end > self.begin else NO_TIME
        if packets.count == 0:
            return
        memcpy(self.rows + self.end, packets.rows, packets.count * sizeof(row_t))
        for i in range(packets.count):
            row = &self.rows[self.end + i]
            if row.t_ns < self.horizon_ns:
                row.t_ns = self.horizon_ns
                self.clamped += 1
            if row.t_ns < last or (
                row.t_ns == last and i == 0 and row.source != self.rows[self.end - 1].source
            ):
                if self.sorted or row.t_ns < self.oldest.t_ns:
                    self.oldest = row[0]
                self.sorted = False
            last = row.t_ns
        self.end += packets.count

    cdef uint64_t _before(self, int64_t t_ns) noexcept nogil:
        """Index of the first row that is not before t_ns."""
        cdef uint64_t low = self.begin
        cdef uint64_t high = self.end
        cdef uint64_t middle
        while low < high:
            middle = (low + high) >> 1
            if self.rows[middle].t_ns < t_ns:
                low = middle + 1
            else:
                high = middle
        return low

    cdef int _room(self, uint64_t more) except -1:
        """Make room for `more` rows; what was given out before is over now."""
        cdef uint64_t count = self.end - self.begin
        cdef uint64_t capacity = max(self.capacity, 4096)
        cdef row_t *grown
        # Move what waits only when that is less than what has gone: amortised, each row moves once.
        if self.begin and self.begin >= count:
            memmove(self.rows, self.rows + self.begin, count * sizeof(row_t))
            self.begin = 0
            self.end = count
        while capacity < self.end + more:
            capacity *= 2
        if capacity != self.capacity:
            grown = <row_t *>realloc(self.rows, capacity * sizeof(row_t))
            if grown == NULL:
                raise MemoryError("no memory to put packets in order: lower --reorder")
            self.rows = grown
            self.capacity = capacity
        return 0

    cdef uint64_t _first_behind(self, uint64_t end) noexcept nogil:
        """Index of the first row of the sorted ones before `end` that comes after `oldest`."""
        cdef uint64_t low = self.begin
        cdef uint64_t high = end
        cdef uint64_t middle
        cdef row_t *row
        while low < high:
            middle = (low + high) >> 1
            row = &self.rows[middle]
            if row.t_ns < self.oldest.t_ns or (
                row.t_ns == self.oldest.t_ns and row.source <= self.oldest.source
            ):
                low = middle + 1
            else:
                high = middle
        return low

    cdef int _sort(self, uint64_t sorted_end) except -1:
        """Sort what came behind `sorted_end` into what was sorted already."""
        cdef uint64_t first, count
        cdef uint64_t i
        cdef turn_t *turns
        cdef row_t *ordered
        if self.sorted:
            return 0
        # What is older than all that came stays where it is: a batch costs its own size, mostly.
        first = self._first_behind(sorted_end)
        count = self.end - first
        turns = <turn_t *>malloc(count * sizeof(turn_t))
        ordered = <row_t *>malloc(count * sizeof(row_t))
        if turns == NULL or ordered == NULL:
            free(turns)
            free(ordered)
            raise MemoryError("no memory to put packets in order: lower --reorder")
        for i in range(count):
            turns[i].t_ns = self.rows[first + i].t_ns
            turns[i].source = self.rows[first + i].source
            turns[i].at = first + i
        qsort(turns, count, sizeof(turn_t), _by_time)
        for i in range(count):
            memcpy(ordered + i, self.rows + turns[i].at, sizeof(row_t))
        memcpy(self.rows + first, ordered, count * sizeof(row_t))
        free(turns)
        free(ordered)
        self.sorted = True
        return 0
