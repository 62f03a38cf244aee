"""The event store: rows wait in memory, a thread writes them, nothing stalls who brings them.

Each loop that brings events has a sink of its own (`Store.sink`), with its own columns. What they
share is a count of rows, the line of batches, and the two threads that write and tidy up.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darkflow.flow.batch import Events
from darkflow.sinks.arrow import Rows
from darkflow.sinks.columns import Columns
from darkflow.sinks.delta import SCHEMAS, TABLES, Table, stats_rows
from darkflow.sinks.housekeeping import Housekeeping
from darkflow.sinks.store_rows import StoreRows

FLUSH_ROWS = 100_000
RETRY_S = 2.0
# What must be free before a write: for the log, and for each row more than it ever takes.
ROOM_BYTES = 1 << 20
ROW_BYTES = 256
# Housekeeping after so many commits, or after so long a time if there was any.
TIDY_COMMITS = 64
TIDY_S = 60.0
THREADS = ("darkflow store", "darkflow upkeep")  # cli.py asks whether they have ended


@dataclass(frozen=True)
class Limits:
    """Of a store: when it flushes, rows that wait for a slow disk, what stays on it."""

    flush_s: float = 2.0
    rows: int = 500_000
    days: int = 30
    size_bytes: int = 10 << 30


def reason(error: BaseException) -> str:
    """Why a write failed, in a few words: the system's own, where the long message holds them."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    found = re.search(r"([A-Z][\w' -]+) \(os error \d+\)", text)
    return found[1] if found else " ".join(text.split())[:200] or type(error).__name__


@dataclass
class _Batch:
    table: str
    rows: Any
    count: int
    number: int
    more: int = 0  # Rows.more


class StoreSink:
    """One loop's way into the store; its rows wait in its own columns until the next flush.

    Its lock is asked for by nobody else but the flush, which takes the rows and leaves new columns.
    """

    def __init__(self, store: Store, columns: Columns) -> None:
        self.name = store.name
        self._store = store
        self._columns = columns
        self._whole: list[dict[str, Rows]] = []
        self._lock = threading.Lock()

    def write(self, events: Events) -> None:
        """Take the rows of one batch; the disk is not touched here."""
        more = self._columns.rows_in(events)
        if not more or not self._store.reserve(more):
            return
        with self._lock:
            self._columns.add(events)
            enough = self._columns.count >= FLUSH_ROWS
            if enough:
                self._whole.append(self._columns.take())
        if enough:
            self._store.flush_soon()

    def take(self) -> list[dict[str, Rows]]:
        """The rows that wait, by table, in pieces of some FLUSH_ROWS."""
        with self._lock:
            taken, self._whole = [*self._whole, self._columns.take()], []
        return taken

    def close(self) -> None:
        """Nothing: the rows are written when the store is closed, at the latest."""


