"""`--adaptive` as a user asks for it: the verdicts come sooner, and what cannot be is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from running import darkflow
from writers import RAW, SECOND_NS, Flow, Pcap

START_NS = 1_772_366_400 * SECOND_NS
QUICKLY = ("--adaptive", "1s", "--adaptive-max-false", "50%", "--adaptive-often", "2",
           "--adaptive-long", "20s", "--adaptive-alive", "60s")  # fmt: skip


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Every 10 s another source asks one address; the last is answered after 2 s."""
    flows = [Flow("198.51.100.1", 1024 + n, "192.0.2.9", 445) for n in range(20)]
    packets = [(START_NS + n * 10 * SECOND_NS, flow.syn()) for n, flow in enumerate(flows)]
    packets.append((packets[-1][0] + 2 * SECOND_NS, flows[-1].answer()))
    packets.append((packets[-1][0] + 99 * SECOND_NS, Flow("198.51.100.3").syn()))
    return Pcap(RAW, nano=True).write(tmp_path_factory.mktemp("adaptive") / "c.pcap", packets)


def test_dark_flows_are_told_sooner_and_what_it_cost(capture: str, tmp_path: Path) -> None:
    lines, plain = tmp_path / "lines", tmp_path / "plain"
    done = darkflow("analyze", capture, "--json", "--events", str(lines), *QUICKLY)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)["adaptive"]
    flows = [json.loads(line) for line in lines.read_text().splitlines()]
    holds = [f["darkflow"]["hold_ns"] for f in flows if f["event_type"] == "darkflow"]
    assert set(holds) == {SECOND_NS, 5 * SECOND_NS}
    assert told["early"] == holds.count(SECOND_NS) == 11
    assert (told["listed"], told["false"], told["unwatched"], told["evicted"]) == (17, 1, 0, 0)
    assert told["hold_ns"] == SECOND_NS
    late = [f for f in flows if f["event_type"] == "late_answer"]
    assert [f["late_answer"]["delay_ns"] for f in late] == [2 * SECOND_NS]
    off = darkflow("analyze", capture, "--json", "--events", str(plain))
    assert "adaptive" not in json.loads(off.stdout)
    assert b"hold_ns" not in plain.read_bytes()


def test_the_store_has_the_hold_and_the_counters(capture: str, tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    assert darkflow("analyze", capture, "--store", store, *QUICKLY).returncode == 0
    asked = "SELECT hold_ns, count(*) AS n FROM darkflows GROUP BY hold_ns ORDER BY hold_ns"
    told = darkflow("query", "--store", store, "--format", "json", asked)
    assert told.returncode == 0, told.stderr
    assert [tuple(row.values()) for row in json.loads(told.stdout)] == [
        (SECOND_NS, 11), (5 * SECOND_NS, 9),
    ]  # fmt: skip
    asked = "SELECT adaptive_early, adaptive_false, adaptive_hold_ns FROM stats"
    told = darkflow("query", "--store", store, "--format", "json", asked)
    assert [*json.loads(told.stdout)[0].values()] == [11, 1, SECOND_NS]


@pytest.mark.parametrize(
    ("command", "more", "said"),
    [
        ("analyze", ("--adaptive", "5s"), "--adaptive: the shortest hold"),
        ("analyze", ("--adaptive", "1s", "--idle", "4s"), "--adaptive needs an --idle"),
        ("analyze", ("--adaptive", "1s", "--adaptive-size", "99999999"), "--adaptive-size"),
        ("analyze", ("--adaptive", "1s", "--adaptive-max-false", "2"), "adaptive-max-false"),
        ("analyze", ("--adaptive", "1s", "--adaptive-often", "9" * 23), "--adaptive-often"),
        ("analyze", ("--adaptive", "1s", "--adaptive-max-false", f"0.{'0' * 19}1%"), "too small"),
        ("sensor", ("--adaptive", "1s", "--workers", "2"), "--adaptive cannot go with --workers"),
    ],
)
def test_what_cannot_be_is_one_line(
    capture: str, command: str, more: tuple[str, ...], said: str
) -> None:
    where = ("-i", "lo") if command == "sensor" else (capture,)
    done = darkflow(command, *where, *more)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
