"""FTP (RFC 959) as vsftpd speaks it: anonymous may enter, and there is no data connection."""

from __future__ import annotations

from darkflow.honeypot.protocols.protocol import Context, LineProtocol, Reply, marked, word

LOGIN_TRIES = 5
_ANONYMOUS = (b"anonymous", b"ftp")
_NO_DATA = b"425 Failed to establish connection.\r\n"
_BEFORE_LOGIN = {
    b"SYST": b"215 UNIX Type: L8\r\n",
    b"FEAT": b"211-Features:\r\n EPRT\r\n EPSV\r\n PASV\r\n SIZE\r\n UTF8\r\n211 End\r\n",
    b"OPTS": b"200 Always in UTF8 mode.\r\n",
    b"NOOP": b"200 NOOP ok.\r\n",
    b"PBSZ": b"200 PBSZ set to 0.\r\n",
    b"PROT": b"200 PROT now Clear.\r\n",
}
# Nothing here opens a connection, so every transfer fails: no bounce to third hosts, either.
_INSIDE = {
    b"PWD": b'257 "/" is the current directory\r\n',
    b"CWD": b"250 Directory successfully changed.\r\n",
    b"CDUP": b"250 Directory successfully changed.\r\n",
    b"TYPE": b"200 Switching to Binary mode.\r\n",
    b"HELP": b"214 Help OK.\r\n",
    b"STAT": b"211 End of status\r\n",
    b"PORT": b"500 Illegal PORT command.\r\n",
    b"EPRT": b"500 Illegal EPRT command.\r\n",
    b"PASV": _NO_DATA,
    b"EPSV": _NO_DATA,
    b"LIST": _NO_DATA,
    b"NLST": _NO_DATA,
    b"RETR": b"550 Failed to open file.\r\n",
    b"STOR": b"553 Could not create file.\r\n",
    b"SIZE": b"550 Could not get file size.\r\n",
    b"DELE": b"550 Delete operation failed.\r\n",
    b"MKD": b"550 Create directory operation failed.\r\n",
    b"RMD": b"550 Remove directory operation failed.\r\n",
}


class Ftp(LineProtocol):
    """A file server."""

    name = "ftp"
    ports = frozenset({21, 2121})
    tls_ports = frozenset({990})
    too_long = b"500 Input line too long.\r\n"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._user = b""
        self._inside = False
        self._tries = 0

    def greeting(self) -> bytes:
        """220."""
        return b"220 " + marked("(vsFTPd 3.0.3)", self.context) + b"\r\n"

    def line(self, line: bytes) -> Reply:
        """A command."""
        verb, rest = word(line)
        if verb:
            self.add("commands", verb if verb == b"PASS" else line)
        if verb == b"USER":
            self._user = rest
            return Reply(b"331 Please specify the password.\r\n")
        if verb == b"PASS":
            return self._password(rest)
        if verb == b"QUIT":
            return Reply(b"221 Goodbye.\r\n", close=True)
        if verb == b"AUTH" and self.context.tls and rest.upper() in (b"TLS", b"TLS-C", b"SSL"):
            return Reply(b"234 Proceed with negotiation.\r\n", tls=True)
        if verb in _BEFORE_LOGIN:
            return Reply(_BEFORE_LOGIN[verb])
        if not self._inside:
            return Reply(b"530 Please login with USER and PASS.\r\n")
        return Reply(_INSIDE.get(verb, b"500 Unknown command.\r\n"))

    def _password(self, password: bytes) -> Reply:
        self.tried(self._user, password)
        if self._user.lower() in _ANONYMOUS:
            self._inside = True
            return Reply(b"230 Login successful.\r\n")
        self._tries += 1
        return Reply(b"530 Login incorrect.\r\n", close=self._tries >= LOGIN_TRIES)
