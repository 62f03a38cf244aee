"""What is written at once: it waits for a slow reader and raises what goes wrong."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from darkflow.sinks.direct import DirectFile, DirectTarget
from outboxes import lines
from sinks.test_syslog import Server, target


def test_a_file_is_made_anew_and_flushed_when_that_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"of a run before")
    prompt = DirectFile(str(path), prompt=True)
    prompt.begin(b"HEADER")
    prompt.put(b"line\n", 1)
    assert path.read_bytes() == b"HEADERline\n"
    prompt.finish()
    late = DirectFile(str(path), prompt=False)
    late.put(b"line\n", 1)
    assert path.read_bytes() == b""
    late.finish()
    assert path.read_bytes() == b"line\n"


def test_a_full_disk_is_raised() -> None:
    with pytest.raises(OSError, match="No space left"):
        DirectFile("/dev/full", prompt=True).put(b"line\n", 1)


def test_a_server_that_is_slow_is_waited_for() -> None:
    server = Server(reads=False)
    box = DirectTarget(target(server.text))
    thread = threading.Thread(target=lambda: box.put(lines(0, 20_000), 20_000))
    thread.start()
    time.sleep(0.5)
    assert thread.is_alive()
    server.reads = True
    thread.join(30)
    box.finish()
    while len(server.numbers) < 20_000:
        time.sleep(0.05)
    assert server.numbers == list(range(20_000))
    server.die()


def test_a_server_that_is_not_there_is_raised() -> None:
    server = Server()
    server.die()
    with pytest.raises(ConnectionRefusedError):
        DirectTarget(target(server.text)).put(lines(0, 1), 1)
