from libc.stdint cimport int64_t, uint32_t
from darkflow.flow.layout cimport event_t, frame_t, row_t

cdef class Frames:
    cdef frame_t *frames
    cdef int64_t *told_ns
    cdef readonly uint32_t count
    cdef public int64_t now_ns
    cdef object keep

cdef class Packets:
    cdef row_t *rows
    cdef uint32_t capacity
    cdef readonly uint32_t count
    cdef public int64_t now_ns
    cdef bint owner

cdef class Events:
    cdef event_t *events
    cdef size_t capacity
    cdef readonly size_t count
    cdef readonly int64_t now_ns
    cdef event_t *add(self) except? NULL nogil
