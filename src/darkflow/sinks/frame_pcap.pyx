"""Every frame of an interface as a capture file, given to a box (outbox.py) that never waits."""

import threading

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy
from darkflow.flow.batch cimport Frames
from darkflow.flow.layout cimport frame_t
from darkflow.sinks.dark_pcap import ETHERNET, PUT_BYTES, SNAPLEN, pcap_header

cdef enum:
    HEAD_BYTES = 16                 # before each frame: seconds, ns, captured and original length
    LAST_SECOND = 0xFFFFFFFF


cdef inline uint32_t kept_bytes(const frame_t *f, uint32_t most) noexcept nogil:
    return f.caplen if f.caplen < most else most


cdef char *put_record(char *p, const frame_t *f, uint32_t most) noexcept nogil:
    cdef uint32_t head[4]
    cdef int64_t second = f.t_ns // 1_000_000_000
    if f.t_ns < 0 or second > LAST_SECOND:
        head[0] = 0 if f.t_ns < 0 else <uint32_t>LAST_SECOND
        head[1] = 0
    else:
        head[0] = <uint32_t>second
        head[1] = <uint32_t>(f.t_ns % 1_000_000_000)
    head[2] = kept_bytes(f, most)
    head[3] = f.origlen
    memcpy(p, head, HEAD_BYTES)
    if head[2]:
        memcpy(p + HEAD_BYTES, f.data, head[2])
    return p + HEAD_BYTES + head[2]


cdef class FramePcap:
    """Writes Ethernet frames with times in ns, from any thread; others are counted.

    put: frames given to the box, which counts those that it drops.
    """

    cdef object box
    cdef object changing
    cdef uint32_t most_bytes
    cdef uint32_t piece_bytes
    cdef readonly uint64_t put
    cdef readonly uint64_t not_written

    def __init__(self, box):
        self.box = box
        self.changing = threading.Lock()
        self.most_bytes = SNAPLEN
        self.piece_bytes = PUT_BYTES
        box.begin(pcap_header((ETHERNET, True)))

    def write(self, Frames frames):
        """All frames of a batch, in pieces of some PUT_BYTES, so that one loss is not the whole."""
        cdef uint32_t first = 0
        cdef uint32_t end, count
        cdef size_t size
        cdef uint64_t put = 0
        cdef uint64_t others = 0
        cdef const frame_t *f
        while first < frames.count:
            end = first
            size = count = 0
            while end < frames.count and size < self.piece_bytes:
                f = &frames.frames[end]
                end += 1
                if f.link == 1:
                    size += HEAD_BYTES + kept_bytes(f, self.most_bytes)
                    count += 1
                else:
                    others += 1
            if count:
                self.box.put(self._piece(frames, first, end, size), count)
            put += count
            first = end
        with self.changing:
            self.put += put
            self.not_written += others

    cdef bytes _piece(self, Frames frames, uint32_t first, uint32_t end, size_t size):
        cdef bytes piece = PyBytes_FromStringAndSize(NULL, size)
        cdef char *p = PyBytes_AS_STRING(piece)
        cdef uint32_t i
        for i in range(first, end):
            if frames.frames[i].link == 1:
                p = put_record(p, &frames.frames[i], self.most_bytes)
        return piece
