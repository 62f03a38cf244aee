# Which scanner sent a SYN: the rules. What each has been measured to do: docs/fingerprints.md.
#
# A rule has two parts: looks (window, options, TTL), which whoever likes can have, and numbers that
# the tool computes, which come out right by chance once in so many SYNs. What takes two SYNs of a
# source is compared with the source's last one of another flow: a SYN that is sent again, which may
# open a new attempt, says nothing new. ZMap, masscan, Mirai, Unicornscan, nmap: Ghiette,
# Blenn, Doerr 2016, "Remote identification of port scan toolchains"; checked on the tools' packets.

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memset
from darkflow.flow.layout cimport attempt_t, be16, be32, tcp_at

cdef enum:
    TOOL_NONE = 0
    TOOL_ZMAP = 1
    TOOL_MASSCAN = 2
    TOOL_MIRAI = 3
    TOOL_UNICORNSCAN = 4
    TOOL_NMAP = 5
    TOOL_HPING3 = 6
    TOOLS = 7

# How sure a name is; docs/fingerprints.md says what each means in wrong names.
cdef enum:
    SURE_NOT = 0
    SURE_LOW = 1            # by looks alone: nothing in the SYN that the tool computes
    SURE_MEDIUM = 2         # at most 1 in 100,000 SYNs of the same looks is named so by chance
    SURE_HIGH = 3           # at most 1 in 10,000,000

# Rules that remember something of a source. A hit speaks for the tool, a miss against it.
cdef enum:
    RULE_ZMAP = 0
    RULE_ZMAP_NEW = 1
    RULE_MASSCAN = 2
    RULE_UNICORNSCAN = 3
    RULE_NMAP = 4
    RULE_HPING3 = 5
    RULES = 6


ctypedef struct source_t:           # what is remembered of one source, 72 bytes
    uint8_t address[16]
    uint32_t hash
    uint32_t last_s                 # network time of its last dark flow
    uint32_t nmap_seq               # of its last SYN that looks like nmap's
    uint32_t nmap_flow              # hash of that SYN's flow
    uint32_t zmap_flow              # of its last SYN with ZMap's number
    uint32_t keys[2]                # Unicornscan's key by its last SYN, in both byte orders
    uint32_t seq                    # of that SYN
    uint32_t key                    # Unicornscan's key that several SYNs have had
    uint16_t hping3_port            # source port of its last SYN that looks like hping3's
    uint8_t family
    uint8_t order                   # 1 or 2: the byte order of `key`; 0: there is none yet
    uint8_t credit                  # how often the hand passes it by before it is replaced
    uint8_t seen                    # SEEN_*: what there is of a last SYN
    uint16_t masscan_id             # IP ID of its last SYN with masscan's number
    uint8_t hits[RULES]
    uint8_t misses[RULES]


cdef enum:
    SEEN_KEYS = 1
    SEEN_NMAP = 2
    SEEN_HPING3 = 4
    SEEN_MASSCAN = 8
    SEEN_ZMAP = 16

cdef enum:
    MSS_1460 = 0x020405B4           # the option
    PORT_STEP = 64                  # hping3 counts up; answered SYNs between two dark ones are gaps

# What a SYN looks like, and which numbers are right in it.
cdef enum:
    LIKE_ZMAP = 1
    IS_ZMAP = 2
    LIKE_ZMAP_NEW = 4
    LIKE_MASSCAN = 8
    IS_MASSCAN = 16
    IS_MIRAI = 32
    LIKE_NMAP = 64
    LIKE_HPING3 = 128
    MAY_BE_UNICORNSCAN = 256
    LIKE_MASSCAN6 = 512
    WITH_STATE = (
        LIKE_ZMAP | LIKE_ZMAP_NEW | LIKE_MASSCAN | LIKE_NMAP | LIKE_HPING3 | MAY_BE_UNICORNSCAN
    )

cdef inline uint32_t _swapped(uint32_t x) noexcept nogil:
    return x << 24 | (x & 0xFF00) << 8 | (x >> 8 & 0xFF00) | x >> 24


cdef inline uint32_t _resent(const attempt_t *a) noexcept nogil:
    """SYNs of the flow that say the same again: what a client's own TCP does, no raw scanner."""
    return a.syn_count - 1 - a.duplicate_count - a.new_isn_count


cdef inline bint _only_syn(const uint8_t *tcp) noexcept nogil:
    """No other flag, no reserved bit, no urgent pointer."""
    return tcp[13] == 2 and not tcp[12] & 15 and be16(tcp + 18) == 0


cdef inline bint _zmap_new_options(const uint8_t *tcp) noexcept nogil:
    """MSS 1460, NOP, window scale 8, NOP, NOP, SACK permitted."""
    return (
        be32(tcp + 20) == MSS_1460 and be32(tcp + 24) == 0x01030308
        and be32(tcp + 28) == 0x01010402
    )


