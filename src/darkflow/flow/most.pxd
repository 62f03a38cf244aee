# Which tool most of a scan's dark flows were sent by, and how sure that is at best.

from libc.stdint cimport uint8_t, uint32_t
from darkflow.flow.layout cimport attempt_t
from darkflow.flow.tools cimport SURE_NOT, TOOL_NONE, TOOLS

ctypedef struct senders_t:
    uint32_t flows[TOOLS]           # TOOL_NONE: not known
    uint8_t sureness[TOOLS]         # the best of these flows


cdef inline void count_tool(senders_t *t, const attempt_t *a) noexcept nogil:
    t.flows[a.tool] += 1
    t.sureness[a.tool] = max(t.sureness[a.tool], a.sureness)


cdef inline int most_used(const senders_t *t) noexcept nogil:
    """TOOL_NONE if most flows have no name; of equals the surer, then the first."""
    cdef int best = TOOL_NONE
    cdef int i
    for i in range(1, TOOLS):
        if (
            t.flows[i] > t.flows[best]
            or (t.flows[i] == t.flows[best] and t.sureness[i] > t.sureness[best])
        ):
            best = i
    return best
