"""MySQL, PostgreSQL and SQL Server up to the login, which fails."""

from __future__ import annotations

import struct

from darkflow.honeypot.protocols.protocol import NOTHING, Context, Protocol, Reply

PACKET_LIMIT = 16 << 10
# MySQL's capability flags.
CONNECT_WITH_DB, PROTOCOL_41, SSL, SECURE_CONNECTION = 0x8, 0x200, 0x800, 0x8000
PLUGIN_AUTH, LENENC_AUTH = 0x80000, 0x200000
_OFFERED = 0x81BFF7DF & ~SSL
# PostgreSQL's requests that stand in the place of a version.
_CANCEL, _SSL_REQUEST, _GSS_REQUEST, _VERSION3 = 80877102, 80877103, 80877104, 0x30000


class MySql(Protocol):
    """A server's greeting, and the refusal of whoever answers it (HandshakeV10)."""

    name = "mysql"
    ports = frozenset({3306})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._rest = bytearray()
        self._encrypted = False

    def greeting(self) -> bytes:
        """Version, and the salt of the password's hash."""
        salt = bytes(1 + byte % 127 for byte in self.context.nonce[:20])
        offered = _OFFERED | (SSL if self.context.tls else 0)
        marker = self.context.marker and f"-{self.context.marker}"
        payload = f"\n5.5.5-10.11.6-MariaDB-0+deb12u1{marker}\0".encode()
        payload += struct.pack("<I", 1 + self.context.nonce[20]) + salt[:8] + b"\0"
        payload += struct.pack("<HBHH", offered & 0xFFFF, 45, 2, offered >> 16)
        payload += b"\x15" + bytes(10) + salt[8:] + b"\0mysql_native_password\0"
        return _mysql_packet(0, payload)

    @classmethod
    def recognises(cls, first: bytes) -> bool:
        """One packet, the first of the client, with the flag that all clients set."""
        whole = len(first) > 36 and int.from_bytes(first[:3], "little") + 4 == len(first)
        return whole and first[3] == 1 and first[5] & PROTOCOL_41 >> 8 != 0

    def received(self, data: bytes) -> Reply:
        """The login, which may ask for TLS first."""
        self._rest += data
        if len(self._rest) < 4:
            return NOTHING
        length = int.from_bytes(self._rest[:3], "little")
        if length > PACKET_LIMIT:
            return Reply(close=True)
        if len(self._rest) < 4 + length:
            return NOTHING
        number, payload = self._rest[3], bytes(self._rest[4 : 4 + length])
        rest = bytes(self._rest[4 + length :])
        self._rest.clear()
        (flags,) = struct.unpack_from("<I", payload.ljust(4, b"\0"))
        if length == 32 and flags & SSL and self.context.tls and not self._encrypted:
            self._encrypted = True
            # Clients go on without waiting: nothing is said to this.
            return Reply(tls=True, rest=rest)
        user = self._login(payload, flags)
        name = user.decode("utf-8", "replace")[:64]
        refused = f"#28000Access denied for user '{name}'@'%' (using password: YES)"
        error = b"\xff" + struct.pack("<H", 1045) + refused.encode()
        return Reply(_mysql_packet(number + 1, error), close=True)

    def _login(self, payload: bytes, flags: int) -> bytes:
        """HandshakeResponse41: user, hash of the password, database."""
        if not flags & PROTOCOL_41:
            return b""
        user, _, rest = payload[32:].partition(b"\0")
        self.keep("user", user)
        size = rest[0] if rest else 0
        if flags & (SECURE_CONNECTION | LENENC_AUTH):
            self.keep("response", rest[1 : 1 + size].hex())
            rest = rest[1 + size :]
        else:
            rest = rest.partition(b"\0")[2]
        if flags & CONNECT_WITH_DB:
            database, _, rest = rest.partition(b"\0")
            self.keep("database", database)
        if flags & PLUGIN_AUTH:
            self.keep("plugin", rest.partition(b"\0")[0])
        return user


