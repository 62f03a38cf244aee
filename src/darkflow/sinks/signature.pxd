# The raw signature of a SYN as one text, and names of tools.

from darkflow.flow.layout cimport attempt_t

cdef enum:
    SIGNATURE_BYTES = 320           # 40 options of four characters, all quirks, numbers, the end

cdef bint signature(const attempt_t *a, char *out) noexcept nogil
cdef int ttl_start(const attempt_t *a) noexcept nogil
cdef const char *tool_name(int tool) noexcept nogil
cdef const char *sureness_name(int sureness) noexcept nogil
