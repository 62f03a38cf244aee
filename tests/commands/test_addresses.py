"""`darkflow addresses` as a user runs it, from captures and from the store of the same traffic."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from darkflow import cli
from running import darkflow
from writers import RAW, SECOND_NS, Flow, Pcap

START_NS = 1_772_366_400 * SECOND_NS
WATCHED = "192.0.2.0/29,2001:db8::/64"


def hours() -> list[tuple[int, bytes]]:
    """Three sources ask all of 192.0.2.0/29 for a day; .5 answers at 80, refuses at 23."""
    packets = []
    for hour in range(24):
        for last in range(8):
            for port in (22, 23, 80):
                flow = Flow(f"198.51.100.{hour % 3}", 1024 + hour, f"192.0.2.{last}", port)
                t_ns = START_NS + hour * 3600 * SECOND_NS + last * 1000 + port
                packets.append((t_ns, flow.syn()))
                if (last, port) == (5, 80):
                    packets.append((t_ns + 400_000_000, flow.answer()))
                if (last, port) == (5, 23):
                    packets.append((t_ns + 1000, flow.reset()))
        six = Flow("2001:db8:9::1", 1024 + hour, "2001:db8::7", 443)
        packets.append((START_NS + hour * 3600 * SECOND_NS, six.syn()))
    packets.append((packets[-1][0] + 60 * SECOND_NS, Flow(resp="203.0.113.9").syn()))
    return sorted(packets)


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The capture of that day."""
    return Pcap(RAW, nano=True).write(tmp_path_factory.mktemp("day") / "day.pcap", hours())


