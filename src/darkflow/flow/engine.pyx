"""The flow engine: everything that decides what becomes of a SYN is in this file.

Packet rows in, event rows out; network time is an argument. The transitions (`now` is the time of
the packet; before a packet is looked at, all deadlines that lie before it have been acted on):

    state of the flow    SYN                             reverse answer or reset
    nothing              opens an attempt: HELD, t0=now  unsolicited
    HELD                 belongs to the attempt          ANSWERED or REFUSED, never forwarded now
    ANSWERED, REFUSED    same ISN: belongs to it         ignored
                         other ISN: opens a new attempt
    DARK                 belongs to the dark flow        late answer; the flow is forgotten

    deadline             state                what happens when network time passes it
    t0 + T               HELD                 DARK: the verdict
    t0 + T               ANSWERED, REFUSED    forgotten: no crossing retransmission can come now
    last packet + idle   DARK                 forgotten: the record is complete
    end of the input     HELD                 undecided: what is known of it is reported

An answer at exactly t0 + T is in time: a deadline is passed when now > deadline. An ICMP error that
quotes a SYN of a HELD or DARK flow is kept as the reason; the flow is dark all the same. T may be
shorter for a flow to who was dark often and long: see adaptive.pyx, and queues.pxd.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from darkflow.flow.adaptive cimport Adaptive
from darkflow.flow.attempts cimport (
    append, attempts_free, attempts_init, enter, find, give_slot, has_room, leave,
    prefetch, slot, take_slot, unlink,
)
from darkflow.flow.batch cimport Events, Packets
from darkflow.flow.keys cimport hash_of, ip_id_of, isn_of, reverse_key
from darkflow.flow.fingerprints cimport Fingerprints
from darkflow.flow.kept cimport KeptFrames, judge
from darkflow.flow.layout cimport (
    END_IDLE, END_LATE_ANSWER, END_OF_CAPTURE, END_TABLE_FULL, EVENT_DARK, EVENT_END, EVENT_LATE,
    EVENT_REACHED, EVENT_UNDECIDED, EVENT_UNSOLICITED, KEPT_DARK, KEPT_NOT, KIND_ICMP, KIND_RESET,
    KIND_SYN, NO_TIME, REPORTER_AT, STATE_ANSWERED, STATE_DARK, STATE_HELD, STATE_REFUSED, attempt_t, event_t, key_of, row_t,
)
from darkflow.flow.queues cimport (
    HOLD_T, drop_kept, first_due, gather, held_count, held_ns, hold_on, queue_of,
)
from darkflow.flow.tally cimport MAX_RETRIES, Tally
from darkflow.flow.tally import check_sizes

cdef enum:
    COPY_NS = 1_000_000             # a SPAN port's second copy of a SYN comes within 1 ms
    FULL = 4096                     # events of one batch; a row or a deadline adds a few at most
    AHEAD = 8                       # rows between the look at the index and the work on a row

SIZES = (1 << 20, 1 << 20, 1 << 18)


cdef class Engine(Tally):
    """Judges attempts: `observe` takes rows in the order of time and gives event rows.

    hold_ns: T. idle_ns: how long a dark flow is kept after its last packet. sizes: of delay queue,
    flow table, sources remembered. seed: 16 bytes, the hash's key; events do not depend on it.
    kept: for whole SYN frames. tells: of who was reached, of lone answers.
    """

    def __init__(
        self, hold_ns, idle_ns, sizes=SIZES, seed=bytes(16), KeptFrames kept=None, bint tells=False
    ):
        check_sizes(hold_ns, idle_ns, sizes, seed)
        self.hold_ns, self.idle_ns = hold_ns, idle_ns
        self.queue_size, self.table_size = sizes[:2]
        self.prints = Fingerprints((*sizes, *SIZES[2:])[2], seed)
        memcpy(self.key, <const uint8_t *>seed, 16)
        self.now_ns = NO_TIME
        self.kept = kept
        self.tells = tells
        self.events = Events()
        if not attempts_init(&self.table, self.queue_size + self.table_size):
            raise MemoryError("no memory for the delay queue: lower --queue-size")

    def __dealloc__(self):
        attempts_free(&self.table)

    def adapt(self, Adaptive adaptive):
        """Hold SYNs for as short a time as `adaptive` says; before the first row."""
        if adaptive.hold_ns != self.hold_ns or self.idle_ns < self.hold_ns or self.counts.attempts:
            raise ValueError("adaptive: the same T, idle (--idle) not below it, and no rows before")
        self.adaptive, self.adapts, self.holds = adaptive, True, adaptive.holds

    def observe(self, Packets packets):
        """Judge one batch of rows; iterates over event batches, each valid until the next.

        Rows must be in the order of time and not older than the last call's `now_ns`. Mostly there
        is one event batch, which may be empty; a flood's verdicts come in several.
        """
        cdef uint32_t done = 0
        cdef bint more = True
        while more:
            self.events.count = 0
            with nogil:
                done = self._rows(packets, done)
                more = done < packets.count or not self._advance(packets.now_ns)
            yield self.events

    def finish(self, int64_t now_ns):
        """The capture has ended at `now_ns`: last verdicts; what is still held stays undecided.

        Iterates over event batches as `observe` does: verdicts, an event for each undecided
        attempt in the order of first SYNs, ends of dark flows.
        """
        cdef uint32_t number
        cdef bint more = True
        while more:
            self.events.count = 0
            more = not self._advance(now_ns)
            yield self.events
        if self.adapts:
            gather(&self.table)
        self.prints.note_held(&self.table, self.now_ns)
        number = self.table.held.head
        while number:
            self.events.count = 0
            while number and self.events.count < FULL:
                if slot(&self.table, number).state == STATE_HELD:
                    self.counts.undecided += 1
                    self.prints.look(slot(&self.table, number))
                    self._emit(slot(&self.table, number), EVENT_UNDECIDED, self.now_ns, 0)
                number = slot(&self.table, number).next
            yield self.events
        while self.table.dark.head:
            self.events.count = 0
            while self.table.dark.head and self.events.count < FULL:
                self._end(self.table.dark.head, self.now_ns, END_OF_CAPTURE)
            yield self.events

    def restart(self):
        """Forget every flow, after `finish`: time begins anew. The counters go on."""
        drop_kept(&self.table)
        if self.adapts:
            self.adaptive.forget()
        attempts_free(&self.table)
        memset(&self.table, 0, sizeof(self.table))
        self.prints.clear()
        self.now_ns = NO_TIME
        if not attempts_init(&self.table, self.queue_size + self.table_size):
            raise MemoryError("no memory for the delay queue: lower --queue-size")

    cdef uint32_t _rows(self, Packets packets, uint32_t begin) except? 0 nogil:
        """Rows from `begin` on, until all are done or the events are full: how many are done."""
        cdef uint32_t hashes[AHEAD]
        cdef uint32_t i, hash
        cdef row_t *row
        # The index is the one certain cache miss of a row: ask for it some rows ahead.
        for i in range(begin, packets.count + AHEAD):
            hash = hashes[i % AHEAD]
            if i < packets.count:
                hashes[i % AHEAD] = hash_of(&packets.rows[i], self.key)
                prefetch(&self.table.index[hashes[i % AHEAD] & self.table.mask])
            if i < begin + AHEAD:
                continue
            row = &packets.rows[i - AHEAD]
            if not self._advance(row.t_ns):
                return i - AHEAD
            if row.kind == KIND_SYN:
                self._syn(row, hash)
            elif row.kind == KIND_ICMP:
                self._icmp(row, hash)
            else:
                self._answer(row, hash)
        return packets.count

    cdef int _advance(self, int64_t now_ns) except -1 nogil:
        """Act on every deadline before `now_ns`, in order; 0 if the events got full before."""
        cdef attempt_t *a
        cdef int64_t verdict_ns, idle_ns
        cdef uint32_t number
        if now_ns <= self.now_ns:
            return 1
        while self.events.count < FULL:
            verdict_ns = idle_ns = now_ns
            if self.table.held.head:
                verdict_ns = slot(&self.table, self.table.held.head).t0_ns + self.hold_ns
            number = self.table.held.head
            if self.adapts:
                number = first_due(&self.table, self.holds, number, &verdict_ns)
            if self.table.dark.head:
                a = slot(&self.table, self.table.dark.head)
                idle_ns = a.t0_ns + held_ns(self.holds, a, self.hold_ns)
                idle_ns = max(idle_ns, a.last_syn_ns) + self.idle_ns
            if verdict_ns >= now_ns and idle_ns >= now_ns:
                self.now_ns = self.events.now_ns = now_ns
                return 1
            if idle_ns < verdict_ns:
                self._end(self.table.dark.head, idle_ns, END_IDLE)
                continue
            if self.adapts:
                unlink(&self.table, queue_of(&self.table, slot(&self.table, number).hold), number)
                if self.adaptive.holds_on(slot(&self.table, number), verdict_ns):
                    hold_on(&self.table, number)
                    continue
            else:
                unlink(&self.table, &self.table.held, number)
            self.prints.ahead(&self.table)
            if slot(&self.table, number).state == STATE_HELD:
                self._turn_dark(number)
            else:
                leave(&self.table, number)
                give_slot(&self.table, number)
        return 0

    cdef int _turn_dark(self, uint32_t number) except -1 nogil:
        """The verdict, at t0 + T exactly, whenever the packet that lets us know comes."""
        cdef attempt_t *a = slot(&self.table, number)
        cdef int64_t verdict_ns = a.t0_ns + held_ns(self.holds, a, self.hold_ns)
        if self.adapts:
            self.adaptive.dark(a, verdict_ns)
        a.state = STATE_DARK
        judge(a.kept, KEPT_DARK)
        self.counts.dark += 1
        self.prints.note(a, verdict_ns)
        # The event has the frames until somebody takes them: see kept.pyx.
        self._emit(a, EVENT_DARK, verdict_ns, 0)
        a.kept = NULL
        append(&self.table, &self.table.dark, number)
        if self.table.dark.count > self.table_size:
            self.counts.dropped_table += 1
            self._end(number, verdict_ns, END_TABLE_FULL)
        return 0

    cdef int _end(self, uint32_t number, int64_t t_ns, uint8_t why) except -1 nogil:
        """A dark flow's record is complete; its slot is free."""
        cdef attempt_t *a = slot(&self.table, number)
        cdef uint32_t retries = a.syn_count - 1 - a.duplicate_count
        if a.icmp_known:
            self.counts.icmp_unreachable += 1
        self.retries[retries if retries < MAX_RETRIES else MAX_RETRIES] += 1
        if retries:
            self.retry_spans.add(a.last_syn_ns - a.t0_ns)
        if self.adapts and why != END_LATE_ANSWER:
            self.adaptive.ended(a, t_ns)
        a.changed |= self.prints.look(a)
        self._emit(a, EVENT_END, t_ns, why)
        unlink(&self.table, &self.table.dark, number)
        leave(&self.table, number)
        give_slot(&self.table, number)
        return 0

    cdef int _syn(self, const row_t *row, uint32_t hash) except -1 nogil:
        cdef uint32_t number = find(&self.table, key_of(row.head, row.family), row.family, hash)
        cdef attempt_t *a
        if row.kept != NULL:
            self.kept.link(row.kept)
        if number == 0:
            return self._open(row, hash, 0)
        a = slot(&self.table, number)
        if a.state == STATE_HELD or a.state == STATE_DARK:
            self._repeat(row, a)
            if a.state == STATE_DARK:
                # To the end of the list: that is the order of idle deadlines.
                unlink(&self.table, &self.table.dark, number)
                append(&self.table, &self.table.dark, number)
        elif isn_of(row.head, row.family) == isn_of(a.head, a.family):
            self._repeat(row, a)
        else:
            return self._open(row, hash, number)
        return 0

    cdef int _open(self, const row_t *row, uint32_t hash, uint32_t replaced) except -1 nogil:
        """Hold a first SYN; an answered attempt of the same flow is forgotten for it."""
        cdef attempt_t *a
        cdef uint32_t number = 0
        if replaced:
            leave(&self.table, replaced)
            unlink(&self.table, queue_of(&self.table, slot(&self.table, replaced).hold), replaced)
            give_slot(&self.table, replaced)
        if self.table.held.count < self.queue_size and (
            not self.adapts or held_count(&self.table) < self.queue_size
        ):
            number = take_slot(&self.table)
            if number and not has_room(&self.table):
                give_slot(&self.table, number)
                number = 0
        if number == 0:
            self.counts.dropped_queue += 1
            judge(row.kept, KEPT_NOT)
            return 0
        self.counts.attempts += 1
        a = slot(&self.table, number)
        a.t0_ns = a.last_syn_ns = row.t_ns
        a.number = self.counts.attempts
        a.kept = row.kept
        a.hash = hash
        a.syn_count = 1
        a.new_isn_count = a.duplicate_count = 0
        a.payload_bytes = row.payload_bytes
        a.last_ip_id = ip_id_of(row)
        a.state = STATE_HELD
        a.family = row.family
        a.tcp_len = row.tcp_len
        a.digits = row.digits
        a.icmp_known = a.changed = a.tool = a.sureness = 0
        a.source_hash = 0
        memcpy(a.head, row.head, sizeof(row.head))
        a.hold = self.adaptive.judge(row) if self.adapts else HOLD_T
        append(&self.table, queue_of(&self.table, a.hold), number)
        enter(&self.table, number)
        return 0

    cdef void _repeat(self, const row_t *row, attempt_t *a) noexcept nogil:
        """A later SYN of an attempt: a retransmission, a mirror's second copy, or another ISN."""
        self.counts.repeated += 1
        a.syn_count += 1
        if isn_of(row.head, row.family) != isn_of(a.head, a.family):
            a.new_isn_count += 1
        elif row.t_ns - a.last_syn_ns <= COPY_NS and ip_id_of(row) == a.last_ip_id:
            a.duplicate_count += 1
        a.last_ip_id = ip_id_of(row)
        a.last_syn_ns = row.t_ns
        a.changed = a.state == STATE_DARK
        if row.kept == NULL:
            return
        if a.state == STATE_HELD:
            row.kept.same = a.kept
            a.kept = row.kept
        else:
            judge(row.kept, KEPT_DARK if a.state == STATE_DARK else KEPT_NOT)

    cdef int _answer(self, const row_t *row, uint32_t hash) except -1 nogil:
        cdef uint8_t key[36]
        cdef attempt_t *a
        cdef attempt_t gone
        reverse_key(row, key)
        cdef uint32_t number = find(&self.table, key, row.family, hash)
        if self.adapts:
            self.adaptive.hear(row)
        if number == 0:
            return self._unsolicited(row)
        a = slot(&self.table, number)
        if self.adapts and (a.state == STATE_HELD or a.state == STATE_DARK):
            self.adaptive.answered(a, row.t_ns)
        if a.state == STATE_HELD:
            if row.kind == KIND_RESET:
                a.state = STATE_REFUSED
                self.counts.refused += 1
            else:
                a.state = STATE_ANSWERED
                self.counts.answered += 1
            self.reply_delays.add(row.t_ns - a.t0_ns)
            judge(a.kept, KEPT_NOT)
            a.kept = NULL
            if self.tells:
                self._emit(a, EVENT_REACHED, row.t_ns, row.kind)
        elif a.state == STATE_DARK:
            self.counts.late_answers += 1
            self.late_delays.add(row.t_ns - a.t0_ns)
            # The record first, then what came too late for it.
            self._end(number, row.t_ns, END_LATE_ANSWER)
            gone = self.events.events[self.events.count - 1].attempt
            self._emit(&gone, EVENT_LATE, row.t_ns, row.kind)
            self.events.events[self.events.count - 1].digits = row.digits
        return 0

    cdef int _unsolicited(self, const row_t *row) except -1 nogil:
        """An answer to no SYN: backscatter, or the end of a connection that is older than T."""
        cdef attempt_t packet
        self.counts.unsolicited += 1
        if self.tells:
            memset(&packet, 0, sizeof(packet))
            packet.t0_ns = packet.last_syn_ns = row.t_ns
            packet.family, packet.tcp_len, packet.digits = row.family, row.tcp_len, row.digits
            memcpy(packet.head, row.head, sizeof(row.head))
            self._emit(&packet, EVENT_UNSOLICITED, row.t_ns, row.kind)
        return 0

    cdef void _icmp(self, const row_t *row, uint32_t hash) noexcept nogil:
        """Keep the first error that quotes a SYN of this attempt (its number checked: RFC 5927)."""
        cdef uint32_t number = find(&self.table, key_of(row.head, row.family), row.family, hash)
        cdef attempt_t *a = NULL
        if number:
            a = slot(&self.table, number)
            if a.state != STATE_HELD and a.state != STATE_DARK:
                a = NULL
            elif isn_of(row.head, row.family) != isn_of(a.head, a.family) and not a.new_isn_count:
                a = NULL
        if a == NULL:
            self.counts.icmp_unsolicited += 1
        elif not a.icmp_known:
            a.icmp_known = 1
            a.changed |= a.state == STATE_DARK
            a.icmp_type, a.icmp_code = row.icmp_type, row.icmp_code
            a.icmp_family = row.family
            memcpy(a.reporter, row.head + REPORTER_AT, 16 if row.family == 6 else 4)

    cdef int _emit(
        self, const attempt_t *a, uint8_t kind, int64_t t_ns, uint8_t detail
    ) except -1 nogil:
        cdef event_t *event = self.events.add()
        event.attempt = a[0]
        event.t_ns = t_ns
        event.kind = kind
        event.detail = detail
        event.digits = a.digits
        event.hold_ns = held_ns(self.holds, a, self.hold_ns)
        return 0
