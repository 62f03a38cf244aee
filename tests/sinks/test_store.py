"""The store as a sink: nothing stalls, nothing is written twice, whatever ends it."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from conftest import skip
from darkflow.flow.batch import Events
from darkflow.sinks import store as module
from darkflow.sinks.store import Limits, Store, reason
from darkflow.sinks.stored import scan
from storing import BATCH_ROWS, NOON_NS, columns, feed
from writers import SECOND_NS

STORING = Path(__file__).resolve().parents[1] / "storing.py"
PATIENCE_S = 20.0


def count(folder: Path) -> int:
    """Rows of darkflows; every batch of them is whole."""
    frame = scan(str(folder))["darkflows"].select("t0_ns", "src_port", "flow_id").collect()
    per_batch = frame.group_by("src_port").len()["len"]
    assert per_batch.n_unique() <= 1
    assert frame.height % BATCH_ROWS == 0
    return frame.height


def wait_until(done: Callable[[], object]) -> None:
    """Until `done()` is true; a test that waits too long fails."""
    end_s = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_rows_are_there_after_close(tmp_path: Path) -> None:
    sink = Store(str(tmp_path / "a" / "store"), columns(), Limits())
    feed(sink.write, 3000)
    sink.add_stats({"syn": 3000}, 1_772_366_400_123_456_789)
    sink.close()
    sink.close()
    assert (sink.written, sink.dropped, sink.trouble) == (3001, 0, "")
    assert count(tmp_path / "a" / "store") == 3000
    (row,) = scan(str(tmp_path / "a" / "store"))["stats"].collect().to_dicts()
    assert (row["syn"], row["run"]) == (3000, sink.run)
    assert str(row["timestamp"]) == "2026-03-01 12:00:00.123456+00:00"


def test_rows_are_there_after_the_flush_interval(tmp_path: Path) -> None:
    sink = Store(str(tmp_path), columns(), Limits(flush_s=0.1))
    began_s = time.monotonic()
    feed(sink.write, 500)
    wait_until(lambda: sink.written == 500)
    assert time.monotonic() - began_s < 1.5
    assert count(tmp_path) == 500
    sink.close()


def test_what_is_known_only_at_the_end_is_written_too(tmp_path: Path) -> None:
    sink = Store(str(tmp_path), columns(), Limits())
    sink.at_close = lambda: sink.add_stats({"syn": 7}, 0)
    sink.close()
    assert scan(str(tmp_path))["stats"].collect()["syn"].to_list() == [7]


def test_rows_beyond_the_limit_are_dropped_and_counted(tmp_path: Path) -> None:
    sink = Store(str(tmp_path), columns(), Limits(flush_s=1000, rows=1000))
    feed(sink.write, 2500)
    sink.close()
    assert (sink.written, sink.dropped) == (1000, 1500)
    assert count(tmp_path) == 1000


def test_limits_may_change_while_it_is_written(tmp_path: Path) -> None:
    sink = Store(str(tmp_path), columns(), Limits(flush_s=1000, rows=1000))
    sink.limit(Limits(flush_s=0.05, rows=2000, days=1))
    folder = tmp_path / "darkflows"
    for day in (1, 2):
        feed(sink.write, 1500, day * 86_400 * 10**9)
        wait_until(partial(lambda rows: sink.written == rows, 1500 * day))
    assert (len(list(folder.glob("day=*"))), sink.dropped) == (2, 0)
    sink.limit(Limits(flush_s=0.05, days=1))
    wait_until(lambda: sink.housekeeping.removed)
    sink.close()
    assert count(tmp_path) == 1500


def test_input_that_can_wait_loses_nothing(tmp_path: Path) -> None:
    sink = Store(str(tmp_path), columns(), Limits(flush_s=1000, rows=1000), patient=True)
    feed(sink.write, 5000)
    sink.close()
    assert (sink.written, sink.dropped) == (5000, 0)


def test_a_folder_that_cannot_be_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        Store(str(tmp_path / "file"), columns(), Limits())
    log = tmp_path / "store" / "darkflows" / "_delta_log"
    log.mkdir(parents=True)
    (log / "00000000000000000000.json").write_text("this is no log\n")
    with pytest.raises(OSError) as caught:
        Store(str(tmp_path / "store"), columns(), Limits())
    assert caught.value.filename == str(tmp_path / "store")


def test_reasons_are_short() -> None:
    text = "Failed: Generic LocalFileSystem error:\n x\n ↳ No space left on device (os error 28)"
    assert reason(ValueError(text)) == "No space left on device"
    assert reason(ValueError("a\n b")) == "a b"
    assert reason(ValueError()) == "ValueError"
    assert len(reason(ValueError("x" * 999))) <= 200


# ---- several loops --------------------------------------------------------------------------


def feed_at_once(store: Store, loops: int, rows: int) -> float:
    """Give `rows` dark flows to a sink of each loop, all at the same time; the longest write, s."""
    longest = [0.0] * loops

    def loop(number: int) -> None:
        sink = store.sink(columns())

        def write(events: Events) -> None:
            began_s = time.monotonic()
            sink.write(events)
            longest[number] = max(longest[number], time.monotonic() - began_s)

        feed(write, rows, NOON_NS + number * SECOND_NS)
        sink.close()

    threads = [threading.Thread(target=loop, args=(number,)) for number in range(loops)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(longest)


def test_several_loops_write_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    store = Store(str(tmp_path), None, Limits(flush_s=0.01))
    longest_s = feed_at_once(store, 4, 10_000)
    store.close()
    assert (store.written, store.dropped) == (40_000, 0)
    assert count(tmp_path) == 40_000
    assert longest_s < 1  # of a machine that others use, too
    with pytest.raises(ValueError, match="no columns of its own"):
        feed(store.write, 1)


def test_the_limit_holds_for_all_loops_together(tmp_path: Path) -> None:
    store = Store(str(tmp_path), None, Limits(flush_s=1000, rows=3000))
    feed_at_once(store, 3, 2000)
    assert store.dropped == 3000
    store.close()
    assert (store.written, store.dropped) == (3000, 3000)
    assert count(tmp_path) == 3000


def test_rows_of_several_loops_are_one_commit(tmp_path: Path) -> None:
    store = Store(str(tmp_path), None, Limits(flush_s=1000))
    feed_at_once(store, 3, 1000)
    store.close()
    assert len(list(tmp_path.glob("darkflows/day=*/*.parquet"))) == 1
    assert count(tmp_path) == 3000


def test_what_comes_after_the_end_is_counted(tmp_path: Path) -> None:
    store = Store(str(tmp_path), None, Limits())
    sink = store.sink(columns())
    feed(sink.write, 500)
    store.close()
    feed(sink.write, 500)
    store.add_stats({}, 0)
    store.close()
    assert (store.written, store.dropped) == (500, 501)
    assert count(tmp_path) == 500


# ---- disk full ------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        skip("a small file system can be mounted only by root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(path: Path) -> None:
    """A file that leaves no room."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_full_disk_is_said_once_and_survived(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.05)
    said: list[str] = []
    folder = small_disk / "store"
    sink = Store(str(folder), columns(), Limits(flush_s=0.02, rows=3000))
    sink.say = said.append
    feed(sink.write, 1000)
    wait_until(lambda: sink.written == 1000)
    ballast = small_disk / "ballast"
    fill(ballast)
    began_s = time.monotonic()
    feed(sink.write, 5000)
    assert time.monotonic() - began_s < 2  # the sensor goes on
    wait_until(lambda: said)
    time.sleep(0.3)  # some more tries
    assert said == [f"cannot write {sink.name}: No space left on device; trying again"]
    assert sink.dropped == 2000
    assert count(folder) == 1000
    ballast.unlink()
    wait_until(lambda: sink.written == 4000)
    assert said[1:] == [f"{sink.name} is written again; 2000 rows were lost until now"]
    sink.close()
    assert count(folder) == 4000
    assert len(list(folder.rglob("*.parquet"))) < 30  # no leftovers of each try


