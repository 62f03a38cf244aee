"""What the options ask for, from the command line to alerts at a real server."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from darkflow.commands.detecting import Detecting, target_of, wanted
from darkflow.flow.networks import Networks
from flow.test_scans import batches, sweep
from running import darkflow
from sinks.test_detections import settings_of
from sinks.test_labels import damaged, mmdb
from sinks.test_webhook import serving

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "lab.pcap"
NETWORKS = "203.0.113.0/24,2001:db8:b::/64"


def options(**given: Any) -> argparse.Namespace:
    """With no outputs."""
    return argparse.Namespace(**({"events": None, "store": None} | given))


@pytest.mark.parametrize(
    ("given", "changed", "told"),
    [
        ({}, {}, False), ({"events": ["x"]}, {}, True), ({"store": "x"}, {}, True),
        ({}, {"alert": ("syslog:/dev/log",)}, True), ({}, {"scans": "yes"}, True),
        ({"events": ["x"], "store": "x"}, {"scans": "no"}, False),
    ],
)  # fmt: skip
def test_scans_are_told_where_they_can_be_written(
    given: dict[str, Any], changed: dict[str, Any], told: bool
) -> None:
    assert wanted(options(**given), settings_of(**changed)) is told


def test_targets_of_alerts() -> None:
    assert target_of("https://hooks.example.net/secret").name == (
        "alerts to https://hooks.example.net:443"
    )
    assert target_of("udp://192.0.2.1:514").name == "alerts to udp://192.0.2.1:514"
    with pytest.raises(ValueError, match="is no target of alerts"):
        target_of("/var/log/alerts")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--digest", "1h"), "--digest needs --alert"),
        (("--alert", "http://127.0.0.1:9/", "--scans", "no"), "--alert needs --scans"),
        (("--alert", "nowhere"), "'nowhere' is no target of alerts"),
        (("--known", "gone"), "cannot read gone: No such file"),
        (("--geoip", "gone"), "cannot read gone: No such file"),
        (("--scans", "maybe"), "'maybe' is none of yes, no, auto"),
        (("--scan-targets", "129"), "'129' is more than 128"),
    ],
)
def test_what_cannot_be_is_one_line_and_status_2(arguments: tuple[str, ...], why: str) -> None:
    done = darkflow("analyze", str(EXAMPLE), *arguments)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert why in done.stderr


def test_the_lab_s_scans_reach_files_store_and_server(tmp_path: Path) -> None:
    events, known = tmp_path / "events.jsonl", tmp_path / "known"
    known.write_text("198.51.100.40 Example Research\n")
    geoip = mmdb(tmp_path / "g.mmdb", {"198.51.100.0/24": {"country": {"iso_code": "JP"}}})
    with serving() as server:
        done = darkflow(
            "analyze", str(EXAMPLE), "--networks", NETWORKS, "--json", "--events", str(events),
            "--store", str(tmp_path / "store"), "--known", str(known), "--geoip", geoip,
            "--store-days", "36500",
            "--alert", f"http://127.0.0.1:{server.port}/", "--alert-rate", "4", "--digest", "1h",
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    scans = [e for e in map(json.loads, events.read_text().splitlines()) if "scan" in e]
    assert [e["scan"]["state"] for e in scans] == ["begin"] * 7 + ["end"] * 7
    by_source = {e["src_ip"]: e["scan"] for e in scans}
    assert by_source["198.51.100.40"]["known"] == "Example Research"
    assert {by_source[f"198.51.100.{n}"]["country"] for n in (20, 30, 40, 50)} == {"JP"}
    kinds = [document["kind"] for document in server.documents]
    assert kinds == ["scan", "scan", "scan", "inside", "digest"]
    assert "Research" not in json.dumps(server.documents)
    digest = server.documents[-1]
    assert digest["scans"] == {"address_scan": 7, "port_scan": 0, "random_scan": 0}
    assert digest["alerts"] == {"sent": 4, "repeated": 0, "suppressed": 3}
    document = json.loads(done.stdout)
    (inside,) = document["inside_sources"]
    assert (inside["src_ip"], inside["flows"], inside["targets"]) == ("203.0.113.66", 30, 30)
    assert 0 < inside["last_ns"] - inside["first_ns"] < 5_000_000_000
    assert document["top_sources"][3]["known"] == "Example Research"
    sql = "SELECT src_ip, flows FROM scans WHERE state = 'end' ORDER BY flows DESC LIMIT 1"
    rows = darkflow("query", "--store", str(tmp_path / "store"), "--format", "csv", sql)
    assert rows.stdout == "src_ip,flows\n198.51.100.30,512\n"


def test_geoip_that_cannot_say_all_ends_nothing(tmp_path: Path) -> None:
    only4 = mmdb(tmp_path / "4.mmdb", {"198.51.100.0/24": {"country": {"iso_code": "JP"}}}, 4)
    broken, events = damaged(tmp_path / "broken.mmdb"), tmp_path / "events.jsonl"
    done = darkflow("analyze", str(EXAMPLE), "--json", "--events", str(events),
                    "--geoip", f"{only4},{broken}")  # fmt: skip
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"{broken} is damaged" in line
    told = {e["src_ip"]: e["scan"]["country"]
            for e in map(json.loads, events.read_text().splitlines()) if "scan" in e}  # fmt: skip
    assert (told["198.51.100.20"], told["2001:db8:a::20"]) == ("JP", None)
    top = {s["src_ip"]: s["country"] for s in json.loads(done.stdout)["top_sources"]}
    assert (top["198.51.100.20"], top["2001:db8:a::20"]) == ("JP", None)


def test_a_sensor_says_a_damaged_file_once_and_counts(tmp_path: Path) -> None:
    broken, said = damaged(tmp_path / "broken.mmdb"), list[str]()
    detecting = Detecting(settings_of(geoip=(broken,)), Networks.everything(), bytes(16), [], None,
                          said.append)  # fmt: skip
    sink = detecting.sink()
    for events in batches(sweep(b"\xc6\x33\x64\x01", 30)):
        sink.write(events)
        detecting.look()
    assert len(said) == 1
    sink.close()
    detecting.begin_close()
    (line,) = said
    assert line.startswith(f"{broken} is damaged: ")
    assert detecting.counters()["dropped_labels"] == 2


def test_sources_inside_come_first_in_the_tables() -> None:
    done = darkflow("analyze", str(EXAMPLE), "--networks", NETWORKS)
    assert done.stdout.lstrip().startswith("Sources inside: likely infected")
    assert "203.0.113.66      30       1        30   2026-11-23 00:13" in done.stdout
    without = darkflow("analyze", str(EXAMPLE))
    assert "Sources inside" not in without.stdout


def test_alerts_that_cannot_be_delivered_are_said() -> None:
    with serving() as server:
        port = server.port
    done = darkflow("analyze", str(EXAMPLE), "--alert", f"http://127.0.0.1:{port}/secret")
    assert done.returncode == 1
    assert f"alerts to http://127.0.0.1:{port}: " in done.stderr
    assert "could not be written: Connection refused" in done.stderr
    assert "secret" not in done.stderr


# Source: tool, ports, dark targets. Each scanner's run is one scan; the last is a worm's.
RUNS = {
    "198.51.100.20": ("nmap", 4, 92), "198.51.100.30": ("masscan", 2, 251),
    "198.51.100.40": ("zmap", 1, 251), "198.51.100.50": ("hping3", 1, 91),
    "2001:db8:a::20": ("nmap", 2, 68), "2001:db8:a::30": ("masscan", 2, 60),
    "203.0.113.66": (None, 1, 30),
}  # fmt: skip


def test_each_run_of_the_lab_is_one_scan(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    assert darkflow("analyze", "--events", str(events), str(EXAMPLE)).returncode == 0
    told = [json.loads(line) for line in events.read_text().splitlines()]
    scans = [one for one in told if one["event_type"] == "scan"]
    for state in ("begin", "end"):
        sources = [one["src_ip"] for one in scans if one["scan"]["state"] == state]
        assert sorted(sources) == sorted(RUNS)
    for one in scans:
        source, scan = one["src_ip"], one["scan"]
        assert (scan["kind"], scan["tool"]) == ("address_scan", RUNS[source][0])
        if scan["state"] == "end":
            # Counted anew from the dark flows themselves.
            mine = [d for d in told if d["event_type"] == "darkflow" and d["src_ip"] == source]
            dark = {d["dest_ip"] for d in mine}
            assert (scan["ports"], scan["dark_targets"]) == RUNS[source][1:]
            assert len(mine) <= scan["flows"]
            assert scan["dark_targets"] == len(dark)
