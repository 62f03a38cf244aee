"""Event rows to EVE-like JSON lines; the fields and their meaning are in fields.py."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from darkflow.flow.batch cimport Events
from darkflow.flow.layout cimport (
    EVENT_LATE, EVENT_UNDECIDED, KIND_ANSWER, attempt_t, be16, be32, event_t, key_of, tcp_at,
)
from darkflow.flow.networks cimport Networks
from darkflow.sinks.derived cimport (
    COMMUNITY_BYTES, address, community_id, direction_name, either, event_name, flow_id, number,
    options_t, padded, read_options, text,
)
from darkflow.sinks.signature cimport (
    SIGNATURE_BYTES, signature, sureness_name, tool_name, ttl_start,
)

cdef extern from "<time.h>" nogil:
    ctypedef long time_t
    struct tm:
        int tm_year, tm_mon, tm_mday, tm_hour, tm_min, tm_sec
    tm *gmtime_r(const time_t *when, tm *result)

cdef enum:
    LINE_BYTES = 2048               # no line is longer: all its parts are bounded


cdef inline char *field(char *p, const char *name, int64_t value) noexcept nogil:
    return number(text(p, name), value)


cdef char *timestamp(char *p, int64_t t_ns, int digits) noexcept nogil:
    """RFC 3339 in UTC with `digits` decimals of a second."""
    cdef int64_t fraction = t_ns % 1_000_000_000
    cdef time_t seconds
    cdef tm parts
    cdef int i
    if fraction < 0:                                    # C rounds towards zero
        fraction += 1_000_000_000
    seconds = (t_ns - fraction) // 1_000_000_000
    gmtime_r(&seconds, &parts)
    p = padded(p, parts.tm_year + 1900, 4)
    p = padded(text(p, b"-"), parts.tm_mon + 1, 2)
    p = padded(text(p, b"-"), parts.tm_mday, 2)
    p = padded(text(p, b"T"), parts.tm_hour, 2)
    p = padded(text(p, b":"), parts.tm_min, 2)
    p = padded(text(p, b":"), parts.tm_sec, 2)
    if digits:
        for i in range(9 - digits):
            fraction //= 10
        p = padded(text(p, b"."), <uint32_t>fraction, digits)
    return text(p, b"Z")


cdef char *options(char *p, const uint8_t *tcp, int size) noexcept nogil:
    cdef options_t found
    read_options(tcp, size, &found)
    p = text(text(p, b',"options":"'), found.kinds)
    p = text(p, b'","mss":')
    p = number(p, found.mss) if found.mss >= 0 else text(p, b"null")
    p = text(p, b',"wscale":')
    return number(p, found.wscale) if found.wscale >= 0 else text(p, b"null")


cdef inline char *maybe(char *p, const char *name, bint known, const char *value) noexcept nogil:
    """A string, or null."""
    p = text(p, name)
    if not known:
        return text(p, b"null")
    return text(text(text(p, b'"'), value), b'"')


cdef char *looks(char *p, const attempt_t *a) noexcept nogil:
    cdef char found[SIGNATURE_BYTES]
    p = field(p, b',"ttl_start":', ttl_start(a))
    p = maybe(p, b',"signature":', signature(a, found), found)
    p = maybe(p, b',"tool":', a.tool != 0, tool_name(a.tool))
    return maybe(p, b',"tool_confidence":', a.tool != 0, sureness_name(a.sureness))


cdef class LineFormat:
    """Writes the events of a batch as JSON lines.

    at_verdict: a `darkflow` line when T has passed, and a `darkflow_end` line if more SYNs, the
    ICMP reason or the tool's name came later; otherwise one `darkflow` line when the flow's record
    is complete. adaptive: whether flows tell for how long they were held.
    """

    cdef Networks networks
    cdef int64_t hold_ns
    cdef bint at_verdict, adaptive
    cdef char *buffer
    cdef size_t capacity
    cdef readonly uint64_t lines

    def __init__(self, Networks networks, int64_t hold_ns, bint at_verdict=False, bint adaptive=False):
        self.networks = networks
        self.hold_ns = hold_ns
        self.at_verdict = at_verdict
        self.adaptive = adaptive

    def __dealloc__(self):
        free(self.buffer)

    def format(self, Events events):
        """The lines of one batch, each ended by a newline."""
        cdef size_t i, used = 0
        cdef const event_t *event
        cdef const char *kind
        cdef char *end
        with nogil:
            for i in range(events.count):
                event = &events.events[i]
                kind = event_name(event, self.at_verdict)
                if kind == NULL:
                    continue
                self._room(used + LINE_BYTES)
                end = self._line(self.buffer + used, event, kind)
                used = end - self.buffer
                self.lines += 1
        return self.buffer[:used] if used else b""

    cdef int _room(self, size_t size) except -1 nogil:
        cdef size_t capacity = self.capacity if self.capacity else 1 << 16
        cdef char *grown
        while capacity < size:
            capacity *= 2
        if capacity != self.capacity:
            grown = <char *>realloc(self.buffer, capacity)
            if grown == NULL:
                with gil:
                    raise MemoryError("no memory for event lines")
            self.buffer = grown
            self.capacity = capacity
        return 0

    cdef char *_line(self, char *p, const event_t *event, const char *kind) noexcept nogil:
        cdef char community[COMMUNITY_BYTES]
        cdef const attempt_t *a = &event.attempt
        cdef const uint8_t *key = key_of(a.head, a.family)
        cdef int size = 4 if a.family == 4 else 16
        cdef bint late = event.kind == EVENT_LATE
        cdef bint answered = event.detail == KIND_ANSWER
        p = text(p, b'{"timestamp":"')
        p = timestamp(p, event.t_ns if late else a.t0_ns, event.digits)
        p = text(text(p, b'","event_type":"'), kind)
        p = field(p, b'","flow_id":', flow_id(a))
        community_id(a, community)
        p = text(text(p, b',"community_id":"'), community)
        p = address(text(p, b'","src_ip":"'), key, a.family)
        p = field(p, b'","src_port":', be16(key + 2 * size))
        p = address(text(p, b',"dest_ip":"'), key + size, a.family)
        p = field(p, b'","dest_port":', be16(key + 2 * size + 2))
        p = text(p, b',"proto":"TCP","direction":"')
        p = text(p, direction_name(self.networks.direction(a)))
        p = text(p, b'","conn_state":"')
        p = text(p, either(late, either(answered, b"S1", b"REJ"), b"S0"))
        p = text(p, b'","history":"S')
        p = text(p, either(a.payload_bytes != 0, b"D", b""))
        p = text(p, either(late, either(answered, b"h", b"r"), b""))
        p = text(p, b'","darkflow":{')
        p = self._attempt(p, a, event.hold_ns if self.adaptive else self.hold_ns)
        if late:
            p = text(p, b'},"late_answer":{"answer":"')
            p = text(p, either(answered, b"syn_ack", b"rst"))
            p = field(p, b'","delay_ns":', event.t_ns - a.t0_ns)
        elif event.kind == EVENT_UNDECIDED:
            p = field(p, b'},"undecided":{"held_ns":', event.t_ns - a.t0_ns)
        return text(p, b"}}\n")

    cdef char *_attempt(self, char *p, const attempt_t *a, int64_t hold_ns) noexcept nogil:
        cdef const uint8_t *tcp = a.head + tcp_at(a.family)
        p = field(p, b'"t0_ns":', a.t0_ns)
        p = field(p, b',"verdict_ns":', a.t0_ns + hold_ns)
        if self.adaptive:
            p = field(p, b',"hold_ns":', hold_ns)
        p = field(p, b',"syn_count":', a.syn_count)
        p = field(p, b',"new_isn_count":', a.new_isn_count)
        p = field(p, b',"duplicate_count":', a.duplicate_count)
        p = field(p, b',"last_syn_ns":', a.last_syn_ns)
        p = field(p, b',"ttl":', a.head[8] if a.family == 4 else a.head[7])
        # The window may lie behind what was captured: flags are the last byte that must be there.
        p = text(p, b',"window":')
        p = number(p, be16(tcp + 14)) if a.tcp_len >= 16 else text(p, b"null")
        if a.family == 4:
            p = field(p, b',"ip_id":', be16(a.head + 4))
        else:
            p = text(p, b',"ip_id":null')
        p = field(p, b',"isn":', be32(tcp + 4))
        p = text(p, b',"df":')
        p = text(p, either(a.family == 6, b"null", either(a.head[6] & 0x40, b"true", b"false")))
        p = text(p, b',"ecn":')
        p = text(p, either(tcp[13] & 0xC0 == 0xC0, b"true", b"false"))
        p = options(p, tcp, a.tcp_len)
        p = field(p, b',"payload_bytes":', a.payload_bytes)
        p = looks(p, a)
        if not a.icmp_known:
            return text(p, b',"icmp":null')
        p = field(p, b',"icmp":{"type":', a.icmp_type)
        p = field(p, b',"code":', a.icmp_code)
        p = address(text(p, b',"from":"'), a.reporter, a.icmp_family)
        return text(p, b'"}')
