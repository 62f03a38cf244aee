from libc.stdint cimport uint8_t, uint32_t, uint64_t
from darkflow.flow.batch cimport Frames, Packets
from darkflow.flow.kept cimport KeptFrames
from darkflow.flow.layers cimport LOST_KINDS, place_t
from darkflow.flow.layout cimport frame_t, row_t

ctypedef struct counts_t:
    uint64_t packets
    uint64_t tcp
    uint64_t syn
    uint64_t synack
    uint64_t rst
    uint64_t icmp_errors
    uint64_t lost[LOST_KINDS]

cdef class Decoder:
    cdef counts_t counts
    cdef readonly uint32_t tunnels
    cdef KeptFrames kept
    cdef Packets out
    cdef dict link_types
    cdef int _decode_all(self, Frames frames) except -1 nogil
    cdef int _unknown_link(self, uint32_t link) except -1
