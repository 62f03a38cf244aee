"""Held SYNs as frames, and frames to the honeypot: the part of a replay that each flow costs.

A send that is a call of Python's gives the interpreter away and must wait to get it back, some
milliseconds if another thread computes: so a whole batch is sent without it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, ENOBUFS, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

cdef extern from "<sys/socket.h>" nogil:
    ssize_t c_send "send"(int fd, const void *data, size_t size, int flags)

cdef extern from "<unistd.h>" nogil:
    int usleep(unsigned int us)

cdef enum:
    PAUSE_US = 500              # for the honeypot's kernel to empty its queue
    MOST_PAUSES = 40            # of one batch: 20 ms
    MOST_FRAMES = 1024
    LONGEST = 114               # Ethernet, fixed IPv6 header, longest TCP header


cdef int sent(int fd, const void *data, size_t size, int *pauses) noexcept nogil:
    """0, or the errno. What a full queue refused was not sent: it is offered again."""
    while c_send(fd, data, size, 0) < 0:
        if errno not in (ENOBUFS, EAGAIN) or pauses[0] == 0:
            return errno
        pauses[0] -= 1
        usleep(PAUSE_US)
    return 0


cdef uint32_t added(const uint8_t *data, int size, uint32_t total) noexcept nogil:
    """16-bit words, added (RFC 1071); an odd byte at the end is a word with 0."""
    cdef int i
    for i in range(0, size - 1, 2):
        total += <uint32_t>data[i] << 8 | data[i + 1]
    if size & 1:
        total += <uint32_t>data[size - 1] << 8
    return total


cdef void put_sum(uint8_t *at, uint32_t total) noexcept nogil:
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    total = ~total & 0xFFFF
    at[0] = total >> 8
    at[1] = total & 0xFF


def frame_from(bytes head, int tcp_bytes, bytes macs):
    """See the stub."""
    cdef uint8_t out[LONGEST]
    cdef int size = <int>PyBytes_GET_SIZE(head)
    cdef int ip_bytes = size - tcp_bytes
    cdef const uint8_t *d = <const uint8_t *>PyBytes_AS_STRING(head)
    cdef uint8_t *ip = out + 14
    cdef uint8_t *tcp
    cdef bint is4
    if len(macs) != 12 or not 20 <= tcp_bytes <= 60 or ip_bytes not in (20, 40):
        raise ValueError("a fixed IP header, a TCP header and 12 bytes of addresses are needed")
    is4 = d[0] >> 4 == 4
    if ip_bytes != (20 if is4 else 40):
        raise ValueError("the IP header is not as long as its family's")
    memcpy(out, <const uint8_t *>PyBytes_AS_STRING(macs), 12)
    memcpy(ip, d, size)
    tcp = ip + ip_bytes
    if is4:
        out[12] = 0x08
        out[13] = 0x00
        ip[0] = 0x45
        ip[2] = size >> 8
        ip[3] = size & 0xFF
        ip[6] &= 0xC0               # it is no fragment
        ip[7] = 0
        ip[10] = ip[11] = 0
        put_sum(ip + 10, added(ip, 20, 0))
    else:
        out[12] = 0x86
        out[13] = 0xDD
        ip[4] = 0
        ip[5] = tcp_bytes
        ip[6] = 6
    tcp[16] = tcp[17] = 0
    put_sum(
        tcp + 16,
        added(tcp, tcp_bytes, added(ip + (12 if is4 else 8), 8 if is4 else 32, 6 + tcp_bytes)),
    )
    return (<const char *>out)[:14 + size]


def send_all(int fd, frames):
    """See the stub."""
    cdef const char *data[MOST_FRAMES]
    cdef size_t sizes[MOST_FRAMES]
    cdef int errors[MOST_FRAMES]
    cdef int count, i
    cdef int pauses = MOST_PAUSES
    cdef list kept = list(frames)
    cdef list found = []
    cdef int at = 0
    while at < len(kept):
        count = min(len(kept) - at, MOST_FRAMES)
        for i in range(count):
            data[i] = PyBytes_AS_STRING(kept[at + i])
            sizes[i] = PyBytes_GET_SIZE(kept[at + i])
        with nogil:
            for i in range(count):
                errors[i] = sent(fd, data[i], sizes[i], &pauses)
        for i in range(count):
            found.append(errors[i])
        at += count
    return found
