"""SOCKS 4, 4a and 5 (RFC 1928, 1929): says yes to everything and connects nowhere."""

from __future__ import annotations

import ipaddress

from darkflow.honeypot.protocols.protocol import NOTHING, Context, Protocol, Reply

NAME_LIMIT = 512
_GRANTED4 = b"\x00\x5a" + bytes(6)
_GRANTED5 = b"\x05\x00\x00\x01" + bytes(6)
_TOO_MUCH = Reply(close=True)


class Socks(Protocol):
    """An open proxy, as it seems: what is to be sent through it is the rest of the payload."""

    name = "socks"
    ports = frozenset({1080})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._rest = bytearray()
        # "": nothing yet; "login", "request": SOCKS 5 is so far; "open": the rest is for others.
        self._state = ""

    @classmethod
    def recognises(cls, first: bytes) -> bool:
        """A greeting of 5 that is as long as it says, or a request of 4."""
        if first[:1] == b"\x05":
            return len(first) > 2 and len(first) == 2 + first[1] and max(first[2:]) < 10
        return first[:2] == b"\x04\x01" and len(first) > 8 and first.endswith(b"\0")

    def received(self, data: bytes) -> Reply:
        """One message after the other, as far as they are there."""
        if self._state == "open":
            return NOTHING
        self._rest += data
        out = b""
        while self._rest and self._state != "open":
            reply = self._message()
            if reply is None:
                return Reply(out) if len(self._rest) <= NAME_LIMIT else _TOO_MUCH
            out += reply.data
            if reply.close:
                return Reply(out, close=True)
        if self._state == "open":
            self._rest.clear()
        return Reply(out)

    def _message(self) -> Reply | None:
        if self._state == "login":
            return self._login()
        if self._state == "request":
            return self._request()
        if self._rest[0] == 4:
            return self._request4()
        if self._rest[0] != 5:
            return _TOO_MUCH
        if len(self._rest) < 2 or len(self._rest) < 2 + self._rest[1]:
            return None
        methods = self._rest[2 : 2 + self._rest[1]]
        del self._rest[: 2 + len(methods)]
        self.keep("version", 5)
        method = 0 if 0 in methods else 2 if 2 in methods else 255
        self._state = "login" if method == 2 else "request"
        return Reply(bytes((5, method)), close=method == 255)

    def _login(self) -> Reply | None:
        rest = self._rest
        if len(rest) < 2 or len(rest) < 3 + rest[1] or len(rest) < 3 + rest[1] + rest[2 + rest[1]]:
            return None
        user = bytes(rest[2 : 2 + rest[1]])
        at = 3 + len(user)
        password = bytes(rest[at : at + rest[at - 1]])
        del rest[: at + len(password)]
        self.tried(user, password)
        self._state = "request"
        return Reply(b"\x01\x00")

    def _request(self) -> Reply | None:
        rest = self._rest
        if len(rest) < 5:
            return None
        length = {1: 4, 3: 1 + rest[4], 4: 16}.get(rest[3])
        if rest[0] != 5 or length is None:
            return _TOO_MUCH
        if len(rest) < 6 + length:
            return None
        address = bytes(rest[4 : 4 + length])
        where = address[1:] if rest[3] == 3 else str(ipaddress.ip_address(address)).encode()
        self._to(where, int.from_bytes(rest[4 + length : 6 + length], "big"))
        del rest[: 6 + length]
        return Reply(_GRANTED5)

    def _request4(self) -> Reply | None:
        rest = bytes(self._rest[:NAME_LIMIT])
        end = rest.find(b"\0", 8)
        if end < 0:
            return None
        address, port = rest[4:8], int.from_bytes(rest[2:4], "big")
        where = str(ipaddress.ip_address(address)).encode()
        if address[:3] == bytes(3) and address[3]:
            start, end = end + 1, rest.find(b"\0", end + 1)
            if end < 0:
                return None
            where = rest[start:end]
        self.keep("version", 4)
        self.keep("user", rest[8 : rest.index(b"\0", 8)])
        self._to(where, port)
        del self._rest[: end + 1]
        return Reply(_GRANTED4)

    def _to(self, where: bytes, port: int) -> None:
        self.keep("to", where)
        self.keep("to_port", port)
        self._state = "open"
