# The queues in which SYNs are held. Each has one constant hold, so that it is in the order of its
# deadlines: `held` has T; while holds are adaptive there is one for each shorter hold, and behind
# each another for those that hold on to T after all. attempt_t.hold tells which one it is.

from libc.stdint cimport int64_t, uint8_t, uint32_t
from darkflow.flow.attempts cimport EARLY, LEVELS, append, attempts_t, list_t, slot, unlink
from darkflow.flow.kept cimport judge
from darkflow.flow.layout cimport KEPT_NOT, attempt_t

cdef enum:
    HOLD_T = 0                      # held for T, as everybody
    HOLD_WATCHED = 1                # for T, to measure what a shorter hold would have cost
    HOLD_EARLY = 2                  # and level: for the shorter hold of this level
    HOLD_ON = HOLD_EARLY + LEVELS   # and level: that has passed, and it is held on to T


cdef inline int64_t held_ns(
    const int64_t *holds, const attempt_t *a, int64_t hold_ns
) noexcept nogil:
    """How long the attempt is held, or was, until its verdict; `holds` is NULL if that is always T.

    Then its last line is not read.
    """
    return holds[a.hold] if holds != NULL else hold_ns


cdef inline bint is_early(uint8_t hold) noexcept nogil:
    return HOLD_EARLY <= hold < HOLD_ON


cdef inline list_t *queue_of(attempts_t *table, uint8_t hold) noexcept nogil:
    return &table.early[hold - HOLD_EARLY] if hold >= HOLD_EARLY else &table.held


cdef inline uint32_t held_count(const attempts_t *table) noexcept nogil:
    """Slots of the delay queue that are taken."""
    cdef uint32_t count = table.held.count
    cdef int i
    for i in range(EARLY):
        count += table.early[i].count
    return count


cdef inline uint32_t first_due(
    const attempts_t *table, const int64_t *holds, uint32_t number, int64_t *due_ns
) noexcept nogil:
    """The slot whose turn comes first, and when; given the head of `held` (or 0) and its time.

    Of two at the same time it is the older attempt, whatever the queue.
    """
    cdef uint32_t other
    cdef int64_t other_ns
    cdef int i
    for i in range(EARLY):
        other = table.early[i].head
        if other == 0:
            continue
        other_ns = slot(table, other).t0_ns + holds[HOLD_EARLY + i]
        if other_ns < due_ns[0] or (
            number and other_ns == due_ns[0]
            and slot(table, other).number < slot(table, number).number
        ):
            number = other
            due_ns[0] = other_ns
    return number


cdef inline void hold_on(attempts_t *table, uint32_t number) noexcept nogil:
    """Its short hold has passed (it is in no queue now): it goes on waiting, until T."""
    slot(table, number).hold += LEVELS
    append(table, queue_of(table, slot(table, number).hold), number)


cdef inline void gather(attempts_t *table) noexcept nogil:
    """At the end of the input: all that is held into `held`, in the order of first SYNs."""
    cdef list_t all_held
    cdef list_t *queue
    cdef list_t *oldest
    cdef uint32_t number
    cdef int i
    all_held.head = all_held.tail = all_held.count = 0
    while True:
        oldest = &table.held
        for i in range(EARLY):
            queue = &table.early[i]
            if queue.head and (
                oldest.head == 0
                or slot(table, queue.head).number < slot(table, oldest.head).number
            ):
                oldest = queue
        number = oldest.head
        if number == 0:
            break
        unlink(table, oldest, number)
        append(table, &all_held, number)
    table.held = all_held


cdef inline void drop_kept(attempts_t *table) noexcept nogil:
    """Nobody will say any more what became of these SYNs: their frames are not kept."""
    cdef uint32_t number
    gather(table)
    number = table.held.head
    while number:
        judge(slot(table, number).kept, KEPT_NOT)
        number = slot(table, number).next
