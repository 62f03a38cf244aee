"""The store: how fast dark flows go into it, how fast a day of them answers."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from process import Command, Figure, Sample, darkflow, in_turn, python, run_step
from report import COSTS, MIB, Result, Table, at_least, at_most, costs, count

if TYPE_CHECKING:
    from measures import Bench

PEER = str(Path(__file__).resolve().parent / "peer_files.py")
DAY_FLOWS = 5_000_000
RATE_BOUND, QUERY_BOUND_S = 200_000, 1.0
PORT, SOURCE = 23, "45.0.17.23"
# In all dialects; what comes out has one order only.
QUERIES = {
    "flows by port": "SELECT dest_port, COUNT(*) AS flows FROM darkflows GROUP BY dest_port"
    " ORDER BY flows DESC, dest_port LIMIT 20",
    "flows and sources by port": "SELECT dest_port, COUNT(*) AS flows, COUNT(DISTINCT src_ip) AS"
    " sources FROM darkflows GROUP BY dest_port ORDER BY flows DESC, dest_port LIMIT 20",
    "flows by source": "SELECT src_ip, COUNT(*) AS flows FROM darkflows GROUP BY src_ip"
    " ORDER BY flows DESC, src_ip LIMIT 20",
    "all of one source": "SELECT t0_ns, dest_ip, dest_port FROM darkflows"
    f" WHERE src_ip = '{SOURCE}' ORDER BY t0_ns",
    "how many to one port": f"SELECT COUNT(*) AS flows FROM darkflows WHERE dest_port = {PORT}",
}  # fmt: skip
# The same from packed lines, where one can ask for it so.
GREPS = {
    "all of one source": f'grep -F \'"src_ip":"{SOURCE}"\'',
    "how many to one port": f"grep -cF '\"dest_port\":{PORT},'",
}


def _shell(line: str) -> tuple[str, ...]:
    return ("sh", "-c", line)


def _folder_bytes(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


class Day:
    """A day of dark flows, in a store and in the forms that it is compared with."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.flows = bench.size(DAY_FLOWS)
        self.capture = bench.captures.get("day", self.flows)
        self.store = bench.work / "store"
        self.lines = bench.work / "events.jsonl.zst"
        self.parquet = bench.work / "plain.parquet"

    @property
    def writers(self) -> list[Command]:
        """The same run without an output, into the store, and as packed lines."""
        analyze = darkflow("analyze", "--json")
        into = ("--store", str(self.store), "--store-days", "36500", str(self.capture))
        lines = shlex.join(darkflow("analyze", "--events", "-", str(self.capture)))
        packed = f"{lines} 2>/dev/null | zstd -q -1 -f -o {shlex.quote(str(self.lines))}"
        return [
            Command("analyze --json", ((*analyze, str(self.capture)),)),
            Command("analyze --store", (("rm", "-rf", str(self.store)), (*analyze, *into))),
            Command("analyze --events, zstd -1", (_shell(packed),)),
        ]

    def check(self) -> None:
        """RuntimeError if a row is missing."""
        (found,) = self.ask("SELECT COUNT(*) AS flows FROM darkflows")
        if found["flows"] != self.flows:
            raise RuntimeError(f"{found['flows']} rows in the store for {self.flows} dark flows")

    def ask(self, sql: str) -> list[dict[str, Any]]:
        """What `darkflow query` says."""
        out = self.bench.work / "rows.json"
        run_step(self.query(sql, "json"), self.bench.work, out)
        rows: list[dict[str, Any]] = json.loads(out.read_text())
        return rows

    def query(self, sql: str, form: str = "table") -> tuple[str, ...]:
        """The command that asks the store."""
        return darkflow("query", "--store", str(self.store), "--format", form, sql)

    def write_parquet(self) -> Sample:
        """What writing the store's rows as one plain file costs, without reading them."""
        out = self.bench.work / "parquet.json"
        argv = python(PEER, "parquet", str(self.store), str(self.parquet))
        peak_bytes = run_step(argv, self.bench.work, out).peak_bytes
        told = json.loads(out.read_text())
        return Sample(told["cpu_s"], told["wall_s"], peak_bytes)

    def remove(self) -> None:
        """Give the disk back."""
        run_step(
            ("rm", "-rf", str(self.store), str(self.lines), str(self.parquet)), self.bench.work
        )


