"""Backscatter: who is attacked with forged addresses of ours, by what answers to nothing tell.

CAIDA's RSDoS rule (Moore and others 2006, as Corsaro has it): a source of SYN+ACKs or resets that
answer no SYN of ours is a victim from so many packets on, over so long a time, if a minute that
slides by 10 s had so many of them. A reset with an ACK counts only with the number 0, as an answer
to a SYN has it: another ends a connection that both sides knew. One without an ACK does, too, if
who sends it had a part in connections within the last 15 to 30 min, as `_note` keeps them. While so
many have that most strangers could be taken for them, none of these count: `unjudged` counts them.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from darkflow.flow.batch cimport Events
from darkflow.flow.distinct cimport KIND_BITS, enter, forget, has, set_t
from darkflow.flow.hashing cimport siphash
from darkflow.flow.layout cimport (
    EVENT_REACHED, EVENT_UNSOLICITED, KIND_ANSWER, NO_TIME, attempt_t, be16, be32, event_t, key_of, tcp_at,
)
from darkflow.flow.networks cimport INBOUND, INTERNAL, Networks
from darkflow.flow.pool cimport (
    at, entry_t, pool_find, pool_free, pool_give, pool_init, pool_t, pool_take, put_last, take_out,
)
from darkflow.flow.tops cimport count_port, ports_text, tops_t
from darkflow.flow.detection import BACK_NS as _BACK_NS, Backscatter
from darkflow.flow.sketches import Sketches

cdef enum:
    TARGET = 1                      # the only kind of thing in a victim's set
    ACK = 0x10
    SLOTS = 6
    SYN_ACKS = 1
    RESETS = 2
    # Lists: those with a packet or two are the first to go.
    NEW = 0
    KNOWN = 1
    MANY = 3
    # Who has a part in connections: bits of addresses, with so many set all are taken for one.
    PEER_BITS = 1 << 20
    MOST_SET = PEER_BITS >> 3

# Not in the enum: constants of that size would make C count times without a sign.
cdef int64_t BACK_NS = _BACK_NS
cdef int64_t SLOT_NS = 10_000_000_000
cdef int64_t PEER_NS = 900_000_000_000
ANSWERS = ("", "syn_ack", "rst", "both")


ctypedef struct victim_t:
    entry_t entry
    set_t seen
    int64_t start_ns
    int64_t last_ns
    int64_t slot                    # of 10 s, the last one with a packet
    uint64_t packets
    uint32_t slots[SLOTS]           # packets of the last six
    uint32_t most                   # in six of them, ever
    tops_t ports
    uint8_t answers
    uint8_t begun
    uint8_t sketched


@cython.final
cdef class Victims:
    """Takes events of an engine that `tells`, gives backscatter; limits: BackscatterLimits."""

    cdef pool_t pool
    cdef uint64_t key[2]
    cdef Networks networks
    cdef object limits, sketches
    cdef list told
    cdef int64_t now_ns, gap_ns, turned_ns
    cdef uint8_t *peers[2]          # now, and in the time before
    cdef uint32_t peer_count
    cdef readonly uint64_t begun, evicted, unjudged

    def __cinit__(self):
        memset(&self.pool, 0, sizeof(self.pool))
        self.peers[0] = <uint8_t *>calloc(PEER_BITS // 8, 1)
        self.peers[1] = <uint8_t *>calloc(PEER_BITS // 8, 1)
        if self.peers[0] == NULL or self.peers[1] == NULL:
            raise MemoryError("no memory for backscatter")

    def __init__(self, Networks networks, limits, seed=bytes(16)):
        if not pool_init(&self.pool, sizeof(victim_t), limits.victims):
            raise MemoryError("no memory for backscatter")
        memcpy(self.key, <const uint8_t *>seed, 16)
        self.networks = networks
        self.sketches = Sketches()
        self.told = []
        self.now_ns = self.turned_ns = NO_TIME
        self.limit(limits)

    def __dealloc__(self):
        cdef uint32_t number
        for number in range(1, self.pool.fresh + 1):
            forget(&self._at(number).seen)
        pool_free(&self.pool)
        free(self.peers[0])
        free(self.peers[1])

    def limit(self, limits):
        """Other limits from now on; the number of victims stays."""
        self.limits = limits
        self.gap_ns = limits.gap_ns

    @property
    def victims(self):
        """Records now."""
        return self.pool.count

    @property
    def lost(self):
        """Targets beyond the exact sets that no library was there to count."""
        return self.sketches.lost

    def observe(self, Events events):
        """What one batch brings about, in the order of time."""
        cdef size_t i
        cdef int64_t first_ns = events.events[0].t_ns if events.count else events.now_ns
        if first_ns != NO_TIME and first_ns + BACK_NS < self.now_ns:
            self._end_all()
            self.now_ns = first_ns
            self._turn(NO_TIME, first_ns)
        for i in range(events.count):
            if events.events[i].kind == EVENT_UNSOLICITED:
                self._advance(events.events[i].t_ns)
                self._packet(&events.events[i])
            elif events.events[i].kind == EVENT_REACHED:
                self._advance(events.events[i].t_ns)
                self._note(&events.events[i].attempt)
        self._advance(events.now_ns)
        return self._take()

    def finish(self):
        """The input has ended: so has what it told of."""
        self._end_all()
        return self._take()

    cdef list _take(self):
        told, self.told = self.told, []
        return told

    cdef inline victim_t *_at(self, uint32_t number) noexcept:
        return <victim_t *>at(&self.pool, number)

    cdef int _advance(self, int64_t now_ns) except -1:
        cdef uint32_t number
        cdef int list
        if now_ns <= self.now_ns:
            return 0
        self.now_ns = now_ns
        if self.turned_ns + PEER_NS < now_ns:
            self._turn(self.turned_ns, now_ns)
        for list in range(2):
            while self.pool.lists[list].head:
                number = self.pool.lists[list].head
                if self._at(number).entry.heard_ns + self.gap_ns >= now_ns:
                    break
                self._drop(number)
        return 0

    cdef void _turn(self, int64_t turned_ns, int64_t now_ns) noexcept:
        """Begin a new quarter of an hour of peers; after a longer silence nobody is known."""
        self.turned_ns = turned_ns + PEER_NS
        self.peers[0], self.peers[1] = self.peers[1], self.peers[0]
        memset(self.peers[0], 0, PEER_BITS // 8)
        self.peer_count = 0
        if self.turned_ns + PEER_NS < now_ns:
            self.turned_ns = now_ns
            memset(self.peers[1], 0, PEER_BITS // 8)

    cdef int _end_all(self) except -1:
        cdef int list
        for list in range(2):
            while self.pool.lists[list].head:
                self._drop(self.pool.lists[list].head)
        return 0

    cdef int _drop(self, uint32_t number) except -1:
        if self._at(number).begun:
            self._tell(number, "end")
        if self._at(number).sketched:
            self.sketches.drop(number)
        forget(&self._at(number).seen)
        take_out(&self.pool, number)
        pool_give(&self.pool, number)
        return 0

    cdef int _packet(self, const event_t *event) except -1:
        cdef const attempt_t *a = &event.attempt
        cdef const uint8_t *tcp = a.head + tcp_at(a.family)
        cdef const uint8_t *key = key_of(a.head, a.family)
        cdef int size = 4 if a.family == 4 else 16
        cdef int direction = self.networks.direction(a)
        cdef bint reset = event.detail != KIND_ANSWER
        cdef uint32_t number
        cdef victim_t *v
        if direction != INBOUND and direction != INTERNAL:
            return 0
        if reset and tcp[13] & ACK and be32(tcp + 4) != 0:
            return 0
        if reset and not tcp[13] & ACK and self._is_peer(key, size):
            return 0
        number = self._victim(key, a.family)
        if number == 0:
            return 0
        v = self._at(number)
        if v.packets == 0:
            v.start_ns = event.t_ns
            v.slot = self._slot(event.t_ns)
        v.last_ns = max(v.last_ns, event.t_ns) if v.packets else event.t_ns
        v.packets += 1
        v.answers |= RESETS if reset else SYN_ACKS
        count_port(&v.ports, be16(key + 2 * size))
        self._target(number, key + size, size)
        self._minute(v, self._slot(event.t_ns))
        v.entry.heard_ns = self.now_ns
        take_out(&self.pool, number)
        put_last(&self.pool, number, KNOWN if v.packets >= MANY else NEW)
        if not v.begun and self._certain(number):
            v.begun = 1
            self.begun += 1
            self._tell(number, "begin")
        return 0

    cdef uint32_t _bit(self, const uint8_t *address, int size) noexcept:
        return <uint32_t>siphash(address, size, self.key) & (PEER_BITS - 1)

    cdef void _note(self, const attempt_t *a) noexcept:
        """Both ends of a connection."""
        cdef int size = 4 if a.family == 4 else 16
        cdef uint32_t bit
        cdef int end
        for end in range(2):
            bit = self._bit(key_of(a.head, a.family) + end * size, size)
            if not self.peers[0][bit >> 3] & (1 << (bit & 7)):
                self.peers[0][bit >> 3] |= <uint8_t>(1 << (bit & 7))
                self.peer_count += 1

    cdef bint _is_peer(self, const uint8_t *address, int size) noexcept:
        cdef uint32_t bit = self._bit(address, size)
        cdef uint8_t either = self.peers[0][bit >> 3] | self.peers[1][bit >> 3]
        if either & (1 << (bit & 7)):
            return True
        self.unjudged += self.peer_count > MOST_SET
        return self.peer_count > MOST_SET

    cdef int64_t _slot(self, int64_t t_ns) noexcept:
        return t_ns // SLOT_NS - (t_ns % SLOT_NS < 0)

    cdef void _minute(self, victim_t *v, int64_t slot) noexcept:
        """Count a packet into its slot, and the minute that ends with the last one."""
        cdef uint32_t sum = 0
        cdef int i
        while v.slot < slot:
            if slot - v.slot >= SLOTS:
                memset(v.slots, 0, sizeof(v.slots))
                v.slot = slot
                break
            v.slot += 1
            v.slots[v.slot % SLOTS if v.slot >= 0 else SLOTS - 1 - (-1 - v.slot) % SLOTS] = 0
        # A packet of a moment before (another worker's) counts with the last slot.
        v.slots[v.slot % SLOTS if v.slot >= 0 else SLOTS - 1 - (-1 - v.slot) % SLOTS] += 1
        for i in range(SLOTS):
            sum += v.slots[i]
        v.most = max(v.most, sum)

    cdef int _target(self, uint32_t number, const uint8_t *address, int size) except -1:
        cdef victim_t *v = self._at(number)
        cdef uint64_t hash = siphash(address, size, self.key) << KIND_BITS | TARGET
        cdef uint64_t none[2]
        if not has(&v.seen, hash) and not enter(&v.seen, hash):
            v.sketched = 1
            # Without a key: an estimate must not differ from run to run.
            none[0] = none[1] = 0
            self.sketches.add(number, TARGET, siphash(address, size, none))
        return 0

    cdef uint64_t _targets(self, uint32_t number) except? 0:
        cdef victim_t *v = self._at(number)
        if not v.sketched:
            return v.seen.count
        return v.seen.count + self.sketches.estimate(number, TARGET)

    cdef bint _certain(self, uint32_t number) except -1:
        cdef victim_t *v = self._at(number)
        limits = self.limits
        return (
            v.packets >= limits.packets
            and v.last_ns - v.start_ns >= limits.span_ns
            and v.most >= limits.rate
            and self._targets(number) >= limits.targets
        )

    cdef uint32_t _victim(self, const uint8_t *address, uint8_t family) except? 0:
        cdef entry_t wanted
        cdef uint32_t number
        memset(&wanted, 0, sizeof(wanted))
        wanted.family = family
        memcpy(wanted.address, address, 4 if family == 4 else 16)
        wanted.hash = siphash(wanted.address, 16, self.key)
        number = pool_find(&self.pool, &wanted)
        if number == 0:
            if self.pool.count >= self.pool.limit:
                self.evicted += 1
                self._drop(self.pool.lists[NEW].head or self.pool.lists[KNOWN].head)
            number = pool_take(&self.pool, &wanted)
            if number:
                put_last(&self.pool, number, NEW)
        return number

    cdef int _tell(self, uint32_t number, str state) except -1:
        cdef victim_t *v = self._at(number)
        self.told.append(Backscatter(
            victim=bytes(v.entry.address[:4 if v.entry.family == 4 else 16]), state=state,
            start_ns=v.start_ns, end_ns=v.last_ns, packets=v.packets,
            targets=self._targets(number), ports=ports_text(&v.ports), minute=v.most,
            answer=ANSWERS[v.answers],
        ))
        return 0
