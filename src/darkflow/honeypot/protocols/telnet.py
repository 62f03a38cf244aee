"""Telnet (RFC 854) with a login prompt: every login fails, three end the connection."""

from __future__ import annotations

from darkflow.honeypot.protocols.protocol import (
    LINE_LIMIT,
    REPLY_LIMIT,
    Context,
    Protocol,
    Reply,
    marked,
)

IAC, SB, SE, WILL, DO, DONT = 255, 250, 240, 251, 253, 254
ECHO, SUPPRESS_GO_AHEAD, WINDOW = 1, 3, 31
LOGIN_TRIES = 3


class Telnet(Protocol):
    """A terminal's login."""

    name = "telnet"
    ports = frozenset({23, 2323})
    tls_ports = frozenset({992})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        # What the next byte is: "", "iac", "option" (one more), "sub" and "sub iac" (till IAC SE).
        self._state = ""
        self._line = bytearray()
        self._user: bytes | None = None
        self._after_cr = False
        self._tries = 0

    def greeting(self) -> bytes:
        """Options, then the prompt."""
        wanted = ((DO, ECHO), (DO, WINDOW), (WILL, ECHO), (WILL, SUPPRESS_GO_AHEAD))
        options = b"".join(bytes((IAC, *pair)) for pair in wanted)
        banner = marked("Debian GNU/Linux 12", self.context) + b"\r\n"
        return options + banner + self._prompt()

    @classmethod
    def recognises(cls, first: bytes) -> bool:
        """A client that negotiates."""
        return len(first) > 1 and first[0] == IAC and WILL <= first[1] <= DONT

    def _prompt(self) -> bytes:
        return f"{self.context.host} login: ".encode()

    def received(self, data: bytes) -> Reply:
        """Lines of a user and a password, one after the other; the user's is echoed."""
        out = bytearray()
        for byte in data:
            if self._is_command(byte):
                continue
            after_cr, self._after_cr = self._after_cr, byte == 13
            if byte in (10, 13):
                if byte == 10 and after_cr:
                    continue
                reply = self._entered(bytes(self._line))
                self._line.clear()
                out += reply.data
                if reply.close or len(out) > REPLY_LIMIT:
                    return Reply(bytes(out), close=True)
            elif byte == 0:
                continue
            elif len(self._line) >= LINE_LIMIT:
                return Reply(bytes(out), close=True)
            else:
                self._line.append(byte)
                if self._user is None:
                    out.append(byte)
        return Reply(bytes(out))

    def _is_command(self, byte: int) -> bool:
        """Whether a byte belongs to the negotiation."""
        state = self._state
        if state == "":
            self._state = "iac" if byte == IAC else ""
            return byte == IAC
        if state == "iac":
            self._state = "sub" if byte == SB else "option" if WILL <= byte <= DONT else ""
            # IAC IAC is the byte 255 itself.
            return byte != IAC
        if state == "option":
            self._state = ""
        elif state == "sub":
            self._state = "sub iac" if byte == IAC else "sub"
        else:
            self._state = "" if byte == SE else "sub"
        return True

    def _entered(self, line: bytes) -> Reply:
        if self._user is None:
            if not line:
                return Reply(b"\r\n" + self._prompt())
            self._user = line
            return Reply(b"\r\nPassword: ")
        self.tried(self._user, line)
        self._user = None
        self._tries += 1
        if self._tries >= LOGIN_TRIES:
            return Reply(b"\r\nLogin incorrect\r\n", close=True)
        return Reply(b"\r\nLogin incorrect\r\n" + self._prompt())
