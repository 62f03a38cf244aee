"""Who sent dark flows to what: totals by port, source and tool, with exact distinct counts.

Sources of our own that reach outside are told apart: they are likely infected.

Two hash tables, each limited: one record per source, and one set of 64-bit keyed hashes of
(source, port), (source, destination), (source, tool) and destination. What does not fit is counted
in `dropped`; the distinct counts are then lower bounds.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset
from darkflow.flow.batch cimport Events
from darkflow.flow.hashing cimport siphash
from darkflow.flow.layout cimport EVENT_DARK, EVENT_END, attempt_t, be16, event_t, key_of
from darkflow.flow.networks cimport OUTBOUND, Networks
from darkflow.flow.networks import DIRECTIONS
from darkflow.flow.tools cimport SURE_LOW, TOOLS
from darkflow.sinks.signature cimport tool_name

cdef extern from "<arpa/inet.h>" nogil:
    const char *inet_ntop(int family, const void *address, char *text, uint32_t size)

cdef extern from *:
    """
    #define prefetch(p) __builtin_prefetch(p)
    """
    void prefetch(const void *p) noexcept nogil

cdef enum:
    FIRST_SIZE = 1 << 12
    GROUP = 16                      # flows whose places are asked for together
    DESTINATION = 0                 # what a hash in the set stands for
    SOURCE_PORT = 1
    SOURCE_DESTINATION = 2
    SOURCE_TOOL = 3

ctypedef struct source_t:
    uint64_t hash
    uint64_t packets
    int64_t first_ns                # first SYN of the first flow, last SYN of any
    int64_t last_ns
    uint32_t flows                  # 0: the place is free
    uint32_t outbound               # of them, those from the watched networks to elsewhere
    uint32_t ports
    uint32_t targets
    uint8_t address[16]
    uint8_t family                  # its length in bytes
    uint8_t spare[7]

ctypedef struct hashes_t:           # of one flow
    uint64_t source
    uint64_t destination
    uint64_t port
    uint64_t target

ctypedef struct port_t:
    uint64_t packets
    uint32_t flows
    uint32_t sources


ctypedef struct tool_t:
    uint64_t packets
    uint64_t flows
    uint64_t by_looks               # of them, those that are named with low confidence
    uint64_t sources


cdef str _ip_text(const source_t *source):
    cdef char text[48]
    inet_ntop(2 if source.family == 4 else 10, source.address, text, 48)
    return text.decode()


cdef bint _before(const source_t *a, const source_t *b) noexcept nogil:
    """Whether `a` stands above `b`: more flows, more packets, then IPv4 and the lower address."""
    if a.flows != b.flows:
        return a.flows > b.flows
    if a.packets != b.packets:
        return a.packets > b.packets
    if a.family != b.family:
        return a.family < b.family
    return memcmp(a.address, b.address, a.family) < 0


cdef class Summary:
    """Takes complete dark flows (end events) and answers for tables; `limit` entries per table."""

    cdef source_t *sources
    cdef uint64_t source_mask, source_count
    cdef uint64_t *seen
    cdef uint64_t seen_mask, seen_count
    cdef uint64_t limit
    cdef port_t *ports
    cdef uint64_t key[2]
    cdef uint64_t directions[4]
    cdef tool_t tools[TOOLS]
    cdef Networks networks
    cdef readonly uint64_t dropped, destinations
    cdef readonly str name

    def __cinit__(self):
        self.sources = <source_t *>calloc(FIRST_SIZE, sizeof(source_t))
        self.seen = <uint64_t *>calloc(FIRST_SIZE, sizeof(uint64_t))
        self.ports = <port_t *>calloc(65536, sizeof(port_t))
        if self.sources == NULL or self.seen == NULL or self.ports == NULL:
            raise MemoryError("no memory for the summary")
        self.source_mask = self.seen_mask = FIRST_SIZE - 1

    def __init__(self, Networks networks, seed=bytes(16), limit=4_000_000):
        self.name = "the summary"
        self.networks = networks
        self.limit = limit
        memcpy(self.key, <const uint8_t *>seed, 16)

    def __dealloc__(self):
        free(self.sources)
        free(self.seen)
        free(self.ports)

    def write(self, Events events):
        """Count the flows of one batch of events."""
        cdef size_t i
        cdef int count = 0
        cdef const attempt_t *group[GROUP]
        with nogil:
            for i in range(events.count):
                if events.events[i].kind == EVENT_END:
                    group[count] = &events.events[i].attempt
                    count += 1
                    if count == GROUP:
                        self._count_group(group, count)
                        count = 0
            self._count_group(group, count)

    cdef void _count_group(self, const attempt_t **group, int count) noexcept nogil:
        """Ask for all places of some flows first, then count them: most are cache misses."""
        cdef hashes_t hashes[GROUP]
        cdef int i
        for i in range(count):
            self._hash(group[i], &hashes[i])
            prefetch(&self.sources[hashes[i].source & self.source_mask])
            prefetch(&self.seen[hashes[i].destination >> 1 & self.seen_mask])
            prefetch(&self.seen[hashes[i].port >> 1 & self.seen_mask])
            prefetch(&self.seen[hashes[i].target >> 1 & self.seen_mask])
        for i in range(count):
            self._count(group[i], &hashes[i])

    def close(self):
        """Nothing is left to do."""

    cdef void _hash(self, const attempt_t *a, hashes_t *hashes) noexcept nogil:
        """Keyed hashes of what a flow may be the first with; the set's are never 0."""
        cdef const uint8_t *key = key_of(a.head, a.family)
        cdef int size = 4 if a.family == 4 else 16
        cdef uint8_t text[40]
        hashes.source = siphash(key, size, self.key)
        text[0] = DESTINATION
        memcpy(text + 1, key + size, size)
        hashes.destination = siphash(text, size + 1, self.key) | 1
        text[0] = SOURCE_PORT
        memcpy(text + 1, key, size)
        memcpy(text + 1 + size, key + 2 * size + 2, 2)
        hashes.port = siphash(text, size + 3, self.key) | 1
        text[0] = SOURCE_DESTINATION
        memcpy(text + 1, key, 2 * size)
        hashes.target = siphash(text, 2 * size + 1, self.key) | 1

    cdef void _count(self, const attempt_t *a, const hashes_t *hashes) noexcept nogil:
        cdef const uint8_t *key = key_of(a.head, a.family)
        cdef int size = 4 if a.family == 4 else 16
        cdef port_t *port = &self.ports[be16(key + 2 * size + 2)]
        cdef source_t *source = self._source(key, size, hashes.source)
        cdef int direction = self.networks.direction(a)
        self.directions[direction] += 1
        if a.tool:
            self._count_tool(a, key, size)
        port.packets += a.syn_count
        port.flows += 1
        self.destinations += self._is_new(hashes.destination)
        if self._is_new(hashes.port):
            port.sources += 1
            if source != NULL:
                source.ports += 1
        if source != NULL:
            if source.flows == 0 or a.t0_ns < source.first_ns:
                source.first_ns = a.t0_ns
            if source.flows == 0 or a.last_syn_ns > source.last_ns:
                source.last_ns = a.last_syn_ns
            source.outbound += direction == OUTBOUND
            source.flows += 1
            source.packets += a.syn_count
            source.targets += self._is_new(hashes.target)

    cdef void _count_tool(self, const attempt_t *a, const uint8_t *key, int size) noexcept nogil:
        cdef tool_t *tool = &self.tools[a.tool]
        cdef uint8_t text[18]
        text[0] = SOURCE_TOOL
        text[1] = a.tool
        memcpy(text + 2, key, size)
        tool.packets += a.syn_count
        tool.flows += 1
        tool.by_looks += a.sureness == SURE_LOW
        tool.sources += self._is_new(siphash(text, size + 2, self.key) | 1)

    cdef source_t *_source(self, const uint8_t *address, int size, uint64_t hash) noexcept nogil:
        """The record of a source, made if there is room for one."""
        cdef uint64_t i = hash
        cdef source_t *s = &self.sources[i & self.source_mask]
        while s.flows:
            if s.hash == hash and s.family == size and memcmp(s.address, address, size) == 0:
                return s
            i += 1
            s = &self.sources[i & self.source_mask]
        if self.source_count >= self.limit:
            self.dropped += 1
            return NULL
        if (self.source_count + 1) * 2 > self.source_mask:
            if not self._grow_sources():
                self.dropped += 1
                return NULL
            i = hash
            while self.sources[i & self.source_mask].flows:
                i += 1
            s = &self.sources[i & self.source_mask]
        memset(s, 0, sizeof(source_t))
        s.hash = hash
        memcpy(s.address, address, size)
        s.family = size
        self.source_count += 1
        return s

    cdef bint _grow_sources(self) noexcept nogil:
        cdef uint64_t mask = self.source_mask * 2 + 1
        cdef source_t *grown = <source_t *>calloc(mask + 1, sizeof(source_t))
        cdef uint64_t i, at
        if grown == NULL:
            return False
        for i in range(self.source_mask + 1):
            if self.sources[i].flows:
                at = self.sources[i].hash
                while grown[at & mask].flows:
                    at += 1
                grown[at & mask] = self.sources[i]
        free(self.sources)
        self.sources = grown
        self.source_mask = mask
        return True

    cdef bint _is_new(self, uint64_t hash) noexcept nogil:
        """Enter a combination; True if it was not there. A 64-bit hash stands for it."""
        cdef uint64_t i = hash >> 1
        while self.seen[i & self.seen_mask]:
            if self.seen[i & self.seen_mask] == hash:
                return False
            i += 1
        if self.seen_count >= 3 * self.limit:
            self.dropped += 1
            return False
        if (self.seen_count + 1) * 2 > self.seen_mask:
            if not self._grow_seen():
                self.dropped += 1
                return False
            i = hash >> 1
            while self.seen[i & self.seen_mask]:
                i += 1
        self.seen[i & self.seen_mask] = hash
        self.seen_count += 1
        return True

    cdef bint _grow_seen(self) noexcept nogil:
        cdef uint64_t mask = self.seen_mask * 2 + 1
        cdef uint64_t *grown = <uint64_t *>calloc(mask + 1, sizeof(uint64_t))
        cdef uint64_t i, at
        if grown == NULL:
            return False
        for i in range(self.seen_mask + 1):
            if self.seen[i]:
                at = self.seen[i] >> 1
                while grown[at & mask]:
                    at += 1
                grown[at & mask] = self.seen[i]
        free(self.seen)
        self.seen = grown
        self.seen_mask = mask
        return True

    @property
    def source_total(self):
        """Number of different sources."""
        return self.source_count

    @property
    def by_direction(self):
        """Dark flows by direction."""
        return {name: self.directions[i] for i, name in enumerate(DIRECTIONS)}

    @property
    def by_tool(self):
        """(tool, packets, flows, of them by looks alone, sources), the most flows first."""
        rows = [
            (
                tool_name(i).decode(), self.tools[i].packets, self.tools[i].flows,
                self.tools[i].by_looks, self.tools[i].sources,
            )
            for i in range(TOOLS) if self.tools[i].flows
        ]
        return sorted(rows, key=lambda row: (-row[2], row[0]))

    def top_ports(self, count):
        """(port, packets, flows, sources) of the ports with the most packets."""
        rows = [
            (self.ports[i].packets, self.ports[i].flows, self.ports[i].sources, -i)
            for i in range(65536) if self.ports[i].flows
        ]
        rows.sort(reverse=True)
        return [(-p, n, f, s) for n, f, s, p in rows[:count]]

    def top_sources(self, count):
        """(address, flows, packets, ports, targets) of those with the most flows."""
        return [row[:5] for row in self._best(count, False)]

    def inside_sources(self, count):
        """The same of sources that sent outbound ones, with first_ns and last_ns behind them."""
        return self._best(count, True)

    def _best(self, count, bint inside):
        cdef uint64_t room = min(<uint64_t>count, self.source_count)
        cdef uint64_t kept = 0
        cdef uint64_t i, at
        cdef const source_t **best = <const source_t **>calloc(room + 1, sizeof(source_t *))
        if best == NULL:
            raise MemoryError("no memory for so many top sources")
        with nogil:
            for i in range(self.source_mask + 1):
                if self.sources[i].flows == 0 or (inside and self.sources[i].outbound == 0):
                    continue
                # Insertion into a short sorted list; most sources do not get past its last place.
                at = kept
                while at > 0 and _before(&self.sources[i], best[at - 1]):
                    best[at] = best[at - 1]
                    at -= 1
                if at < room:
                    best[at] = &self.sources[i]
                    kept = min(kept + 1, room)
        rows = [
            (_ip_text(best[i]), best[i].flows, best[i].packets, best[i].ports, best[i].targets,
             best[i].first_ns, best[i].last_ns)
            for i in range(kept)
        ]
        free(best)
        return rows
