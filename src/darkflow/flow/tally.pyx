"""What an engine has counted, and how full its queue and table are."""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset
from darkflow.flow.attempts cimport SEGMENT_SLOTS, slot
from darkflow.flow.delays cimport Delays
from darkflow.flow.fingerprints cimport Fingerprints
from darkflow.flow.layout cimport attempt_t
from darkflow.flow.queues cimport first_due, held_count, held_ns

NEVER = 1 << 62
# Slots and index are numbered in 32 bits, and the index holds at most half of 2^32 entries.
MAX_SIZE = 1 << 29


def check_sizes(hold_ns, idle_ns, sizes, seed):
    """ValueError if no engine can be made of these."""
    if hold_ns <= 0 or idle_ns <= 0:
        raise ValueError("hold and idle must be longer than 0")
    if not all(1 <= size <= MAX_SIZE for size in sizes):
        raise ValueError(f"queue, table and sources must be 1 to {MAX_SIZE}, not {sizes}")
    if len(seed) != 16:
        raise ValueError(f"the seed must have 16 bytes, not {len(seed)}")


cdef class Tally:
    """The side of the engine that is read; the engine itself changes it."""

    def __cinit__(self, *_, **__):
        self.reply_delays = Delays()
        self.late_delays = Delays(100_000)
        self.retry_spans = Delays(0)
        memset(&self.table, 0, sizeof(self.table))

    @property
    def counters(self):
        """What became of every SYN and answer; syn = attempts + repeated + dropped_queue."""
        c = self.counts
        return {
            "attempts": c.attempts, "retransmitted_or_repeated": c.repeated,
            "answered": c.answered, "refused": c.refused, "dark": c.dark,
            "undecided": c.undecided, "late_answers": c.late_answers,
            "unsolicited": c.unsolicited, "icmp_unreachable": c.icmp_unreachable,
            "icmp_unsolicited": c.icmp_unsolicited,
            "dropped_queue": c.dropped_queue, "dropped_table": c.dropped_table,
        }

    @property
    def kept_frames(self):
        """Where whole SYN frames await their verdict, or None."""
        return self.kept

    @property
    def retry_counts(self):
        """Dark flows by number of resent SYNs: index 0 to 31, and 32 for more."""
        return list(self.retries)

    @property
    def dropped_sources(self):
        """Sources forgotten for want of room, whose tools might have been told."""
        return self.prints.dropped

    @property
    def sizes(self):
        """(flows in the delay queue, flows in the flow table) now."""
        return held_count(&self.table), self.table.dark.count

    def deadline_ns(self):
        """When time next brings something about; NEVER (2^62) when nothing is open.

        The end of an answered flow's slot counts as well, though nobody hears of it.
        """
        cdef int64_t next_ns = NEVER
        cdef int64_t held_until_ns
        cdef attempt_t *a
        if self.table.held.head:
            next_ns = slot(&self.table, self.table.held.head).t0_ns + self.hold_ns
        if self.adapts:
            first_due(&self.table, self.holds, self.table.held.head, &next_ns)
        if self.table.dark.head:
            a = slot(&self.table, self.table.dark.head)
            held_until_ns = a.t0_ns + held_ns(self.holds, a, self.hold_ns)
            next_ns = min(next_ns, max(held_until_ns, a.last_syn_ns) + self.idle_ns)
        return next_ns + 1 if next_ns < NEVER else NEVER

    @property
    def memory_bytes(self):
        """What queue, table, index and remembered sources hold allocated now."""
        return (
            (self.adaptive.memory_bytes if self.adapts else 0)
            + self.prints.memory_bytes
            + self.table.segment_count * SEGMENT_SLOTS * sizeof(attempt_t)
            + (<uint64_t>self.table.mask + 1) * 8 + self.table.segment_limit * 8
        )
