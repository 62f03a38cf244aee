"""Tables on disk: every batch once, older and newer stores, how large a flow is."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from darkflow.sinks.arrow import Rows
from darkflow.sinks.delta import SCHEMAS, TABLES, Table, Upkeep, stats_rows
from darkflow.sinks.fields import columns_of
from storing import columns, feed


def rows(count: int) -> Rows:
    """So many dark flows in columns."""
    made = columns()
    feed(made.add, count)
    return made.take()["darkflows"]


def read(store: Path, table: str = "darkflows") -> pl.DataFrame:
    """The whole table."""
    return pl.scan_delta(store / table).collect()


@pytest.mark.parametrize("name", TABLES)
def test_a_new_table_is_empty_and_has_its_columns(tmp_path: Path, name: str) -> None:
    Table(tmp_path, name, "run")
    found = read(tmp_path, name)
    assert found.height == 0
    expected = [*SCHEMAS[name]] if name in SCHEMAS else [c.name for c in columns_of(name)]
    assert sorted(found.columns) == sorted(expected)
    assert DeltaTable(tmp_path / name).metadata().partition_columns == ["day"]


def test_a_batch_that_was_tried_again_is_there_once(tmp_path: Path) -> None:
    table, batch = Table(tmp_path, "darkflows", "run"), rows(10)
    table.append(batch, 1)
    table._unsure = True  # as if the try had failed behind its commit
    table.append(batch, 1)
    assert read(tmp_path).height == 10
    table._unsure = True  # as if it had failed before
    table.append(rows(5), 2)
    assert read(tmp_path).height == 15


def test_two_runs_append_side_by_side(tmp_path: Path) -> None:
    one, two = Table(tmp_path, "darkflows", "one"), Table(tmp_path, "darkflows", "two")
    for number in range(1, 4):
        one.append(rows(2), number)
        two.append(rows(3), number)
    assert read(tmp_path).height == 15


def test_an_older_store_gets_the_columns_it_lacks(tmp_path: Path) -> None:
    old = pl.DataFrame(rows(3)).drop("options", "icmp_type", "timestamp_digits")
    write_deltalake(tmp_path / "darkflows", old, partition_by=["day"])
    Table(tmp_path, "darkflows", "run").append(rows(2), 1)
    found = read(tmp_path).sort("t0_ns")
    assert found.height == 5
    assert found["options"].null_count() == found["timestamp_digits"].null_count() == 3
    assert found["src_ip"].null_count() == 0


def test_a_newer_store_keeps_the_columns_that_we_do_not_know(tmp_path: Path) -> None:
    new = pl.DataFrame(rows(3)).with_columns(colour=pl.lit("blue"))
    write_deltalake(tmp_path / "darkflows", new, partition_by=["day"])
    Table(tmp_path, "darkflows", "run").append(rows(2), 1)
    assert read(tmp_path)["colour"].null_count() == 2


def test_stats_take_what_is_known_and_leave_the_rest_null(tmp_path: Path) -> None:
    stats = stats_rows([{"timestamp": 1, "day": 0, "run": "r", "syn": 7, "unheard_of": 3,
                         "reply_delay_ns": [{"le": 5, "count": 6}]}])  # fmt: skip
    Table(tmp_path, "stats", "run").append(stats, 1)
    (found,) = read(tmp_path, "stats").to_dicts()
    assert (found["syn"], found["rst"]) == (7, None)
    assert found["reply_delay_ns"] == [{"le": 5, "count": 6}]


def test_many_small_files_become_one_with_the_same_rows(tmp_path: Path) -> None:
    table = Table(tmp_path, "darkflows", "run")
    for number in range(1, 8):
        table.append(rows(50), number)
    upkeep, before = Upkeep(tmp_path, "darkflows"), read(tmp_path)
    assert (upkeep.compact(7), len(upkeep.files())) == (0, 7)
    assert (upkeep.compact(6), len(upkeep.files())) == (1, 1)
    order = ["t0_ns", "dest_port", "src_port"]
    assert read(tmp_path).sort(order).equals(before.select(read(tmp_path).columns).sort(order))
    assert upkeep.vacuum() == 0  # what was replaced just now may still be being read


def test_a_dark_flow_takes_less_than_60_bytes(tmp_path: Path) -> None:
    Table(tmp_path, "darkflows", "run").append(rows(20_000), 1)
    assert Upkeep(tmp_path, "darkflows").files()["size_bytes"].sum() < 60 * 20_000
