"""Every frame of an interface as a capture: bytes, times, pieces, losses, rotation."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path
from shutil import which

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import skip
from darkflow.flow.batch import Frames
from darkflow.sinks.dark_pcap import SNAPLEN
from darkflow.sinks.frame_pcap import FramePcap
from darkflow.sinks.framing import Records
from darkflow.sinks.outputs import Outputs
from darkflow.sinks.rotating_file import Rotation
from outboxes import MIB, plain
from slow_reader import Row, SlowReader
from writers import ETHERNET, RAW, SECOND_NS, Flow, ethernet

T_NS = 1_772_366_400_123_456_789
FRAME = ethernet(Flow().syn())


class Kept:
    """A box that keeps what it is given."""

    def __init__(self) -> None:
        self.header = b""
        self.pieces: list[tuple[bytes, int]] = []

    def put(self, data: bytes, units: int) -> None:
        """As Box."""
        self.pieces.append((data, units))

    def begin(self, header: bytes) -> None:
        """As Box."""
        self.header = header

    def finish(self) -> None:
        """As Box."""

    @property
    def data(self) -> bytes:
        """The file."""
        return self.header + b"".join(data for data, _ in self.pieces)


def read(data: bytes) -> list[Row]:
    """The frames of a capture, slowly."""
    reader = SlowReader(reorder_ns=1 << 62).read(data)
    assert reader.fault is None
    return reader.rows


frames = st.lists(
    st.tuples(
        st.integers(0, (1 << 32) * SECOND_NS - 1), st.sampled_from([ETHERNET, ETHERNET, RAW]),
        st.binary(max_size=100), st.integers(0, 70_000),
    ),
    max_size=20,
)  # fmt: skip


@given(frames)
def test_a_batch_comes_back_as_it_was(given_frames: list[tuple[int, int, bytes, int]]) -> None:
    box = Kept()
    pcap = FramePcap(box)
    batch = [(t, link, data, max(more, len(data))) for t, link, data, more in given_frames]
    pcap.write(Frames.of(batch))
    expected = [(t, data, size) for t, link, data, size in batch if link == ETHERNET]
    assert [(row.t_ns, row.data, row.origlen) for row in read(box.data)] == expected
    assert (pcap.put, pcap.not_written) == (len(expected), len(batch) - len(expected))
    assert sum(units for _, units in box.pieces) == len(expected)


def test_times_that_a_pcap_cannot_hold_and_frames_that_are_too_long() -> None:
    box = Kept()
    FramePcap(box).write(
        Frames.of([(-1, ETHERNET, b"a"), ((1 << 32) * SECOND_NS, ETHERNET, b"b"),
                   (5, ETHERNET, b"c" * (SNAPLEN + 5))])
    )  # fmt: skip
    rows = read(box.data)
    assert [row.t_ns for row in rows] == [0, 0xFFFFFFFF * SECOND_NS, 5]
    assert [len(row.data) for row in rows] == [1, 1, SNAPLEN]
    assert rows[2].origlen == SNAPLEN + 5


def test_a_large_batch_goes_in_pieces() -> None:
    box = Kept()
    FramePcap(box).write(Frames.of([(T_NS + n, ETHERNET, b"x" * 1500) for n in range(3000)]))
    assert len(box.pieces) == 5
    for data, units in box.pieces:
        assert len(data) < MIB + 2000
        assert Records().count(data, 0, len(data)) == units
    assert [row.t_ns for row in read(box.data)] == [T_NS + n for n in range(3000)]


def test_an_empty_batch_puts_nothing() -> None:
    box = Kept()
    FramePcap(box).write(Frames.of([]))
    assert (box.pieces, read(box.data)) == ([], [])


def test_threads_and_rotation_through_the_outputs(tmp_path: Path) -> None:
    said: list[str] = []
    outputs = Outputs(64 * MIB, Rotation(size_bytes=100_000), True, said.append)
    pcap = FramePcap(outputs.pcap(str(tmp_path / "pot.pcap"), "frames of the honeypot"))

    def write(thread: int) -> None:
        for n in range(0, 1000, 50):
            batch = [(thread * SECOND_NS + n + i, ETHERNET, FRAME) for i in range(50)]
            pcap.write(Frames.of(batch))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outputs.close() == said == []
    rows = [row for path in tmp_path.iterdir() for row in read(plain(path))]
    assert len(list(tmp_path.iterdir())) > 2
    times = [thread * SECOND_NS + n for thread in range(4) for n in range(1000)]
    assert sorted(row.t_ns or 0 for row in rows) == times
    assert {row.data for row in rows} == {FRAME}
    assert pcap.put == 4000


def test_what_finds_no_room_is_counted() -> None:
    outputs = Outputs(10_000, None, True, lambda _: None)
    box = outputs.pcap("/dev/full", "frames of the honeypot")
    pcap = FramePcap(box)
    for n in range(200):
        pcap.write(Frames.of([(T_NS + n, ETHERNET, FRAME)] * 50))
    outputs.close()
    assert pcap.put == 10_000
    assert outputs.counters()["dropped_pcap"] == 10_000


@pytest.mark.skipif(which("tshark") is None, reason="tshark is not installed")
def test_tshark_reads_it(tmp_path: Path) -> None:
    box = Kept()
    FramePcap(box).write(Frames.of([(T_NS, ETHERNET, FRAME), (T_NS + 1, ETHERNET, FRAME)]))
    (tmp_path / "pot.pcap").write_bytes(box.data)
    words = ["tshark", "-r", "pot.pcap", "-Tfields", "-eframe.time_epoch", "-etcp.flags.syn"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    if done.returncode:
        skip(f"tshark does not run: {done.stderr}")
    times = [line.split("\t")[0] for line in done.stdout.splitlines()]
    assert times == ["1772366400.123456789", "1772366400.123456790"]
