"""What is said on one connection: finds the protocol, enters TLS, keeps what was learnt; no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darkflow.honeypot.protocols import tls
from darkflow.honeypot.protocols.protocol import NOTHING, Context, Protocol, Reply, Value

if TYPE_CHECKING:
    from darkflow.honeypot.encryption import Encryption, Layer
    from darkflow.honeypot.protocols.table import Protocols

# A client that has said so much and is not understood is listened to and not answered.
RECOGNISE_LIMIT = 2048


class Conversation:
    """One connection's talk, from `opened` to `ended`; every answer says what to send.

    TLS is taken up everywhere. A port that has a protocol of its own speaks that; on all others the
    client's first words decide. What a client speaks is understood even where its port speaks
    something else, and answers as that does.
    """

    def __init__(
        self, protocols: Protocols, context: Context, encryption: Encryption | None, kept: int
    ) -> None:
        self._protocols = protocols
        self._context = context
        self._encryption = encryption
        self._kept = kept
        self._machine: Protocol | None = None
        self._has_spoken = False
        # Understands what the client speaks, where that is not the port's own.
        self._listener: Protocol | None = None
        self._is_listening = True
        self._is_decided = False
        self._first = b""
        self._hello: tls.HelloReader | None = None
        self._tls_fields: dict[str, Value] = {}
        self._layer: Layer | None = None
        self._is_inside = False
        # What the client says inside TLS, as far as it is kept.
        self.decrypted = b""

    @property
    def service(self) -> str | None:
        """What the client speaks, or else what we do; None as long as nobody has said anything."""
        if self._listener is not None:
            return self._listener.name
        if self._machine is not None and self._has_spoken:
            return self._machine.name
        return None if self._hello is None else "tls"

    def fields(self) -> dict[str, dict[str, Value]]:
        """What was learnt, by protocol."""
        found = {"tls": self._tls_fields} if self._tls_fields else {}
        machine = self._listener or self._machine
        if machine is not None and machine.fields:
            found[machine.name] = machine.fields
        return found

    def opened(self) -> Reply:
        """The connection is there: what servers of this port say first."""
        return Reply(self._enter(self._protocols.by_port.get(self._context.port)))

    def received(self, data: bytes) -> Reply:
        """Some more bytes of the client."""
        if self._hello is None:
            if self._is_decided:
                return self._said(data)
            self._first += data
            if not tls.recognises(self._first):
                return NOTHING if tls.may_begin(self._first) else self._decide()
            data, self._first = self._first, b""
            self._begin_tls()
        return self._encrypted(data)

    def ended(self) -> None:
        """The connection is over."""
        if self._layer is not None:
            self._layer.close()

    def _enter(self, kind: type[Protocol] | None) -> bytes:
        """The machine of a port begins; its greeting."""
        if kind is None:
            return b""
        self._machine = kind(self._context)
        greeting = self._machine.greeting()
        self._has_spoken = bool(greeting)
        return greeting

    def _decide(self) -> Reply:
        """Who speaks, and who listens, by what the client said first."""
        own = None if self._machine is None else type(self._machine)
        kind = self._protocols.recognised(self._first, own)
        self._is_decided = own is not None or kind is not None
        if not self._is_decided and len(self._first) <= RECOGNISE_LIMIT:
            return NOTHING
        if kind is not None and kind is not own:
            if own is None:
                self._machine = kind(self._context)
            else:
                self._listener = kind(self._context._replace(tls=False))
        self._is_decided = True
        first, self._first = self._first, b""
        return self._said(first)

    def _said(self, data: bytes) -> Reply:
        """The machine's answer."""
        if self._machine is None:
            return NOTHING
        self._has_spoken = True
        if self._listener is not None and self._is_listening:
            self._is_listening = not self._listener.received(data).close
        reply = self._machine.received(data)
        if not reply.tls:
            return reply
        if self._hello is not None or not self._context.tls:
            return Reply(reply.data, reply.close)
        self._begin_tls()
        self._is_inside = True
        self._machine.context = self._context
        more = self._encrypted(reply.rest) if reply.rest else NOTHING
        return Reply(reply.data + more.data, more.close)

    def _begin_tls(self) -> None:
        # Inside TLS there is no TLS.
        self._context = self._context._replace(tls=False)
        self._hello = tls.HelloReader()
        if self._encryption is not None:
            self._layer = self._encryption.begin()

    def _encrypted(self, data: bytes) -> Reply:
        assert self._hello is not None
        hello = self._hello.feed(data)
        if hello is not None:
            self._tls_fields = hello.fields()
        if self._layer is None:
            return Reply(tls.REFUSAL, close=True) if self._hello.is_done else NOTHING
        plain, out, over = self._layer.feed(data)
        if self._layer.is_ready:
            self._tls_fields.setdefault("cipher", self._layer.cipher())
            if not self._is_inside:
                self._is_inside = True
                out += self._layer.send(self._come_in())
        reply = NOTHING
        if plain:
            self.decrypted += plain[: self._kept - len(self.decrypted)]
            reply = self._heard(plain)
        return Reply(out + self._layer.send(reply.data), over or reply.close)

    def _come_in(self) -> bytes:
        """A client that began with TLS is inside: what servers of this port say there first."""
        port = self._context.port
        kind = self._protocols.by_tls_port.get(port)
        if kind is None and not self._has_spoken:
            kind = self._protocols.by_port.get(port)
        self._machine, self._has_spoken = None, False
        return self._enter(kind)

    def _heard(self, plain: bytes) -> Reply:
        if self._is_decided:
            return self._said(plain)
        self._first += plain
        return self._decide()
