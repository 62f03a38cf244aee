"""SMTP (RFC 5321) as Postfix speaks it: takes every message, and delivers none."""

from __future__ import annotations

from darkflow.honeypot.protocols.protocol import (
    Context,
    LineProtocol,
    Reply,
    base64_parts,
    marked,
    word,
)


class Smtp(LineProtocol):
    """A mail server."""

    name = "smtp"
    ports = frozenset({25, 587, 2525})
    tls_ports = frozenset({465})
    too_long = b"500 5.5.2 Error: line too long\r\n"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._state = ""
        self._user = b""
        self._recipients = 0

    def greeting(self) -> bytes:
        """220."""
        banner = f"220 {self.context.host} ESMTP Postfix (Debian/GNU)"
        return marked(banner, self.context) + b"\r\n"

    @classmethod
    def recognises(cls, first: bytes) -> bool:
        """EHLO or HELO."""
        return first[:5].upper() in (b"EHLO ", b"HELO ")

    def line(self, line: bytes) -> Reply:
        """A command, a line of a message, or an answer to AUTH."""
        if self._state == "data":
            if line != b".":
                return Reply()
            self._state = ""
            self._recipients = 0
            queued = self.context.nonce.hex()[:10].upper()
            return Reply(f"250 2.0.0 Ok: queued as {queued}\r\n".encode())
        if self._state:
            return self._answer_to_auth(line)
        verb, rest = word(line)
        if verb in _VERBS:
            reply: Reply = getattr(self, f"_{verb.decode().lower()}")(rest)
            return reply
        return Reply(_PLAIN.get(verb, b"502 5.5.2 Error: command not recognized\r\n"))

    def _ehlo(self, rest: bytes) -> Reply:
        self.keep("helo", rest)
        offers = ["PIPELINING", "SIZE 10240000", "AUTH PLAIN LOGIN", "8BITMIME"]
        if self.context.tls:
            offers.insert(2, "STARTTLS")
        lines = [self.context.host, *offers]
        texts = [f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"]
        return Reply(("\r\n".join(texts) + "\r\n").encode())

    def _helo(self, rest: bytes) -> Reply:
        self.keep("helo", rest)
        return Reply(f"250 {self.context.host}\r\n".encode())

    def _mail(self, rest: bytes) -> Reply:
        self.keep("mail_from", rest.partition(b":")[2].strip())
        return Reply(b"250 2.1.0 Ok\r\n")

    def _rcpt(self, rest: bytes) -> Reply:
        self.add("rcpt_to", rest.partition(b":")[2].strip())
        self._recipients += 1
        return Reply(b"250 2.1.5 Ok\r\n")

    def _data(self, _rest: bytes) -> Reply:
        if not self._recipients:
            return Reply(b"503 5.5.1 Error: need RCPT command\r\n")
        self._state = "data"
        return Reply(b"354 End data with <CR><LF>.<CR><LF>\r\n")

    def _quit(self, _rest: bytes) -> Reply:
        return Reply(b"221 2.0.0 Bye\r\n", close=True)

    def _starttls(self, _rest: bytes) -> Reply:
        if not self.context.tls:
            return Reply(b"454 4.7.0 TLS not available due to local problem\r\n")
        return Reply(b"220 2.0.0 Ready to start TLS\r\n", tls=True)

    def _auth(self, rest: bytes) -> Reply:
        kind, initial = word(rest)
        if kind == b"PLAIN":
            self._state = "plain"
            return self._answer_to_auth(initial) if initial else Reply(b"334 \r\n")
        if kind == b"LOGIN":
            self._state = "user"
            return self._answer_to_auth(initial) if initial else Reply(b"334 VXNlcm5hbWU6\r\n")
        return Reply(b"535 5.7.8 Error: authentication failed: Invalid mechanism\r\n")

    def _answer_to_auth(self, line: bytes) -> Reply:
        state, self._state = self._state, ""
        if line == b"*":
            return Reply(b"501 5.7.0 Authentication aborted\r\n")
        parts = base64_parts(line)
        if state == "user":
            self._user = b"".join(parts)
            self._state = "password"
            return Reply(b"334 UGFzc3dvcmQ6\r\n")
        if state == "password":
            self.tried(self._user, b"".join(parts))
        elif len(parts) == 3:
            self.tried(parts[1], parts[2])
        return Reply(b"535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6\r\n")


_VERBS = (b"EHLO", b"HELO", b"MAIL", b"RCPT", b"DATA", b"QUIT", b"STARTTLS", b"AUTH")
_PLAIN = {
    b"RSET": b"250 2.0.0 Ok\r\n",
    b"NOOP": b"250 2.0.0 Ok\r\n",
    b"VRFY": b"252 2.0.0 Cannot VRFY user\r\n",
    b"HELP": b"214 2.0.0 See RFC 5321\r\n",
    b"ETRN": b"459 4.7.1 Queuing is disabled\r\n",
}
