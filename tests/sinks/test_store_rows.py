"""Single rows into the store: bounded by their texts too, counted when lost, never waiting."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from darkflow.sinks import store as module
from darkflow.sinks.arrow import Rows
from darkflow.sinks.columns import Columns
from darkflow.sinks.fields import columns_of
from darkflow.sinks.store import Limits, Store
from darkflow.sinks.stored import scan
from sinks.test_store import wait_until
from storing import columns, feed

DAY = 20_513  # 2026-03-01


def row(number: int, text: str = "x") -> tuple[Any, ...]:
    """One for the table `cut_traces`."""
    filled = {"timestamp": number, "trace": text, "t_ns": number, "timestamp_digits": 9, "day": DAY}
    return tuple(filled.get(column.name) for column in columns_of("cut_traces"))


def test_rows_are_there_after_close(tmp_path: Path) -> None:
    store = Store(str(tmp_path), columns(), Limits(days=36_500))
    rows = store.rows()
    feed(store.write, 7)
    assert all(rows.add("cut_traces", row(number)) for number in range(5))
    store.close()
    assert (store.written, store.dropped) == (12, 0)
    found = scan(str(tmp_path))["cut_traces"].collect().sort("t_ns")
    assert found["t_ns"].to_list() == list(range(5))
    assert found["src_ip"].null_count() == 5


def test_long_texts_count_as_more_rows(tmp_path: Path) -> None:
    store = Store(str(tmp_path), None, Limits(flush_s=1000, rows=100, days=36_500))
    rows = store.rows()
    taken = [rows.add("cut_traces", row(n, "x" * 2500), 2500) for n in range(20)]
    assert taken == [True] * 9 + [False] * 11  # each stands for 1 + 10 rows
    assert rows.add("cut_traces", row(99))
    assert (store.dropped, store.metrics()["store_rows_waiting"]) == (11, 10)
    store.flush_soon()
    wait_until(lambda: store.written == 10)
    # What is on disk makes room for as much again.
    taken = [rows.add("cut_traces", row(n, "x" * 2500), 2500) for n in range(20)]
    assert taken.count(True) == 9
    store.close()
    assert (store.written, store.dropped) == (19, 22)
    assert scan(str(tmp_path))["cut_traces"].collect().height == 19


def test_one_row_always_has_room(tmp_path: Path) -> None:
    store = Store(str(tmp_path), None, Limits(rows=10, days=36_500))
    assert store.rows().add("cut_traces", row(1, "x" * 100_000), 100_000)
    store.close()
    assert store.written == 1


def test_many_rows_are_written_before_the_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FLUSH_ROWS", 50)
    store = Store(str(tmp_path), None, Limits(flush_s=1000, days=36_500))
    rows = store.rows()
    for number in range(49):
        rows.add("cut_traces", row(number))
    assert store.written == 0
    rows.add("cut_traces", row(50))
    wait_until(lambda: store.written == 50)
    for number in range(5):
        rows.add("cut_traces", row(number, "x" * 2500), 2500)
    wait_until(lambda: store.written == 55)
    store.close()


def test_threads_lose_nothing(tmp_path: Path) -> None:
    store = Store(str(tmp_path), None, Limits(flush_s=0.01, days=36_500))
    rows = store.rows()

    def add(thread: int) -> None:
        for number in range(1000):
            assert rows.add("cut_traces", row(thread * 1000 + number))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    assert store.written == 4000
    assert scan(str(tmp_path))["cut_traces"].collect()["t_ns"].n_unique() == 4000


def test_a_row_that_does_not_fit_leaves_no_trace() -> None:
    rows = Rows([("number", "integer"), ("text", "string"), ("flag", "boolean"), ("day", "date")])
    rows.append((1, "é", True, 3))
    wrong: list[tuple[Any, ...]] = [
        (1, "x", True), (1, "x", True, 3, 4), ("1", "x", True, 3), (1, 2, True, 3),
        (1, b"x", True, 3), (1, "x", True, 1 << 70), (1, "\ud800", True, 3), (1.5, "x", True, 3),
    ]  # fmt: skip
    for values in wrong:
        with pytest.raises((TypeError, ValueError, OverflowError)):
            rows.append(values)
    rows.append((None, None, None, None))
    rows.append((-5, "", False, -1))
    assert pl.DataFrame(rows).rows() == [
        (1, "é", True, pl.Series([3]).cast(pl.Date)[0]), (None,) * 4,
        (-5, "", False, pl.Series([-1]).cast(pl.Date)[0]),
    ]  # fmt: skip


def test_rows_beyond_the_first_room_grow() -> None:
    made = Columns.empty("cut_traces")
    for number in range(5000):
        made.append(row(number, f"text {number}"))
    frame = pl.DataFrame(made)
    assert frame["trace"].to_list() == [f"text {number}" for number in range(5000)]
    assert frame["timestamp_digits"].to_list() == [9] * 5000
