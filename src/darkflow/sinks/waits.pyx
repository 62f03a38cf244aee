"""How long answers take and how long clients wait, for each watched network: what T is chosen from.

An attempt counts only if it was watched for `longest_ns`, whatever its answer: near the end of a
capture only quick answers can be seen, and they would make T look too good. So the answers of the
last `longest_ns` wait here until it is known that the capture goes on for that long.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memmove
from darkflow.flow.batch cimport Events
from darkflow.flow.delays cimport Delays
from darkflow.flow.layout cimport (
    END_LATE_ANSWER, EVENT_REACHED, EVENT_END, EVENT_LATE, attempt_t, event_t, key_of,
)
from darkflow.flow.networks cimport Networks

cdef enum:
    SAMPLES = 200_000               # delays of a network whose quantiles are exact
    MOST_NETWORKS = 4096

ctypedef struct answer_t:
    int64_t t_ns
    int64_t t0_ns
    uint32_t group


cdef class Group:
    """What is known of one network: delays of answers, late ones too; spans from first to last SYN
    of dark flows that resent one. A flow that was answered late is no dark flow here."""

    cdef readonly Delays delays, spans
    cdef readonly uint64_t dark

    def __cinit__(self):
        self.delays = Delays(SAMPLES)
        self.spans = Delays(0)


cdef class Waits:
    """Takes events of an engine that tells answers and whose T is `longest_ns`.

    networks: what is watched, each for itself; a destination counts for the first that holds it.
    limit: answers that may wait for the end of their time; beyond them the oldest are taken as
    they are, and counted in `hurried`.
    """

    cdef list networks
    cdef readonly list groups
    cdef readonly str name
    cdef readonly uint64_t cut_short    # answers of attempts that were not watched for long enough
    cdef readonly uint64_t hurried
    cdef int64_t longest_ns
    cdef answer_t *waiting
    cdef size_t begin, end, capacity, limit

    def __init__(self, networks, longest_ns, limit=1 << 20):
        if not 1 <= len(networks) <= MOST_NETWORKS:
            raise ValueError(f"1 to {MOST_NETWORKS} networks can be told apart")
        self.name = "the delays"
        self.networks = list(networks)
        self.groups = [Group() for _ in networks]
        self.longest_ns = longest_ns
        self.limit = limit

    def __dealloc__(self):
        free(self.waiting)

    def write(self, Events events):
        """Take the events of one batch."""
        cdef size_t i
        cdef const event_t *event
        cdef int group
        for i in range(events.count):
            event = &events.events[i]
            if event.kind != EVENT_REACHED and event.kind != EVENT_LATE and event.kind != EVENT_END:
                continue
            group = self._group_of(&event.attempt)
            if group >= 0:
                self._take(event, group)

    def close(self):
        """Nothing is left to do; `settle` must be called with the end of the input."""

    cdef int _group_of(self, const attempt_t *a) except -2:
        cdef const uint8_t *resp = key_of(a.head, a.family) + (4 if a.family == 4 else 16)
        cdef Networks networks
        cdef int i
        for i in range(len(self.networks)):
            networks = self.networks[i]
            if networks.contains(networks.table[a.family == 6], resp, a.family):
                return i
        return -1

    cdef int _take(self, const event_t *event, int number) except -1:
        cdef const attempt_t *a = &event.attempt
        cdef Group group = self.groups[number]
        if event.kind == EVENT_REACHED:
            self._settle(event.t_ns)
            self._wait(event.t_ns, a.t0_ns, number)
        elif event.kind == EVENT_LATE:
            # Its time was over when the verdict fell.
            group.delays.add(event.t_ns - a.t0_ns)
        elif event.detail != END_LATE_ANSWER:
            group.dark += 1
            if a.syn_count > 1 + a.duplicate_count:
                group.spans.add(a.last_syn_ns - a.t0_ns)
        return 0

    cdef int _wait(self, int64_t t_ns, int64_t t0_ns, uint32_t group) except -1:
        cdef size_t capacity
        cdef answer_t *grown
        if self.end == self.capacity and self.begin > self.capacity // 2:
            memmove(
                self.waiting, self.waiting + self.begin,
                (self.end - self.begin) * sizeof(answer_t),
            )
            self.end -= self.begin
            self.begin = 0
        if self.end - self.begin >= self.limit:
            self.hurried += 1
            self._count(self.begin)
            self.begin += 1
        if self.end == self.capacity:
            capacity = self.capacity * 2 if self.capacity else 1024
            grown = <answer_t *>realloc(self.waiting, capacity * sizeof(answer_t))
            if grown == NULL:
                raise MemoryError("no memory for the answers of the last seconds")
            self.waiting = grown
            self.capacity = capacity
        self.waiting[self.end].t_ns = t_ns
        self.waiting[self.end].t0_ns = t0_ns
        self.waiting[self.end].group = group
        self.end += 1
        return 0

    cdef int _count(self, size_t at) except -1:
        cdef Group group = self.groups[self.waiting[at].group]
        group.delays.add(self.waiting[at].t_ns - self.waiting[at].t0_ns)
        return 0

    cdef int _settle(self, int64_t now_ns) except -1:
        """Count the answers whose attempts are certainly that old: the first that came, first."""
        while self.begin < self.end and self.waiting[self.begin].t_ns + self.longest_ns <= now_ns:
            self._count(self.begin)
            self.begin += 1
        return 0

    def settle(self, int64_t end_ns):
        """The input has ended at `end_ns`: who was not watched for long enough is left out."""
        self._settle(end_ns)
        while self.begin < self.end:
            if self.waiting[self.begin].t0_ns + self.longest_ns <= end_ns:
                self._count(self.begin)
            else:
                self.cut_short += 1
            self.begin += 1
