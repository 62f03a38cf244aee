"""A TLS client between two buffers, for machines that are tested without a socket."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence


class TlsClient:
    """Speaks TLS to whatever answers bytes with bytes."""

    def __init__(self, alpn: Sequence[str] = (), name: str = "client.example") -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if alpn:
            context.set_alpn_protocols(list(alpn))
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)

    def hello(self) -> bytes:
        """The first bytes."""
        assert self._step() is False
        return self.outgoing.read()

    def shake(self, server: Callable[[bytes], bytes]) -> bytes:
        """Complete the handshake; what the server said inside by then."""
        while not self._step():
            self.incoming.write(server(self.outgoing.read()))
        self.incoming.write(server(self.outgoing.read()))
        return self.read()

    def ask(self, server: Callable[[bytes], bytes], plain: bytes) -> bytes:
        """Say something inside; what the server answers."""
        self.session.write(plain)
        self.incoming.write(server(self.outgoing.read()))
        return self.read()

    def read(self) -> bytes:
        """What has come inside."""
        plain = b""
        try:
            while chunk := self.session.read(1 << 16):
                plain += chunk
        except ssl.SSLWantReadError:
            pass
        return plain

    def _step(self) -> bool:
        try:
            self.session.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True
