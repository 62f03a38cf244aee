"""Whole frames of SYNs, kept until their attempt has its verdict: what dark.pcap is written from.

The engine's slots hold headers only. Who wants the original bytes (link layer, payload) keeps a
copy of each SYN's frame here, in a list by time; the engine marks each when its attempt turns dark
or is answered, and what is marked leaves the list from its old end.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy
from darkflow.flow.layout cimport KEPT_DARK, KEPT_NOT, KEPT_PENDING, frame_t, kept_t, row_t


cdef class KeptFrames:
    """A list of SYN frames that await their verdict, at most `limit_bytes` large."""

    def __init__(self, limit_bytes, only_larger=False):
        self.limit_bytes = limit_bytes
        self.only_larger = only_larger

    def __dealloc__(self):
        while self.head != NULL:
            self._free_head()

    cdef kept_t *copy(
        self, const frame_t *frame, const row_t *row, int64_t t_ns
    ) noexcept nogil:
        """A copy outside the list, with its own time; NULL, and counted, beyond the limit."""
        cdef size_t size = sizeof(kept_t) + frame.caplen
        cdef kept_t *kept = NULL
        if self.bytes_held + size <= self.limit_bytes:
            kept = <kept_t *>malloc(size)
        if kept == NULL:
            self.dropped += 1
            return NULL
        self.bytes_held += size
        kept.next = NULL
        kept.same = NULL
        kept.t_ns = t_ns
        kept.caplen = frame.caplen
        kept.origlen = frame.origlen
        kept.link = frame.link
        kept.ip_at = row.ip_at
        kept.digits = frame.digits
        kept.verdict = KEPT_PENDING
        memcpy(kept.data, frame.data, frame.caplen)
        return kept

    cdef void link(self, kept_t *kept) noexcept nogil:
        """Append; the engine does so in the order of time."""
        if self.tail == NULL:
            self.head = kept
        else:
            self.tail.next = kept
        self.tail = kept

    cdef void _free_head(self) noexcept nogil:
        cdef kept_t *kept = self.head
        self.head = kept.next
        if self.head == NULL:
            self.tail = NULL
        self.bytes_held -= sizeof(kept_t) + kept.caplen
        free(kept)

    def take(self, last=False):
        """Judged dark frames from the old end: (t_ns, link, digits, origlen, bytes), by time.

        `last`: the capture has ended, so what is still pending stays undecided and is let go.
        """
        taken = []
        cdef kept_t *kept
        while self.head != NULL:
            kept = self.head
            if kept.verdict == KEPT_PENDING and not last:
                break
            if kept.verdict == KEPT_DARK:
                taken.append((
                    kept.t_ns, kept.link, kept.digits, kept.origlen,
                    (<const uint8_t *>kept.data)[:kept.caplen],
                ))
            self._free_head()
        return taken
