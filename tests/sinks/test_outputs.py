"""Outputs together: opened by what their text says, counted apart, closed within a second."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from darkflow.sinks.direct import DirectFile, DirectTarget
from darkflow.sinks.outbox import Outbox
from darkflow.sinks.outputs import CLOSE_S, Outputs
from darkflow.sinks.rotating_file import RotatingFile, Rotation
from darkflow.sinks.stream import Stream
from darkflow.sinks.syslog import Syslog
from outboxes import lines, numbers, wait_for
from sinks.test_rotating_file import records
from sinks.test_syslog import Server

MIB = 1 << 20


def live(said: list[str] | None = None) -> Outputs:
    """With buffers."""
    return Outputs(MIB, Rotation(), True, (said if said is not None else []).append)


def direct() -> Outputs:
    """Without."""
    return Outputs(None, None, False, lambda _: None)


def test_targets_are_told_apart_by_their_text(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    outputs = live()
    kinds = {}
    for text in (str(tmp_path / "file"), str(tmp_path / "pipe"), "udp://127.0.0.1:9", "syslog:/x"):
        box = outputs.events(text)
        assert isinstance(box, Outbox)
        kinds[text.rpartition("/")[2]] = type(box.target)
    assert kinds == {"file": RotatingFile, "pipe": Stream, "127.0.0.1:9": Syslog, "x": Syslog}
    assert outputs.close() == []
    assert isinstance(direct().events(str(tmp_path / "file")), DirectFile)
    server = Server()
    assert isinstance(direct().events(server.text), DirectTarget)
    server.die()


def test_what_cannot_be_opened_is_said_at_the_start(tmp_path: Path) -> None:
    for outputs in (live(), direct()):
        with pytest.raises(FileNotFoundError):
            outputs.events(str(tmp_path / "missing" / "file"))
        with pytest.raises(FileNotFoundError):
            outputs.pcap(str(tmp_path / "missing" / "file"))
        with pytest.raises(ValueError, match="needs host and port"):
            outputs.events("udp://x")
    server = Server()
    server.die()
    with pytest.raises(ConnectionRefusedError):
        direct().events(server.text)
    live().events(server.text).finish()  # who runs for months waits for it


def test_losses_are_counted_for_events_and_frames_apart(tmp_path: Path) -> None:
    outputs = live()
    for name in ("a", "b"):
        os.mkfifo(tmp_path / name)
    events, pcap = outputs.events(str(tmp_path / "a")), outputs.pcap(str(tmp_path / "b"))
    for number in range(5000):
        events.put(lines(number, 1), 1)
        pcap.put(records(number, 100), 100)
    assert outputs.counters()["dropped_events"] > 1000
    assert outputs.counters()["dropped_pcap"] > 100_000
    began = time.monotonic()
    lost = outputs.close()
    # Both readers stall, and both are given up within the same second.
    assert time.monotonic() - began < CLOSE_S + 0.7
    assert ["lines could not" in lost[0], "frames could not" in lost[1]] == [True, True]
    assert outputs.counters()["dropped_events"] + len(_read(tmp_path / "a")) >= 5000


def _read(path: Path) -> list[int]:
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    data = os.read(reader, MIB)
    os.close(reader)
    return numbers(data[: data.rfind(b"\n") + 1])


def test_reopening_says_what_cannot_be_opened_and_reopens_the_others(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    outputs = live()
    one = outputs.events(str(tmp_path / "logs" / "events"))
    outputs.pcap(str(tmp_path / "dark.pcap"))
    (tmp_path / "logs").rename(tmp_path / "moved")
    (tmp_path / "dark.pcap").rename(tmp_path / "dark.old")
    path = tmp_path / "logs" / "events"
    assert outputs.reopen() == [f"cannot reopen events to {path}: No such file or directory"]
    assert (tmp_path / "dark.pcap").exists()
    (tmp_path / "logs").mkdir()
    assert outputs.reopen() == []
    one.put(lines(0, 1), 1)
    wait_for(lambda: path.exists() and path.read_bytes() == lines(0, 1))
    assert outputs.close() == []


def test_a_further_pcap_is_opened_when_its_frames_come(tmp_path: Path) -> None:
    outputs = live()
    outputs.pcap(str(tmp_path / "first"))
    second = outputs.pcap(str(tmp_path / "second"))
    outputs.pcap(str(tmp_path / "other"), "frames of the honeypot")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "other"]
    second.begin(b"HEADER")
    second.put(records(0, 1), 1)
    assert outputs.close() == []
    assert (tmp_path / "second").read_bytes() == b"HEADER" + records(0, 1)


def test_a_second_close_says_nothing_more(tmp_path: Path) -> None:
    outputs = live()
    outputs.events(str(tmp_path / "file")).put(lines(0, 3), 3)
    outputs.begin_close()
    assert outputs.close() == outputs.close() == []
    assert numbers((tmp_path / "file").read_bytes()) == [0, 1, 2]
    assert not outputs.reader_gone
