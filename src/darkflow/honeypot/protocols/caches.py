"""Redis (RESP2) and memcached (text): open to everybody, empty, and ready to take anything."""

from __future__ import annotations

from darkflow.honeypot.protocols.protocol import (
    LINE_LIMIT,
    REPLY_LIMIT,
    Context,
    LineProtocol,
    Protocol,
    Reply,
)

VERSION = "7.0.15"
WORD_LIMIT = 64
BULK_LIMIT = 16 << 10
_OK = b"+OK\r\n"
_EMPTY, _NIL, _ZERO = b"*0\r\n", b"$-1\r\n", b":0\r\n"
_ANSWERS = {
    b"SET": _OK, b"SELECT": _OK, b"FLUSHALL": _OK, b"FLUSHDB": _OK, b"SAVE": _OK,
    b"SLAVEOF": _OK, b"REPLICAOF": _OK, b"CLIENT": _OK, b"SETEX": _OK, b"MSET": _OK,
    b"GET": _NIL, b"TYPE": b"+none\r\n", b"KEYS": _EMPTY, b"COMMAND": _EMPTY,
    b"BGSAVE": b"+Background saving started\r\n", b"DBSIZE": _ZERO, b"EXISTS": _ZERO,
    b"DEL": _ZERO, b"LPUSH": b":1\r\n", b"RPUSH": b":1\r\n", b"SADD": b":1\r\n",
    b"SCAN": b"*2\r\n$1\r\n0\r\n*0\r\n",
    # What would run a client's code is behind a password.
    b"EVAL": b"-NOAUTH Authentication required.\r\n",
    b"EVALSHA": b"-NOAUTH Authentication required.\r\n",
    b"SCRIPT": b"-NOAUTH Authentication required.\r\n",
    b"MODULE": b"-NOAUTH Authentication required.\r\n",
    b"DEBUG": b"-NOAUTH Authentication required.\r\n",
}  # fmt: skip


class Redis(Protocol):
    """A Redis without a password."""

    name = "redis"
    ports = frozenset({6379})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._rest = bytearray()
        # Of the command that is incomplete: its words that are there, and where the next begins.
        self._words: list[bytes] = []
        self._at = 0

    @classmethod
    def recognises(cls, first: bytes) -> bool:
        """An array of bulk strings."""
        return first[:1] == b"*" and first[1:2].isdigit() and b"\r\n$" in first[:8]

    def received(self, data: bytes) -> Reply:
        """Commands, one behind the other."""
        self._rest += data
        out = bytearray()
        while self._rest:
            taken = self._command()
            if taken is None:
                break
            words, length = taken
            del self._rest[:length]
            self._words, self._at = [], 0
            if words:
                reply = self._answer(words)
                out += reply.data
                if reply.close or len(out) > REPLY_LIMIT:
                    return Reply(bytes(out), close=True)
            elif length == 0:
                self._rest.clear()
                return Reply(bytes(out) + b"-ERR Protocol error\r\n", close=True)
        if len(self._rest) > BULK_LIMIT:
            self._rest.clear()
            return Reply(bytes(out), close=True)
        return Reply(bytes(out))

    def _command(self) -> tuple[list[bytes], int] | None:
        """The next command's words and its length; None when it is incomplete, ([], 0) if wrong."""
        line = self._line(0)
        if line is None:
            return ([], 0) if len(self._rest) > LINE_LIMIT else None
        if line[:1] != b"*":
            return line.split()[:WORD_LIMIT], self._after(line, 0)
        if not line[1:].isdigit() or len(line) > 4 or int(line[1:]) > WORD_LIMIT:
            return [], 0
        count, words = int(line[1:]), self._words
        at = self._at or self._after(line, 0)
        while len(words) < count:
            line = self._line(at)
            if line is None:
                return ([], 0) if len(self._rest) - at > LINE_LIMIT else None
            if line[:1] != b"$" or not line[1:].isdigit() or len(line) > 7:
                return [], 0
            at = self._after(line, at)
            length = int(line[1:])
            if len(self._rest) < at + length + 2:
                return None
            words.append(bytes(self._rest[at : at + length]))
            self._at = at = at + length + 2
        return words, at

    def _line(self, at: int) -> bytes | None:
        end = self._rest.find(b"\n", at, at + LINE_LIMIT)
        return None if end < 0 else bytes(self._rest[at:end]).rstrip(b"\r")

    def _after(self, line: bytes, at: int) -> int:
        return self._rest.index(b"\n", at + len(line)) + 1

    def _answer(self, words: list[bytes]) -> Reply:
        self.add("commands", b" ".join(words))
        verb = words[0].upper()
        if verb == b"QUIT":
            return Reply(_OK, close=True)
        if verb == b"AUTH" and len(words) > 1:
            self.tried(*((b"", words[1]) if len(words) == 2 else words[1:3]))
            return Reply(_OK)
        if verb == b"PING":
            return Reply(_bulk(words[1]) if len(words) > 1 else b"+PONG\r\n")
        if verb == b"ECHO" and len(words) > 1:
            return Reply(_bulk(words[1]))
        if verb == b"INFO":
            return Reply(_bulk(self._info()))
        if verb == b"CONFIG":
            return Reply(_config(words))
        if verb in _ANSWERS:
            return Reply(_ANSWERS[verb])
        name = words[0][:64].decode("ascii", "replace").replace("�", "?").encode()
        return Reply(b"-ERR unknown command '" + bytes(c for c in name if c > 31) + b"'\r\n")

    def _info(self) -> bytes:
        return (
            f"# Server\r\nredis_version:{VERSION}\r\nredis_mode:standalone\r\n"
            "os:Linux 6.1.0-28-amd64 x86_64\r\narch_bits:64\r\n"
            f"run_id:{self.context.nonce[:20].hex()}\r\ntcp_port:{self.context.port}\r\n"
            "config_file:/etc/redis/redis.conf\r\n"
            "# Clients\r\nconnected_clients:1\r\n# Memory\r\nused_memory:894616\r\n"
            f"# Replication\r\nrole:master\r\nconnected_slaves:0\r\n{self.context.marker}"
        ).encode()


