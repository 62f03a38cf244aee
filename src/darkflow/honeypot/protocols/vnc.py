"""VNC (RFC 6143): asks for a password and refuses it."""

from __future__ import annotations

from darkflow.honeypot.protocols.protocol import Context, Protocol, Reply

VNC_AUTHENTICATION = b"\x02"
# The lengths of what a client says, one after the other.
VERSION_BYTES, TYPE_BYTES, RESPONSE_BYTES = 12, 1, 16
_REASON = b"Authentication failed"
_FAILED = b"\x00\x00\x00\x01"


class Vnc(Protocol):
    """A screen behind a password; the answer to the challenge is kept, for whoever wants to try."""

    name = "vnc"
    ports = frozenset({5900, 5901})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._rest = bytearray()
        self._minor = 0
        self._wanted = VERSION_BYTES

    def greeting(self) -> bytes:
        """The version (7.1.1)."""
        return b"RFB 003.008\n"

    @classmethod
    def recognises(cls, first: bytes) -> bool:
        """A version."""
        return first.startswith(b"RFB 0")

    def received(self, data: bytes) -> Reply:
        """Version, security type, response to the challenge; each is answered."""
        self._rest += data[:64]
        out = b""
        while len(self._rest) >= self._wanted:
            message = bytes(self._rest[: self._wanted])
            del self._rest[: self._wanted]
            reply = self._message(message)
            out += reply.data
            if reply.close:
                return Reply(out, close=True)
        return Reply(out)

    def _message(self, message: bytes) -> Reply:
        if self._wanted == VERSION_BYTES:
            if not message.startswith(b"RFB 003."):
                return Reply(close=True)
            self.keep("client", message.strip())
            # 7.1.1: other numbers than 7 and 8 are to be taken as 3.
            self._minor = {b"007": 7, b"008": 8}.get(message[8:11], 3)
            self._wanted = RESPONSE_BYTES if self._minor == 3 else TYPE_BYTES
            if self._minor == 3:
                return Reply(b"\x00\x00\x00" + VNC_AUTHENTICATION + self._challenge())
            return Reply(b"\x01" + VNC_AUTHENTICATION)
        if self._wanted == TYPE_BYTES:
            self._wanted = RESPONSE_BYTES
            return Reply(self._challenge()) if message == VNC_AUTHENTICATION else Reply(close=True)
        self.keep("challenge", self._challenge().hex())
        self.keep("response", message.hex())
        reason = len(_REASON).to_bytes(4, "big") + _REASON if self._minor == 8 else b""
        return Reply(_FAILED + reason, close=True)

    def _challenge(self) -> bytes:
        return self.context.nonce[:16]
