"""What passes between clients and the honeypot, flow by flow: the record of each session.

Frames of the honeypot's interface in, both directions; sessions that have ended out. A diverted
flow is known from its registration until no packet of it has come for `idle`. Its session ends with
a RST, with a FIN from both sides, with the cut, or when it has been idle; a new SYN of the flow
after that begins another session.
"""

from heapq import heappop, heappush

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy
from darkflow.flow.batch cimport Frames
from darkflow.flow.layout cimport be16, be32, frame_t

cdef enum:
    FIN = 1
    SYN = 2
    RST = 4
    ACK = 16
    TCP = 6

cdef class Session:
    """One session: times in ns since 1970 (0: not yet); packets, bytes of payload and of frames."""

    cdef readonly tuple flow
    cdef readonly int64_t diverted_ns
    cdef readonly int64_t syn_ack_ns
    cdef readonly int64_t handshake_ns
    cdef readonly int64_t last_ns
    cdef readonly int64_t ended_ns
    cdef readonly int64_t answered_ns
    cdef readonly uint64_t orig_packets
    cdef readonly uint64_t resp_packets
    cdef readonly uint64_t orig_bytes
    cdef readonly uint64_t resp_bytes
    cdef readonly uint64_t orig_frame_bytes
    cdef readonly uint64_t resp_frame_bytes
    cdef readonly uint64_t payload_total
    cdef readonly bytes payload
    cdef readonly str end
    # When it is looked at next: of what waits for that, only this entry counts.
    cdef int64_t due_ns
    cdef int64_t until_ns           # it was cut: later packets do not leave; 0: it was not
    cdef uint32_t isn
    cdef uint32_t resp_isn
    cdef uint32_t next_seq
    cdef uint32_t resp_ack          # what the honeypot acknowledged last
    cdef uint32_t orig_end          # behind the last byte that the client sent
    cdef bint isn_known
    cdef uint8_t fins
    cdef uint32_t held_bytes

    def __init__(self, flow, diverted_ns):
        self.flow = flow
        self.diverted_ns = self.last_ns = diverted_ns
        self.payload = b""
        self.end = ""

    @property
    def expected(self):
        """See the stub."""
        if not self.isn_known or not self.syn_ack_ns:
            return ()
        return (self.resp_ack,) + (() if self.orig_end == self.resp_ack else (self.orig_end,))


cdef bytes key_from(tuple flow):
    cdef bytes orig = flow[0]
    cdef bytes resp = flow[2]
    return orig + resp + (<int>flow[1]).to_bytes(2, "big") + (<int>flow[3]).to_bytes(2, "big")


ctypedef struct seen_t:             # one TCP packet of a frame
    const uint8_t *tcp
    const uint8_t *payload
    uint32_t payload_bytes          # captured
    uint32_t told_bytes             # as the IP header tells
    uint32_t frame_bytes            # of the whole frame
    uint8_t key[36]                 # orig, resp, ports
    uint8_t key_bytes
    uint8_t flags
    bint from_orig


cdef uint32_t behind_extensions(const uint8_t *d, uint32_t n) noexcept nogil:
    """Where TCP begins behind IPv6 at 14; 0 where it does not, or in a fragment (RFC 8200)."""
    cdef uint8_t kind = d[20]
    cdef uint8_t following
    cdef uint32_t at = 14 + 40
    # Each is at least 8 bytes long, so the captured length bounds this loop.
    while kind == 0 or kind == 43 or kind == 60 or kind == 135 or kind == 51:
        if n < at + 8:
            return 0
        following = d[at]
        # The authentication header counts in units of 4 bytes (RFC 4302).
        at += (d[at + 1] + 2) * 4 if kind == 51 else (d[at + 1] + 1) * 8
        kind = following
    return at if kind == TCP else 0