def _bulk(data: bytes) -> bytes:
    data = data[:REPLY_LIMIT]
    return b"$%d\r\n%s\r\n" % (len(data), data)


def _config(words: list[bytes]) -> bytes:
    values = {b"dir": b"/var/lib/redis", b"dbfilename": b"dump.rdb"}
    if len(words) > 2 and words[1].upper() == b"GET":
        key = words[2].lower()
        return b"*2\r\n" + _bulk(key) + _bulk(values[key]) if key in values else _EMPTY
    return _OK


class Memcached(LineProtocol):
    """An empty memcached."""

    name = "memcached"
    ports = frozenset({11211})
    too_long = b"CLIENT_ERROR line too long\r\n"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._is_data = False

    @classmethod
    def recognises(cls, first: bytes) -> bool:
        """The two commands of scanners."""
        return first.rstrip() in (b"stats", b"version") and first.endswith(b"\n")

    def line(self, line: bytes) -> Reply:
        """A command, or the data behind `set`."""
        if self._is_data:
            self._is_data = False
            return Reply(b"STORED\r\n")
        if line.strip():
            self.add("commands", line)
        verb = line.strip().partition(b" ")[0].lower()
        if verb == b"quit":
            return Reply(close=True)
        if verb in (b"set", b"add", b"replace", b"append", b"prepend"):
            self._is_data = True
            return Reply()
        if verb == b"stats":
            pid = int.from_bytes(self.context.nonce[:2], "big")
            lines = (
                b"STAT pid %d" % pid,
                b"STAT version 1.6.18",
                b"STAT curr_items 0",
                b"END",
                b"",
            )
            return Reply(b"\r\n".join(lines))
        return Reply(_MEMCACHED.get(verb, b"ERROR\r\n"))


_MEMCACHED = {
    b"version": b"VERSION 1.6.18\r\n",
    b"get": b"END\r\n",
    b"gets": b"END\r\n",
    b"flush_all": b"OK\r\n",
    b"verbosity": b"OK\r\n",
    b"delete": b"NOT_FOUND\r\n",
}
