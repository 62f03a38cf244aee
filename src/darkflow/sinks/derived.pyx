"""What lines and columns derive from an attempt: names, flow id, Community ID, options, text."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset, strlen
from darkflow.flow.hashing cimport siphash
from darkflow.flow.layout cimport (
    EVENT_DARK, EVENT_END, EVENT_LATE, EVENT_UNDECIDED, attempt_t, be16, be32,
    event_t, key_of,
)

cdef extern from "<arpa/inet.h>" nogil:
    const char *inet_ntop(int family, const void *address, char *text, uint32_t size)

cdef enum:
    AF_INET = 2
    AF_INET6 = 10

cdef const char *DIRECTION_NAMES[4]
DIRECTION_NAMES[0] = b"inbound"
DIRECTION_NAMES[1] = b"outbound"
DIRECTION_NAMES[2] = b"internal"
DIRECTION_NAMES[3] = b"transit"

cdef const char *BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


cdef char *number(char *p, int64_t value) noexcept nogil:
    cdef char digits[24]
    cdef int at = 24
    cdef uint64_t rest = <uint64_t>value
    if value < 0:
        p[0] = c"-"
        p += 1
        rest = 0 - rest
    while True:
        at -= 1
        digits[at] = <char>(c"0" + rest % 10)
        rest //= 10
        if rest == 0:
            break
    memcpy(p, digits + at, 24 - at)
    return p + 24 - at


cdef char *padded(char *p, uint32_t value, int width) noexcept nogil:
    cdef int i
    for i in range(width - 1, -1, -1):
        p[i] = <char>(c"0" + value % 10)
        value //= 10
    return p + width


cdef const char *direction_name(int direction) noexcept nogil:
    return DIRECTION_NAMES[direction]


cdef char *address(char *p, const uint8_t *bytes, uint8_t family) noexcept nogil:
    """As RFC 5952 writes it."""
    inet_ntop(AF_INET if family == 4 else AF_INET6, bytes, p, ADDRESS_BYTES)
    return p + strlen(p)


cdef const char *event_name(const event_t *event, bint at_verdict) noexcept nogil:
    """How this event is reported, or NULL: it is not.

    at_verdict: a `darkflow` when T has passed, and a `darkflow_end` if more SYNs, the ICMP reason
    or the tool's name came later; otherwise one `darkflow` when the flow's record is complete.
    """
    if event.kind == EVENT_LATE:
        return b"late_answer"
    if event.kind == EVENT_UNDECIDED:
        return b"undecided"
    if event.kind == (EVENT_DARK if at_verdict else EVENT_END):
        return b"darkflow"
    if at_verdict and event.kind == EVENT_END and event.attempt.changed:
        return b"darkflow_end"
    return NULL


cdef void read_options(const uint8_t *tcp, int size, options_t *found) noexcept nogil:
    """Option kinds, MSS and window scale; what is cut off or malformed ends the list."""
    cdef int at = 20
    cdef int length
    cdef char *p = found.kinds
    cdef uint8_t kind
    found.mss = found.wscale = -1
    while at < size:
        kind = tcp[at]
        length = 1
        if kind > 1:
            if at + 1 >= size or tcp[at + 1] < 2 or at + tcp[at + 1] > size:
                break
            length = tcp[at + 1]
        if at > 20:
            p[0] = c"-"
            p += 1
        p = number(p, kind)
        if kind == 2 and length == 4:
            found.mss = be16(tcp + at + 2)
        elif kind == 3 and length == 3:
            found.wscale = tcp[at + 2]
        if kind == 0:
            break
        at += length
    p[0] = 0


cdef uint64_t flow_id(const attempt_t *a) noexcept nogil:
    """53 bits, so that every JSON reader keeps them; the key is public: it protects nothing."""
    cdef uint64_t key[2]
    key[0] = <uint64_t>a.t0_ns
    key[1] = a.family
    return siphash(key_of(a.head, a.family), 12 if a.family == 4 else 36, key) >> 11


cdef int community_input(const attempt_t *a, uint8_t *out) noexcept nogil:
    """What Community ID 1 hashes, the smaller end first: seed, addresses, protocol, ports."""
    cdef const uint8_t *key = key_of(a.head, a.family)
    cdef int size = 4 if a.family == 4 else 16
    cdef int order = memcmp(key, key + size, size)
    cdef bint turned = order > 0 or (
        order == 0 and be16(key + 2 * size) > be16(key + 2 * size + 2)
    )
    out[0] = out[1] = 0
    memcpy(out + 2, key + size if turned else key, size)
    memcpy(out + 2 + size, key if turned else key + size, size)
    out[2 + 2 * size] = 6
    out[3 + 2 * size] = 0
    memcpy(out + 4 + 2 * size, key + 2 * size + 2 if turned else key + 2 * size, 2)
    memcpy(out + 6 + 2 * size, key + 2 * size if turned else key + 2 * size + 2, 2)
    return 8 + 2 * size


cdef inline uint32_t rotated(uint32_t x, int bits) noexcept nogil:
    return x << bits | x >> (32 - bits)


cdef void sha1_of_one_block(const uint8_t *data, int size, uint8_t *digest) noexcept nogil:
    """SHA-1 (RFC 3174) of at most 55 bytes, which with their padding are one block."""
    cdef uint8_t block[64]
    cdef uint32_t w[80]
    cdef uint32_t h[5]
    cdef uint32_t a, b, c, d, e, f, k, turned
    cdef int i
    memset(block, 0, 64)
    memcpy(block, data, size)
    block[size] = 0x80
    block[62] = <uint8_t>(size * 8 >> 8)
    block[63] = <uint8_t>(size * 8)
    for i in range(16):
        w[i] = be32(block + 4 * i)
    for i in range(16, 80):
        w[i] = rotated(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1)
    h[0], h[1], h[2], h[3], h[4] = 0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0
    a, b, c, d, e = h[0], h[1], h[2], h[3], h[4]
    for i in range(80):
        if i < 20:
            f, k = (b & c) | (~b & d), 0x5A827999
        elif i < 40:
            f, k = b ^ c ^ d, 0x6ED9EBA1
        elif i < 60:
            f, k = (b & c) | (b & d) | (c & d), 0x8F1BBCDC
        else:
            f, k = b ^ c ^ d, 0xCA62C1D6
        turned = rotated(a, 5) + f + e + k + w[i]
        e, d, c, b, a = d, c, rotated(b, 30), a, turned
    h[0] += a
    h[1] += b
    h[2] += c
    h[3] += d
    h[4] += e
    for i in range(20):
        digest[i] = <uint8_t>(h[i >> 2] >> (24 - 8 * (i & 3)))


cdef void community_id(const attempt_t *a, char *out) noexcept nogil:
    """`1:` and the hash in base64 (28 characters, the last of them padding), ended by a zero."""
    cdef uint8_t data[40]
    cdef uint8_t digest[21]
    cdef uint32_t three
    cdef int i, j
    sha1_of_one_block(data, community_input(a, data), digest)
    digest[20] = 0
    out = text(out, b"1:")
    for i in range(7):
        three = digest[3 * i] << 16 | digest[3 * i + 1] << 8 | digest[3 * i + 2]
        for j in range(4):
            out[4 * i + j] = BASE64[three >> (18 - 6 * j) & 63]
    out[27] = c"="
    out[28] = 0


def flow_ends(tuple flow, int64_t t0_ns):
    """(flow id, Community ID, address and port of orig, of resp) as lines and columns have them.

    flow: (orig_addr, orig_port, resp_addr, resp_port), addresses packed. t0_ns: its first SYN.
    """
    cdef bytes orig = flow[0]
    cdef bytes resp = flow[2]
    cdef uint16_t orig_port = flow[1]
    cdef uint16_t resp_port = flow[3]
    cdef int size = <int>len(orig)
    cdef attempt_t a
    cdef uint8_t *key
    cdef char texts[3][ADDRESS_BYTES]
    if size not in (4, 16) or len(resp) != size:
        raise ValueError("a flow has two packed addresses of one family")
    memset(&a, 0, sizeof(attempt_t))
    a.t0_ns = t0_ns
    a.family = 4 if size == 4 else 6
    key = <uint8_t *>key_of(a.head, a.family)
    memcpy(key, <const uint8_t *>orig, size)
    memcpy(key + size, <const uint8_t *>resp, size)
    key[2 * size] = orig_port >> 8
    key[2 * size + 1] = orig_port & 255
    key[2 * size + 2] = resp_port >> 8
    key[2 * size + 3] = resp_port & 255
    community_id(&a, texts[0])
    address(texts[1], key, a.family)
    address(texts[2], key + size, a.family)
    return (
        flow_id(&a), texts[0].decode("ascii"), texts[1].decode("ascii"), orig_port,
        texts[2].decode("ascii"), resp_port,
    )