cdef bint parse(
    const frame_t *f, const uint8_t *honeypot_mac, int mac_bytes, seen_t *seen
) noexcept nogil:
    """Whether the frame is TCP over IPv4 or IPv6 without fragments; every length is checked."""
    cdef const uint8_t *d = f.data
    cdef uint32_t n = f.caplen
    cdef uint32_t at = 14
    cdef uint32_t total, tcp_bytes
    cdef const uint8_t *orig
    cdef const uint8_t *resp
    cdef const uint8_t *ends
    cdef int size
    if n < 14 + 20:
        return False
    seen.from_orig = memcmp(d, honeypot_mac, mac_bytes) == 0
    if be16(d + 12) == 0x0800:
        if d[14] >> 4 != 4 or d[23] != TCP or be16(d + 20) & 0x3FFF:
            return False
        at += (d[14] & 15) * 4
        total = be16(d + 16) + 14
        ends = d + 26
        size = 4
    elif be16(d + 12) == 0x86DD:
        if n < 14 + 40:
            return False
        at = behind_extensions(d, n)
        if at == 0:
            return False
        total = be16(d + 18) + 54
        ends = d + 22
        size = 16
    else:
        return False
    if at < 34 or n < at + 20:
        return False
    seen.tcp = d + at
    tcp_bytes = (d[at + 12] >> 4) * 4
    if tcp_bytes < 20 or total < at + tcp_bytes:
        # Segmentation offload leaves no length in packets beyond 64 KiB.
        if tcp_bytes < 20 or total > 54:
            return False
        total = f.origlen
    seen.flags = d[at + 13]
    seen.frame_bytes = f.origlen
    seen.told_bytes = total - at - tcp_bytes if total >= at + tcp_bytes else 0
    seen.payload = d + at + tcp_bytes
    seen.payload_bytes = 0
    if n > at + tcp_bytes:
        seen.payload_bytes = min(n - at - tcp_bytes, seen.told_bytes)
    orig = ends if seen.from_orig else ends + size
    resp = ends + size if seen.from_orig else ends
    memcpy(seen.key, orig, size)
    memcpy(seen.key + size, resp, size)
    memcpy(seen.key + 2 * size, d + at + (0 if seen.from_orig else 2), 2)
    memcpy(seen.key + 2 * size + 2, d + at + (2 if seen.from_orig else 0), 2)
    seen.key_bytes = 2 * size + 4
    return True


cdef void note_numbers(Session session, const seen_t *seen) noexcept:
    """How far both sides are."""
    if seen.from_orig and not seen.flags & RST:
        session.orig_end = be32(seen.tcp + 4) + seen.told_bytes + (seen.flags & (SYN | FIN) != 0)
    elif not seen.from_orig and seen.flags & ACK:
        session.resp_ack = be32(seen.tcp + 8)