cdef inline uint32_t _looks4(
    const attempt_t *a, const uint8_t *tcp, bint only_mss
) noexcept nogil:
    cdef uint8_t ttl = a.head[8]
    cdef uint16_t window = be16(tcp + 14)
    cdef uint16_t ip_id = be16(a.head + 4)
    cdef uint32_t seq = be32(tcp + 4)
    cdef uint32_t target = be32(a.head + 16)
    cdef bint df = a.head[6] & 0x40 != 0
    cdef bint bare = a.tcp_len == 20
    cdef uint32_t looks = 0
    if seq != target and seq != _swapped(target) and not _resent(a) and not be32(tcp + 8):
        looks = MAY_BE_UNICORNSCAN
    if not _only_syn(tcp):
        return looks
    if be32(tcp + 8):                       # an acknowledgement number without the flag
        if bare and window == 512 and ttl <= 64 and not (tcp[4] | tcp[8]) & 0x80:
            looks = LIKE_HPING3
        return looks
    if bare and ttl > 128 and window == 65535:
        looks |= LIKE_ZMAP
        if ip_id == 54321:
            looks |= IS_ZMAP
    if (bare or only_mss) and ttl > 128 and window == 1024 and not df:
        looks |= LIKE_MASSCAN
        if ip_id == <uint16_t>(target ^ be16(tcp + 2) ^ seq):
            looks |= IS_MASSCAN
    if bare and ttl <= 64 and seq == target:
        looks |= IS_MIRAI
    if only_mss and ttl <= 59 and not df and window in (1024, 2048, 3072, 4096):
        looks = LIKE_NMAP               # its numbers can pass for Unicornscan's
    if (
        a.tcp_len == 32 and ttl <= 64 and window == 65535 and not df and _zmap_new_options(tcp)
        and 32768 <= be16(tcp) <= 61000
    ):
        looks |= LIKE_ZMAP_NEW
    return looks


cdef inline uint32_t looks_of(const attempt_t *a) noexcept nogil:
    """What the first SYN looks like; a header that the capture cut off looks like nothing."""
    cdef const uint8_t *tcp = a.head + tcp_at(a.family)
    cdef bint only_mss
    if a.tcp_len < 20 or a.tcp_len != (tcp[12] >> 4) * 4:
        return 0
    only_mss = a.tcp_len == 24 and be32(tcp + 20) == MSS_1460
    if a.family == 4:
        return _looks4(a, tcp, only_mss)
    # There is no IP ID. nmap and masscan send hop limit 255.
    if (
        be32(tcp + 8) or be16(tcp + 14) != 1024 or a.head[7] <= 128 or not _only_syn(tcp)
    ):
        return 0
    if only_mss:
        return LIKE_NMAP
    return LIKE_MASSCAN6 if a.tcp_len == 20 and not _resent(a) else 0


cdef inline uint32_t _unicornscan_key(const attempt_t *a, bint swapped) noexcept nogil:
    cdef const uint8_t *tcp = a.head + 20
    cdef uint32_t target = be32(a.head + 16)
    cdef uint32_t ports = <uint32_t>be16(tcp + 2) << 16 | be16(tcp)
    return be32(tcp + 4) ^ (_swapped(target) if swapped else target) ^ ports


cdef inline void _count(source_t *s, int rule, bint hit) noexcept nogil:
    cdef uint8_t *counter = &s.hits[rule] if hit else &s.misses[rule]
    if counter[0] == 255:
        s.hits[rule] >>= 1
        s.misses[rule] >>= 1
    counter[0] += 1


cdef inline void _learn_key(source_t *s, const attempt_t *a) noexcept nogil:
    """Unicornscan: is this SYN's key the known one, or the last SYN's, in either byte order?"""
    cdef uint32_t seq = be32(a.head + 24)
    cdef uint32_t key
    cdef int order
    if s.order and _unicornscan_key(a, s.order == 2) == s.key:
        _count(s, RULE_UNICORNSCAN, True)
        return
    for order in range(2):
        key = _unicornscan_key(a, order)
        # Numbers that count up beside the ports have the same upper half: they prove nothing.
        if s.seen & SEEN_KEYS and key == s.keys[order] and (seq ^ s.seq) >> 16:
            s.key, s.order = key, <uint8_t>(order + 1)
            s.hits[RULE_UNICORNSCAN] = 1
        s.keys[order] = key
    s.seq = seq
    s.seen |= SEEN_KEYS