def store(bench: Bench) -> Result:
    """Writing a day of dark flows, and asking for it."""
    day = Day(bench)
    try:
        written = writing(day)
        asked = asking(day)
    finally:
        day.remove()
    return Result([*written.tables, *asked.tables], [*written.aims, *asked.aims])


def writing(day: Day) -> Result:
    """Into the store, beside packed lines and plain Parquet."""
    runs = day.bench.slow_runs
    samples = in_turn(day.writers, runs, day.bench.work)
    day.check()
    plain = [day.write_parquet() for _ in range(runs)]
    title = f"{count(day.flows)} dark flows into a store"
    table = Table(title, ("command", *COSTS, "dark flows/s", "output MiB"))
    outputs = {"analyze --store": day.store, "analyze --events, zstd -1": day.lines}
    for name, cost in samples.items():
        wall = Figure.of([sample.wall_s for sample in cost])
        size = f"{_folder_bytes(outputs[name]) / MIB:.0f}" if name in outputs else ""
        table.rows.append((name, *costs(cost), f"{day.flows / wall.median:,.0f}", size))
    size = f"{_folder_bytes(day.parquet) / MIB:.0f}"
    wall = Figure.of([sample.wall_s for sample in plain])
    rate = f"{day.flows / wall.median:,.0f}"
    table.rows.append(("polars, writing plain Parquet alone", *costs(plain), rate, size))
    wall = Figure.of([sample.wall_s for sample in samples["analyze --store"]])
    rate_aim = at_least(
        f"{count(day.flows)} dark flows into a store, flows/s", day.flows / wall.median, RATE_BOUND,
        digits=0,
    )  # fmt: skip
    return Result([table], [rate_aim])


def asking(day: Day) -> Result:
    """Each query as a whole process, beside other readers of the same rows."""
    has_duckdb = _has_duckdb()
    header = ("query", "darkflow query", "peak MiB", "polars on plain Parquet", "DuckDB on it",
              "zstdcat and grep")  # fmt: skip
    table = Table(f"A day of {count(day.flows)} dark flows answers, wall s", header)
    result = Result([table])
    readers = ["polars", *(["duckdb"] if has_duckdb else [])]
    for name, sql in QUERIES.items():
        commands = [Command("darkflow", (day.query(sql),))]
        for reader in readers:
            argv = python(PEER, reader, str(day.parquet), sql)
            _need_equal(day, name, argv)
            commands.append(Command(reader, (argv,)))
        if name in GREPS:
            lines = shlex.quote(str(day.lines))
            # Nothing found is no failure.
            line = f"zstd -dcq {lines} | {{ {GREPS[name]}; test $? -le 1; }}"
            commands.append(Command("grep", (_shell(line),)))
        samples = in_turn(commands, day.bench.slow_runs, day.bench.work)
        ours = costs(samples["darkflow"])
        row = [name, ours[1], ours[2]]
        for peer in ("polars", "duckdb", "grep"):
            row.append(costs(samples[peer])[1] if peer in samples else _absent(peer, has_duckdb))
        table.rows.append(row)
        wall = Figure.of([sample.wall_s for sample in samples["darkflow"]])
        title = f"darkflow query, {name}, a day of {count(day.flows)}"
        result.aims.append(at_most(title, wall.median, QUERY_BOUND_S, " s"))
    return result


def _absent(peer: str, has_duckdb: bool) -> str:
    return "not installed" if peer == "duckdb" and not has_duckdb else ""


def _has_duckdb() -> bool:
    probe = python("-c", "import duckdb")
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def _need_equal(day: Day, name: str, argv: tuple[str, ...]) -> None:
    """RuntimeError if another reader says something else: then one of them is wrong."""
    out = day.bench.work / "peer.json"
    run_step(argv, day.bench.work, out)
    if json.loads(out.read_text()) != day.ask(QUERIES[name]):
        raise RuntimeError(f"{argv[2]} does not say what darkflow query says of {name}")
