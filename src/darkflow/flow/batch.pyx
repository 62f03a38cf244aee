"""The batches that pass between the stages: frames, packets and events, one C struct per row."""

from cython cimport view
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memset
from darkflow.flow.layout cimport (
    EVENT_DARK, EVENT_END, EVENT_LATE, EVENT_REACHED, EVENT_UNDECIDED, EVENT_UNSOLICITED,
    KIND_ANSWER, MAX_FRAMES, NO_TIME, attempt_t, be16, be32, event_t, frame_t, kept_t, key_of, row_t,
    tcp_at,
)

KINDS = {1: "syn", 2: "syn_ack", 3: "rst", 4: "icmp"}
EVENTS = {
    EVENT_DARK: "dark", EVENT_END: "end", EVENT_LATE: "late_answer",
    EVENT_UNDECIDED: "undecided", EVENT_REACHED: "reached", EVENT_UNSOLICITED: "unsolicited",
}
ENDS = {1: "idle", 2: "late_answer", 3: "table_full", 4: "end_of_capture"}


cdef object _exact_copy(const uint8_t[::1] data):
    """A copy on the heap with nothing behind it: the sanitizer sees a read one byte past its end.

    bytes and bytearray end in a byte of their own, which would hide that read.
    """
    cdef view.array copy
    if not len(data):
        return None
    copy = view.array(shape=(len(data),), itemsize=1, format="B")
    memcpy(copy.data, &data[0], len(data))
    return copy


cdef class Frames:
    """Captured frames and the network time they bring; the bytes are valid until the next turn."""

    def __cinit__(self):
        self.frames = <frame_t *>calloc(MAX_FRAMES, sizeof(frame_t))
        # The capture's own times of frames with timed == CLAMPED; untouched pages cost nothing.
        self.told_ns = <int64_t *>calloc(MAX_FRAMES, sizeof(int64_t))
        if self.frames == NULL or self.told_ns == NULL:
            raise MemoryError("no memory for a batch of frames")
        self.now_ns = NO_TIME

    def __dealloc__(self):
        free(self.frames)
        free(self.told_ns)

    def __len__(self):
        return self.count

    def clear(self, now_ns):
        """No frames, only the news that this time has been reached."""
        self.count = 0
        self.now_ns = now_ns

    @classmethod
    def of(cls, packets, now_ns=None, source=0):
        """Frames from (t_ns, link, bytes) or (t_ns, link, bytes, origlen); t_ns None: no time."""
        cdef Frames batch = cls()
        cdef frame_t *f
        packets = list(packets)
        if len(packets) > MAX_FRAMES:
            raise ValueError(f"a batch holds at most {MAX_FRAMES} frames, not {len(packets)}")
        batch.keep = [_exact_copy(packet[2]) for packet in packets]
        for i, packet in enumerate(packets):
            f = &batch.frames[i]
            f.t_ns = 0 if packet[0] is None else packet[0]
            f.timed = packet[0] is not None
            f.link = packet[1]
            f.source = source
            f.caplen = len(packet[2])
            f.data = <const uint8_t *>(<view.array>batch.keep[i]).data if f.caplen else NULL
            f.origlen = packet[3] if len(packet) > 3 else f.caplen
            f.digits = 9
            if f.timed and f.t_ns > batch.now_ns:
                batch.now_ns = f.t_ns
        batch.count = len(packets)
        if now_ns is not None:
            batch.now_ns = now_ns
        return batch


cdef class Packets:
    """Decoded packets that concern the engine, in rows; `now_ns` is network time behind them."""

    def __cinit__(self, uint32_t capacity=0):
        self.now_ns = NO_TIME
        if capacity:
            self.rows = <row_t *>malloc(<size_t>capacity * sizeof(row_t))
            if self.rows == NULL:
                raise MemoryError("no memory for packet rows")
            self.owner = True
            self.capacity = capacity

    def __dealloc__(self):
        if self.owner:
            free(self.rows)

    def __len__(self):
        return self.count

    def to_list(self):
        """The rows as dicts, for tests and debugging."""
        return [_row(&self.rows[i]) for i in range(self.count)]


