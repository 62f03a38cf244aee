"""Event rows to the columns of the store's tables; what each holds is in fields.py."""

from libc.stdint cimport int32_t, int64_t, uint8_t
from darkflow.flow.batch cimport Events
from darkflow.flow.layout cimport (
    EVENT_LATE, EVENT_UNDECIDED, KIND_ANSWER, attempt_t, be16, be32, event_t, key_of, tcp_at,
)
from darkflow.flow.networks cimport Networks
from darkflow.sinks.arrow cimport (
    Rows, column_t, put_boolean, put_day, put_integer, put_null, put_string,
)
from darkflow.sinks.derived cimport (
    ADDRESS_BYTES, COMMUNITY_BYTES, address, community_id, direction_name, either, event_name,
    flow_id, options_t, read_options,
)
from darkflow.sinks.fields import columns_of
from darkflow.sinks.signature cimport (
    SIGNATURE_BYTES, signature, sureness_name, tool_name, ttl_start,
)

cdef enum:
    DAY_US = 86_400_000_000

# The order in which the functions below fill the columns; it must be that of fields.py.
ENDS = (
    "timestamp", "event_type", "flow_id", "community_id", "src_ip", "src_port", "dest_ip",
    "dest_port", "proto", "direction", "conn_state", "history",
)
ATTEMPT = (
    "t0_ns", "verdict_ns", "hold_ns", "syn_count", "new_isn_count", "duplicate_count",
    "last_syn_ns", "ttl", "window", "ip_id", "isn", "df", "ecn", "options", "mss", "wscale",
    "payload_bytes", "ttl_start", "signature", "tool", "tool_confidence", "icmp_type", "icmp_code",
    "icmp_from",
)
LATE = ("answer", "delay_ns")
HELD = ("held_ns",)
STORED = ("timestamp_digits", "day")
FILLED = {
    "darkflows": ENDS + ATTEMPT + STORED, "late_answers": ENDS + ATTEMPT + LATE + STORED,
    "undecided": ENDS + ATTEMPT + HELD + STORED,
}


cdef inline int64_t floored(int64_t value, int64_t by) noexcept nogil:
    """Division that rounds down also before 1970; C rounds towards zero."""
    return value // by - (value % by < 0)


cdef inline int maybe(column_t *c, size_t row, bint known, int64_t value) except -1 nogil:
    if known:
        put_integer(c, row, value)
    else:
        put_null(c, row)
    return 0


cdef inline int maybe_text(column_t *c, size_t row, bint known, const char *value) except -1 nogil:
    if known:
        put_string(c, row, value)
    else:
        put_null(c, row)
    return 0