def _mysql_packet(number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes((number & 0xFF,)) + payload


class Postgres(Protocol):
    """A server that wants the password in clear."""

    name = "postgres"
    ports = frozenset({5432})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._rest = bytearray()
        self._user: bytes | None = None

    @classmethod
    def recognises(cls, first: bytes) -> bool:
        """A request for TLS, or a start-up message of version 3."""
        if len(first) < 8:
            return False
        _, code = struct.unpack_from("!II", first)
        return code in (_SSL_REQUEST, _GSS_REQUEST) or (code == _VERSION3 and b"user\0" in first)

    def received(self, data: bytes) -> Reply:
        """Requests for encryption, start-up, password."""
        self._rest += data
        out = b""
        while True:
            kind = 0 if self._user is None else 1
            if len(self._rest) < kind + 4:
                return Reply(out)
            (length,) = struct.unpack_from("!I", self._rest, kind)
            if not 4 <= length <= PACKET_LIMIT:
                return Reply(out, close=True)
            if len(self._rest) < kind + length:
                return Reply(out)
            message = bytes(self._rest[: kind + length])
            del self._rest[: kind + length]
            reply = self._start(message[4:]) if kind == 0 else self._password(message)
            out += reply.data
            if reply.close or reply.tls or len(out) > 64:
                self._rest.clear()
                return Reply(out, not reply.tls, reply.tls)

    def _start(self, message: bytes) -> Reply:
        code = int.from_bytes(message[:4], "big")
        if code == _SSL_REQUEST and self.context.tls:
            return Reply(b"S", tls=True)
        if code in (_SSL_REQUEST, _GSS_REQUEST):
            return Reply(b"N")
        if code != _VERSION3:
            version = f"{code >> 16}.{code & 0xFFFF}"
            said = f"unsupported frontend protocol {version}: server supports 3.0 to 3.0"
            return Reply(_error("0A000", said, "postmaster.c"), close=True)
        words = message[4:].split(b"\0")
        values = dict(zip(words[::2], words[1::2], strict=False))
        self._user = values.get(b"user", b"")
        for key in ("user", "database", "application_name"):
            if key.encode() in values:
                self.keep(key, values[key.encode()])
        return Reply(b"R\0\0\0\x08\0\0\0\x03")

    def _password(self, message: bytes) -> Reply:
        user = self._user or b""
        if message[:1] == b"p":
            self.tried(user, message[5:].partition(b"\0")[0])
        name = user.decode("utf-8", "replace")[:64]
        said = f'password authentication failed for user "{name}"'
        return Reply(_error("28P01", said, "auth.c"), close=True)


def _error(code: str, said: str, file: str) -> bytes:
    fields = ("SFATAL", "VFATAL", f"C{code}", f"M{said}", f"F{file}", "L321", "")
    error = "\0".join(fields).encode() + b"\0"
    return b"E" + struct.pack("!I", 4 + len(error)) + error


class SqlServer(Protocol):
    """TDS (MS-TDS): the pre-login, then Login7 with its scarcely hidden password."""

    name = "mssql"
    ports = frozenset({1433})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._rest = bytearray()

    @classmethod
    def recognises(cls, first: bytes) -> bool:
        """A pre-login whose first option is the version."""
        return first[:2] == b"\x12\x01" and len(first) > 8 and first[8] == 0

    def received(self, data: bytes) -> Reply:
        """Packets, one behind the other."""
        self._rest += data
        out = b""
        while len(self._rest) >= 8:
            kind, _, length = struct.unpack_from("!BBH", self._rest)
            if not 8 <= length <= PACKET_LIMIT or kind not in (0x10, 0x12):
                return Reply(out, close=True)
            if len(self._rest) < length:
                break
            payload = bytes(self._rest[8:length])
            del self._rest[:length]
            if kind == 0x10 or out:
                return Reply(out + _tds_packet(self._login(payload)), close=True)
            out += _tds_packet(_PRELOGIN)
        return Reply(out)

    def _login(self, payload: bytes) -> bytes:
        values = [_tds_text(payload, 36 + 4 * place, place == 2) for place in range(5)]
        client, user, password, program, server = values
        for key, value in (("client", client), ("program", program), ("server", server)):
            self.keep(key, value)
        self.tried(user, password)
        said = f"Login failed for user '{user[:64]}'."
        content = struct.pack("<IBB", 18456, 1, 14)
        content += struct.pack("<H", len(said)) + said.encode("utf-16-le", "replace")
        host = self.context.host.upper()
        content += bytes((len(host),)) + host.encode("utf-16-le") + bytes(1) + struct.pack("<I", 1)
        done = b"\xfd\x02\x00" + bytes(10)
        return b"\xaa" + struct.pack("<H", len(content)) + content + done


# 2.2.6.5: kind, place and length of each option, then their values: version 15.0.2000, no
# encryption (2), instance, thread.
_PRELOGIN = (
    struct.pack("!BHHBHHBHHBHHB", 0, 21, 6, 1, 27, 1, 2, 28, 1, 3, 29, 0, 255)
    + struct.pack("!BBHH", 15, 0, 2000, 0) + b"\x02\x00"
)  # fmt: skip


def _tds_packet(payload: bytes) -> bytes:
    return struct.pack("!BBHHBB", 4, 1, 8 + len(payload), 0, 1, 0) + payload


def _tds_text(payload: bytes, at: int, hidden: bool) -> str:
    """A text of Login7 (2.2.6.4): place and length stand in a table."""
    if len(payload) < at + 4:
        return ""
    offset, length = struct.unpack_from("<HH", payload, at)
    data = payload[offset : offset + 2 * min(length, 128)]
    if hidden:
        data = bytes(((byte ^ 0xA5) << 4 | (byte ^ 0xA5) >> 4) & 0xFF for byte in data)
    return data.decode("utf-16-le", "replace")
