"""A target of alerts that takes them as JSON by HTTP POST, one at a time."""

from __future__ import annotations

from typing import Any

from darkflow.sinks.framing import Lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from darkflow.sinks.outbox import Job

TIMEOUT_S = 5.0
# What it will not take in this form, now or later; any other refusal may be mended there.
NEVER = (400, 413, 422)
MOST_ANSWER_BYTES = 65_536


class Url:
    """Where to: scheme, host, port, path with its query."""

    __slots__ = ("host", "path", "port", "secure")

    def __init__(self, secure: bool, host: str, port: int, path: str) -> None:
        self.secure = secure
        self.host = host
        self.port = port
        self.path = path

    @property
    def name(self) -> str:
        """For messages: without the path, which often is a secret."""
        return f"{'https' if self.secure else 'http'}://{self.host}:{self.port}"


def parse_url(text: str) -> Url:
    """An http:// or https:// address; ValueError says what is wrong with it."""
    from urllib.parse import urlsplit

    example = "write for example https://hooks.example.net/alerts"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"{text!r} is no address: {example}") from None
    if parts.scheme not in ("http", "https") or not host or not text.isprintable() or " " in text:
        raise ValueError(f"{text!r} is no address: {example}")
    if parts.username is not None:
        raise ValueError("user and password in an address of --alert are not used: leave them out")
    secure = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Url(secure, host, port or (443 if secure else 80), path)


class Webhook:
    """Keeps one connection as long as the other side does; the outbox's thread tries again."""

    framing = Lines()

    def __init__(self, url: Url) -> None:
        self.name = f"alerts to {url.name}"
        self._url = url
        self._connection: Any = None

    def write(self, job: Job) -> None:
        """As in Target: one document; OSError when it was not taken and may be later."""
        end = job.data.index(b"\n", job.done)
        try:
            status = self._post(job.data[job.done : end])
        except Exception:
            self.close()
            raise
        if status in NEVER:
            job.lost += 1
        elif not 200 <= status < 300:
            raise OSError(f"HTTP status {status}")
        job.done = job.sent = end + 1

    def _post(self, body: bytes) -> int:
        if self._connection is None:
            import http.client

            kind = http.client.HTTPSConnection if self._url.secure else http.client.HTTPConnection
            self._connection = kind(self._url.host, self._url.port, timeout=TIMEOUT_S)
        self._connection.request("POST", self._url.path, body, {
            "Content-Type": "application/json", "User-Agent": "darkflow",
        })  # fmt: skip
        answer = self._connection.getresponse()
        if len(answer.read(MOST_ANSWER_BYTES)) == MOST_ANSWER_BYTES or answer.will_close:
            self.close()
        return int(answer.status)

    def look_after(self) -> float | None:
        """As in Target: nothing is ever due."""
        return None

    def begin(self, header: bytes) -> None:
        """As in Target: there is none."""

    def reopen(self) -> None:
        """As in Target: nothing is reopened."""

    def close(self) -> None:
        """As in Target."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
