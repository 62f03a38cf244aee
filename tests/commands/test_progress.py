"""The progress bar on a real terminal: there for long work, gone afterwards, silent otherwise."""

from __future__ import annotations

import os
import pty
import struct
import subprocess
from pathlib import Path

from running import DARKFLOW

HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 96, 1)
RECORD = struct.pack("<IIII", 1, 0, 60, 60) + bytes(60)


def on_a_terminal(argv: list[str], feed: list[tuple[float, bytes]]) -> str:
    """Run with stderr on a terminal of its own and slow input; what appeared there."""
    import time

    main, side = pty.openpty()
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=side, bufsize=0
    )
    os.close(side)
    assert process.stdin is not None
    for wait_s, data in feed:
        time.sleep(wait_s)
        process.stdin.write(data)
    process.stdin.close()
    seen = b""
    try:
        while data := os.read(main, 65536):
            seen += data
    except OSError:
        pass  # a terminal whose other side has closed ends in an error, not in nothing
    os.close(main)
    assert process.wait(20) == 0
    return seen.decode()


def test_long_work_shows_how_far_it_is() -> None:
    feed = [(0.0, HEADER)] + [(0.3, RECORD * 100)] * 5
    seen = on_a_terminal([str(DARKFLOW), "analyze", "-", "--json"], feed)
    assert "packets" in seen
    assert "M/s" in seen


def test_short_work_shows_nothing() -> None:
    seen = on_a_terminal([str(DARKFLOW), "analyze", "-", "--json"], [(0.0, HEADER + RECORD * 10)])
    assert "packets" not in seen


def test_off_a_terminal_nothing_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "some.pcap"
    path.write_bytes(HEADER + RECORD * 10)
    done = subprocess.run([DARKFLOW, "analyze", path], capture_output=True, check=True)
    assert done.stderr == b""