cdef class Events:
    """Event rows, in the order in which they happened; `now_ns` is network time behind them."""

    def __cinit__(self):
        self.now_ns = NO_TIME

    def __dealloc__(self):
        free(self.events)

    def __len__(self):
        return self.count

    cdef event_t *add(self) except? NULL nogil:
        """A cleared row at the end."""
        cdef size_t capacity = self.capacity
        cdef event_t *grown
        if self.count == capacity:
            capacity = capacity * 2 if capacity else 64
            grown = <event_t *>realloc(self.events, capacity * sizeof(event_t))
            if grown == NULL:
                with gil:
                    raise MemoryError("no memory for event rows")
            self.events = grown
            self.capacity = capacity
        self.count += 1
        memset(&self.events[self.count - 1], 0, sizeof(event_t))
        return &self.events[self.count - 1]

    def to_list(self):
        """The rows as dicts, for tests and debugging."""
        return [_event(&self.events[i]) for i in range(self.count)]

    @property
    def first_ns(self):
        """When the first of them happened; without any, `now_ns`."""
        return self.events[0].t_ns if self.count else self.now_ns

    def verdicts(self):
        """Verdicts "dark" and late answers: (is late, t_ns, t0_ns, flow, head, TCP's bytes, whole).

        flow: (orig_addr, orig_port, resp_addr, resp_port), addresses packed. head: the fixed IP
        header of the first SYN and its TCP header, as captured. whole: of a SYN that was more than
        that, if its frame is kept, all from the IP header on; ask before the frames are taken.
        """
        cdef const kept_t *kept
        cdef size_t i
        cdef const attempt_t *a
        cdef const uint8_t *key
        cdef int size
        found = []
        for i in range(self.count):
            if self.events[i].kind != EVENT_DARK and self.events[i].kind != EVENT_LATE:
                continue
            a = &self.events[i].attempt
            size = 4 if a.family == 4 else 16
            key = key_of(a.head, a.family)
            flow = (
                bytes(key[:size]), be16(key + 2 * size),
                bytes(key[size:2 * size]), be16(key + 2 * size + 2),
            )
            whole = b""
            if self.events[i].kind == EVENT_DARK and a.kept != NULL and is_larger(a):
                kept = a.kept
                while kept.same != NULL:
                    kept = kept.same
                if kept.t_ns == a.t0_ns and 0 < kept.ip_at < kept.caplen:
                    whole = bytes((<const uint8_t *>kept.data)[kept.ip_at:kept.caplen])
            found.append((
                self.events[i].kind == EVENT_LATE, self.events[i].t_ns, a.t0_ns, flow,
                bytes(a.head[:tcp_at(a.family) + a.tcp_len]), a.tcp_len, whole,
            ))
        return found

    def last_dark(self, limit):
        """The latest verdicts "dark", at most `limit`, as dicts; the latest is the last."""
        cdef uint32_t i = self.count
        found = []
        while i > 0 and len(found) < limit:
            i -= 1
            if self.events[i].kind == EVENT_DARK:
                found.append(_event(&self.events[i]))
        return found[::-1]


cdef bint is_larger(const attempt_t *a) noexcept nogil:
    """Whether its first SYN was more than the two headers in `head` (as of a row: kept.pxd)."""
    if a.payload_bytes:
        return True
    return a.head[0] & 15 != 5 if a.family == 4 else a.head[6] != 6


cdef dict _ends(const uint8_t *head, uint8_t family):
    cdef int size = 4 if family == 4 else 16
    cdef const uint8_t *key = head + 12 if family == 4 else head + 8
    return {
        "src": bytes(key[:size]), "dst": bytes(key[size:2 * size]),
        "sport": be16(key + 2 * size), "dport": be16(key + 2 * size + 2),
    }


cdef dict _row(const row_t *r):
    row = {
        "t_ns": r.t_ns, "kind": KINDS[r.kind], "family": r.family,
        "payload_bytes": r.payload_bytes, "tcp_len": r.tcp_len, "source": r.source,
    }
    row.update(_ends(r.head, r.family))
    row["seq"] = be32(r.head + tcp_at(r.family) + 4)
    if r.kind == 4:
        row["icmp"] = (r.icmp_type, r.icmp_code)
    return row


cdef dict _event(const event_t *e):
    cdef const attempt_t *a = &e.attempt
    event = {
        "event": EVENTS[e.kind], "t_ns": e.t_ns, "t0_ns": a.t0_ns, "last_syn_ns": a.last_syn_ns,
        "syn_count": a.syn_count, "new_isn_count": a.new_isn_count,
        "duplicate_count": a.duplicate_count, "number": a.number, "tool": (a.tool, a.sureness),
        "icmp": (a.icmp_type, a.icmp_code) if a.icmp_known else None,
    }
    if e.kind == EVENT_END:
        event["end"] = ENDS[e.detail]
    elif e.kind == EVENT_LATE or e.kind == EVENT_REACHED or e.kind == EVENT_UNSOLICITED:
        event["answer"] = "syn_ack" if e.detail == KIND_ANSWER else "rst"
    event.update(_ends(a.head, a.family))
    return event