def test_a_disk_that_stays_full_costs_what_waits_and_ends(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.05)
    sink = Store(str(small_disk / "store"), columns(), Limits(rows=2000), patient=True)
    fill(small_disk / "ballast")
    feed(sink.write, 4000)
    sink.close()
    assert (sink.written, sink.dropped) == (0, 4000)
    assert sink.trouble == "No space left on device"
    assert count(small_disk / "store") == 0


# ---- kill -9, readers -----------------------------------------------------------------------


def begin(folder: Path) -> subprocess.Popen[bytes]:
    """A program that writes to the store until it is killed."""
    return subprocess.Popen([sys.executable, STORING, folder])


def has_rows(folder: Path, more_than: int) -> bool:
    """Whether the store is there and has grown."""
    try:
        return count(folder) > more_than
    except FileNotFoundError:
        return False


def test_a_killed_writer_leaves_whole_batches(tmp_path: Path) -> None:
    rows, luck = 0, random.Random(3)
    for _ in range(5):
        with begin(tmp_path) as writer:
            wait_until(partial(has_rows, tmp_path, rows))
            time.sleep(luck.random() * 0.2)
            writer.send_signal(signal.SIGKILL)
        after = count(tmp_path)
        assert after > rows
        rows = after
    sink = Store(str(tmp_path), columns(), Limits())
    feed(sink.write, BATCH_ROWS)
    sink.close()
    assert count(tmp_path) == rows + BATCH_ROWS


def test_two_read_while_one_writes(tmp_path: Path) -> None:
    seen: list[list[int]] = [[], []]
    failed: list[BaseException] = []
    stop = threading.Event()

    def read(counts: list[int]) -> None:
        try:
            while not stop.is_set():
                counts.append(count(tmp_path))
        except BaseException as error:
            failed.append(error)

    with begin(tmp_path) as writer:
        wait_until(lambda: has_rows(tmp_path, 0))
        readers = [threading.Thread(target=read, args=(counts,)) for counts in seen]
        for reader in readers:
            reader.start()
        wait_until(lambda: failed or all(counts and len(set(counts)) > 5 for counts in seen))
        stop.set()
        for reader in readers:
            reader.join()
        writer.kill()
    assert not failed
    for counts in seen:
        assert counts == sorted(counts)
    # Upkeep worked meanwhile: there are fewer files than commits.
    table = pl.scan_delta(tmp_path / "darkflows")
    assert table.select(pl.len()).collect().item() >= max(map(max, seen))
