"""The server's side of TLS, between two buffers: bytes in, text and bytes out; no socket."""

from __future__ import annotations

import contextlib
import os
import ssl
import warnings

READ_BYTES = 16 << 10


class Encryption:
    """Makes TLS sessions with one certificate, at most `most` at a time; `open` are."""

    def __init__(self, pem: str, most: int) -> None:
        """`pem` holds key and certificate. ValueError when it does not."""
        self.most = most
        self.open = 0
        self.refused = 0
        self._settings = _settings(pem)

    def begin(self) -> Layer | None:
        """A new session, or None when there are too many."""
        if self.open >= self.most:
            self.refused += 1
            return None
        self.open += 1
        return Layer(self)

    def wrap(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        """OpenSSL's side of a session."""
        return self._settings.wrap_bio(incoming, outgoing, server_side=True)


class Layer:
    """One TLS session."""

    def __init__(self, encryption: Encryption) -> None:
        self._encryption: Encryption | None = encryption
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = encryption.wrap(self._incoming, self._outgoing)
        self.is_ready = False

    def feed(self, data: bytes) -> tuple[bytes, bytes, bool]:
        """Bytes of the client: (what it says inside, bytes for it, whether it is over)."""
        self._incoming.write(data)
        plain = bytearray()
        over = False
        try:
            if not self.is_ready:
                self._session.do_handshake()
                self.is_ready = True
            while chunk := self._session.read(READ_BYTES):
                plain += chunk
            over = True
        except ssl.SSLWantReadError:
            pass
        except (OSError, ValueError):
            over = True
        return bytes(plain), self._outgoing.read(), over

    def send(self, plain: bytes) -> bytes:
        """The bytes that carry this to the client."""
        if plain:
            with contextlib.suppress(OSError, ValueError):
                self._session.write(plain)
        return self._outgoing.read()

    def cipher(self) -> str:
        """What was agreed on, as OpenSSL names it."""
        agreed = self._session.cipher()
        return agreed[0] if agreed else ""

    def close(self) -> None:
        """The session is over; its place is free."""
        if self._encryption is not None:
            self._encryption.open -= 1
            self._encryption = None


def _settings(pem: str) -> ssl.SSLContext:
    """For clients of any age; what they say is to be seen, not to be protected."""
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        settings.minimum_version = ssl.TLSVersion.TLSv1
    settings.set_ciphers("ALL:!aNULL:!eNULL:@SECLEVEL=0")
    # Nothing is kept for a client that comes back, and nobody makes us reckon twice.
    settings.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    settings.num_tickets = 0
    settings.set_alpn_protocols(["http/1.1", "http/1.0"])
    _load(settings, pem)
    return settings


def _load(settings: ssl.SSLContext, pem: str) -> None:
    """OpenSSL reads a file; this one is in memory, and nobody else's."""
    fd = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        with open(fd, "w", closefd=False) as file:
            file.write(pem)
        settings.load_cert_chain(f"/proc/self/fd/{fd}")
    except ssl.SSLError as error:
        raise ValueError(f"no key and certificate of it: {error.reason or error}") from None
    finally:
        os.close(fd)
