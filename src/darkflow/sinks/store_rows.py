"""A way into the store for single rows, from any thread; it never waits."""

from __future__ import annotations

import threading

from darkflow.sinks.columns import Columns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from darkflow.sinks.arrow import Rows
    from darkflow.sinks.store import Store
    from darkflow.sinks.templates import Value

# What a row takes in memory (config.py says so of --store-rows); a longer text counts as more rows.
ROW_BYTES = 250


class StoreRows:
    """Rows wait here until the next flush takes them; beyond the store's limit they are dropped."""

    def __init__(self, store: Store, enough: int) -> None:
        self._store = store
        self._enough = enough
        self._rows: dict[str, Rows] = {}
        self._lock = threading.Lock()

    def add(self, table: str, values: tuple[Value, ...], text_bytes: int = 0) -> bool:
        """One row of a table, in the order of its columns; whether there was room for it.

        text_bytes: of its texts, as far as they are more than a few addresses and words.
        """
        more = max(text_bytes, 0) // ROW_BYTES
        if not self._store.reserve(1, more):
            return False
        with self._lock:
            rows = self._rows.get(table)
            if rows is None:
                rows = self._rows[table] = Columns.empty(table)
            rows.append(values)
            rows.more += more
            enough = rows.count + rows.more >= self._enough
        if enough:
            self._store.flush_soon()
        return True

    def take(self) -> list[dict[str, Rows]]:
        """The rows that wait, by table."""
        with self._lock:
            taken, self._rows = self._rows, {}
        return [taken] if taken else []