@pytest.fixture(scope="module")
def store(capture: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same day, stored."""
    path = str(tmp_path_factory.mktemp("store") / "store")
    done = darkflow("analyze", capture, "--networks", WATCHED, "--store", path, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return path


def stored(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[dict[str, Any], str]:
    """The JSON document about a store and what is said on stderr; in this process, which is
    quicker."""
    assert cli.main(["addresses", "--format", "json", "--store", *arguments]) == 0
    out, err = capsys.readouterr()
    return json.loads(out), err


def listed(*arguments: str) -> dict[str, Any]:
    """The JSON document about a capture."""
    done = darkflow("addresses", "--format", "json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_blocks_then_silent_ports(capture: str) -> None:
    document = listed(capture, "--networks", WATCHED)
    rows = document["unused"]
    assert [(row["block"], row["port"], row["addresses"]) for row in rows] == [
        ("192.0.2.0/30", None, 4), ("192.0.2.4", None, 1), ("192.0.2.6/31", None, 2),
        ("2001:db8::7", None, 1), ("192.0.2.5", 22, 1),
    ]  # fmt: skip
    assert [row["sources"] for row in rows] == [3, 3, 3, 1, 3]
    assert [row["attempts"] for row in rows] == [4 * 72, 72, 2 * 72, 24, 24]
    # Three sources and 23 hours: 1 - 1/8; one source: 1/2.
    assert [round(row["sure"], 3) for row in rows] == [0.875, 0.875, 0.875, 0.5, 0.875]


def test_the_store_says_the_same(
    capture: str, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for which in ("--unused", "--used"):
        of_files = listed(which, capture, "--networks", WATCHED)
        of_store, said = stored(capsys, store, which)
        assert said == ""
        key = which.removeprefix("--")
        for row in (*of_files[key], *of_store[key]):
            # A capture ends with its last packet, a store with its last row.
            row.pop("sure", None)
        assert of_store[key] == of_files[key]
        assert len(of_store[key]) == (5 if key == "unused" else 2)
    row = of_store["used"][0]
    assert (row["address"], row["port"], row["state"]) == ("192.0.2.5", 23, "closed")


def test_networks_and_since_narrow_a_store(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = stored(capsys, store, "--networks", "192.0.2.4/30")[0]["unused"]
    assert [row["block"] for row in rows] == ["192.0.2.4", "192.0.2.6/31", "192.0.2.5"]
    document, said = stored(capsys, store, "--since", "2026-03-02T00:00:00Z")
    assert document["unused"][0]["attempts"] == 4 * 3 * 12
    assert [row["block"] for row in document["unused"]][-1] == "192.0.2.5"
    assert said == ""
    assert stored(capsys, store, "--since", "2027-01-01")[0]["unused"] == []


def test_a_store_that_does_not_know_who_answered_says_so(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "old"
    shutil.copytree(store, old)
    shutil.rmtree(old / "answered")
    document, said = stored(capsys, str(old))
    assert "the store knows who answers not at all, but dark flows from 2026-03-01T" in said
    assert "hosts that answered before look unused" in said
    assert document["unused"][-1]["block"] == "2001:db8::7"


def test_the_firewalls_list_and_the_least_sure(capture: str, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked.txt"
    blocked.write_text("192.0.2.4\n192.0.2.6/31\n192.0.2.5:22\n")
    document = listed(capture, "--networks", WATCHED, "--blocked", str(blocked), "--sure", "90%")
    assert [(r["block"], r["port"], r["blocked"]) for r in document["unused"]] == [
        ("192.0.2.4", None, True), ("192.0.2.6/31", None, True), ("192.0.2.5", 22, True),
    ]  # fmt: skip
    blocked.write_text("192.0.2.4\nrubbish\n")
    done = darkflow("addresses", capture, "--blocked", str(blocked))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--blocked {blocked}: line 2: 'rubbish' is not understood" in done.stderr


def test_table_and_csv(capture: str) -> None:
    done = darkflow("addresses", capture, "--networks", WATCHED)
    lines = done.stdout.splitlines()
    assert lines[0].split()[:4] == ["block", "port", "addresses", "sure"]
    assert lines[2].split()[:4] == ["192.0.2.0/30", "all", "4", "87.4%"]
    done = darkflow("addresses", "--used", capture, "--networks", WATCHED, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(r["address"], r["port"], r["state"], r["answered"]) for r in rows] == [
        ("192.0.2.5", "23", "closed", "0"), ("192.0.2.5", "80", "open", "24"),
    ]  # fmt: skip


def test_a_short_capture_says_that_it_is_short(tmp_path: Path) -> None:
    path = Pcap(RAW).write(
        tmp_path / "short.pcap",
        [(0, Flow().syn()), (SECOND_NS, Flow(orig_port=2).syn()), (9 * SECOND_NS, Flow().syn())],
    )
    done = darkflow("addresses", path)
    assert done.returncode == 0
    assert "only 9 s were looked at: nothing can be sure after so short a time" in done.stderr


@pytest.mark.parametrize("command", ["addresses", "tune"])
def test_what_found_the_flow_table_full_is_said(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Each is dark after T (5 s, and --longest of tune), and answered a second later.
    hold_s = 5 if command == "addresses" else 30
    packets = []
    for n in range(40):
        flow = Flow(orig_port=1024 + n, resp=f"192.0.2.{n}")
        packets += [(n, flow.syn()), ((hold_s + 1) * SECOND_NS + n, flow.answer())]
    packets.append((99 * SECOND_NS, Flow(orig_port=9).syn()))
    path = Pcap(RAW, nano=True).write(tmp_path / "late.pcap", sorted(packets))
    assert cli.main([command, path]) == 0
    assert "flow table" not in capsys.readouterr().err
    line = (
        "darkflow: 32 dark flows had no room in the flow table: their late answers were not seen"
        " (raise --flow-table-size)\n"
    )
    assert cli.main([command, path, "--flow-table-size", "8"]) == 0
    assert line in capsys.readouterr().err
    store, hold = str(tmp_path / "store"), f"{hold_s}s"
    words = ["analyze", path, "-T", hold, "--flow-table-size", "8", "--store", store]
    assert cli.main([*words, "--store-days", "36500"]) == 0
    capsys.readouterr()
    assert cli.main([command, "--store", store]) == 0
    assert line in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to read: give captures, or a store with --store DIR"),
        (["x.pcap", "--store", "y"], "give captures or --store DIR, not both"),
        (["-", "-"], "standard input (-) can be read only once"),
        (["x", "--sure", "2"], "--sure: '2' is not from 0 to 1"),
        (["x", "--blocked", "/nowhere"], "cannot read /nowhere: No such file"),
        (["--store", "/nowhere"], "no store in /nowhere"),
        (["/nowhere.pcap"], "none of the captures could be read"),
        (["x", "--settle", "0"], "--settle: '0' is too short"),
        (["x", "--used", "--unused"], "not allowed with argument"),
    ],
)
def test_wrong_usage_gets_one_line_and_status_2(arguments: list[str], said: str) -> None:
    done = darkflow("addresses", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr.splitlines()[-1]


def test_settings_come_from_a_file(capture: str, tmp_path: Path) -> None:
    config = tmp_path / "darkflow.toml"
    config.write_text(f'networks = {json.dumps(WATCHED.split(","))}\n[addresses]\nsettle = "24h"\n')
    rows = listed(capture, "--config", str(config))["unused"]
    assert rows[0]["sure"] == pytest.approx(0.875 * (1 - 2 ** -(23 / 24)), abs=1e-3)