cdef inline void learn(source_t *s, const attempt_t *a, uint32_t looks) noexcept nogil:
    """One more dark flow of a source."""
    cdef const uint8_t *tcp = a.head + tcp_at(a.family)
    cdef uint32_t seq = be32(tcp + 4)
    cdef uint32_t x
    cdef uint16_t step
    if looks & IS_ZMAP:
        if not s.seen & SEEN_ZMAP or s.zmap_flow != a.hash:
            _count(s, RULE_ZMAP, True)
        s.zmap_flow = a.hash
        s.seen |= SEEN_ZMAP
    elif looks & LIKE_ZMAP:
        _count(s, RULE_ZMAP, False)
    if looks & LIKE_ZMAP_NEW:
        _count(s, RULE_ZMAP_NEW, not _resent(a))
    if looks & IS_MASSCAN:
        # The same SYN from another port is right or wrong once: its second proves nothing.
        if not s.seen & SEEN_MASSCAN or s.masscan_id != be16(a.head + 4):
            _count(s, RULE_MASSCAN, True)
        s.masscan_id = be16(a.head + 4)
        s.seen |= SEEN_MASSCAN
    elif looks & LIKE_MASSCAN:
        _count(s, RULE_MASSCAN, False)
    if looks & LIKE_NMAP:
        x = seq ^ s.nmap_seq
        if s.seen & SEEN_NMAP and s.nmap_flow != a.hash:
            _count(s, RULE_NMAP, x >> 16 == x & 0xFFFF and x & 0xFF00 == 0)
        s.nmap_seq, s.nmap_flow = seq, a.hash
        s.seen |= SEEN_NMAP
    if looks & LIKE_HPING3:
        step = <uint16_t>(be16(tcp) - s.hping3_port)
        if s.seen & SEEN_HPING3:
            _count(s, RULE_HPING3, 1 <= step <= PORT_STEP)
        s.hping3_port = be16(tcp)
        s.seen |= SEEN_HPING3
    if looks & MAY_BE_UNICORNSCAN:
        _learn_key(s, a)


cdef inline void forget(source_t *s) noexcept nogil:
    """What it has shown; not who it is."""
    memset(s.hits, 0, sizeof(s.hits))
    memset(s.misses, 0, sizeof(s.misses))
    s.seen = s.order = 0


cdef inline bint confirmed(const source_t *s) noexcept nogil:
    """Whether the source has shown a tool's numbers more than once."""
    return (
        s.hits[RULE_ZMAP] > 1 or s.hits[RULE_MASSCAN] > 1 or s.hits[RULE_NMAP] > 0
        or s.hits[RULE_HPING3] > 1 or s.hits[RULE_UNICORNSCAN] > 0
    )


cdef inline uint8_t _by_number(const source_t *s, int rule) noexcept nogil:
    """A SYN with the right number of 16 bits: one that is alone may be chance, two are not."""
    return SURE_HIGH if s.hits[rule] > 1 and s.misses[rule] <= s.hits[rule] else SURE_NOT


cdef inline uint8_t _by_pairs(const source_t *s, int rule, int medium, bint alone) noexcept nogil:
    """A SYN with the right looks: so many pairs make it medium, one more high.

    alone: with nothing against it, looks are enough for low.
    """
    cdef int hits = s.hits[rule]
    if s.misses[rule] > hits and (hits or s.misses[rule] > 1):
        return SURE_NOT
    if hits > medium:
        return SURE_HIGH
    if hits == medium:
        return SURE_MEDIUM
    return SURE_LOW if alone else SURE_NOT


cdef inline void _better(uint8_t *best, uint8_t tool, uint8_t sure) noexcept nogil:
    if sure > best[1]:
        best[0] = tool
        best[1] = sure


cdef inline void judge(
    const source_t *s, const attempt_t *a, uint32_t looks, uint8_t *best
) noexcept nogil:
    """The tool of a SYN, and how sure that is, by what is known of its source."""
    best[0] = best[1] = 0
    if looks & IS_MIRAI:
        _better(best, TOOL_MIRAI, SURE_HIGH)
    if looks & IS_ZMAP:
        _better(best, TOOL_ZMAP, _by_number(s, RULE_ZMAP))
    if looks & IS_MASSCAN:
        _better(best, TOOL_MASSCAN, _by_number(s, RULE_MASSCAN))
    if looks & MAY_BE_UNICORNSCAN and s.order and (
        _unicornscan_key(a, s.order == 2) == s.key
    ):
        _better(
            best, TOOL_UNICORNSCAN,
            SURE_HIGH if s.hits[RULE_UNICORNSCAN] > 1 else SURE_MEDIUM,
        )
    if looks & LIKE_NMAP:
        _better(best, TOOL_NMAP, _by_pairs(s, RULE_NMAP, 1, False))
    if looks & LIKE_HPING3:
        _better(best, TOOL_HPING3, _by_pairs(s, RULE_HPING3, 2, True))
    if looks & LIKE_ZMAP_NEW and not _resent(a) and s.misses[RULE_ZMAP_NEW] < s.hits[RULE_ZMAP_NEW]:
        _better(best, TOOL_ZMAP, SURE_LOW)
    if looks & LIKE_MASSCAN6:
        _better(best, TOOL_MASSCAN, SURE_LOW)
