"""The event store as a sink: rows wait in memory, a thread writes them, nothing stalls the loop."""

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
from darkflow.sinks.columns import Columns
from darkflow.sinks.delta import TABLES, Table, stats_rows
from darkflow.sinks.housekeeping import Housekeeping

FLUSH_ROWS = 100_000
RETRY_S = 2.0
# What must be free before a write: for the log, and for each row more than it ever takes.
ROOM_BYTES = 1 << 20
ROW_BYTES = 256
# Housekeeping after so many commits, or after so long a time if there was any.
TIDY_COMMITS = 64
TIDY_S = 60.0


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


class Store:
    """Appends to the tables of `folder` every `flush_s` or FLUSH_ROWS, whichever comes first.

    At most `limits.rows` wait; beyond them rows are dropped and counted, or, if `patient` (input
    that can wait, as files do), `write` waits as long as writing works.
    """

    def __init__(
        self,
        folder: str,
        columns: Columns,
        limits: Limits,
        patient: bool = False,
    ) -> None:
        self.name = f"store {folder}"
        self.written = 0
        self.dropped = 0
        self.trouble = ""
        # Called once, before the last rows are written: for what is known only then.
        self.at_close: Callable[[], None] | None = None
        self.run = uuid.uuid4().hex
        self._columns = columns
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
        self._batches: deque[_Batch] = deque()
        self._waiting = 0  # rows handed over and not yet written
        self._number = 0
        self._commits = 0
        self._closing = False
        self._changed = threading.Condition()
        self._tidy = threading.Event()
        self._threads = [
            threading.Thread(target=work, name=f"darkflow {name}", daemon=True)
            for name, work in (("store", self._write_on), ("upkeep", self._tidy_on))
        ]
        for thread in self._threads:
            thread.start()

    def write(self, events: Events) -> None:
        """Take the rows of one batch; the disk is not touched here."""
        more = self._columns.rows_in(events)
        with self._changed:
            while self._full(more) and self._patient and not self.trouble:
                self._hand_over()
                self._changed.wait()
            if self._full(more):
                self.dropped += more
                return
            self._columns.add(events)
            if self._columns.count >= FLUSH_ROWS:
                self._hand_over()

    def add_stats(self, values: dict[str, Any], t_ns: int) -> None:
        """One row of the table `stats`: values by name of metric, at a time of the network."""
        t_us = t_ns // 1000
        stamp = {"timestamp": t_us, "day": t_us // 86_400_000_000, "run": self.run}
        with self._changed:
            self._enqueue("stats", stats_rows([stamp | values]), 1)

    def close(self) -> None:
        """Write what is left, one try for each batch, and tidy up; a second call does nothing."""
        at_close, self.at_close = self.at_close, None
        if at_close is not None:
            at_close()
        with self._changed:
            self._hand_over()
            self._closing = True
            self._changed.notify_all()
        self._tidy.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def _full(self, more: int) -> bool:
        waiting = self._waiting + self._columns.count
        return waiting > 0 and waiting + more > self._limits.rows

    def _hand_over(self) -> None:
        for table, rows in self._columns.take().items():
            self._enqueue(table, rows, len(rows))

    def _enqueue(self, table: str, rows: Any, count: int) -> None:
        self._number += 1
        self._batches.append(_Batch(table, rows, count, self._number))
        self._waiting += count
        self._changed.notify_all()

    def _write_on(self) -> None:
        """The writing thread. A batch stays at the head of the line until it is on disk."""
        flushed_s = time.monotonic()
        while True:
            with self._changed:
                while not self._batches and not self._closing:
                    rest_s = flushed_s + self._limits.flush_s - time.monotonic()
                    if rest_s <= 0:
                        flushed_s = time.monotonic()
                        self._hand_over()
                    else:
                        self._changed.wait(rest_s)
                if not self._batches:
                    return
                batch = self._batches[0]
            self._try(batch)

    def _try(self, batch: _Batch) -> None:
        try:
            self._need_room(batch.count)
            self._tables[batch.table].append(batch.rows, batch.number)
        except BaseException as error:  # a panic below is no Exception; nothing may end this thread
            self._failed(reason(error))
            return
        with self._changed:
            self._batches.popleft()
            self._waiting -= batch.count
            self.written += batch.count
            self._commits += 1
            recovered, self.trouble = self.trouble, ""
            self._changed.notify_all()
        if recovered:
            self.say(f"{self.name} is written again; {self.dropped} rows were lost until now")
        if self._commits % TIDY_COMMITS == 0:
            self._tidy.set()

    def _need_room(self, rows: int) -> None:
        """A disk that is nearly full is left alone: a try would leave parts of files on it."""
        if shutil.disk_usage(self._path).free < ROOM_BYTES + rows * ROW_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _failed(self, why: str) -> None:
        with self._changed:
            first = not self.trouble
            self.trouble = why
            self._changed.notify_all()
            if self._closing:
                self.dropped += sum(batch.count for batch in self._batches)
                self._batches.clear()
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
            if closing:
                self._threads[0].join()
            if self._commits > tidied:
                tidied = self._commits
                try:
                    time_for_it = (self._patient or not closing) and not self.trouble
                    self.housekeeping.round(compact=time_for_it)
                except BaseException as error:  # as in _try
                    self.say(f"upkeep of {self.name} failed: {reason(error)}")
            if closing:
                return
