"""A store stays within its days and bytes, and in few files."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from darkflow.sinks.delta import TABLES, Table
from darkflow.sinks.housekeeping import Housekeeping

TODAY = date(2026, 3, 10)
NOISE_ROWS = 20_000


def fill(store: Path, days: list[date], files: int = 1) -> None:
    """Some 160 KB of darkflows for each file of each day, spread over the day."""
    tables = {name: Table(store, name, "run") for name in TABLES}
    for at, day in enumerate(days):
        for number in range(files):
            hour = datetime(day.year, day.month, day.day, number, tzinfo=UTC)
            noise = pl.Series(range(NOISE_ROWS)).hash(at * files + number)
            times = [hour + timedelta(milliseconds=i) for i in range(NOISE_ROWS)]
            frame = pl.DataFrame(
                {"timestamp": times, "day": [day] * NOISE_ROWS, "flow_id": noise},
                schema_overrides={"timestamp": pl.Datetime("us", "UTC")},
            ).with_columns(pl.col("flow_id") // 2)
            frame = frame.with_columns(pl.col("flow_id").cast(pl.Int64))
            tables["darkflows"].append(frame, at * files + number + 1)


def days_of(store: Path) -> list[date]:
    """That have rows."""
    frame = pl.scan_delta(store / "darkflows").select(pl.col("day").unique().sort()).collect()
    return frame["day"].to_list()


def keep(store: Path, days: int, size_bytes: int = 1 << 40) -> Housekeeping:
    """Retention at noon of TODAY."""
    housekeeping = Housekeeping(store, days, size_bytes, lambda: TODAY)
    housekeeping.retain()
    return housekeeping


def ago(days: int) -> date:
    """A day in the past."""
    return TODAY - timedelta(days=days)


def test_days_that_are_too_old_go(tmp_path: Path) -> None:
    fill(tmp_path, [ago(30), ago(7), ago(6), TODAY])
    assert list(keep(tmp_path, 7).removed) == [f"2 days before {ago(6)}"]
    assert days_of(tmp_path) == [ago(6), TODAY]
    assert list(keep(tmp_path, 7).removed) == []


def test_captures_of_long_ago_are_kept_by_their_own_days(tmp_path: Path) -> None:
    fill(tmp_path, [ago(3000), ago(2998)])
    keep(tmp_path, 30)
    assert days_of(tmp_path) == [ago(3000), ago(2998)]


def test_a_time_in_the_far_future_does_not_push_out_what_is_real(tmp_path: Path) -> None:
    fill(tmp_path, [TODAY, date(2100, 1, 1)])
    keep(tmp_path, 7)
    assert days_of(tmp_path) == [TODAY, date(2100, 1, 1)]


def test_the_oldest_days_go_when_the_store_is_too_large(tmp_path: Path) -> None:
    fill(tmp_path, [ago(2), ago(1), TODAY])
    (size,) = pl.DataFrame(
        {"s": [sum(f.stat().st_size for f in tmp_path.rglob("day=*/*.parquet"))]}
    )["s"]
    assert list(keep(tmp_path, 30, size).removed) == []
    keep(tmp_path, 30, size - 1000)
    assert days_of(tmp_path) == [ago(1), TODAY]
    keep(tmp_path, 30, size // 3 + 1000)
    assert days_of(tmp_path) == [TODAY]


def test_within_one_day_that_is_too_large_the_oldest_hours_go(tmp_path: Path) -> None:
    fill(tmp_path, [TODAY], files=6)
    size = sum(f.stat().st_size for f in tmp_path.rglob("day=*/*.parquet"))
    housekeeping = keep(tmp_path, 30, size // 2)
    frame = pl.scan_delta(tmp_path / "darkflows").collect()
    hours = set(frame["timestamp"].dt.hour())
    assert 5 in hours
    assert 0 not in hours
    assert frame.height == len(hours) * NOISE_ROWS
    assert len(housekeeping.removed) == 1
    assert housekeeping.tables[0].files()["size_bytes"].sum() <= size // 2


def test_after_midnight_yesterday_loses_hours_and_not_everything(tmp_path: Path) -> None:
    fill(tmp_path, [ago(1)], files=6)
    fill(tmp_path, [TODAY])
    size = sum(f.stat().st_size for f in tmp_path.rglob("day=*/*.parquet"))
    (said,) = keep(tmp_path, 30, size - 1000).removed
    assert said.startswith(f"what was before {ago(1)}T")
    frame = pl.scan_delta(tmp_path / "darkflows").collect()
    rows = dict(frame.group_by("day").len().iter_rows())
    assert rows[TODAY] == NOISE_ROWS
    assert 3 * NOISE_ROWS < rows[ago(1)] < 6 * NOISE_ROWS
    assert 5 in set(frame.filter(pl.col("day") == ago(1))["timestamp"].dt.hour())


def test_a_time_in_the_far_future_does_not_cost_today_its_newest_hours(tmp_path: Path) -> None:
    fill(tmp_path, [TODAY], files=6)
    fill(tmp_path, [date(2100, 1, 1)])
    size = sum(f.stat().st_size for f in tmp_path.rglob("day=*/*.parquet"))
    keep(tmp_path, 30, size // 2)
    frame = pl.scan_delta(tmp_path / "darkflows").filter(pl.col("day") == TODAY).collect()
    hours = set(frame["timestamp"].dt.hour())
    assert 5 in hours
    assert 0 not in hours


@pytest.mark.parametrize("days", [1, 2])
def test_a_clock_that_was_a_day_ahead_costs_nothing_and_keeps_nothing_for_ever(
    tmp_path: Path, days: int
) -> None:
    tomorrow = ago(-1)
    fill(tmp_path, [ago(1), tomorrow])  # a run while the clock was ahead,
    fill(tmp_path, [TODAY])  # and one after it was set back
    assert list(keep(tmp_path, days).removed) == ([f"1 day before {TODAY}"] if days == 1 else [])
    assert days_of(tmp_path)[-2:] == [TODAY, tomorrow]
    # Time goes on; every day is kept for as long as it would have been with a right clock.
    for passed in range(1, days + 2):
        fill(tmp_path, [ago(-passed)])
        now = ago(-passed)
        Housekeeping(tmp_path, days, 1 << 40, lambda now=now: now).retain()  # type: ignore[misc]
        oldest = now - timedelta(days=days - 1)
        assert all(day >= oldest for day in days_of(tmp_path))
        assert (tomorrow in days_of(tmp_path)) == (tomorrow >= oldest)


def test_a_clock_that_has_lost_its_battery_removes_nothing(tmp_path: Path) -> None:
    fill(tmp_path, [ago(1), TODAY])
    housekeeping = Housekeeping(tmp_path, 1, 1 << 40, lambda: date(1970, 1, 1))
    housekeeping.retain()
    assert not housekeeping.removed
    assert days_of(tmp_path) == [ago(1), TODAY]


def test_a_round_leaves_few_files(tmp_path: Path) -> None:
    fill(tmp_path, [TODAY], files=18)
    housekeeping = Housekeeping(tmp_path, 30, 1 << 40, lambda: TODAY)
    housekeeping.round()
    assert len(housekeeping.tables[0].files()) < 5
    assert pl.scan_delta(tmp_path / "darkflows").collect().height == 18 * NOISE_ROWS


def test_an_empty_store_needs_nothing(tmp_path: Path) -> None:
    for name in TABLES:
        Table(tmp_path, name, "run")
    assert list(keep(tmp_path, 1, 1 << 20).removed) == []