class Store:
    """Appends to the tables of `folder` every `flush_s` or FLUSH_ROWS, whichever comes first.

    At most `limits.rows` wait; beyond them rows are dropped and counted, or, if `patient` (input
    that can wait, as files do), `write` waits as long as writing works. With `columns` the store is
    itself a sink, for who has one loop only.
    """

    def __init__(
        self,
        folder: str,
        columns: Columns | None,
        limits: Limits,
        patient: bool = False,
    ) -> None:
        self.name = f"store {folder}"
        self.written = 0
        self.written_ns = 0
        self.dropped = 0
        self.trouble = ""
        # Called once, before the last rows are written: for what is known only then.
        self.at_close: Callable[[], None] | None = None
        self.run = uuid.uuid4().hex
        self._limits = limits
        self._patient = patient
        # A line when writing begins to fail, and one when it works again; replace it to hear them.
        self.say: Callable[[str], None] = lambda _: None
        self._path = path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        try:
            self._tables = {name: Table(path, name, self.run) for name in TABLES}
            self.housekeeping = Housekeeping(path, limits.days, limits.size_bytes)
        except Exception as error:
            raise OSError(0, reason(error), folder) from error
        self._sinks: list[StoreSink | StoreRows] = []
        self._own = self.sink(columns) if columns is not None else None
        self._batches: deque[_Batch] = deque()
        # Rows that were accepted and are not yet on disk, and what counts as more of them.
        self._waiting = self._more = 0
        self._number = 0
        self._commits = 0
        self._flush_now = self._closing = self._closed = False
        self._changed = threading.Condition()
        self._tidy = threading.Event()
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for name, work in zip(THREADS, (self._write_on, self._tidy_on), strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def sink(self, columns: Columns) -> StoreSink:
        """A sink for one more loop; the store is closed by its owner, after all loops."""
        made = StoreSink(self, columns)
        self._sinks = [*self._sinks, made]
        return made

    def rows(self) -> StoreRows:
        """A way in for single rows of any table, from any thread."""
        made = StoreRows(self, FLUSH_ROWS)
        self._sinks = [*self._sinks, made]
        return made

    def write(self, events: Events) -> None:
        """Take the rows of one batch into the columns that the store was given."""
        if self._own is None:
            raise ValueError("this store has no columns of its own: write to its sinks")
        self._own.write(events)

    def add_stats(self, values: dict[str, Any], t_ns: int) -> None:
        """One row of the table `stats`: values by name of metric, at a time of the network."""
        t_us = t_ns // 1000
        stamp = {"timestamp": t_us, "day": t_us // 86_400_000_000, "run": self.run}
        rows = stats_rows([stamp | values])
        if self.reserve(1):
            with self._changed:
                self._enqueue("stats", rows, 1)

    def add_later(self, table: str, make: Callable[[Any], Any], count: int) -> None:
        """So many rows of a table in SCHEMAS, which the writing thread makes for its schema."""
        if self.reserve(count):
            with self._changed:
                self._enqueue(table, make, count)

    def metrics(self) -> dict[str, int]:
        """What metrics.py says of stores; from any thread."""
        return {
            "dropped_store": self.dropped,
            "store_rows": self.written,
            "store_rows_waiting": self._waiting,
            "store_written_timestamp_ns": self.written_ns,
        }

    def reserve(self, more: int, long: int = 0) -> bool:
        """Whether so many more rows may wait; if not, they are counted as dropped.

        long: as so many further rows their texts count.
        """
        with self._changed:
            while self._full(more + long) and self._patient and not self.trouble:
                self._flush_now = True
                self._changed.notify_all()
                self._changed.wait()
            accepted = not self._full(more + long) and not self._closing
            if accepted:
                self._waiting += more
                self._more += long
            else:
                self.dropped += more
        return accepted

    def flush_soon(self) -> None:
        """Have the rows of all sinks written as soon as what is in line before them is."""
        with self._changed:
            self._flush_now = True
            self._changed.notify_all()

    def close(self, patience_s: float | None = None) -> None:
        """Write what is left, one try for each batch; a second call does nothing.

        A patient store also tidies up. With `patience_s` it gives up after that time: what is not
        on disk then is counted, and upkeep is left where it is, for each of its steps is there as a
        whole or not at all. What it leaves behind goes with a later vacuum.
        """
        with self._changed:
            if self._closed:
                return
            self._closed = True
        if self.at_close is not None:
            self.at_close()
        self._flush()
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._tidy.set()
        end_s = None if patience_s is None else time.monotonic() + patience_s
        for thread in self._threads:
            thread.join(None if end_s is None else max(0, end_s - time.monotonic()))
        with self._changed:
            lost, self._waiting, self._more = self._waiting, 0, 0
            self.dropped += lost
            self._batches.clear()
            if lost and not self.trouble:
                self.trouble = "it was too slow"
        if lost:
            self.say(f"{lost} rows were not written to the {self.name}: {self.trouble}")

    def limit(self, limits: Limits) -> None:
        """Other limits from now on; what is on the disk beyond them goes at the next upkeep."""
        with self._changed:
            self._limits = limits
            self.housekeeping.limit(limits.days, limits.size_bytes)
            self._flush_now = True
            self._changed.notify_all()
        self._tidy.set()

    def _full(self, more: int) -> bool:
        return self._waiting > 0 and self._waiting + self._more + more > self._limits.rows

    def _flush(self) -> None:
        """Put the rows of all sinks in line: a commit for each table, more if there are many."""
        parts: dict[str, list[Rows]] = {name: [] for name in TABLES}
        for sink in self._sinks:
            for taken in sink.take():
                for table, rows in taken.items():
                    parts[table].append(rows)
        with self._changed:
            for table, rest in parts.items():
                while rest:
                    group = [rest.pop()]
                    while rest and sum(map(len, group)) < FLUSH_ROWS:
                        group.append(rest.pop())
                    self._enqueue(table, group, sum(map(len, group)), sum(r.more for r in group))

    def _enqueue(self, table: str, rows: Any, count: int, more: int = 0) -> None:
        self._number += 1
        self._batches.append(_Batch(table, rows, count, self._number, more))
        self._changed.notify_all()

    def _write_on(self) -> None:
        """The writing thread. A batch stays at the head of the line until it is on disk."""
        flushed_s = time.monotonic()
        while True:
            with self._changed:
                rest_s = flushed_s + self._limits.flush_s - time.monotonic()
                self._changed.wait_for(
                    lambda: self._batches or self._flush_now or self._closing, max(0, rest_s)
                )
                batch = self._batches[0] if self._batches else None
                if batch is None:
                    if self._closing:
                        return
                    self._flush_now = False
            if batch is None:
                self._flush()
                flushed_s = time.monotonic()
            elif not self._try(batch) and self._closing:
                return

    def _try(self, batch: _Batch) -> bool:
        """Whether the batch is on disk now; after a failure some time has passed."""
        try:
            self._need_room(batch.count + batch.more)
            if callable(batch.rows):
                batch.rows = batch.rows(SCHEMAS[batch.table])
            self._tables[batch.table].append(batch.rows, batch.number)
        except BaseException as error:  # a panic below is no Exception; nothing may end this thread
            self._failed(reason(error))
            return False
        with self._changed:
            self.written += batch.count
            self.written_ns = time.time_ns()
            self._commits += 1
            if not self._batches:  # close has given it up, and counted it
                self.dropped -= batch.count
                return True
            self._batches.popleft()
            self._waiting -= batch.count
            self._more -= batch.more
            recovered, self.trouble = self.trouble, ""
            self._changed.notify_all()
        if recovered:
            self.say(f"{self.name} is written again; {self.dropped} rows were lost until now")
        if self._commits % TIDY_COMMITS == 0:
            self._tidy.set()
        return True

    def _need_room(self, rows: int) -> None:
        """A disk that is nearly full is left alone: a try would leave parts of files on it."""
        if shutil.disk_usage(self._path).free < ROOM_BYTES + rows * ROW_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _failed(self, why: str) -> None:
        with self._changed:
            first = not self.trouble
            self.trouble = why
            self._changed.notify_all()
        if first:
            self.say(f"cannot write {self.name}: {why}; trying again")
        with self._changed:
            self._changed.wait_for(lambda: self._closing, RETRY_S)

    def _tidy_on(self) -> None:
        """The upkeep thread: what fails there is tried again at the next round."""
        tidied = 0
        while True:
            self._tidy.wait(TIDY_S)
            self._tidy.clear()
            closing = self._closing
            if closing and not self._patient:
                return
            if closing:
                self._threads[0].join()
            if self._commits > tidied:
                tidied = self._commits
                try:
                    self.housekeeping.round(compact=not self.trouble)
                except BaseException as error:  # as in _try
                    self.say(f"upkeep of {self.name} failed: {reason(error)}")
            if closing:
                return
