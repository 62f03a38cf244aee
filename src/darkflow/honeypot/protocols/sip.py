"""SIP over TCP (RFC 3261) and RTSP (RFC 2326): a telephone server and a camera with a password."""

from __future__ import annotations

import re

from darkflow.honeypot.protocols.protocol import Context, Protocol, Reply, base64_parts

HEAD_LIMIT = 8 << 10
COPIED_LIMIT = 1024
_COPIED = (b"via", b"v", b"from", b"f", b"to", b"t", b"call-id", b"i", b"cseq")
REQUEST_LIMIT = 64
_END = re.compile(rb"\r?\n\r?\n")
# Looked for all over a header: each word is tried once, not from each of its letters.
_QUOTED = re.compile(rb'\b(\w{1,32})="([^"]*)"')


class _Requests(Protocol):
    """Requests with headers, as HTTP has them, each answered by `answer`."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._head = bytearray()
        # So much of it has no end of a head, but for one that begins in its last three bytes.
        self._searched = 0
        self._body = 0
        self._requests = 0

    def received(self, data: bytes) -> Reply:
        """Requests, one behind the other; bodies are passed over."""
        out = bytearray()
        self._head += data
        while True:
            passed = min(self._body, len(self._head))
            del self._head[:passed]
            self._body -= passed
            end = _END.search(self._head, max(self._searched - 3, 0))
            if self._body or end is None:
                self._searched = len(self._head)
                break
            self._searched = 0
            head = bytes(self._head[: end.start()])
            del self._head[: end.end()]
            if not head.strip():
                continue
            self._requests += 1
            first, _, lines = head.partition(b"\n")
            headers = [(n.strip(), v.strip()) for n, c, v in map(_parted, lines.split(b"\n")) if c]
            named = {name.lower(): value for name, value in reversed(headers)}
            length = named.get(b"content-length", named.get(b"l", b""))
            self._body = int(length) if length.isdigit() and len(length) < 8 else 0
            words = first.split()
            self._note(words, named)
            out += self.answer(words[0] if words else b"", headers, named)
            if self._requests >= REQUEST_LIMIT:
                return Reply(bytes(out), close=True)
        return Reply(bytes(out), close=len(self._head) > HEAD_LIMIT)

    def _note(self, words: list[bytes], named: dict[bytes, bytes]) -> None:
        for key, value in zip(("method", "uri"), words, strict=False):
            self.keep(key, value)
        for key, header in (("from", b"from"), ("to", b"to"), ("user_agent", b"user-agent")):
            if header in named:
                self.keep(key, named[header])
        kind, _, credentials = named.get(b"authorization", b"").partition(b" ")
        if kind.lower() == b"basic":
            user, _, password = b"".join(base64_parts(credentials)).partition(b":")
            self.tried(user, password)
        elif kind.lower() == b"digest":
            values = dict(_QUOTED.findall(credentials))
            self.tried(values.get(b"username", b""), b"")
            self.keep("response", values.get(b"response", b""))

    def answer(
        self, method: bytes, headers: list[tuple[bytes, bytes]], named: dict[bytes, bytes]
    ) -> bytes:
        """The answer to one request."""
        raise NotImplementedError


class Sip(_Requests):
    """A telephone server."""

    name = "sip"
    ports = frozenset({5060})
    tls_ports = frozenset({5061})

    @classmethod
    def recognises(cls, first: bytes) -> bool:
        """A request line."""
        return first.partition(b"\n")[0].rstrip().endswith(b" SIP/2.0")

    def answer(
        self, method: bytes, headers: list[tuple[bytes, bytes]], named: dict[bytes, bytes]
    ) -> bytes:
        """What must be copied is (8.2.6.2); ACK and BYE need no password."""
        del named
        if method == b"ACK":
            return b""
        is_open = method in (b"OPTIONS", b"BYE")
        lines = [b"SIP/2.0 200 OK" if is_open else b"SIP/2.0 401 Unauthorized"]
        nonce = self.context.nonce.hex().encode()
        copied = 0
        for name, value in headers:
            copied += len(value)
            if name.lower() in _COPIED:
                tag = name.lower() in (b"to", b"t") and b";tag=" not in value
                lines.append(name + b": " + value + (b";tag=" + nonce[:10] if tag else b""))
            if copied > COPIED_LIMIT:
                break
        if is_open:
            lines.append(b"Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REGISTER, SUBSCRIBE, NOTIFY")
        else:
            challenge = b'Digest realm="asterisk", nonce="' + nonce[:32] + b'", algorithm=MD5'
            lines.append(b"WWW-Authenticate: " + challenge)
        server = f"Server: Asterisk PBX 18.10.0 {self.context.marker}".strip()
        return b"\r\n".join([*lines, server.encode(), b"Content-Length: 0", b"", b""])


class Rtsp(_Requests):
    """A camera."""

    name = "rtsp"
    ports = frozenset({554, 8554})

    @classmethod
    def recognises(cls, first: bytes) -> bool:
        """A request line."""
        return first.partition(b"\n")[0].rstrip().endswith(b" RTSP/1.0")

    def answer(
        self, method: bytes, headers: list[tuple[bytes, bytes]], named: dict[bytes, bytes]
    ) -> bytes:
        """OPTIONS is answered, all else wants a password."""
        del headers
        number = named.get(b"cseq", b"")
        lines = [b"CSeq: " + (number if number.isdigit() and len(number) < 12 else b"0")]
        if method == b"OPTIONS":
            lines.insert(0, b"RTSP/1.0 200 OK")
            lines.append(b"Public: OPTIONS, DESCRIBE, SETUP, TEARDOWN, PLAY, PAUSE")
        else:
            lines.insert(0, b"RTSP/1.0 401 Unauthorized")
            realm = f"IP Camera {self.context.marker}".strip()
            lines.append(f'WWW-Authenticate: Basic realm="{realm}"'.encode())
        return b"\r\n".join([*lines, b"", b""])


def _parted(line: bytes) -> tuple[bytes, bytes, bytes]:
    return line.partition(b":")
