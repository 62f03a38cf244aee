"""The watched networks, and a flow's direction relative to them."""

import sys

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp, memcpy
from darkflow.flow.layout cimport attempt_t, key_of

DIRECTIONS = ("inbound", "outbound", "internal", "transit")
EVERYTHING = ("0.0.0.0/0", "::/0")
# Replaced tables that are kept: a lookup that began before would have to last for as many changes.
KEPT = 16

cdef extern from *:
    """
    #define df_load_table(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
    #define df_store_table(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
    """
    const uint8_t *df_load_table(const uint8_t **p) noexcept nogil
    void df_store_table(const uint8_t **p, const uint8_t *value) noexcept nogil


cdef class Networks:
    """Sorted, disjoint address ranges; looking one up takes log2 of their number.

    ranges4, ranges6: (first, last) packed addresses of each range; see config.parse_networks.
    They may be replaced while other threads look addresses up.
    """

    def __init__(self, ranges4, ranges6, cidrs=EVERYTHING):
        self.kept = []
        self.replace(ranges4, ranges6, cidrs)

    def replace(self, ranges4, ranges6, cidrs=EVERYTHING):
        """Watch these networks from now on; ValueError for ranges out of order."""
        tables = []
        for ranges, size in ((ranges4, 4), (ranges6, 16)):
            ends = [end for pair in ranges for end in pair]
            if ends != sorted(ends) or any(len(end) != size for end in ends):
                raise ValueError(f"ranges of {size}-byte addresses must be sorted and disjoint")
            # The number of ranges stands before them, so that one pointer tells all.
            tables.append(len(ranges).to_bytes(8, sys.byteorder) + b"".join(ends))
        cdef bytes four = tables[0]
        cdef bytes six = tables[1]
        self.kept = [tables, *self.kept[:KEPT]]
        df_store_table(&self.table[0], four)
        df_store_table(&self.table[1], six)
        self.cidrs = tuple(cidrs)

    @classmethod
    def everything(cls):
        """Every address is watched."""
        return cls([(bytes(4), b"\xff" * 4)], [(bytes(16), b"\xff" * 16)])

    cdef bint contains(
        self, const uint8_t *table, const uint8_t *address, uint8_t family
    ) noexcept nogil:
        cdef Py_ssize_t size = 4 if family == 4 else 16
        cdef const uint8_t *ranges = table + 8
        cdef uint64_t count
        cdef uint64_t low = 0
        cdef uint64_t high
        cdef uint64_t middle
        memcpy(&count, table, 8)
        high = count
        # The first range whose last address is not below this one.
        while low < high:
            middle = (low + high) >> 1
            if memcmp(ranges + (2 * middle + 1) * size, address, size) < 0:
                low = middle + 1
            else:
                high = middle
        return low < count and memcmp(ranges + 2 * low * size, address, size) <= 0

    cdef bint watches(self, const uint8_t *address, uint8_t family) noexcept nogil:
        """Whether an address is one of ours."""
        return self.contains(df_load_table(&self.table[family == 6]), address, family)

    cdef int direction(self, const attempt_t *attempt) noexcept nogil:
        # Read once: both ends are judged by the same networks.
        cdef const uint8_t *table = df_load_table(&self.table[attempt.family == 6])
        cdef const uint8_t *key = key_of(attempt.head, attempt.family)
        cdef const uint8_t *other = key + (4 if attempt.family == 4 else 16)
        cdef bint orig = self.contains(table, key, attempt.family)
        cdef bint resp = self.contains(table, other, attempt.family)
        if orig:
            return INTERNAL if resp else OUTBOUND
        return INBOUND if resp else TRANSIT

    def direction_of(self, orig, resp):
        """Direction of a flow between two packed addresses."""
        family = 4 if len(orig) == 4 else 6
        cdef const uint8_t *table = df_load_table(&self.table[family == 6])
        cdef bint from_inside = self.contains(table, orig, family)
        cdef bint to_inside = self.contains(table, resp, family)
        return DIRECTIONS[
            (INTERNAL if to_inside else OUTBOUND) if from_inside
            else (INBOUND if to_inside else TRANSIT)
        ]
