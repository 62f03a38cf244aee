"""The watched networks, and a flow's direction relative to them."""

from libc.stdint cimport uint8_t
from libc.string cimport memcmp
from darkflow.flow.layout cimport attempt_t, key_of

DIRECTIONS = ("inbound", "outbound", "internal", "transit")
EVERYTHING = ("0.0.0.0/0", "::/0")


cdef class Networks:
    """Sorted, disjoint address ranges; looking one up takes log2 of their number.

    ranges4, ranges6: (first, last) packed addresses of each range; see config.parse_networks.
    """

    def __init__(self, ranges4, ranges6, cidrs=EVERYTHING):
        for ranges, size in ((ranges4, 4), (ranges6, 16)):
            ends = [end for pair in ranges for end in pair]
            if ends != sorted(ends) or any(len(end) != size for end in ends):
                raise ValueError(f"ranges of {size}-byte addresses must be sorted and disjoint")
        self.ranges4 = b"".join(first + last for first, last in ranges4)
        self.ranges6 = b"".join(first + last for first, last in ranges6)
        self.first[0] = self.ranges4
        self.first[1] = self.ranges6
        self.count[0], self.count[1] = len(ranges4), len(ranges6)
        self.cidrs = tuple(cidrs)

    @classmethod
    def everything(cls):
        """Every address is watched."""
        return cls([(bytes(4), b"\xff" * 4)], [(bytes(16), b"\xff" * 16)])

    cdef bint contains(self, const uint8_t *address, uint8_t family) noexcept nogil:
        cdef Py_ssize_t size = 4 if family == 4 else 16
        cdef const uint8_t *ranges = self.first[family == 6]
        cdef Py_ssize_t count = self.count[family == 6]
        cdef Py_ssize_t low = 0
        cdef Py_ssize_t high = count
        cdef Py_ssize_t middle
        # The first range whose last address is not below this one.
        while low < high:
            middle = (low + high) >> 1
            if memcmp(ranges + (2 * middle + 1) * size, address, size) < 0:
                low = middle + 1
            else:
                high = middle
        return low < count and memcmp(ranges + 2 * low * size, address, size) <= 0

    cdef int direction(self, const attempt_t *attempt) noexcept nogil:
        cdef const uint8_t *key = key_of(attempt.head, attempt.family)
        cdef bint orig = self.contains(key, attempt.family)
        cdef bint resp = self.contains(key + (4 if attempt.family == 4 else 16), attempt.family)
        if orig:
            return INTERNAL if resp else OUTBOUND
        return INBOUND if resp else TRANSIT

    def direction_of(self, orig, resp):
        """Direction of a flow between two packed addresses."""
        family = 4 if len(orig) == 4 else 6
        cdef bint from_inside = self.contains(orig, family)
        cdef bint to_inside = self.contains(resp, family)
        return DIRECTIONS[
            (INTERNAL if to_inside else OUTBOUND) if from_inside
            else (INBOUND if to_inside else TRANSIT)
        ]
