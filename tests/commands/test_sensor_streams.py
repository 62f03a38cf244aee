"""The sensor whose standard streams are closed, full, stalled or gone: it goes on."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import skip
from running import DARKFLOW

# A shell that closes streams as the words say, and is the sensor from then on.
CLOSED = ["sh", "-c", 'exec "$0" "$@" >&- 2>&- <&-']


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a sensor on loopback; it ends with the test."""
    if os.geteuid() != 0:
        skip("AF_PACKET needs root")
    started: list[subprocess.Popen[bytes]] = []

    def begin(
        *words: str, stderr: int | None = None, shell: tuple[str, ...] = ()
    ) -> subprocess.Popen[bytes]:
        argv = [*shell, str(DARKFLOW), "sensor", "-i", "lo", "--hold", "200ms", *words]
        started.append(subprocess.Popen(argv, stderr=stderr))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait(10)


def wait_for(there: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 20
    while not there():
        assert process.poll() is None, f"it has ended with {process.returncode}"
        assert time.monotonic() < end
        time.sleep(0.01)


def is_ready(process: subprocess.Popen[bytes]) -> bool:
    """Whether it takes SIGTERM in its own way."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def end(process: subprocess.Popen[bytes]) -> int:
    wait_for(lambda: is_ready(process), process)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    return process.wait(10)


def test_closed_streams(start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path) -> None:
    events = tmp_path / "events"
    process = start("--events", str(events), "--stats", "100ms", shell=tuple(CLOSED))
    wait_for(lambda: is_ready(process), process)
    # No file of the sensor's has the number of a standard stream.
    streams = {str(Path(f"/proc/{process.pid}/fd/{number}").readlink()) for number in range(3)}
    assert streams == {os.devnull}
    assert end(process) == 0
    assert b"watching" not in events.read_bytes()


def test_a_help_to_nobody() -> None:
    done = subprocess.run([*CLOSED, str(DARKFLOW), "--help"], check=False, timeout=20)
    assert done.returncode == 0


def test_a_log_on_a_full_disk(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    with Path("/dev/full").open("w") as full:
        assert end(start("--stats", "50ms", stderr=full.fileno())) == 0


def test_a_log_whose_reader_has_gone(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    reader, writer = os.pipe()
    process = start("--stats", "50ms", stderr=writer)
    os.close(writer)
    os.read(reader, 10)
    os.close(reader)
    assert end(process) == 0


def test_a_log_whose_reader_stalls(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    process = start("--stats", "50ms", stderr=writer)
    os.close(writer)
    assert end(process) == 0
    os.close(reader)


def test_a_terminal_that_is_closed(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    main, side = pty.openpty()
    process = start(stderr=side)
    os.close(side)
    drawn = b""
    while b"Ctrl-C ends it" not in drawn:
        drawn += os.read(main, 4096)
    os.close(main)
    time.sleep(1.2)
    assert end(process) == 0


def test_a_hangup_during_the_start_does_not_end_it(
    start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        words = ("--events", str(tmp_path / "events"), "--store", str(tmp_path / "store"))
        process = start(*words, stderr=file.fileno())
    status = Path(f"/proc/{process.pid}/status")

    def blocked() -> bool:
        mask = int(status.read_text().partition("SigBlk:")[2].split()[0], 16)
        return bool(mask >> (signal.SIGHUP - 1) & 1)

    wait_for(blocked, process)
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: "reopened the output files" in log.read_text(), process)
    assert end(process) == 0
