"""Pipes and signals: results as they fall, and what is known when it is stopped."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from running import DARKFLOW
from writers import SECOND_NS, Flow, Pcap, ethernet

PATIENCE_S = 10.0
DARK = Pcap().record(0, ethernet(Flow().syn()))
LATER = Pcap().record(7 * SECOND_NS, ethernet(Flow(orig_port=9).syn()))


@pytest.fixture
def start() -> Iterator[Starter]:
    """Starts `darkflow analyze -` with a pipe for its input; what runs on is killed."""
    starter = Starter()
    yield starter
    for process in starter.processes:
        process.kill()
        process.communicate()


class Starter:
    """Starts programs and remembers them."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []

    def __call__(self, *words: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [DARKFLOW, "analyze", "-", *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.processes.append(process)
        return process


def give(process: subprocess.Popen[bytes], data: bytes) -> None:
    """Write to its input, at once."""
    assert process.stdin is not None
    process.stdin.write(data)
    process.stdin.flush()


def line_of(stream: IO[bytes] | None) -> bytes:
    """The next line, or what has come of it when patience ends."""
    assert stream is not None
    line, until = b"", time.monotonic() + PATIENCE_S
    while not line.endswith(b"\n") and time.monotonic() < until:
        if select.select([stream], [], [], 0.1)[0]:
            piece = os.read(stream.fileno(), 1)
            if not piece:
                break
            line += piece
    return line


def wait_for_line(path: Path) -> None:
    """Until the file has a line: then the program has read and judged what it was given."""
    until = time.monotonic() + PATIENCE_S
    while not (path.exists() and path.read_bytes().endswith(b"\n")):
        assert time.monotonic() < until, "no event came"
        time.sleep(0.02)


def wait_until_it_reads(process: subprocess.Popen[bytes]) -> None:
    """Until it sleeps in read() for a while: its input is what it waits for."""
    until, calm = time.monotonic() + PATIENCE_S, 0
    while calm < 5:
        assert time.monotonic() < until, "it does not wait for input"
        words = Path(f"/proc/{process.pid}/syscall").read_text().split()
        calm = calm + 1 if words[0] == "0" else 0
        time.sleep(0.03)


def test_results_come_as_they_fall(start: Starter) -> None:
    process = start("--events", "-")
    give(process, Pcap().header())
    give(process, DARK[:20])
    give(process, DARK[20:] + LATER)
    line = json.loads(line_of(process.stdout))
    assert (line["event_type"], line["src_port"]) == ("darkflow", 40_000)
    assert process.poll() is None
    later = Pcap().record(14 * SECOND_NS, ethernet(Flow().syn()))
    give(process, later)
    assert json.loads(line_of(process.stdout))["src_port"] == 9
    assert process.poll() is None
    rest, tables = process.communicate(timeout=PATIENCE_S)
    # The flow's later SYN came after its verdict.
    (end,) = [json.loads(text) for text in rest.splitlines()]
    assert (end["event_type"], end["src_port"]) == ("darkflow_end", 40_000)
    assert end["darkflow"]["syn_count"] == 2
    assert b"Connection attempts" in tables
    assert process.returncode == 0


def test_dark_syns_come_as_they_fall(start: Starter) -> None:
    process = start("--dark-pcap", "-")
    give(process, Pcap().header() + DARK + LATER)
    assert process.stdout is not None
    got, until = b"", time.monotonic() + PATIENCE_S
    while len(got) < 24 + len(DARK) and time.monotonic() < until:
        if select.select([process.stdout], [], [], 0.1)[0]:
            got += os.read(process.stdout.fileno(), 4096)
    assert got == Pcap().file([(0, ethernet(Flow().syn()))])
    assert process.poll() is None


def test_a_reader_that_has_gone_away_ends_it_quietly(start: Starter) -> None:
    process = start("--events", "-")
    give(process, Pcap().header() + DARK + LATER)
    assert line_of(process.stdout).startswith(b"{")
    assert process.stdout is not None
    process.stdout.close()
    give(process, Pcap().record(14 * SECOND_NS, b""))
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(PATIENCE_S) == 141


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_a_signal_on_an_idle_pipe_prints_what_is_known(
    start: Starter, tmp_path: Path, number: int, status: int
) -> None:
    events = tmp_path / "events"
    process = start("--json", "--events", str(events), "--dark-pcap", str(tmp_path / "dark"))
    give(process, Pcap().header() + DARK + LATER)
    wait_for_line(events)
    wait_until_it_reads(process)
    process.send_signal(number)
    out, complaints = process.communicate(timeout=PATIENCE_S)
    document = json.loads(out)
    assert (document["packets"], document["dark"], document["undecided"]) == (2, 1, 1)
    assert complaints == b""
    assert process.returncode == status
    assert (tmp_path / "dark").read_bytes() == Pcap().file([(0, ethernet(Flow().syn()))])


def test_ctrl_c_before_anything_came(start: Starter) -> None:
    process = start("--json")
    wait_until_it_reads(process)
    process.send_signal(signal.SIGINT)
    _, complaints = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert complaints == b""


def test_ctrl_c_while_a_file_is_read_keeps_the_counts_whole(tmp_path: Path) -> None:
    one = [(i * 1000, ethernet(Flow(orig_port=i % 60_000).syn(i))) for i in range(20_000)]
    data = Pcap().file(one)
    path = tmp_path / "long.pcap"
    with path.open("wb") as file:
        file.write(data)
        for _ in range(40):
            file.write(data[24:])
    process = subprocess.Popen(
        [DARKFLOW, "analyze", "--json", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    time.sleep(0.25)
    process.send_signal(signal.SIGINT)
    out, complaints = process.communicate(timeout=30)
    # It may have been quicker than the signal, or not have begun.
    if process.returncode == 130 and out:
        document = json.loads(out)
        assert document["packets"] == document["tcp"] + sum(document["undecoded"].values())
        assert document["syn"] == (
            document["attempts"] + document["retransmitted_or_repeated"]
            + document["dropped"]["queue"]
        )  # fmt: skip
    assert b"Traceback" not in complaints
