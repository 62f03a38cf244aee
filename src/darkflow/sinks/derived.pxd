# What lines and columns both say of an attempt and neither reads straight from its row.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, strlen
from darkflow.flow.layout cimport attempt_t, event_t

cdef enum:
    ADDRESS_BYTES = 48              # an address as text, its end included
    COMMUNITY_BYTES = 32            # a Community ID as text, its end included
    OPTIONS_BYTES = 168             # 40 option kinds of up to three digits, with their dashes

ctypedef struct options_t:
    char kinds[OPTIONS_BYTES]
    int64_t mss                     # -1: there is none
    int64_t wscale

cdef const char *direction_name(int direction) noexcept nogil
cdef const char *event_name(const event_t *event, bint at_verdict) noexcept nogil
cdef uint64_t flow_id(const attempt_t *a) noexcept nogil
cdef void community_id(const attempt_t *a, char *out) noexcept nogil
cdef void read_options(const uint8_t *tcp, int size, options_t *found) noexcept nogil
cdef char *number(char *p, int64_t value) noexcept nogil
cdef char *padded(char *p, uint32_t value, int width) noexcept nogil
cdef char *address(char *p, const uint8_t *bytes, uint8_t family) noexcept nogil


cdef inline char *text(char *p, const char *s) noexcept nogil:
    cdef size_t size = strlen(s)
    memcpy(p, s, size)
    return p + size


cdef inline const char *either(bint condition, const char *yes, const char *no) noexcept nogil:
    return yes if condition else no
