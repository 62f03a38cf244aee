"""What an engine has counted, and how full its queue and table are."""

from libc.stdint cimport uint64_t
from darkflow.flow.attempts cimport SEGMENT_SLOTS
from darkflow.flow.delays cimport Delays
from darkflow.flow.fingerprints cimport Fingerprints
from darkflow.flow.layout cimport attempt_t


cdef class Tally:
    """The side of the engine that is read; the engine itself changes it."""

    def __cinit__(self, *_, **__):
        self.reply_delays = Delays()
        self.late_delays = Delays(100_000)
        self.retry_spans = Delays(0)

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
        return self.table.held.count, self.table.dark.count

    @property
    def memory_bytes(self):
        """What queue, table, index and remembered sources hold allocated now."""
        return (
            self.prints.memory_bytes
            + self.table.segment_count * SEGMENT_SLOTS * sizeof(attempt_t)
            + (<uint64_t>self.table.mask + 1) * 8 + self.table.segment_limit * 8
        )
