"""`darkflow tune` as a user runs it, from captures and from the store of the same traffic."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from darkflow import cli
from reporting import frame, histogram, stats_row
from running import darkflow
from writers import RAW, SECOND_NS, Flow, Pcap

QUICK, SLOW = "192.0.2.0/25", "192.0.2.128/25"
WATCHED = f"{QUICK},{SLOW}"
START_NS = 1_772_366_400 * SECOND_NS
ANSWERED = 600


def traffic() -> list[tuple[int, bytes]]:
    """600 attempts to each of two networks, two of the slow one's answers after 4 s; dark flows
    that resend at 1, 3, 7 and 15 s; after them a minute of silence and one more SYN."""
    packets = []
    for n in range(ANSWERED):
        t_ns = START_NS + n * 10_000_000
        for base, delay_ns in ((1, 2_000_000), (129, 4_000_000_000 if n in (7, 9) else 1_000_000)):
            flow = Flow("198.51.100.1", 1024 + n, f"192.0.2.{base}", 80)
            packets += [(t_ns, flow.syn()), (t_ns + delay_ns, flow.answer())]
    for n in range(10):
        for again in (0, 1, 3, 7, 15) if n < 4 else (0,):
            flow = Flow("198.51.100.2", 1024 + n, "192.0.2.9", 445)
            packets.append((START_NS + again * SECOND_NS, flow.syn()))
    packets.append((START_NS + 99 * SECOND_NS, Flow("198.51.100.3").syn()))
    return sorted(packets)


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> str:
    """That traffic."""
    return Pcap(RAW, nano=True).write(tmp_path_factory.mktemp("tune") / "some.pcap", traffic())


@pytest.fixture(scope="module")
def store(capture: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same, stored as a sensor with T = 2 s does."""
    path = str(tmp_path_factory.mktemp("store") / "store")
    done = darkflow("analyze", capture, "--networks", WATCHED, "-T", "2s", "--store", path)
    assert (done.returncode, done.stderr) == (0, "")
    return path


