"""What is in the store after the worst moments: killed at upkeep, ended on a slow disk."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

import slow_disk
from conftest import skip
from darkflow.sinks.delta import Upkeep
from darkflow.sinks.store import Limits, Store
from running import darkflow
from sinks.test_store import STORING, count
from slow_disk import SlowDisk
from storing import BATCH_ROWS, columns, feed

HOUR_S = 3600


class Writer:
    """A program that writes to the store on a disk and tidies up all the time."""

    def __init__(self, disk: SlowDisk) -> None:
        self.disk = disk
        self.process = subprocess.Popen(
            [sys.executable, STORING, disk.folder],
            env={**os.environ, **disk.environment}, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def says(self) -> str:
        """Its next line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def wait_for_compaction(self) -> None:
        """Until it is at work and cannot get on: the disk is slow from that moment."""
        assert self.process.stdout is not None
        while True:
            assert self.says() == "compacting"
            self.disk.begin()
            if not select.select([self.process.stdout], [], [], 0.7)[0]:
                return
            self.disk.end()
            assert self.says() == "compacted"

    def end(self, number: int) -> tuple[int, float, str]:
        """Send a signal: (exit status, seconds it took, what was said last)."""
        assert self.process.stdout is not None
        began_s = time.monotonic()
        self.process.send_signal(number)
        status = self.process.wait(20)
        return status, time.monotonic() - began_s, self.process.stdout.read()


@contextmanager
def writer(work: Path, slow: str) -> Iterator[Writer]:
    """A writer on a disk on which these files will take 30 s a write."""
    reason = slow_disk.cannot()
    if reason is not None:
        skip(reason)
    made = Writer(SlowDisk(work, 30, slow))
    with made.process:
        yield made
        made.process.kill()


def query(folder: Path, sql: str) -> list[dict[str, int]]:
    """What `darkflow query` prints."""
    done = darkflow("query", "--store", str(folder), "--format", "json", sql)
    assert (done.returncode, done.stderr) == (0, "")
    rows: list[dict[str, int]] = json.loads(done.stdout)
    return rows


def age(folder: Path) -> None:
    """Let two hours pass for every file."""
    for path in folder.rglob("*.parquet*"):
        os.utime(path, (time.time() - 2 * HOUR_S,) * 2)


@pytest.mark.parametrize(
    ("slow", "left_behind"), [(".parquet", "*.parquet#*"), ("_delta_log", "*.parquet")]
)
def test_killed_while_it_puts_files_together(tmp_path: Path, slow: str, left_behind: str) -> None:
    with writer(tmp_path, slow) as killed:
        killed.wait_for_compaction()
        assert killed.end(signal.SIGKILL)[2] == ""
    folder = killed.disk.folder
    rows, table = count(folder), folder / "darkflows"
    assert rows > 0
    known = set(Upkeep(folder, "darkflows").paths())
    lost = [path for path in table.rglob(left_behind) if str(path.relative_to(table)) not in known]
    assert lost
    age(folder)
    assert Upkeep(folder, "darkflows").vacuum() > 0
    assert not [path for path in lost if path.exists()]
    assert count(folder) == rows
    # What could not be done then is done now.
    store = Store(str(folder), columns(), Limits(), patient=True)
    feed(store.write, BATCH_ROWS)
    store.close()
    assert (store.trouble, count(folder)) == ("", rows + BATCH_ROWS)
    assert len(Upkeep(folder, "darkflows").files()) <= 16


def test_two_ask_by_query_while_one_writes(tmp_path: Path) -> None:
    sql = "SELECT src_port, COUNT(*) AS n FROM darkflows GROUP BY src_port"
    seen: list[list[int]] = [[], []]

    def ask(counts: list[int]) -> None:
        for _ in range(4):
            rows = query(written.disk.folder, sql)
            # Each batch has all ports once: it is there as a whole or not at all.
            assert len({row["n"] for row in rows}) == 1
            assert len(rows) == BATCH_ROWS
            counts.append(rows[0]["n"])

    with writer(tmp_path, "nothing") as written:
        assert written.says() == "compacting"
        with ThreadPoolExecutor(2) as both:
            list(both.map(ask, seen))
        status, _, said = written.end(signal.SIGTERM)
    assert status == 0
    for counts in seen:
        assert counts == sorted(counts)
        assert counts[-1] > counts[0]
    assert said.splitlines()[-1] == f"written {count(written.disk.folder)} dropped 0"


def test_told_to_end_while_it_puts_files_together(tmp_path: Path) -> None:
    with writer(tmp_path, ".parquet") as told:
        told.wait_for_compaction()
        before = count(told.disk.folder)
        status, took_s, said = told.end(signal.SIGTERM)
    assert (status, took_s < 2) == (0, True)
    (_, written, _, dropped) = said.split()
    assert before <= count(told.disk.folder) == int(written)
    # The disk was slow for new rows, too: they are counted.
    assert int(dropped) > 0
    assert int(dropped) % BATCH_ROWS == 0
