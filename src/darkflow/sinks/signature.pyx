"""What a SYN looks like as one text to group by: the raw fields, in the order of p0f 3.

`version:ttl_start:ip_options:mss:window,scale:options:quirks:payload`. What each part may be:
docs/fingerprints.md; the names of options and quirks are those of p0f's README.
"""

from libc.stdint cimport uint8_t
from darkflow.flow.layout cimport attempt_t, be16, be32, tcp_at
from darkflow.flow.tools cimport TOOLS
from darkflow.sinks.derived cimport number, text

cdef const char *TOOL_NAMES[7]
TOOL_NAMES[0] = b""
TOOL_NAMES[1] = b"zmap"
TOOL_NAMES[2] = b"masscan"
TOOL_NAMES[3] = b"mirai"
TOOL_NAMES[4] = b"unicornscan"
TOOL_NAMES[5] = b"nmap"
TOOL_NAMES[6] = b"hping3"
cdef const char *SURENESS_NAMES[4]
SURENESS_NAMES[0] = b""
SURENESS_NAMES[1] = b"low"
SURENESS_NAMES[2] = b"medium"
SURENESS_NAMES[3] = b"high"

TOOL_WORDS = tuple(TOOL_NAMES[i].decode() for i in range(1, TOOLS))

ctypedef struct found_t:            # what a walk over the options has found
    int mss, scale
    bint own_time_zero, peer_time, behind_end, bad


cdef const char *tool_name(int tool) noexcept nogil:
    return TOOL_NAMES[tool]


cdef const char *sureness_name(int sureness) noexcept nogil:
    return SURENESS_NAMES[sureness]


def tool_words(int tool, int sureness):
    """The names of a tool and of its confidence; two times None if no tool is known."""
    if not 0 < tool < TOOLS:
        return None, None
    return TOOL_NAMES[tool].decode(), SURENESS_NAMES[sureness & 3].decode()


cdef int ttl_start(const attempt_t *a) noexcept nogil:
    """What the TTL (IPv6: hop limit) probably was at the start: the next of 32, 64, 128, 255."""
    cdef uint8_t ttl = a.head[8] if a.family == 4 else a.head[7]
    if ttl <= 32:
        return 32
    if ttl <= 64:
        return 64
    return 128 if ttl <= 128 else 255


cdef char *_option(char *p, const uint8_t *option, int length, found_t *found) noexcept nogil:
    """One option's name; its values go to `found`."""
    if option[0] == 1:
        return text(p, b"nop")
    if option[0] == 2 and length == 4:
        found.mss = be16(option + 2)
        return text(p, b"mss")
    if option[0] == 3 and length == 3:
        found.scale = option[2]
        return text(p, b"ws")
    if option[0] == 4 and length == 2:
        return text(p, b"sok")
    if option[0] == 5:
        return text(p, b"sack")
    if option[0] == 8 and length == 10:
        found.own_time_zero = be32(option + 2) == 0
        found.peer_time = be32(option + 6) != 0
        return text(p, b"ts")
    return number(text(p, b"?"), option[0])


cdef char *_options(char *p, const uint8_t *tcp, int size, found_t *found) noexcept nogil:
    cdef int at = 20
    cdef int length
    while at < size:
        if at > 20:
            p = text(p, b",")
        if tcp[at] == 0:
            p = number(text(p, b"eol+"), size - at - 1)
            while at < size:
                found.behind_end |= tcp[at] != 0
                at += 1
            break
        length = 1
        if tcp[at] > 1:
            if at + 1 >= size or tcp[at + 1] < 2 or at + tcp[at + 1] > size:
                found.bad = True
                p = number(text(p, b"?"), tcp[at])
                break
            length = tcp[at + 1]
        p = _option(p, tcp + at, length, found)
        at += length
    return p


cdef inline char *_quirk(char *p, const char *begin, bint there, const char *name) noexcept nogil:
    if not there:
        return p
    if p != begin:
        p = text(p, b",")
    return text(p, name)


cdef char *_quirks(char *p, const attempt_t *a, const found_t *found) noexcept nogil:
    cdef const uint8_t *tcp = a.head + tcp_at(a.family)
    cdef const char *begin = p
    cdef bint v4 = a.family == 4
    cdef bint df = v4 and a.head[6] & 0x40
    cdef bint ip_id = be16(a.head + 4) != 0
    cdef uint8_t traffic = a.head[1] if v4 else a.head[1] >> 4
    p = _quirk(p, begin, df, b"df")
    p = _quirk(p, begin, df and ip_id, b"id+")
    p = _quirk(p, begin, v4 and not df and not ip_id, b"id-")
    p = _quirk(p, begin, tcp[13] & 0xC0 or traffic & 3, b"ecn")
    p = _quirk(p, begin, tcp[12] & 0x0F or (v4 and a.head[6] & 0x80), b"0+")
    p = _quirk(p, begin, not v4 and be32(a.head) & 0xFFFFF, b"flow")
    p = _quirk(p, begin, be32(tcp + 4) == 0, b"seq-")
    p = _quirk(p, begin, be32(tcp + 8) != 0, b"ack+")
    p = _quirk(p, begin, not tcp[13] & 0x20 and be16(tcp + 18), b"uptr+")
    p = _quirk(p, begin, tcp[13] & 0x20, b"urgf+")
    p = _quirk(p, begin, tcp[13] & 0x08, b"pushf+")
    p = _quirk(p, begin, found.own_time_zero, b"ts1-")
    p = _quirk(p, begin, found.peer_time, b"ts2+")
    p = _quirk(p, begin, found.behind_end, b"opt+")
    p = _quirk(p, begin, found.scale > 14, b"exws")
    return _quirk(p, begin, found.bad, b"bad")


cdef bint signature(const attempt_t *a, char *out) noexcept nogil:
    """Ended by a zero; False if the capture has cut the TCP header off."""
    cdef const uint8_t *tcp = a.head + tcp_at(a.family)
    cdef char names[SIGNATURE_BYTES]
    cdef found_t found
    cdef char *p = out
    if a.tcp_len < 20 or a.tcp_len != (tcp[12] >> 4) * 4:
        return False
    found.mss = found.scale = 0
    found.own_time_zero = found.peer_time = found.behind_end = found.bad = False
    _options(names, tcp, a.tcp_len, &found)[0] = 0
    p = text(number(p, a.family), b":")
    p = text(number(p, ttl_start(a)), b":")
    p = text(number(p, ((a.head[0] & 15) - 5) * 4 if a.family == 4 else 0), b":")
    p = text(number(p, found.mss), b":")
    p = text(number(p, be16(tcp + 14)), b",")
    p = text(number(p, found.scale), b":")
    p = text(text(p, names), b":")
    p = text(_quirks(p, a, &found), b":+" if a.payload_bytes else b":0")
    p[0] = 0
    return True
