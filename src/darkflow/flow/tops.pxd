# The most frequent ports (Space-Saving, Metwally and others 2005: a new one takes the place of the
# rarest, and its count). Exact up to TOP ports.

from libc.stdint cimport int64_t, uint16_t, uint32_t

cdef enum:
    TOP = 8
    TOP_SHOWN = 5

ctypedef struct tops_t:
    uint32_t times[TOP]
    uint16_t ports[TOP]
    uint16_t count


cdef inline void count_port(tops_t *t, uint16_t port) noexcept nogil:
    cdef int i
    cdef int rarest = 0
    for i in range(t.count):
        if t.ports[i] == port:
            t.times[i] += 1
            return
        if t.times[i] < t.times[rarest]:
            rarest = i
    if t.count < TOP:
        rarest = t.count
        t.count += 1
    t.ports[rarest] = port
    t.times[rarest] += 1


cdef inline str ports_text(const tops_t *t):
    """The first of them as "22,80"."""
    cdef int i
    top = sorted([(-<int64_t>t.times[i], t.ports[i]) for i in range(t.count)])
    return ",".join([str(port) for _, port in top[:TOP_SHOWN]])
