"""Scans: what each source tried that was dark, and what was there; told at certainty and at the end.

One record per source, of IPv6 one more for its /64 and one for its /48. A record counts different
targets exactly as long as they are few, then in sketches (sketches.py). It dies when no dark flow
has come for a gap; if it was a scan, its end is told. The number of records is limited: beyond it
those go first that were only answered, then those of which least is known, the longest silent of
them; that is counted, unless there was no dark flow. Who was only answered pushes out none that was
not: without room nothing is kept of it.

A flow belongs to one scan only: once an address has begun one, its flows no longer count for its
prefixes, and what these had gathered is forgotten; a prefix is told when more than five addresses
of it share a scan. TRW is Jung's sequential test (2004): first contacts alone, 4 for a failure and
1/4 for a success, decided at 99 and at 0.0101: four more of the one than of the other.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from darkflow.flow.batch cimport Events
from darkflow.flow.distinct cimport KIND_BITS, enter, forget, has
from darkflow.flow.hashing cimport siphash
from darkflow.flow.layout cimport (
    EVENT_DARK, EVENT_REACHED, NO_TIME, attempt_t, be16, event_t, key_of,
)
from darkflow.flow.most cimport count_tool, most_used
from darkflow.flow.networks cimport INBOUND, INTERNAL, OUTBOUND, Networks
from darkflow.flow.pool cimport (
    at, entry_t, pool_find, pool_free, pool_give, pool_init, pool_t, pool_take, put_last, take_out,
)
from darkflow.flow.scanning cimport (
    DARK, KINDS, LISTS_EACH, LIVE, OUTSIDE, PAIR, PORT, SOURCE, flow_t, list_of, main_direction, source_t,
)
from darkflow.flow.tops cimport count_port, ports_text
from darkflow.flow.detection import BACK_NS as _BACK_NS, Scan
from darkflow.flow.networks import DIRECTIONS
from darkflow.flow.sketches import Sketches

cdef enum:
    FEW = 5                         # Zeek: ports of an address scan, victims of a port scan
    CERTAIN = 4                     # TRW: 4^4 > 99
    SUCCEEDS = 4                    # Jung's benign host finds so many for one it does not find

cdef int64_t BACK_NS = _BACK_NS
TRW = ("undecided", "scanner", "benign")


@cython.final
cdef class Scans:
    """Takes events of an engine that `tells`, gives scans. limits: ScanLimits; seed: 16 bytes."""

    cdef pool_t pool
    cdef uint64_t key[2]
    cdef Networks networks
    cdef object sketches
    cdef list told
    cdef int64_t now_ns
    cdef int64_t gap_ns[2]
    cdef uint32_t targets[2]
    cdef uint32_t hosts[2]
    cdef uint32_t inside
    cdef readonly uint64_t begun, evicted

    def __cinit__(self):
        memset(&self.pool, 0, sizeof(self.pool))

    def __init__(self, Networks networks, limits, seed=bytes(16)):
        if not pool_init(&self.pool, sizeof(source_t), limits.sources):
            raise MemoryError("no memory for scans")
        memcpy(self.key, <const uint8_t *>seed, 16)
        self.networks = networks
        self.sketches = Sketches()
        self.told = []
        self.now_ns = NO_TIME
        self.limit(limits)

    def __dealloc__(self):
        cdef uint32_t number
        for number in range(1, self.pool.fresh + 1):
            forget(&self._at(number).seen)
        pool_free(&self.pool)

    def limit(self, limits):
        """Other limits from now on; the number of sources stays."""
        for v in range(2):
            self.targets[v], self.hosts[v] = limits.targets[v], limits.hosts[v]
            self.gap_ns[v] = limits.gap_ns[v]
        self.inside = limits.inside

    @property
    def sources(self):
        """Records now, those of IPv6 prefixes included."""
        return self.pool.count

    @property
    def lost(self):
        """Targets beyond the exact sets that no library was there to count."""
        return self.sketches.lost

    def observe(self, Events events):
        """What one batch brings about, in the order of time."""
        cdef size_t i
        cdef const event_t *event
        cdef int64_t first_ns = events.events[0].t_ns if events.count else events.now_ns
        if first_ns != NO_TIME and first_ns + BACK_NS < self.now_ns:
            self._end_all()
            self.now_ns = first_ns
        for i in range(events.count):
            event = &events.events[i]
            if event.kind == EVENT_DARK or event.kind == EVENT_REACHED:
                self._advance(event.t_ns)
                self._attempt(&event.attempt, event.kind == EVENT_DARK)
        self._advance(events.now_ns)
        return self._take()

    def finish(self):
        """The input has ended: so have all scans."""
        self._end_all()
        return self._take()

    cdef _take(self):
        told, self.told = self.told, []
        return told

    cdef inline source_t *_at(self, uint32_t number) noexcept:
        return <source_t *>at(&self.pool, number)

    cdef int _advance(self, int64_t now_ns) except -1:
        """End what has been silent for its gap; workers' times may differ a little."""
        cdef uint32_t number
        cdef int list
        if now_ns <= self.now_ns:
            return 0
        self.now_ns = now_ns
        for list in range(2 * LISTS_EACH):
            while self.pool.lists[list].head:
                number = self.pool.lists[list].head
                if self._at(number).entry.heard_ns + self.gap_ns[list >= LISTS_EACH] >= now_ns:
                    break
                self._drop(number)
        return 0

    cdef int _end_all(self) except -1:
        cdef int list
        for list in range(2 * LISTS_EACH):
            while self.pool.lists[list].head:
                self._drop(self.pool.lists[list].head)

    cdef int _drop(self, uint32_t number) except -1:
        """Forget a source; the end of its scan is told."""
        if self._at(number).begun:
            self._tell(number, "end")
        if self._at(number).sketched:
            self.sketches.drop(number)
        forget(&self._at(number).seen)
        take_out(&self.pool, number)
        pool_give(&self.pool, number)
        return 0

    cdef bint _evict(self, bint dark) except -1:
        """Room for one more, if there is any for its kind: of the lists, the longest silent."""
        cdef uint32_t number, other
        cdef int list
        for list in range(LISTS_EACH if dark else 1):
            number = self.pool.lists[list].head
            other = self.pool.lists[LISTS_EACH + list].head
            if number and other and (
                self._at(other).entry.heard_ns < self._at(number).entry.heard_ns
            ):
                number = other
            number = number or other
            if number:
                self.evicted += self._at(number).dark_flows > 0
                self._drop(number)
                return True
        return False

    cdef uint32_t _source(
        self, const uint8_t *address, uint8_t family, uint8_t prefix, bint dark
    ) except? 0:
        """The record of an address or its prefix; made if it is not there; 0 without room."""
        cdef entry_t wanted
        cdef uint8_t text[18]
        memset(&wanted, 0, sizeof(wanted))
        wanted.family, wanted.prefix = family, prefix
        memcpy(wanted.address, address, prefix >> 3)
        memcpy(text, wanted.address, 16)
        text[16], text[17] = family, prefix
        wanted.hash = siphash(text, 18, self.key)
        cdef uint32_t number = pool_find(&self.pool, &wanted)
        if number == 0:
            if self.pool.count >= self.pool.limit and not self._evict(dark):
                return 0
            number = pool_take(&self.pool, &wanted)
            if number:
                self._at(number).entry.heard_ns = self.now_ns
                put_last(&self.pool, number, list_of(self._at(number)))
        return number

    cdef int _attempt(self, const attempt_t *a, bint dark) except -1:
        cdef const uint8_t *key = key_of(a.head, a.family)
        cdef uint32_t number
        cdef bint before
        cdef int level
        cdef flow_t flow
        self._hash(&flow, a)
        flow.dark = dark
        flow.direction = <uint8_t>self.networks.direction(a) if dark else 0
        for level in range(3 if a.family == 6 else 1):
            number = self._source(key, a.family, self._prefix(a.family, level), dark)
            if number == 0:
                return 0
            before = self._at(number).begun
            flow.whole = level == 0
            self._count(number, &flow)
            if dark:
                self._look(number, &flow)
            if self._at(number).begun:
                if not before and a.family == 6:
                    self._forget_prefixes(key, level)
                break
        return 0

    cdef uint8_t _prefix(self, uint8_t family, int level) noexcept:
        return 32 if family == 4 else 128 if level == 0 else 64 if level == 1 else 48

    cdef void _hash(self, flow_t *flow, const attempt_t *a) noexcept:
        cdef int size = 4 if a.family == 4 else 16
        cdef const uint8_t *target = key_of(a.head, a.family) + size
        cdef uint8_t text[19]
        cdef uint64_t hash
        flow.hashes[SOURCE] = siphash(target - size, size, self.key) << KIND_BITS | SOURCE
        flow.attempt = a
        flow.port = be16(target + size + 2)
        text[0] = 0
        memcpy(text + 1, target, size)
        memcpy(text + 1 + size, target + size + 2, 2)
        hash = siphash(text, 1 + size, self.key) << KIND_BITS
        flow.hashes[DARK] = hash | DARK
        flow.hashes[LIVE] = hash | LIVE
        flow.hashes[PAIR] = siphash(text, 3 + size, self.key) << KIND_BITS | PAIR
        flow.hashes[PORT] = siphash(text + 1 + size, 2, self.key) << KIND_BITS | PORT

    cdef int _forget_prefixes(self, const uint8_t *address, int level) except -1:
        """An address has begun a scan: what its prefixes have gathered was mostly that."""
        cdef uint32_t number
        for level in range(level + 1, 3):
            number = self._source(address, 6, self._prefix(6, level), False)
            if number and not self._at(number).begun:
                self._drop(number)
        return 0

    cdef bint _is_new(self, uint32_t number, const flow_t *flow, int kind) except -1:
        """Whether the source had not to do with this before, as far as that is exactly known."""
        cdef source_t *s = self._at(number)
        if has(&s.seen, flow.hashes[kind]):
            return False
        if enter(&s.seen, flow.hashes[kind]):
            s.counts[kind] += 1
            return True
        s.sketched = 1
        self.sketches.add(number, kind, self._plain(flow, kind))
        return False

    cdef int _sketch_outside(self, uint32_t number, const flow_t *flow) except -1:
        """Hosts outside that the exact set has no room for, until the source inside is told."""
        cdef source_t *s = self._at(number)
        if flow.whole and not s.inside_told and not has(&s.seen, flow.hashes[DARK]):
            self.sketches.add(number, OUTSIDE, self._plain(flow, OUTSIDE))
        return 0

    cdef uint64_t _plain(self, const flow_t *flow, int kind) noexcept:
        """The same hash without a key: an estimate must not differ from run to run."""
        cdef uint64_t *none = [0, 0]
        cdef int size = 4 if flow.attempt.family == 4 else 16
        cdef const uint8_t *source = key_of(flow.attempt.head, flow.attempt.family)
        cdef uint8_t text[18]
        if kind == SOURCE:
            return siphash(source, size, none)
        if kind == PORT:
            return siphash(source + 2 * size + 2, 2, none)
        memcpy(text, source + size, size)
        memcpy(text + size, source + 2 * size + 2, 2)
        return siphash(text, size + 2 if kind == PAIR else size, none)

    cdef int _count(self, uint32_t number, const flow_t *flow) except -1:
        cdef source_t *s = self._at(number)
        cdef const attempt_t *a = flow.attempt
        s.packets += a.syn_count
        if not flow.dark:
            s.live_flows += 1
            if self._is_new(number, flow, LIVE) and not has(&s.seen, flow.hashes[DARK]):
                self._walk(s, -1)
            if s.dark_flows:
                # A client that goes on to talk to others does not go on to scan.
                return 0
        else:
            if s.dark_flows == 0:
                s.start_ns = s.last_ns = a.t0_ns
            s.last_ns = max(s.last_ns, a.t0_ns)
            if not s.begun:                     # its end tells the same start as its beginning
                s.start_ns = min(s.start_ns, a.t0_ns)
            s.dark_flows += 1
            s.flows_by[flow.direction] += 1
            if self._is_new(number, flow, DARK):
                s.counts[OUTSIDE] += flow.direction == OUTBOUND
                if not has(&s.seen, flow.hashes[LIVE]):
                    self._walk(s, 1)
            elif s.sketched and flow.direction == OUTBOUND:
                self._sketch_outside(number, flow)
            self._is_new(number, flow, PORT)
            if not flow.whole:
                self._is_new(number, flow, SOURCE)
            count_port(&s.tops, flow.port)
            count_tool(&s.senders, a)
            if not s.begun:
                self._is_new(number, flow, PAIR)
        s.entry.heard_ns = self.now_ns
        take_out(&self.pool, number)
        put_last(&self.pool, number, list_of(s))
        return 0

    cdef void _walk(self, source_t *s, int step) noexcept:
        """One first contact for TRW. A scanner stays one; who was benign is tested on."""
        if s.trw == 1:
            return
        s.walk += step
        if s.walk >= CERTAIN:
            s.trw = 1
        elif s.walk <= -CERTAIN:
            s.trw = 2
            s.walk = 0

    cdef int _look(self, uint32_t number, const flow_t *flow) except -1:
        """After a dark flow: is it a scan now, or a host of our own that looks infected?"""
        cdef source_t *s = self._at(number)
        if not s.begun and self._scans(number, flow.whole):
            s.begun = 1
            self.begun += 1
            self._tell(number, "begin")
        elif (
            flow.whole and flow.direction == OUTBOUND and not s.inside_told
            and self._total(number, OUTSIDE) >= self.inside
        ):
            s.inside_told = 1
            self._tell(number, "inside")
        return 0

    cdef bint _scans(self, uint32_t number, bint whole) except -1:
        """Whether so much is dark, and so little is not, that it is a scan."""
        cdef source_t *s = self._at(number)
        cdef int v = s.entry.family == 6
        cdef uint64_t hosts = self._total(number, DARK)
        return (
            (
                hosts >= self.targets[v] or self._total(number, PAIR) >= self.targets[v]
                or (hosts >= self.hosts[v] and main_direction(s) in (INBOUND, INTERNAL))
            )
            and SUCCEEDS * hosts > self._total(number, LIVE)
            and (whole or self._total(number, SOURCE) > FEW)
        )

    cdef uint64_t _total(self, uint32_t number, int kind) except? 0:
        """How many different things of a kind: exactly, or about."""
        cdef source_t *s = self._at(number)
        if not s.sketched:
            return s.counts[kind]
        return s.counts[kind] + self.sketches.estimate(number, kind)

    cdef int _tell(self, uint32_t number, str state) except -1:
        cdef source_t *s = self._at(number)
        cdef int size = 4 if s.entry.family == 4 else 16
        cdef int tool = most_used(&s.senders)
        cdef bint inside = state == "inside"
        cdef int direction = OUTBOUND if inside else main_direction(s)
        ports = self._total(number, PORT)
        hosts = self._total(number, OUTSIDE if inside else DARK)
        kind = "random_scan" if hosts > FEW else "port_scan"
        if ports <= FEW:
            kind = "address_scan"
        self.told.append(Scan(
            source=bytes(s.entry.address[:size]), prefix_length=s.entry.prefix, state=state,
            kind=kind, start_ns=s.start_ns, end_ns=s.last_ns,
            flows=s.dark_flows + s.live_flows, packets=s.packets, dark_targets=hosts,
            live_targets=self._total(number, LIVE), ports=ports,
            top_ports=ports_text(&s.tops), trw=TRW[s.trw], direction=DIRECTIONS[direction],
            tool=tool, sureness=s.senders.sureness[tool],
        ))
        return 0
