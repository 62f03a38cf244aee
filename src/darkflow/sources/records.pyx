"""Walks the records of pcap and pcapng bytes; one walker per capture, fed with chunks.

Formats: pcap (libpcap's savefile page), with the modified magic of Kuznetzov's patch, and pcapng
(draft-ietf-opsawg-pcapng). Lengths are checked before anything is read; a record that cannot be
right stops the walk and `fault` says which of reader_notes' words it is.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from darkflow.flow.batch cimport Frames
from darkflow.flow.layout cimport CLAMPED, MAX_FRAMES, NO_TIME, NOT_TIMED, TIMED, frame_t

cdef extern from *:
    """
    #include <stdint.h>
    /* The latest and the earliest time: their difference still fits into 64 bits. */
    #define DF_MAX_TIME ((__int128)1 << 62)
    #define DF_MIN_TIME (1 - DF_MAX_TIME)
    /* ticks of 10^-res or 2^-res seconds, plus seconds, to ns, rounded down; *far: out of range */
    static int64_t df_ticks_to_ns(uint64_t ticks, int base2, int res, int64_t seconds, int *far) {
        __int128 ns = ticks;
        int i;
        if (base2) {
            ns = res < 127 ? ns * 1000000000 >> res : 0;
        } else {
            for (i = res; i < 9; i++) ns *= 10;
            for (i = 9; i < res && i < 30; i++) ns /= 10;
        }
        ns += (__int128)seconds * 1000000000;
        *far = ns > DF_MAX_TIME || ns < DF_MIN_TIME;
        return *far ? (int64_t)(ns > 0 ? DF_MAX_TIME : DF_MIN_TIME) : (int64_t)ns;
    }
    """
    int64_t df_ticks_to_ns(
        uint64_t ticks, int base2, int res, int64_t seconds, int *far
    ) noexcept nogil

cdef enum:
    MAX_CAPLEN = 0x4000000          # no capture tool writes longer records
    MAX_INTERFACES = 65536
    SECTION = 0x0A0D0D0A            # the same in both byte orders
    INTERFACE = 1
    OLD_PACKET = 2
    SIMPLE_PACKET = 3
    ENHANCED_PACKET = 6

# magic as read in little-endian order: (big-endian, nanoseconds, extra header bytes)
PCAP_MAGICS = {
    0xA1B2C3D4: (0, 0, 0), 0xD4C3B2A1: (1, 0, 0), 0xA1B23C4D: (0, 1, 0), 0x4D3CB2A1: (1, 1, 0),
    0xA1B2CD34: (0, 0, 8), 0x34CDB2A1: (1, 0, 8),
}

ctypedef struct interface_t:
    uint32_t link
    uint32_t snaplen
    int64_t offset_s
    uint8_t base2
    uint8_t resolution
    uint8_t digits


cdef inline uint32_t u32(const uint8_t *p, bint big) noexcept nogil:
    if big:
        return (<uint32_t>p[0] << 24) | (<uint32_t>p[1] << 16) | (<uint32_t>p[2] << 8) | p[3]
    return (<uint32_t>p[3] << 24) | (<uint32_t>p[2] << 16) | (<uint32_t>p[1] << 8) | p[0]


cdef inline uint16_t u16(const uint8_t *p, bint big) noexcept nogil:
    return <uint16_t>(p[0] << 8 | p[1]) if big else <uint16_t>(p[1] << 8 | p[0])


cdef class RecordWalker:
    """Reads frames out of capture bytes, in file order, and keeps the file's own time.

    A frame that is more than `reorder_ns` older than one before it gets the time that is just
    `reorder_ns` old, and counts as clamped; `first_clamped` tells which packet with a time was the
    first of them, from 1. `source` numbers the capture among several.
    """

    cdef bint is_pcapng, big, nano, started
    cdef uint32_t record_header
    cdef uint32_t link
    cdef interface_t *interfaces
    cdef uint32_t interface_count, interface_room
    cdef uint16_t source
    cdef int64_t reorder_ns
    cdef readonly int64_t now_ns, disorder_ns, first_ns
    cdef readonly uint64_t packets, clamped, first_clamped, far_times
    cdef uint64_t timed
    cdef readonly uint64_t need, skip
    cdef bint skip_is_fault
    cdef uint64_t sections, all_interfaces, simple_packets
    cdef readonly str fault

    def __init__(self, source=0, reorder_ns=0):
        self.source = source
        self.reorder_ns = reorder_ns
        self.now_ns = self.first_ns = NO_TIME

    def __dealloc__(self):
        free(self.interfaces)

    def start(self, head):
        """Take the first bytes (24 at least for pcap): the length of the header, or ValueError."""
        magic = int.from_bytes(head[:4], "little")
        if len(head) >= 4 and magic == SECTION:
            self.is_pcapng = True
            return 0
        if magic not in PCAP_MAGICS:
            raise ValueError("not a capture: it begins neither as pcap nor as pcapng")
        if len(head) < 24:
            raise ValueError("the capture ends within its file header")
        self.big, self.nano, extra = PCAP_MAGICS[magic]
        self.record_header = 16 + extra
        # The upper bits tell the length of a frame check sequence; what remains is the link type.
        self.link = int.from_bytes(head[20:24], "big" if self.big else "little") & 0x03FFFFFF
        return 24

    def walk(self, const uint8_t[::1] data, size_t begin, size_t end, Frames out, uint32_t most):
        """Fill `out` with up to `most` frames of data[begin:end]; bytes used.

        Stops at a record that is not all there (`need`: its length, 0 if unknown), or is wrong
        (`fault`), or too long to hold (`skip`: bytes to be thrown away after those used).
        """
        cdef size_t used
        if end > <size_t>data.shape[0] or begin > end:
            raise ValueError("walk beyond the bytes")
        out.count = 0
        self.need = 0
        if begin == end:
            return 0
        most = min(most, <uint32_t>MAX_FRAMES)
        with nogil:
            if self.is_pcapng:
                used = self._pcapng(&data[0] + begin, end - begin, out, most)
            else:
                used = self._pcap(&data[0] + begin, end - begin, out, most)
        return used

    cdef inline void _time(self, Frames out, uint32_t at, int64_t t_ns) noexcept nogil:
        """Set a frame's time; network time never runs back by more than the reorder limit."""
        out.frames[at].timed = TIMED
        if t_ns >= self.now_ns:
            if self.now_ns == NO_TIME:
                self.first_ns = t_ns
            self.now_ns = t_ns
        else:
            if self.now_ns - t_ns > self.disorder_ns:
                self.disorder_ns = self.now_ns - t_ns
            if self.now_ns - t_ns > self.reorder_ns:
                out.frames[at].timed = CLAMPED
                out.told_ns[at] = t_ns
                t_ns = self.now_ns - self.reorder_ns
                if self.clamped == 0:
                    self.first_clamped = self.timed + 1
                self.clamped += 1
        self.timed += 1
        out.frames[at].t_ns = t_ns

    cdef size_t _pcap(
        self, const uint8_t *d, size_t size, Frames out, uint32_t most
    ) noexcept nogil:
        cdef size_t at = 0
        cdef uint32_t caplen, header = self.record_header
        cdef uint32_t count = 0
        cdef bint big = self.big
        cdef int64_t fraction = 1 if self.nano else 1000
        cdef frame_t *frame
        while count < most and size - at >= header:
            caplen = u32(d + at + 8, big)
            if caplen > MAX_CAPLEN:
                with gil:
                    self.fault = "bad_record"
                break
            if size - at - header < caplen:
                self.need = header + <uint64_t>caplen
                break
            frame = &out.frames[count]
            self._time(
                out, count,
                <int64_t>u32(d + at, big) * 1_000_000_000 + u32(d + at + 4, big) * fraction,
            )
            frame.data = d + at + header
            frame.caplen = caplen
            frame.origlen = u32(d + at + 12, big)
            frame.link = self.link
            frame.source = self.source
            frame.digits = 9 if self.nano else 6
            count += 1
            at += header + caplen
        out.count = count
        self.packets += count
        return at

    cdef size_t _pcapng(
        self, const uint8_t *d, size_t size, Frames out, uint32_t most
    ) noexcept nogil:
        cdef size_t at = 0
        cdef uint32_t kind, length
        while out.count < most and size - at >= 12:
            kind = u32(d + at, self.big)
            if kind == SECTION and not self._byte_order(d + at + 8):
                self._fail(b"bad_section")
                break
            length = u32(d + at + 4, self.big)
            if length < 12 or length % 4:
                self.sections += kind == SECTION
                self._fail(b"bad_block")
                break
            if size - at < length:
                self._too_long(kind, length)
                break
            if not self._block(kind, d + at + 8, length - 12, out):
                break
            at += length
        self.packets += out.count
        return at

    cdef void _too_long(self, uint32_t kind, uint32_t length) noexcept nogil:
        """A block that is not all there: wait for it, or pass over one that is too long to hold."""
        if length <= MAX_CAPLEN:
            self.need = length
        else:
            self.skip = length
            self.skip_is_fault = (
                kind == ENHANCED_PACKET or kind == OLD_PACKET or kind == SIMPLE_PACKET
            )

    cdef void _fail(self, const char *word) noexcept nogil:
        with gil:
            self.fault = word.decode()

    cdef bint _byte_order(self, const uint8_t *p) noexcept nogil:
        if u32(p, False) == 0x1A2B3C4D:
            self.big = False
            return True
        if u32(p, True) == 0x1A2B3C4D:
            self.big = True
            return True
        return False

    cdef bint _block(
        self, uint32_t kind, const uint8_t *body, uint32_t size, Frames out
    ) noexcept nogil:
        """One whole block; False after a fault."""
        if kind == ENHANCED_PACKET or kind == OLD_PACKET:
            return self._packet(kind, body, size, out)
        if kind == SIMPLE_PACKET:
            return self._simple_packet(body, size, out)
        if kind == INTERFACE:
            return self._interface(body, size)
        if kind == SECTION:
            self.interface_count = 0
            self.sections += 1
        return True

    cdef bint _packet(
        self, uint32_t kind, const uint8_t *body, uint32_t size, Frames out
    ) noexcept nogil:
        cdef uint32_t number, caplen
        cdef uint64_t ticks
        cdef int far = 0
        cdef interface_t *interface
        cdef frame_t *frame
        if size < 20:
            self._fail(b"bad_block")
            return False
        number = u32(body, self.big) if kind == ENHANCED_PACKET else u16(body, self.big)
        ticks = <uint64_t>u32(body + 4, self.big) << 32 | u32(body + 8, self.big)
        caplen = u32(body + 12, self.big)
        if number >= self.interface_count:
            self._fail(b"bad_interface")
            return False
        if caplen > size - 20:
            self._fail(b"bad_block")
            return False
        interface = &self.interfaces[number]
        frame = &out.frames[out.count]
        self._time(out, out.count, df_ticks_to_ns(
            ticks, interface.base2, interface.resolution, interface.offset_s, &far
        ))
        self.far_times += far
        frame.data = body + 20
        frame.caplen = caplen
        frame.origlen = u32(body + 16, self.big)
        frame.link = interface.link
        frame.source = self.source
        frame.digits = interface.digits
        out.count += 1
        return True

    cdef bint _simple_packet(self, const uint8_t *body, uint32_t size, Frames out) noexcept nogil:
        """A packet without a time; its captured length follows from the snap length."""
        cdef frame_t *frame
        if self.interface_count == 0:
            self._fail(b"bad_interface")
            return False
        if size < 4:
            self._fail(b"bad_block")
            return False
        frame = &out.frames[out.count]
        frame.t_ns = 0
        frame.timed = NOT_TIMED
        frame.data = body + 4
        frame.origlen = u32(body, self.big)
        frame.caplen = min(frame.origlen, size - 4)
        if self.interfaces[0].snaplen:
            frame.caplen = min(frame.caplen, self.interfaces[0].snaplen)
        frame.link = self.interfaces[0].link
        frame.source = self.source
        frame.digits = 0
        out.count += 1
        self.simple_packets += 1
        return True

    cdef bint _interface(self, const uint8_t *body, uint32_t size) noexcept nogil:
        cdef interface_t *grown
        cdef interface_t *interface
        cdef uint32_t room
        if size < 8:
            self._fail(b"bad_block")
            return False
        if self.interface_count == self.interface_room:
            room = self.interface_room * 2 if self.interface_room else 16
            grown = NULL
            if room <= MAX_INTERFACES:
                grown = <interface_t *>realloc(self.interfaces, room * sizeof(interface_t))
            if grown == NULL:
                self._fail(b"bad_interface")
                return False
            self.interfaces = grown
            self.interface_room = room
        interface = &self.interfaces[self.interface_count]
        interface.link = u16(body, self.big)
        interface.snaplen = u32(body + 4, self.big)
        interface.offset_s = 0
        interface.base2 = False
        interface.resolution = 6
        self._interface_options(interface, body + 8, size - 8)
        interface.digits = interface.resolution
        if interface.base2 or interface.resolution > 9:
            interface.digits = 9
        self.interface_count += 1
        self.all_interfaces += 1
        return True

    cdef void _interface_options(
        self, interface_t *interface, const uint8_t *p, uint32_t size
    ) noexcept nogil:
        """if_tsresol (9) and if_tsoffset (14)."""
        cdef uint32_t at = 0
        cdef uint32_t code, length
        while at + 4 <= size:
            code = u16(p + at, self.big)
            length = u16(p + at + 2, self.big)
            at += 4
            if code == 0 or length > size - at:
                return
            if code == 9 and length >= 1:
                interface.base2 = p[at] >> 7
                interface.resolution = p[at] & 0x7F
            elif code == 14 and length == 8:
                if self.big:
                    interface.offset_s = <int64_t>(
                        <uint64_t>u32(p + at, True) << 32 | u32(p + at + 4, True)
                    )
                else:
                    interface.offset_s = <int64_t>(
                        <uint64_t>u32(p + at + 4, False) << 32 | u32(p + at, False)
                    )
            at += (length + 3) // 4 * 4

    def skipped(self, uint64_t count):
        """`count` bytes of `skip` were thrown away; a packet that had to be is a fault."""
        self.skip -= count
        if self.skip == 0 and self.skip_is_fault:
            self.fault = "bad_block"

    def finish(self, rest, cut_off=False):
        """The capture has ended with these bytes left over; `cut_off`: it should have gone on."""
        if self.fault is None and (len(rest) or self.skip or cut_off):
            self.fault = "truncated"
        # A section counts from its header's byte order on, even when the header is cut off.
        if self.is_pcapng and len(rest) >= 12 and int.from_bytes(rest[:4], "big") == SECTION:
            self.sections += self.fault == "truncated"

    @property
    def notes(self):
        """What the reader noticed, in the words of reader_notes."""
        notes = {}
        if self.fault is not None:
            notes[self.fault] = True
        for word, count in (
            ("sections", self.sections), ("interfaces", self.all_interfaces),
            ("simple_packets", self.simple_packets),
        ):
            if count:
                notes[word] = count
        return notes
