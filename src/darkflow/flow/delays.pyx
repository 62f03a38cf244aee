"""Distribution of delays: a log-spaced histogram, and exact quantiles as long as they fit.

Bins end at 1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6 and 8 times a power of ten from 1 us to 120 s, so that
the limits people ask for (1, 10, 30 ms, 1, 5 s) are edges and their shares are exact.
"""

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, realloc

STEPS = (10, 12, 15, 20, 25, 30, 40, 50, 60, 80)
EDGES_NS = tuple(
    step * 100 * 10**decade for decade in range(8) for step in STEPS
) + (100_000_000_000, 120_000_000_000)


cdef class Delays:
    """Counts delays in ns; keeps up to `sample_limit` of them for exact quantiles."""

    def __init__(self, sample_limit=2_000_000):
        self.sample_limit = sample_limit
        self.edge_count = len(EDGES_NS)
        for i, edge in enumerate(EDGES_NS):
            self.edges[i] = edge

    def __dealloc__(self):
        free(self.samples)

    cdef void add(self, int64_t delay_ns) noexcept nogil:
        cdef int low = 0
        cdef int high = self.edge_count
        cdef int middle
        cdef uint64_t capacity
        cdef int64_t *grown
        while low < high:
            middle = (low + high) >> 1
            if self.edges[middle] < delay_ns:
                low = middle + 1
            else:
                high = middle
        self.bins[low] += 1
        self.sum_ns += delay_ns
        if delay_ns > self.max_ns:
            self.max_ns = delay_ns
        if self.count < self.sample_limit:
            if self.count == self.capacity:
                capacity = self.capacity * 2 if self.capacity else 4096
                grown = <int64_t *>realloc(self.samples, capacity * sizeof(int64_t))
                if grown == NULL:
                    self.sample_limit = self.count
                else:
                    self.samples = grown
                    self.capacity = capacity
            if self.count < self.sample_limit:
                self.samples[self.count] = delay_ns
        self.count += 1

    def drop_samples(self):
        """Only the histogram from now on: for a run without end, whose memory must not grow."""
        free(self.samples)
        self.samples = NULL
        self.capacity = self.sample_limit = 0

    @property
    def exact(self):
        """True while every delay is kept, so that quantiles are exact."""
        return self.count <= self.sample_limit

    def quantile(self, double share):
        """Delay in ns at rank int(share * count); None without delays.

        Exact while `exact`; later the upper edge of the bin that holds it.
        """
        cdef uint64_t seen = 0
        if self.count == 0:
            return None
        cdef int64_t rank = min(<int64_t>(self.count - 1), <int64_t>(share * self.count))
        if rank == <int64_t>self.count - 1:
            return self.max_ns
        if self.exact:
            with nogil:
                rank = self._select(rank)
            return rank
        for i in range(self.edge_count):
            seen += self.bins[i]
            if seen > <uint64_t>rank:
                return min(self.edges[i], self.max_ns)
        return self.max_ns

    cdef int64_t _select(self, int64_t rank) noexcept nogil:
        """Hoare's selection: the sample at `rank`; reorders the samples."""
        cdef int64_t *x = self.samples
        cdef int64_t low = 0
        cdef int64_t high = <int64_t>self.count - 1
        cdef int64_t i, j, pivot
        while low < high:
            pivot = x[(low + high) >> 1]
            i = low
            j = high
            while i <= j:
                while x[i] < pivot:
                    i += 1
                while x[j] > pivot:
                    j -= 1
                if i <= j:
                    x[i], x[j] = x[j], x[i]
                    i += 1
                    j -= 1
            if rank <= j:
                high = j
            elif rank >= i:
                low = i
            else:
                break
        return x[rank]

    def share_within(self, limit_ns):
        """Share of delays up to `limit_ns`, which must be a bin's edge; None without delays."""
        if limit_ns not in EDGES_NS:
            raise ValueError(f"{limit_ns} ns is no edge of the histogram")
        if self.count == 0:
            return None
        return sum(self.bins[i] for i in range(EDGES_NS.index(limit_ns) + 1)) / self.count

    def histogram(self):
        """(upper edge in ns or None for beyond 120 s, count) of every bin that is not empty."""
        edges = (*EDGES_NS, None)
        return [(edges[i], self.bins[i]) for i in range(len(edges)) if self.bins[i]]
