"""HTTP/1.x (RFC 9112): a small page at /, 404 elsewhere; proxies, WebDAV and HTTP/2 are not had."""

from __future__ import annotations

import binascii
import re
from email.utils import formatdate

from darkflow.honeypot.protocols.protocol import NOTHING, Context, Protocol, Reply

HEAD_LIMIT = 16 << 10
REQUEST_LIMIT = 32
SERVER = "Apache/2.4.62 (Debian)"
METHODS = (b"GET", b"HEAD", b"POST", b"OPTIONS")

_FIRST = re.compile(
    rb"(?:GET|HEAD|POST|PUT|DELETE|PATCH|OPTIONS|TRACE|PROPFIND|SEARCH|PRI) +(?:/|\*|https?:)"
    rb"|CONNECT +[^ \r\n]+(?: HTTP/|$)"
    # A scanner may leave everything out but the method and the version.
    rb"|[A-Z]{3,10} [^\r\n]{0,1024} HTTP/[0-9]"
)
_END = re.compile(rb"\r?\n\r?\n")
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Request Entity Too Large",
    501: "Not Implemented",
}


class Http(Protocol):
    """A web server with one page."""

    name = "http"
    ports = frozenset({80, 81, 8000, 8008, 8080, 8081, 8888})
    tls_ports = frozenset({443, 4443, 8443, 9443})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._head = bytearray()
        # So much of it has no end of a head, but for one that begins in its last three bytes.
        self._searched = 0
        self._has_line = False
        self._body = 0
        self._pending = NOTHING
        self._requests = 0

    @classmethod
    def recognises(cls, first: bytes) -> bool:
        """A request line."""
        return _FIRST.match(first) is not None

    def received(self, data: bytes) -> Reply:
        """Requests one behind the other, each answered when its body is there."""
        out = bytearray()
        while True:
            if self._body:
                passed = min(self._body, len(data))
                self._body -= passed
                data = data[passed:]
                if self._body:
                    break
                reply = self._pending
            else:
                self._head += data
                data = b""
                found = self._take_head()
                if found is None:
                    break
                head, data = found
                reply, first = self._request(head)
                out += first
                if self._body:
                    self._pending = reply
                    continue
            out += reply.data
            if reply.close:
                return Reply(bytes(out), close=True)
        if len(self._head) > HEAD_LIMIT:
            self._head.clear()
            return Reply(bytes(out) + self._page(413, ""), close=True)
        return Reply(bytes(out))

    def _take_head(self) -> tuple[bytes, bytes] | None:
        """The next request's head, and what is behind it; None as long as it is incomplete."""
        while self._head and self._head[0] in b"\r\n":
            del self._head[0]
        start, self._searched = self._searched, len(self._head)
        end = _END.search(self._head, max(start - 3, 0))
        if end is None and (self._has_line or self._head.find(b"\n", start, HEAD_LIMIT) < 0):
            return None
        line = bytes(self._head[:HEAD_LIMIT]).partition(b"\n")[0]
        self._has_line = b" HTTP/" in line
        if end is None and self._has_line:
            return None
        # A line without a version is a whole request of HTTP/0.9, or none at all.
        stop = end.end() if end is not None and self._has_line else len(line) + 1
        head, rest = bytes(self._head[:stop]), bytes(self._head[stop:])
        self._head.clear()
        self._searched, self._has_line = 0, False
        return head, rest

    def _request(self, head: bytes) -> tuple[Reply, bytes]:
        """The answer to a request, and what is sent before its body comes."""
        first, _, lines = head.partition(b"\n")
        words = first.split()
        headers = _headers(lines)
        self._note(words, headers)
        if len(words) < 2 or (len(words) > 2 and not words[2].startswith(b"HTTP/1.")):
            return Reply(self._page(400, ""), close=True), b""
        method, target = words[0], words[1]
        close = self._is_last(words, headers)
        if b"chunked" in headers.get(b"transfer-encoding", b"").lower():
            close = True
        else:
            length = headers.get(b"content-length", b"")
            self._body = int(length) if length.isdigit() and len(length) < 10 else 0
        wanted = headers.get(b"expect", b"").lower() == b"100-continue"
        page = self._answer(method, target, "close" if close else "keep-alive")
        return Reply(page, close), b"HTTP/1.1 100 Continue\r\n\r\n" if wanted else b""

    def _is_last(self, words: list[bytes], headers: dict[bytes, bytes]) -> bool:
        connection = headers.get(b"connection", b"").lower()
        kept = b"keep-alive" in connection if words[2:] != [b"HTTP/1.1"] else connection != b"close"
        return not kept or self._requests >= REQUEST_LIMIT

    def _note(self, words: list[bytes], headers: dict[bytes, bytes]) -> None:
        self._requests += 1
        self.fields["requests"] = self._requests
        for key, value in zip(("method", "path", "version"), words, strict=False):
            self.keep(key, value)
        if self._requests > 1 and len(words) > 1:
            self.add("more_paths", words[1])
        for key, header in (("host", b"host"), ("user_agent", b"user-agent")):
            if header in headers:
                self.keep(key, headers[header])
        kind, _, credentials = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() == b"basic":
            user, _, password = _decoded(credentials).partition(b":")
            self.tried(user, password)

    def _answer(self, method: bytes, target: bytes, connection: str) -> bytes:
        if method not in METHODS:
            known = _FIRST.match(method + b" /") or method == b"CONNECT"
            return self._page(405 if known else 501, connection)
        if method == b"OPTIONS":
            allow = "Allow: GET,POST,OPTIONS,HEAD\r\n"
            return self._head_of(200, 0, connection, allow)
        path = re.sub(rb"^https?://[^/]*", b"", target).partition(b"?")[0]
        known_path = path in (b"", b"/", b"/index.html", b"/index.htm", b"/index.php")
        page = self._page(200 if known_path or method == b"POST" else 404, connection)
        return page.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if method == b"HEAD" else page

    def _page(self, status: int, connection: str) -> bytes:
        marker = f"<!-- {self.context.marker} -->\n" if self.context.marker else ""
        if status == 200:
            body = f"<html>\n{marker}<body><h1>It works!</h1></body>\n</html>\n"
        else:
            title = f"{status} {_REASONS[status]}"
            body = (
                '<!DOCTYPE HTML PUBLIC "-//IETF//DTD HTML 2.0//EN">\n<html><head>\n'
                f"<title>{title}</title>\n</head>{marker}<body>\n<h1>{_REASONS[status]}</h1>\n<hr>\n"
                f"<address>{SERVER} Server at {self.context.address} Port {self.context.port}"
                "</address>\n</body></html>\n"
            )
        return self._head_of(status, len(body), connection or "close", "") + body.encode()

    def _head_of(self, status: int, length: int, connection: str, more: str) -> bytes:
        return (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
            f"Date: {formatdate(self.context.began_s, usegmt=True)}\r\n"
            f"Server: {SERVER}\r\n{more}"
            f"Content-Length: {length}\r\n"
            f"Connection: {connection}\r\n"
            "Content-Type: text/html\r\n\r\n"
        ).encode()


def _headers(lines: bytes) -> dict[bytes, bytes]:
    """The first of each header, names in small letters."""
    headers: dict[bytes, bytes] = {}
    for line in lines.split(b"\n"):
        name, colon, value = line.partition(b":")
        if colon:
            headers.setdefault(name.strip().lower(), value.strip())
    return headers


def _decoded(text: bytes) -> bytes:
    try:
        return binascii.a2b_base64(text)
    except (binascii.Error, ValueError):
        return b""