cdef class Columns:
    """Sorts the events of batches into the columns of the tables of events.

    at_verdict, adaptive: as for the lines, see sinks/lines.pyx.
    """

    cdef Networks networks
    cdef int64_t hold_ns
    cdef bint at_verdict, adaptive
    cdef Rows dark, late, undecided

    def __init__(self, Networks networks, int64_t hold_ns, bint at_verdict=False, bint adaptive=False):
        self.networks = networks
        self.hold_ns = hold_ns
        self.at_verdict = at_verdict
        self.adaptive = adaptive
        self.dark = Columns.empty("darkflows")
        self.late = Columns.empty("late_answers")
        self.undecided = Columns.empty("undecided")

    @staticmethod
    def empty(table):
        """No rows: the columns of a table."""
        columns = [(column.name, column.type) for column in columns_of(table)]
        filled = FILLED.get(table)          # rows of other tables come from Python
        if filled is not None and tuple(name for name, _ in columns) != filled:
            raise ValueError(f"columns.pyx does not fill the columns of {table} in fields.py")
        return Rows(columns)

    @property
    def count(self):
        """Rows that have not been taken."""
        return self.dark.count + self.late.count + self.undecided.count

    def take(self):
        """The rows by table, tables without rows left out; from then on they are the caller's."""
        taken = {}
        if self.dark.count:
            taken["darkflows"], self.dark = self.dark, Columns.empty("darkflows")
        if self.late.count:
            taken["late_answers"], self.late = self.late, Columns.empty("late_answers")
        if self.undecided.count:
            taken["undecided"], self.undecided = self.undecided, Columns.empty("undecided")
        return taken

    def add(self, Events events):
        """Append the rows of one batch."""
        cdef size_t i
        cdef const event_t *event
        cdef const char *kind
        with nogil:
            for i in range(events.count):
                event = &events.events[i]
                kind = event_name(event, self.at_verdict)
                if kind == NULL:
                    continue
                if event.kind == EVENT_LATE:
                    self._row(self.late, event, kind)
                elif event.kind == EVENT_UNDECIDED:
                    self._row(self.undecided, event, kind)
                else:
                    self._row(self.dark, event, kind)

    def rows_in(self, Events events):
        """How many rows a batch makes."""
        cdef size_t i
        cdef size_t count = 0
        for i in range(events.count):
            count += event_name(&events.events[i], self.at_verdict) != NULL
        return count

    cdef int _row(self, Rows rows, const event_t *event, const char *kind) except -1 nogil:
        cdef const attempt_t *a = &event.attempt
        cdef size_t row = rows.count
        cdef column_t *c
        rows.room(1)
        c = rows.columns
        cdef bint late = event.kind == EVENT_LATE
        cdef int64_t t_us = floored(event.t_ns if late else a.t0_ns, 1000)
        put_integer(c, row, t_us)
        put_string(c + 1, row, kind)
        c = self._ends(c + 2, row, event)
        c = self._counts(c, row, a, event.hold_ns if self.adaptive else self.hold_ns)
        c = self._header(c, row, a)
        c = self._looks(c, row, a)
        c = self._icmp(c, row, a)
        if late:
            put_string(c, row, either(event.detail == KIND_ANSWER, b"syn_ack", b"rst"))
            put_integer(c + 1, row, event.t_ns - a.t0_ns)
            c += 2
        elif event.kind == EVENT_UNDECIDED:
            put_integer(c, row, event.t_ns - a.t0_ns)
            c += 1
        put_integer(c, row, event.digits)
        put_day(c + 1, row, <int32_t>floored(t_us, DAY_US))
        rows.count += 1
        return 0

    cdef column_t *_ends(self, column_t *c, size_t row, const event_t *event) except NULL nogil:
        cdef const attempt_t *a = &event.attempt
        cdef const uint8_t *key = key_of(a.head, a.family)
        cdef int size = 4 if a.family == 4 else 16
        cdef bint late = event.kind == EVENT_LATE
        cdef bint answered = event.detail == KIND_ANSWER
        cdef char community[COMMUNITY_BYTES]
        cdef char text[ADDRESS_BYTES]
        cdef char history[4]
        cdef int at = 1
        put_integer(c, row, flow_id(a))
        community_id(a, community)
        put_string(c + 1, row, community)
        address(text, key, a.family)
        put_string(c + 2, row, text)
        put_integer(c + 3, row, be16(key + 2 * size))
        address(text, key + size, a.family)
        put_string(c + 4, row, text)
        put_integer(c + 5, row, be16(key + 2 * size + 2))
        put_string(c + 6, row, b"TCP")
        put_string(c + 7, row, direction_name(self.networks.direction(a)))
        put_string(c + 8, row, either(late, either(answered, b"S1", b"REJ"), b"S0"))
        history[0] = c"S"
        if a.payload_bytes:
            history[at] = c"D"
            at += 1
        if late:
            history[at] = c"h" if answered else c"r"
            at += 1
        history[at] = 0
        put_string(c + 9, row, history)
        return c + 10

    cdef column_t *_counts(
        self, column_t *c, size_t row, const attempt_t *a, int64_t hold_ns
    ) except NULL nogil:
        put_integer(c, row, a.t0_ns)
        put_integer(c + 1, row, a.t0_ns + hold_ns)
        maybe(c + 2, row, self.adaptive, hold_ns)
        put_integer(c + 3, row, a.syn_count)
        put_integer(c + 4, row, a.new_isn_count)
        put_integer(c + 5, row, a.duplicate_count)
        put_integer(c + 6, row, a.last_syn_ns)
        return c + 7

    cdef column_t *_header(self, column_t *c, size_t row, const attempt_t *a) except NULL nogil:
        cdef const uint8_t *tcp = a.head + tcp_at(a.family)
        cdef bint v4 = a.family == 4
        cdef options_t options
        put_integer(c, row, a.head[8] if v4 else a.head[7])
        maybe(c + 1, row, a.tcp_len >= 16, be16(tcp + 14))
        maybe(c + 2, row, v4, be16(a.head + 4))
        put_integer(c + 3, row, be32(tcp + 4))
        if v4:
            put_boolean(c + 4, row, a.head[6] & 0x40)
        else:
            put_null(c + 4, row)
        put_boolean(c + 5, row, tcp[13] & 0xC0 == 0xC0)
        read_options(tcp, a.tcp_len, &options)
        put_string(c + 6, row, options.kinds)
        maybe(c + 7, row, options.mss >= 0, options.mss)
        maybe(c + 8, row, options.wscale >= 0, options.wscale)
        put_integer(c + 9, row, a.payload_bytes)
        return c + 10

    cdef column_t *_looks(self, column_t *c, size_t row, const attempt_t *a) except NULL nogil:
        cdef char found[SIGNATURE_BYTES]
        put_integer(c, row, ttl_start(a))
        maybe_text(c + 1, row, signature(a, found), found)
        maybe_text(c + 2, row, a.tool, tool_name(a.tool))
        maybe_text(c + 3, row, a.tool, sureness_name(a.sureness))
        return c + 4

    cdef column_t *_icmp(self, column_t *c, size_t row, const attempt_t *a) except NULL nogil:
        cdef char text[ADDRESS_BYTES]
        maybe(c, row, a.icmp_known, a.icmp_type)
        maybe(c + 1, row, a.icmp_known, a.icmp_code)
        if a.icmp_known:
            address(text, a.reporter, a.icmp_family)
            put_string(c + 2, row, text)
        else:
            put_null(c + 2, row)
        return c + 3
