from libc.stdint cimport int64_t, uint64_t
from darkflow.flow.adaptive cimport Adaptive
from darkflow.flow.attempts cimport attempts_t
from darkflow.flow.delays cimport Delays
from darkflow.flow.fingerprints cimport Fingerprints
from darkflow.flow.kept cimport KeptFrames

cdef enum:
    MAX_RETRIES = 32

ctypedef struct verdicts_t:
    uint64_t attempts
    uint64_t repeated
    uint64_t answered
    uint64_t refused
    uint64_t dark
    uint64_t undecided
    uint64_t late_answers
    uint64_t unsolicited
    uint64_t icmp_unreachable
    uint64_t icmp_unsolicited
    uint64_t dropped_queue
    uint64_t dropped_table

cdef class Tally:
    cdef attempts_t table
    cdef readonly int64_t hold_ns
    cdef int64_t idle_ns
    cdef readonly Adaptive adaptive
    cdef bint adapts                # whether there is one
    cdef const int64_t *holds       # its holds, by attempt_t.hold; or NULL
    cdef verdicts_t counts
    cdef uint64_t retries[MAX_RETRIES + 1]
    cdef readonly Delays reply_delays
    cdef readonly Delays late_delays
    cdef readonly Delays retry_spans
    cdef KeptFrames kept
    cdef Fingerprints prints