def stored(
    capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[dict[str, dict[str, Any]], str]:
    """The documents about a store by network, and what is said on stderr; in this process."""
    assert cli.main(["tune", "--json", "--bound", "0.9%", "--store", *arguments]) == 0
    out, err = capsys.readouterr()
    return {document["network"]: document for document in json.loads(out)["networks"]}, err


def tuned(*arguments: str) -> dict[str, dict[str, Any]]:
    """The documents about a capture by network."""
    done = darkflow("tune", "--json", "--bound", "0.9%", *arguments)
    assert done.returncode == 0, done.stderr
    return {document["network"]: document for document in json.loads(done.stdout)["networks"]}


def test_each_network_has_its_own_t(capture: str) -> None:
    found = tuned(capture, "--networks", WATCHED)
    assert found[QUICK]["hold_ns"] == 100_000_000
    # Two of 600 after 3 s: at most 1.2%; none after 4 s: at most 0.5%.
    assert found[SLOW]["hold_ns"] == 4_000_000_000
    rows = {row["hold_ns"]: row for row in found[SLOW]["candidates"]}
    assert rows[3_000_000_000]["later"] == 2
    assert rows[3_000_000_000]["false_dark_high"] == pytest.approx(0.01199, abs=1e-4)
    assert rows[4_000_000_000]["later"] == 0
    assert found[SLOW]["why"].startswith("4s: of 600 answered attempts 0 came later")
    assert found[SLOW]["reply_delay_ns"] == {
        "p50": 1_000_000, "p99": 1_000_000, "max": 4_000_000_000,
    }  # fmt: skip


def test_clients_that_wait(capture: str, store: str, capsys: pytest.CaptureFixture[str]) -> None:
    of_files = tuned(capture, "--networks", WATCHED)
    for found in (of_files, stored(capsys, store, "--networks", WATCHED)[0]):
        document = found[QUICK]
        assert (document["dark"], document["resent"]) == (10, 4)
        waiting = {row["hold_ns"] // 10**8: row["waiting"] for row in document["candidates"]}
        assert (waiting[60], waiting[100], waiting[150], waiting[200]) == (4, 4, 0, 0)


def test_the_store_says_the_same_beyond_its_own_t(
    capture: str, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    of_files = tuned(capture, "--networks", WATCHED)
    of_store, said = stored(capsys, store, "--networks", WATCHED)
    assert said == ""
    for network in (QUICK, SLOW):
        assert of_store[network]["answers"] == of_files[network]["answers"] == ANSWERED
        assert of_store[network]["hold_ns"] == of_files[network]["hold_ns"]
        # What the store's T called dark and was answered later counts as answered alone.
        assert of_store[network]["dark"] == of_files[network]["dark"]
        for one, other in zip(
            of_store[network]["candidates"], of_files[network]["candidates"], strict=True
        ):
            assert (one["hold_ns"], one["later"]) == (other["hold_ns"], other["later"])


def test_a_store_without_answers_falls_back_to_its_histograms(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "old"
    shutil.copytree(store, old)
    shutil.rmtree(old / "answered")
    found, said = stored(capsys, str(old))
    assert "all delays of its table stats are taken together" in said
    (document,) = found.values()
    assert document["answers"] == 2 * ANSWERED
    later = {row["hold_ns"] // 10**9: row["later"] for row in document["candidates"]}
    assert (later[3], later[4]) == (2, 0)
    found, said = stored(capsys, str(old), "--networks", WATCHED)
    assert "the store does not know who answered" in said
    assert [document["answers"] for document in found.values()] == [0, 0]


def test_histograms_count_from_since_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        stats_row("goes on", 60 * at, reply_delay_ns=histogram((100_000_000, 1000 * at)),
                  late_answer_delay_ns=histogram((7_000_000_000, at)))
        for at in range(1, 6)
    ] + [stats_row("ended", 30, reply_delay_ns=histogram((100_000_000, 5)))]  # fmt: skip
    frame("stats", rows).collect().write_delta(
        tmp_path / "stats", delta_write_options={"partition_by": ["day"]}
    )
    for since, answers in (("2026-03-01T11:00:00Z", 5010), ("2026-03-01T12:03:30Z", 2002)):
        (document,) = stored(capsys, str(tmp_path), "--since", since)[0].values()
        assert document["answers"] == answers
        assert document["candidates"][0]["later"] == answers // 1000


def test_what_was_watched_for_too_short_is_left_out_and_said(tmp_path: Path) -> None:
    packets = [p for p in traffic() if p[0] < START_NS + 20 * SECOND_NS]
    path = Pcap(RAW, nano=True).write(tmp_path / "short.pcap", packets)
    done = darkflow("tune", path)
    assert done.returncode == 0
    assert "1200 answered attempts of the last 30s are left out" in done.stderr
    assert "needs 29,958 more answered attempts (of 0 now)" in done.stdout
    found = tuned(path, "--longest", "8s", "--networks", WATCHED)
    assert found[SLOW]["answers"] == ANSWERED
    assert [row["hold_ns"] for row in found[SLOW]["candidates"]][-1] == 8_000_000_000


def test_text_for_people(capture: str) -> None:
    done = darkflow("tune", capture, "--networks", WATCHED, "--bound", "0.9%")
    assert done.returncode == 0
    assert f"{SLOW}: -T 4s\n4s: of 600 answered attempts" in done.stdout
    starred = [line.split()[:3] for line in done.stdout.splitlines() if line.startswith("* ")]
    assert starred == [["*", "0.1s", "0"], ["*", "4s", "0"]]
    assert f"{QUICK}: no T yet" in darkflow("tune", capture, "--networks", QUICK).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to read"),
        (["x", "--bound", "2"], "--bound: '2' is no share between 0 and 1"),
        (["x", "--longest", "50ms"], "--longest: at least 0.1s"),
        (["--store", "/nowhere"], "no store in /nowhere"),
    ],
)
def test_wrong_usage_gets_one_line_and_status_2(arguments: list[str], said: str) -> None:
    done = darkflow("tune", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr.splitlines()[-1]