cdef class Tracker:
    """The sessions of diverted flows.

    honeypot_mac: 6 bytes, where frames towards the honeypot go; none: all frames are of clients, as
    copies for a sensor are. first_bytes: of what a client says
    first, so much is kept of each session, and `kept_bytes` of all that are open together.
    """

    cdef dict sessions
    cdef list due                   # a heap of (when to look, key)
    cdef int64_t idle_ns
    cdef uint32_t first_bytes
    cdef uint64_t kept_bytes
    cdef readonly uint64_t held_bytes
    cdef readonly uint64_t open_sessions
    cdef readonly uint64_t packets
    cdef readonly uint64_t unknown
    cdef readonly uint64_t payloads_not_kept
    cdef uint8_t mac[6]
    cdef int mac_bytes

    def __init__(self, honeypot_mac, idle_ns, first_bytes=4096, kept_bytes=256 << 20):
        if len(honeypot_mac) not in (0, 6) or idle_ns <= 0:
            raise ValueError("a MAC of 6 bytes or none, and an idle time longer than 0")
        self.mac_bytes = len(honeypot_mac)
        memcpy(self.mac, <const uint8_t *>honeypot_mac, self.mac_bytes)
        self.idle_ns = idle_ns
        self.first_bytes = first_bytes
        self.kept_bytes = kept_bytes
        self.sessions = {}
        self.due = []

    def __len__(self):
        return len(self.sessions)

    def begin(self, tuple flow, int64_t t_ns):
        """The flow is diverted from now on."""
        cdef bytes key = key_from(flow)
        cdef Session session = self.sessions.get(key)
        # One that was closed belongs to an earlier diversion: `cut` ends it.
        if session is not None and not session.end and not session.until_ns:
            return
        session = Session(flow, t_ns)
        session.due_ns = t_ns + self.idle_ns
        self.sessions[key] = session
        self.open_sessions += 1
        heappush(self.due, (session.due_ns, key))

    def close(self, tuple flow, int64_t t_ns):
        """See the stub."""
        cdef Session session = self.sessions.get(key_from(flow))
        if session is None or session.end or session.until_ns:
            return None
        session.until_ns = t_ns
        return session

    def cut(self, Session session not None, int64_t t_ns, str why, int64_t answered_ns=0):
        """See the stub."""
        cdef bytes key = key_from(session.flow)
        # The flow may have been diverted anew, with a session of its own.
        if self.sessions.get(key) is session:
            del self.sessions[key]
        if session.end:
            return None
        self._release(session)
        self.open_sessions -= 1
        session.answered_ns = answered_ns
        session.end = why
        session.ended_ns = t_ns
        return session

    def observe(self, Frames frames):
        """Frames in the order of time; sessions that ended with them."""
        cdef uint32_t i
        cdef seen_t seen
        cdef Session session
        cdef int64_t due_ns
        cdef list ended = []
        for i in range(frames.count):
            if not parse(&frames.frames[i], self.mac, self.mac_bytes, &seen):
                continue
            self.packets += 1
            session = self.sessions.get((<const uint8_t *>seen.key)[:seen.key_bytes])
            if session is None:
                self.unknown += 1
                continue
            if session.end:
                # After a cut nobody is there to begin another one.
                if (
                    seen.flags & (SYN | ACK | RST) != SYN or not seen.from_orig
                    or session.until_ns
                ):
                    session.last_ns = frames.frames[i].t_ns
                    continue
                due_ns = session.due_ns
                session = Session(session.flow, frames.frames[i].t_ns)
                session.due_ns = due_ns
                self.open_sessions += 1
                self.sessions[(<const uint8_t *>seen.key)[:seen.key_bytes]] = session
            if self._packet(session, &seen, frames.frames[i].t_ns):
                self._release(session)
                self.open_sessions -= 1
                ended.append(session)
        return ended

    cdef bint _packet(self, Session session, const seen_t *seen, int64_t t_ns) except -1:
        """Whether the session has ended with this packet."""
        cdef uint32_t seq = be32(seen.tcp + 4)
        note_numbers(session, seen)
        if session.until_ns and t_ns > session.until_ns:
            return False
        session.last_ns = t_ns
        if seen.from_orig:
            session.orig_packets += 1
            session.orig_bytes += seen.told_bytes
            session.orig_frame_bytes += seen.frame_bytes
            if seen.flags & SYN and not session.isn_known:
                session.isn_known = True
                session.next_seq = seq + 1
            elif (
                seen.flags & ACK and session.syn_ack_ns and not session.handshake_ns
                and not seen.flags & RST and be32(seen.tcp + 8) == session.resp_isn + 1
            ):
                session.handshake_ns = t_ns
            if seen.told_bytes and not seen.flags & SYN and session.handshake_ns:
                self._keep(session, seen, seq)
        else:
            session.resp_packets += 1
            session.resp_bytes += seen.told_bytes
            session.resp_frame_bytes += seen.frame_bytes
            if seen.flags & (SYN | ACK) == SYN | ACK and not session.syn_ack_ns:
                session.syn_ack_ns = t_ns
                session.resp_isn = seq
        if seen.flags & FIN:
            session.fins |= 1 if seen.from_orig else 2
        if seen.flags & RST:
            session.end = "rst_orig" if seen.from_orig else "rst_resp"
        elif session.fins == 3 and not seen.flags & FIN:
            session.end = "fin"
        if session.end:
            session.ended_ns = t_ns
            return True
        return False

    cdef int _keep(self, Session session, const seen_t *seen, uint32_t seq) except -1:
        """The client's first bytes, as far as they come in order."""
        cdef uint32_t room = self.first_bytes - <uint32_t>len(session.payload)
        cdef uint32_t take = min(seen.payload_bytes, room)
        if seq != session.next_seq:
            return 0
        session.next_seq = seq + seen.told_bytes
        session.payload_total += seen.told_bytes
        if take == 0:
            return 0
        if self.held_bytes + take > self.kept_bytes:
            self.payloads_not_kept += 1
            return 0
        self.held_bytes += take
        session.held_bytes += take
        session.payload += seen.payload[:take]
        if take < seen.told_bytes and len(session.payload) < self.first_bytes:
            # The capture cut it off: what follows would not be next to it.
            session.next_seq = seq
        return 0

    cdef void _release(self, Session session) noexcept:
        """Its first bytes belong to the record now."""
        self.held_bytes -= session.held_bytes
        session.held_bytes = 0

    def expire(self, int64_t now_ns):
        """At network time `now_ns`: (sessions that ended idle, flows that are known no longer)."""
        cdef Session session
        cdef int64_t due_ns
        cdef list ended = []
        cdef list gone = []
        while self.due and self.due[0][0] <= now_ns:
            due_ns, key = heappop(self.due)
            session = self.sessions.get(key)
            if session is None or session.due_ns != due_ns:
                continue
            if session.last_ns + self.idle_ns > now_ns:
                # At that very time, as the kernel does: what it has let go may come again.
                session.due_ns = session.last_ns + self.idle_ns
                heappush(self.due, (session.due_ns, key))
                continue
            del self.sessions[key]
            gone.append(session.flow)
            if not session.end:
                self._release(session)
                self.open_sessions -= 1
                session.end = "idle"
                session.ended_ns = now_ns
                ended.append(session)
        return ended, gone

    def shift(self, int64_t by_ns):
        """The clock was set: what is idle has been so for as long as before."""
        cdef Session session
        for session in self.sessions.values():
            session.last_ns += by_ns
            session.due_ns += by_ns
        self.due = [(due_ns + by_ns, key) for due_ns, key in self.due]

    def open(self):
        """The sessions that are open now."""
        return [session for session in self.sessions.values() if not (<Session>session).end]
