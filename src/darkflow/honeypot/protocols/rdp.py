"""RDP (MS-RDPBCGR) up to the login: the client's name and its user.

The user comes by network level authentication, which is CredSSP (MS-CSSP): NTLM inside TLS, before
anything else is said.
"""

from __future__ import annotations

import struct

from darkflow.honeypot.protocols import ntlm
from darkflow.honeypot.protocols.protocol import NOTHING, Context, Protocol, Reply

PACKET_LIMIT = 8 << 10
CONNECTION_REQUEST = 0xE0
RDP_NEG_REQ, RDP_NEG_RSP = 1, 2
PROTOCOL_RDP, PROTOCOL_SSL, PROTOCOL_HYBRID = 0, 1, 2
_FLAGS = 0x1F
# TS_UD_CS_CORE (2.2.1.3.2): its name is 20 bytes behind the header, 32 bytes of UTF-16.
_CORE_HEADER, _NAME_AT, _NAME_BYTES = b"\x01\xc0", 24, 32


class Rdp(Protocol):
    """A terminal server that lets nobody in."""

    name = "rdp"
    ports = frozenset({3389})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._rest = bytearray()
        self._selected: int | None = None

    @classmethod
    def recognises(cls, first: bytes) -> bool:
        """A TPKT with an X.224 connection request (2.2.1.1)."""
        return first[:2] == b"\x03\x00" and first[5:6] == b"\xe0"

    def received(self, data: bytes) -> Reply:
        """The connection request is confirmed, NTLM challenged; what comes then ends the talk."""
        self._rest += data
        if len(self._rest) < 7:
            return NOTHING
        if self._selected == PROTOCOL_HYBRID and self._rest[0] == 0x30:
            return self._credssp()
        version, _, length, _, kind = struct.unpack_from("!BBHBB", self._rest)
        if version != 3 or not 7 <= length <= PACKET_LIMIT:
            return Reply(close=True)
        if len(self._rest) < length:
            return NOTHING
        packet = bytes(self._rest[:length])
        del self._rest[:length]
        if self._selected is not None or kind != CONNECTION_REQUEST:
            self._name(packet)
            return Reply(close=True)
        confirmed = self._confirm(packet)
        if confirmed.tls or not self._rest:
            self._rest.clear()
            return confirmed
        return Reply(confirmed.data, self.received(b"").close)

    def _confirm(self, packet: bytes) -> Reply:
        cookie, ended, _ = packet.partition(b"Cookie: ")[2].partition(b"\r\n")
        if ended:
            self.keep("cookie", cookie.removeprefix(b"mstshash="))
        requested = _negotiation(packet)
        self._selected = PROTOCOL_RDP
        if requested is None:
            return Reply(b"\x03\x00\x00\x0b\x06\xd0\x00\x00\x12\x34\x00")
        self.keep("protocols", requested)
        if self.context.tls and requested & (PROTOCOL_SSL | PROTOCOL_HYBRID):
            self._selected = PROTOCOL_HYBRID if requested & PROTOCOL_HYBRID else PROTOCOL_SSL
        confirm = b"\x03\x00\x00\x13\x0e\xd0\x00\x00\x12\x34\x00"
        confirm += struct.pack("<BBHI", RDP_NEG_RSP, _FLAGS, 8, self._selected)
        return Reply(confirm, tls=self._selected != PROTOCOL_RDP)

    def _credssp(self) -> Reply:
        """TSRequest: with NTLM's first message it is challenged, with its third it is over."""
        length, head = _der_length(self._rest)
        if head + length > PACKET_LIMIT:
            return Reply(close=True)
        if len(self._rest) < head + length:
            return NOTHING
        blob = bytes(self._rest[: head + length])
        del self._rest[: head + length]
        if ntlm.kind(blob) == ntlm.NEGOTIATE:
            # A client waits for the challenge: what it has said already is for nobody.
            self._rest.clear()
            return Reply(ntlm.credssp(blob, self.context.nonce[:8], self.context.host.upper()))
        for key, value in ntlm.login(blob).items():
            self.keep(key, value)
        return Reply(close=True)

    def _name(self, packet: bytes) -> None:
        at = packet.find(_CORE_HEADER)
        while at >= 0:
            length = int.from_bytes(packet[at + 2 : at + 4], "little")
            if 132 <= length <= 512:
                name = packet[at + _NAME_AT : at + _NAME_AT + _NAME_BYTES]
                self.keep("client", name.decode("utf-16-le", "replace").partition("\0")[0])
                return
            at = packet.find(_CORE_HEADER, at + 1)


def _negotiation(packet: bytes) -> int | None:
    """The requested protocols of RDP_NEG_REQ (2.2.1.1.1); it is the packet's end."""
    for size in (8, 44):  # 44: with a correlation id behind it
        if len(packet) >= 11 + size:
            kind, _, length, protocols = struct.unpack_from("<BBHI", packet, len(packet) - size)
            if kind == RDP_NEG_REQ and length == 8:
                return int(protocols)
    return None


def _der_length(data: bytearray) -> tuple[int, int]:
    """(length of the content, bytes before it) of a DER value of which 7 bytes are there."""
    if data[1] < 128:
        return data[1], 2
    width = min(data[1] & 127, 4)
    return int.from_bytes(data[2 : 2 + width], "big"), 2 + width
