"""MQTT 3.1.1 and 5: lets everybody in; nothing is ever published."""

from __future__ import annotations

from darkflow.honeypot.protocols.protocol import REPLY_LIMIT, Context, Protocol, Reply

PACKET_LIMIT = 16 << 10
CONNECT, PUBLISH, PUBREL, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT = 1, 3, 6, 8, 10, 12, 14


class Mqtt(Protocol):
    """A broker."""

    name = "mqtt"
    ports = frozenset({1883})
    tls_ports = frozenset({8883})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._rest = bytearray()
        self._level = 0

    @classmethod
    def recognises(cls, first: bytes) -> bool:
        """CONNECT with the protocol's name."""
        named = b"\x00\x04MQTT" in first[:12] or b"\x00\x06MQIsdp" in first[:14]
        return first[:1] == b"\x10" and named

    def received(self, data: bytes) -> Reply:
        """Packets, one behind the other."""
        self._rest += data
        out = bytearray()
        while len(self._rest) >= 2:
            length, head = _length(self._rest)
            if head == 0 or length > PACKET_LIMIT:
                if len(self._rest) < 5 and head == 0:
                    break
                return Reply(bytes(out), close=True)
            if len(self._rest) < head + length:
                break
            first, body = self._rest[0], bytes(self._rest[head : head + length])
            del self._rest[: head + length]
            reply = self._packet(first >> 4, first & 15, _Reader(body))
            out += reply.data
            if reply.close or len(out) > REPLY_LIMIT:
                return Reply(bytes(out), close=True)
        return Reply(bytes(out))

    def _packet(self, kind: int, flags: int, body: _Reader) -> Reply:
        if (kind == CONNECT) == bool(self._level):
            return Reply(close=True)
        if kind == CONNECT:
            return self._connect(body)
        if kind == PUBLISH:
            self.add("published", body.string())
            return Reply(b"\x40\x02" + body.take(2)) if flags & 6 == 2 else Reply()
        if kind in (SUBSCRIBE, UNSUBSCRIBE):
            return self._subscribe(kind, body)
        if kind == PINGREQ:
            return Reply(b"\xd0\x00")
        return Reply(close=kind == DISCONNECT)

    def _connect(self, body: _Reader) -> Reply:
        body.string()
        self._level, flags, _ = body.number(1) or 3, body.number(1), body.number(2)
        if self._level >= 5:
            body.take(body.varint())
        self.keep("version", self._level)
        self.keep("client_id", body.string())
        if flags & 4:
            if self._level >= 5:
                body.take(body.varint())
            self.keep("will_topic", body.string())
            body.string()
        if flags & 0xC0:
            user = body.string() if flags & 0x80 else b""
            self.tried(user, body.string() if flags & 0x40 else b"")
        return Reply(b"\x20\x03\x00\x00\x00" if self._level >= 5 else b"\x20\x02\x00\x00")

    def _subscribe(self, kind: int, body: _Reader) -> Reply:
        packet_id = body.take(2).rjust(2, b"\0")
        properties = b"\x00" if self._level >= 5 else b""
        if properties:
            body.take(body.varint())
        topics = 0
        while body.left and topics < 64:
            self.add("topics", body.string())
            body.take(1 if kind == SUBSCRIBE else 0)
            topics += 1
        # UNSUBACK has reason codes from version 5 on.
        codes = bytes(topics) if kind == SUBSCRIBE or properties else b""
        content = packet_id + properties + codes
        return Reply(bytes((0x90 if kind == SUBSCRIBE else 0xB0, len(content))) + content)


class _Reader:
    """Reads a packet from front to back; beyond its end there are no bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, length: int) -> bytes:
        taken = self._data[self._at : self._at + length]
        self._at += len(taken)
        return taken

    def number(self, length: int) -> int:
        return int.from_bytes(self.take(length), "big")

    def string(self) -> bytes:
        return self.take(self.number(2))

    def varint(self) -> int:
        value, size = 0, 0
        while size < 4:
            byte = self.number(1)
            value |= (byte & 127) << 7 * size
            size += 1
            if byte < 128:
                break
        return value


def _length(packet: bytearray) -> tuple[int, int]:
    """(remaining length, bytes of the fixed header); (0, 0) when its end is not there."""
    value = 0
    for size, byte in enumerate(packet[1:5]):
        value |= (byte & 127) << 7 * size
        if byte < 128:
            return value, size + 2
    return 0, 0
