"""The rows of a store in other forms, and other readers of them: what the store is held up against.

peer_files.py parquet STORE OUT    plain Parquet, from rows that are in memory already; prints
                                   {"cpu_s", "wall_s"} of writing alone
peer_files.py polars FILE SQL      ask plain Parquet; prints the rows as JSON
peer_files.py duckdb FILE SQL      the same with DuckDB
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any


def write_parquet(store: str, out: str) -> dict[str, float]:
    """Write all dark flows of a store to one file, as strongly packed as the store packs them."""
    import polars as pl

    frame = pl.scan_delta(os.path.join(store, "darkflows")).collect()  # noqa: PTH118
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    frame.write_parquet(out, compression="zstd", compression_level=1)
    return {"cpu_s": time.process_time() - began_cpu_s, "wall_s": time.perf_counter() - began_s}


def ask_polars(file: str, sql: str) -> list[dict[str, Any]]:
    """Ask a Parquet file in SQL."""
    import polars as pl

    with pl.SQLContext({"darkflows": pl.scan_parquet(file)}) as context:
        rows: list[dict[str, Any]] = context.execute(sql).lazy().collect().to_dicts()
    return rows


def ask_duckdb(file: str, sql: str) -> list[dict[str, Any]]:
    """Ask a Parquet file in SQL."""
    import duckdb

    duckdb.sql(f"CREATE VIEW darkflows AS SELECT * FROM read_parquet('{file}')")
    found: Any = duckdb.sql(sql)
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


if __name__ == "__main__":
    what, where, last = sys.argv[1:]
    tasks = {"parquet": write_parquet, "polars": ask_polars, "duckdb": ask_duckdb}
    print(json.dumps(tasks[what](where, last), default=str))
