"""`darkflow analyze` against a flood, many limits and its own options; see also test_cli."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flow.test_engine import frame, syn
from running import DARKFLOW, darkflow

SECOND_NS = 1_000_000_000
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "lab.pcap"


def write_pcap(path: Path, packets: list[dict[str, Any]]) -> Path:
    """The oracle's packets as a raw-IP pcap with nanoseconds."""
    records = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 101)]
    for packet in packets:
        data = frame(packet)
        second, fraction = divmod(packet["t_ns"], SECOND_NS)
        records.append(struct.pack("<IIII", second, fraction, len(data), len(data)) + data)
    path.write_bytes(b"".join(records))
    return path


def analyzed(*arguments: str) -> dict[str, Any]:
    """The JSON document."""
    done = darkflow("analyze", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_a_flood_drops_what_the_limits_say_and_the_held_are_judged_right(tmp_path: Path) -> None:
    def flow(number: int) -> tuple[bytes, int, bytes, int]:
        return (number.to_bytes(4, "big"), 1024, b"\x0a\0\0\2", 22)

    packets = [syn(n) | {"flow": flow(n)} for n in range(1000)]
    packets += [syn(2000 + n, kind="syn_ack") | {"flow": flow(n)} for n in range(50)]
    packets += [syn(20 * SECOND_NS, 4)]
    path = write_pcap(tmp_path / "flood.pcap", packets)
    document = analyzed(str(path), "--queue-size", "100", "--flow-table-size", "30")
    assert document["dropped"]["queue"] == 900
    assert (document["answered"], document["dark"]) == (50, 50)
    assert document["dropped"]["table"] == 20
    assert document["undecided"] == 1


def test_hold_and_idle_are_obeyed(tmp_path: Path) -> None:
    packets = [syn(0), syn(2 * SECOND_NS, kind="syn_ack"), syn(40 * SECOND_NS), syn(90 * SECOND_NS)]
    path = str(write_pcap(tmp_path / "some.pcap", packets))
    assert analyzed(path)["answered"] == 1
    early = analyzed(path, "--hold", "1500ms")
    assert (early["answered"], early["late_answers"]) == (0, 1)
    assert analyzed(path)["retransmitted_or_repeated"] == 1
    assert analyzed(path, "--idle", "30")["retransmitted_or_repeated"] == 0


def test_limit_stops_after_so_many_packets() -> None:
    assert analyzed(str(EXAMPLE), "--limit", "100")["packets"] == 100
    assert analyzed(str(EXAMPLE), "--limit", "999999")["packets"] == 3035


def test_top_and_summary_size() -> None:
    document = analyzed(str(EXAMPLE), "--top", "2", "--summary-size", "3")
    assert len(document["top_ports"]) == len(document["top_sources"]) == 2
    assert document["dark_sources"] == 3
    assert document["dropped"]["summary"] > 0
    assert document["dark"] == 1813


def test_reorder_and_clamping_are_counted(tmp_path: Path) -> None:
    packets = [syn(10 * SECOND_NS), syn(8 * SECOND_NS, 4), syn(11 * SECOND_NS, 3)]
    path = str(write_pcap(tmp_path / "disorder.pcap", packets))
    document = analyzed(path)
    assert document["disorder_ns"] == 2 * SECOND_NS
    assert document["dropped"]["clamped"] == 1
    assert analyzed(path, "--reorder", "2s")["dropped"]["clamped"] == 0


@pytest.mark.parametrize("sizes", [("16", "1000000"), ("1", "1")])
def test_little_room_to_reorder_loses_nothing_of_an_ordered_capture(sizes: tuple[str, str]) -> None:
    small = analyzed(str(EXAMPLE), "--reorder-size", sizes[0])
    assert {k: small[k] for k in ("dark", "answered", "refused")} == {
        "dark": 1813, "answered": 84, "refused": 36,
    }  # fmt: skip


# ---- the store ------------------------------------------------------------------------------


def test_several_runs_append_to_a_store(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    for _ in range(2):
        document = analyzed(str(EXAMPLE), "--store", store)
        assert document["dropped"]["store"] == 0
    query = "SELECT run, dark, dropped_store FROM stats"
    found = json.loads(darkflow("query", "--store", store, "--format", "json", query).stdout)
    assert [(row["dark"], row["dropped_store"]) for row in found] == [(1813, 0), (1813, 0)]
    assert len({row["run"] for row in found}) == 2
    query = "SELECT flow_id, COUNT(*) AS n FROM darkflows GROUP BY flow_id"
    found = json.loads(darkflow("query", "--store", store, "--format", "json", query).stdout)
    assert {row["n"] for row in found} == {2}


def test_what_retention_removes_is_said(tmp_path: Path) -> None:
    path = write_pcap(tmp_path / "old.pcap", [syn(0), syn(100 * SECOND_NS, 4)])
    store = str(tmp_path / "store")
    assert darkflow("analyze", str(path), "--store", store).stderr == ""
    done = darkflow("analyze", str(EXAMPLE), "--store", store)
    assert done.returncode == 0
    assert "removed 1 day before" in done.stderr
    assert "--store-days" in done.stderr


def test_a_store_that_cannot_be_made_gets_one_line_and_status_2(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = darkflow("analyze", str(EXAMPLE), "--store", str(tmp_path / "file"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"darkflow: cannot write {tmp_path / 'file'}: File exists\n"


@pytest.mark.parametrize("words", ["--help", "analyze --json FILE", "query --help"])
def test_what_needs_no_store_does_not_load_its_packages(words: str) -> None:
    program = (
        "import sys; from darkflow.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print({'deltalake', 'polars', 'pyarrow'} & set(sys.modules), file=sys.stderr)"
    )
    arguments = words.replace("FILE", str(EXAMPLE)).split()
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stderr == "set()\n"


def test_events_whose_reader_has_gone_are_stored_all_the_same(tmp_path: Path) -> None:
    command = f"{DARKFLOW} analyze {EXAMPLE} --events - --store {tmp_path / 's'} | head -1"
    subprocess.run(["bash", "-c", command], capture_output=True, check=True)
    query = "SELECT COUNT(*) AS n FROM darkflows"
    found = darkflow("query", "--store", str(tmp_path / "s"), "--format", "json", query)
    assert json.loads(found.stdout)[0]["n"] > 0
