from collections.abc import Iterable
from typing import Any

class Frames:
    """Captured frames and the network time they bring; the bytes are valid until the next turn."""

    count: int
    now_ns: int
    def __len__(self) -> int: ...
    def clear(self, now_ns: int) -> None:
        """No frames, only the news that this time has been reached."""
    @classmethod
    def of(
        cls,
        packets: Iterable[tuple[int | None, int, bytes] | tuple[int | None, int, bytes, int]],
        now_ns: int | None = None,
        source: int = 0,
    ) -> Frames:
        """Frames from (t_ns, link, bytes) or (t_ns, link, bytes, origlen); t_ns None: no time."""

class Packets:
    """Decoded packets that concern the engine, in rows; `now_ns` is network time behind them."""

    count: int
    now_ns: int
    def __init__(self, capacity: int = 0) -> None: ...
    def __len__(self) -> int: ...
    def to_list(self) -> list[dict[str, Any]]:
        """The rows as dicts, for tests and debugging."""

class Events:
    """Event rows, in the order in which they happened; `now_ns` is network time behind them."""

    count: int
    now_ns: int
    def __len__(self) -> int: ...
    @property
    def first_ns(self) -> int:
        """When the first of them happened; without any, `now_ns`."""
    def to_list(self) -> list[dict[str, Any]]:
        """The rows as dicts, for tests and debugging."""
    def verdicts(
        self,
    ) -> list[tuple[bool, int, int, tuple[bytes, int, bytes, int], bytes, int, bytes]]:
        """Verdicts "dark" and late answers: (is late, t_ns, t0_ns, flow, head, TCP's bytes, whole).

        whole: of a SYN that was more than its headers, if kept, all from the IP header on, or b"".
        """
    def last_dark(self, limit: int) -> list[dict[str, Any]]:
        """The latest verdicts "dark", at most `limit`, as dicts; the latest is the last."""
