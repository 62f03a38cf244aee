"""POP3 (RFC 1939) and IMAP (RFC 9051) as Dovecot speaks them: every login fails."""

from __future__ import annotations

import re
from itertools import islice

from darkflow.honeypot.protocols.protocol import (
    Context,
    LineProtocol,
    Reply,
    base64_parts,
    marked,
    word,
)

LOGIN_TRIES = 5
_FIRST_COMMANDS = (b"CAPABILITY", b"LOGIN", b"AUTHENTICATE", b"STARTTLS")
_ATOM = re.compile(rb'"((?:[^"\\]++|\\.)*+)"|([^ "]++)')


class Pop3(LineProtocol):
    """A mailbox to be fetched."""

    name = "pop3"
    ports = frozenset({110})
    tls_ports = frozenset({995})
    too_long = b"-ERR Too long line\r\n"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._user = b""
        self._plain = False
        self._tries = 0

    def greeting(self) -> bytes:
        """+OK."""
        return b"+OK " + marked("Dovecot (Debian) ready.", self.context) + b"\r\n"

    @classmethod
    def recognises(cls, first: bytes) -> bool:
        """CAPA; USER could be FTP's, too."""
        return first[:5].upper().rstrip() == b"CAPA"

    def line(self, line: bytes) -> Reply:
        """A command, or the answer to AUTH PLAIN."""
        if self._plain:
            self._plain = False
            parts = base64_parts(line)
            return self._failed(parts[1], parts[2]) if len(parts) == 3 else self._failed(b"", b"")
        verb, rest = word(line)
        if verb == b"CAPA":
            offers = b"CAPA\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nPIPELINING\r\nUSER\r\nSASL PLAIN\r\n"
            stls = b"STLS\r\n" if self.context.tls else b""
            return Reply(b"+OK\r\n" + offers + stls + b".\r\n")
        if verb == b"USER":
            self._user = rest
            return Reply(b"+OK\r\n")
        if verb == b"PASS":
            return self._failed(self._user, rest)
        if verb == b"AUTH":
            self._plain = word(rest)[0] == b"PLAIN"
            return Reply(b"+ \r\n" if self._plain else b"+OK\r\nPLAIN\r\n.\r\n")
        if verb == b"STLS" and self.context.tls:
            return Reply(b"+OK Begin TLS negotiation now.\r\n", tls=True)
        if verb == b"QUIT":
            return Reply(b"+OK Logging out\r\n", close=True)
        return Reply(b"-ERR Unknown command.\r\n")

    def _failed(self, user: bytes, password: bytes) -> Reply:
        self.tried(user, password)
        self._tries += 1
        return Reply(b"-ERR [AUTH] Authentication failed.\r\n", close=self._tries >= LOGIN_TRIES)


class Imap(LineProtocol):
    """A mailbox to be read where it is."""

    name = "imap"
    ports = frozenset({143})
    tls_ports = frozenset({993})
    too_long = b"* BAD Error in IMAP command received by server.\r\n"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._plain = b""
        self._tries = 0

    def greeting(self) -> bytes:
        """* OK."""
        ready = marked("Dovecot (Debian) ready.", self.context)
        return b"* OK [" + self._offers() + b"] " + ready + b"\r\n"

    @classmethod
    def recognises(cls, first: bytes) -> bool:
        """A tag and one of the commands that come first."""
        words = first[:128].partition(b"\n")[0].upper().split()
        return len(words) > 1 and words[1] in _FIRST_COMMANDS

    def _offers(self) -> bytes:
        starttls = b" STARTTLS" if self.context.tls else b""
        return b"CAPABILITY IMAP4rev1 SASL-IR ID ENABLE IDLE" + starttls + b" AUTH=PLAIN"

    def line(self, line: bytes) -> Reply:
        """A tagged command, or the answer to AUTHENTICATE PLAIN."""
        if self._plain:
            tag, self._plain = self._plain, b""
            return self._authenticated(tag, line)
        tag, _, rest = line.strip().partition(b" ")
        verb, rest = word(rest)
        tag = tag[:64] or b"*"
        if verb == b"CAPABILITY":
            listed = tag + b" OK Pre-login capabilities listed.\r\n"
            return Reply(b"* " + self._offers() + b"\r\n" + listed)
        if verb == b"LOGIN":
            words = [atom[1] or atom[2] or b"" for atom in islice(_ATOM.finditer(rest), 2)]
            user, password = [*words, b"", b""][:2]
            return self._failed(tag, user, password)
        if verb == b"AUTHENTICATE":
            kind, initial = word(rest)
            if kind != b"PLAIN":
                return Reply(tag + b" NO [CANNOT] Unsupported authentication mechanism.\r\n")
            if initial:
                return self._authenticated(tag, initial)
            self._plain = tag
            return Reply(b"+ \r\n")
        if verb == b"STARTTLS" and self.context.tls:
            return Reply(tag + b" OK Begin TLS negotiation now.\r\n", tls=True)
        if verb == b"LOGOUT":
            return Reply(b"* BYE Logging out\r\n" + tag + b" OK Logout completed.\r\n", close=True)
        if verb == b"NOOP":
            return Reply(tag + b" OK NOOP completed.\r\n")
        if verb == b"ID":
            self.keep("id", rest)
            return Reply(b'* ID ("name" "Dovecot")\r\n' + tag + b" OK ID completed.\r\n")
        return Reply(tag + b" BAD Error in IMAP command received by server.\r\n")

    def _authenticated(self, tag: bytes, line: bytes) -> Reply:
        parts = base64_parts(line)
        return self._failed(tag, *(parts[1:3] if len(parts) == 3 else (b"", b"")))

    def _failed(self, tag: bytes, user: bytes, password: bytes) -> Reply:
        self.tried(user, password)
        self._tries += 1
        failed = tag + b" NO [AUTHENTICATIONFAILED] Authentication failed.\r\n"
        return Reply(failed, close=self._tries >= LOGIN_TRIES)
