"""The blocks of a TPACKET_V3 ring as batches of frames, without a copy.

The kernel fills blocks of a memory map and hands each over by one status word (kernel doc
networking/packet_mmap). A block is given back when the next batch is asked for: a batch's bytes
are valid until then, as every source promises.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from darkflow.flow.batch cimport Frames
from darkflow.flow.layout cimport MAX_FRAMES, NO_TIME, TIMED, frame_t

cdef extern from "<stdlib.h>" nogil:
    long long llabs(long long)

cdef extern from "<linux/if_packet.h>" nogil:
    enum: TP_STATUS_KERNEL
    enum: TP_STATUS_USER
    struct tpacket_hdr_v1:
        uint32_t block_status
        uint32_t num_pkts
        uint32_t offset_to_first_pkt
    union tpacket_bd_header_u:
        tpacket_hdr_v1 bh1
    struct tpacket_block_desc:
        tpacket_bd_header_u hdr
    struct tpacket3_hdr:
        uint32_t tp_next_offset
        uint32_t tp_sec
        uint32_t tp_nsec
        uint32_t tp_snaplen
        uint32_t tp_len
        uint32_t tp_status
        uint16_t tp_mac

cdef extern from *:
    """
    #define df_load(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
    #define df_store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
    """
    uint32_t df_load(uint32_t *p) noexcept nogil
    void df_store(uint32_t *p, uint32_t value) noexcept nogil


cdef class RingWalker:
    """Walks the blocks of one ring, which keeps the memory map alive.

    ring: the map; block_bytes: its blocks' size; link: link type of its frames; source: number of
    the interface among several.
    """

    cdef uint8_t[::1] map
    cdef uint32_t block_bytes, blocks, block
    cdef uint32_t left
    cdef uint8_t *at
    cdef bint held
    cdef uint32_t link
    cdef uint16_t source
    cdef readonly int64_t now_ns, disorder_ns
    cdef readonly uint64_t packets
    cdef int64_t step_ns, stepped_at_ns
    # What came before it is passed over.
    cdef public int64_t since_ns

    def __init__(self, ring, block_bytes, link, source=0):
        self.map = ring
        if block_bytes <= 0 or len(ring) % block_bytes:
            raise ValueError("a ring is a whole number of blocks")
        self.block_bytes = block_bytes
        self.blocks = len(ring) // block_bytes
        self.link = link
        self.source = source
        self.now_ns = self.since_ns = NO_TIME

    cdef tpacket_block_desc *_desc(self) noexcept nogil:
        return <tpacket_block_desc *>(&self.map[0] + <uint64_t>self.block * self.block_bytes)

    def step(self, step_ns, now_ns):
        """The clock was set by `step_ns` and is `now_ns` now; 0: that is long past.

        Packets that still have the old time are moved into the new one.
        """
        self.step_ns = step_ns
        self.stepped_at_ns = now_ns
        if step_ns:
            self.now_ns = NO_TIME

    def walk(self, Frames out):
        """Frames of the next block, or of its rest; False when the kernel has filled none."""
        cdef bint found
        with nogil:
            found = self._walk(out)
        return found

    cdef bint _walk(self, Frames out) noexcept nogil:
        cdef tpacket_block_desc *desc = self._desc()
        out.count = 0
        if self.held and self.left == 0:
            df_store(&desc.hdr.bh1.block_status, TP_STATUS_KERNEL)
            self.held = False
            self.block = (self.block + 1) % self.blocks
            desc = self._desc()
        if not self.held:
            if not df_load(&desc.hdr.bh1.block_status) & TP_STATUS_USER:
                return False
            self.held = True
            self.left = desc.hdr.bh1.num_pkts
            self.at = <uint8_t *>desc + desc.hdr.bh1.offset_to_first_pkt
        self._fill(out)
        return True

    cdef void _fill(self, Frames out) noexcept nogil:
        cdef tpacket3_hdr *head
        cdef frame_t *frame
        while self.left and out.count < MAX_FRAMES:
            head = <tpacket3_hdr *>self.at
            self.left -= 1
            self.at += head.tp_next_offset
            frame = &out.frames[out.count]
            self._time(frame, <int64_t>head.tp_sec * 1_000_000_000 + head.tp_nsec)
            if frame.t_ns < self.since_ns:
                continue
            self.packets += 1
            frame.data = <uint8_t *>head + head.tp_mac
            frame.caplen = head.tp_snaplen
            frame.origlen = head.tp_len
            frame.link = self.link
            frame.source = self.source
            frame.digits = 9
            frame.timed = TIMED
            out.count += 1

    cdef void _time(self, frame_t *frame, int64_t t_ns) noexcept nogil:
        cdef int64_t off_ns = t_ns - self.stepped_at_ns
        if self.step_ns and llabs(off_ns + self.step_ns) < llabs(off_ns):
            t_ns += self.step_ns
        if t_ns < self.now_ns:
            if self.now_ns - t_ns > self.disorder_ns:
                self.disorder_ns = self.now_ns - t_ns
        else:
            self.now_ns = t_ns
        frame.t_ns = t_ns
