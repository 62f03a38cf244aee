"""Captures: files and pipes of any size; what is damaged is told, once, and the rest is read."""

from __future__ import annotations

import io
import os
import random
import threading
from pathlib import Path
from unittest.mock import patch

import pytest

from darkflow.sources.captures import Capture, Captures, Pushback
from judging import frames_of, rows_in_order
from slow_reader import NO_TIME, SlowReader
from writers import ETHERNET, SECOND_NS, Flow, Pcap, Pcapng, ethernet

SYN = ethernet(Flow().syn())


def syn(number: int) -> bytes:
    """A SYN that can be told from others by its sequence number."""
    return ethernet(Flow(orig_port=1024 + number).syn(seq=number))


# ---- pipes and redirections -----------------------------------------------------------------


def _stdin_from(monkeypatch: pytest.MonkeyPatch, descriptor: int) -> None:
    monkeypatch.setattr("sys.stdin", os.fdopen(descriptor))


@pytest.mark.parametrize("piece", [1, 7, 24, 1000])
def test_standard_input_as_a_pipe_that_gives_little_at_a_time(
    monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    data = Pcap().file([(i * 1000, SYN) for i in range(9)])
    readable, writable = os.pipe()

    def feed() -> None:
        with os.fdopen(writable, "wb", buffering=0) as pipe:
            for at in range(0, len(data), piece):
                pipe.write(data[at : at + piece])

    _stdin_from(monkeypatch, readable)
    thread = threading.Thread(target=feed)
    thread.start()
    source, rows = frames_of(["-"])
    thread.join()
    assert rows == SlowReader().read(data).rows
    assert (source.live, source.size_bytes, source.troubles) == (True, None, [])


@pytest.mark.parametrize("offset", [0, 11])
def test_standard_input_as_a_redirected_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, offset: int
) -> None:
    path = tmp_path / "capture"
    path.write_bytes(b"x" * offset + Pcap().file([(5, SYN)]))
    descriptor = os.open(path, os.O_RDONLY)
    os.lseek(descriptor, offset, os.SEEK_SET)
    _stdin_from(monkeypatch, descriptor)
    source, rows = frames_of(["-"])
    assert [row.data for row in rows] == [SYN]
    assert (source.live, source.troubles) == (False, [])


def test_a_redirected_file_beside_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(Pcap().file([(0, syn(1)), (2 * SECOND_NS, syn(3))]))
    other = Pcap().write(tmp_path / "other", [(SECOND_NS, syn(2))])
    _stdin_from(monkeypatch, os.open(path, os.O_RDONLY))
    source, rows = frames_of(["-", other])
    assert sorted(row.t_ns or 0 for row in rows) == [0, SECOND_NS, 2 * SECOND_NS]
    assert (source.unreadable, source.troubles) == ([], [])


def test_a_pipe_beside_a_file_is_merged_by_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = Pcap().write(tmp_path / "file", [(i * SECOND_NS, syn(i)) for i in range(0, 20, 2)])
    readable, writable = os.pipe()
    os.write(writable, Pcap().file([(i * SECOND_NS, syn(i)) for i in range(1, 20, 2)]))
    os.close(writable)
    _stdin_from(monkeypatch, readable)
    rows = rows_in_order([path, "-"], 0)
    assert [row["seq"] for row in rows] == list(range(20))


# ---- chunks, buffers, limits ----------------------------------------------------------------


def _many(count: int, size: int, longest: int = 0) -> list[tuple[int, bytes]]:
    chance = random.Random(7)
    packets = [(i * 1000, chance.randbytes(size)) for i in range(count)]
    if longest:
        packets[count // 2] = (packets[count // 2][0], chance.randbytes(longest))
    return packets


@pytest.mark.parametrize("longest", [0, (1 << 18) - 100, 1 << 18, 1 << 20])
@pytest.mark.parametrize("form", [Pcap(), Pcapng()], ids=["pcap", "pcapng"])
def test_files_and_records_larger_than_the_buffer(
    tmp_path: Path, form: Pcap | Pcapng, longest: int
) -> None:
    path = tmp_path / "capture"
    packets = _many(2000, 500, longest)
    path.write_bytes(form.file(packets))
    source, rows = frames_of([path])
    assert [(row.t_ns, row.data) for row in rows] == packets
    assert (source.troubles, source.position_bytes) == ([], path.stat().st_size)
    assert source.size_bytes == path.stat().st_size


def test_more_frames_than_one_batch_holds(tmp_path: Path) -> None:
    path = Pcap().write(tmp_path / "capture", [(i * 1000, b"") for i in range(40_000)])
    source = Captures([path], 0)
    source.open()
    counts = [len(frames) for frames in source]
    assert sum(counts) == 40_000
    assert max(counts) <= 16_384


@pytest.mark.parametrize(("limit", "expected"), [(1, 1), (5, 5), (6, 6), (7, 6), (None, 6)])
def test_a_limit_ends_the_reading_at_that_packet(
    tmp_path: Path, limit: int | None, expected: int
) -> None:
    one = Pcap().write(tmp_path / "one", [(i * SECOND_NS, SYN) for i in range(4)])
    two = Pcap().write(tmp_path / "two", [(i * SECOND_NS, SYN) for i in range(9, 11)])
    source, rows = frames_of([one, two], limit=limit)
    assert len(rows) == expected
    assert (source.troubles, source.notes) == ([], {})


@pytest.mark.parametrize(("kind", "packets"), [(0xBAD, [b"before", b"after"]), (6, [b"before"])])
def test_a_block_too_long_to_hold_costs_no_packet_behind_it(
    tmp_path: Path, kind: int, packets: list[bytes]
) -> None:
    form, path = Pcapng(), tmp_path / "capture"
    length = 0x4000000 + 4
    with path.open("wb") as file:
        file.write(form.section() + form.interface() + form.enhanced(1, b"before"))
        # What the block holds looks like blocks itself.
        file.write(form.block(kind, form.enhanced(7, b"inside") * 9000, length)[:-4])
        file.truncate(file.tell() + length - 12 - len(form.enhanced(7, b"inside")) * 9000)
        file.seek(0, os.SEEK_END)
        file.write(length.to_bytes(4, "little") + form.enhanced(2, b"after"))
    source, rows = frames_of([path])
    assert [row.data for row in rows] == packets
    assert len(source.troubles) == (kind == 6)


# ---- what cannot be read --------------------------------------------------------------------


def test_one_line_says_what_was_lost_and_where(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(Pcap().file([(1, b"abc"), (2, b"def")])[:-1])
    source, rows = frames_of([path])
    assert [row.data for row in rows] == [b"abc"]
    assert source.troubles == [
        f"{path}: the capture ends within a record at byte 43; the 1 packets before it were read"
    ]
    assert source.notes == {"truncated": True}


def test_notes_of_several_captures_are_added_up(tmp_path: Path) -> None:
    form, names = Pcapng(), []
    for number in range(3):
        path = tmp_path / str(number)
        path.write_bytes(form.section() + form.interface() * 2 + form.simple(b"x") + b"\x06")
        names.append(path)
    source, _ = frames_of(names)
    assert source.notes == {"truncated": True, "sections": 3, "interfaces": 6, "simple_packets": 3}
    assert len(source.troubles) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\xd4\xc3\xb2\xa1" + bytes(10), "the capture ends within its file header"),
        (b"no capture\n" * 10, "not a capture: it begins neither as pcap nor as pcapng"),
    ],
)
def test_what_is_no_capture_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "capture"
    path.write_bytes(content)
    good = Pcap().write(tmp_path / "good", [(1, SYN)])
    source, rows = frames_of([path, good])
    assert source.unreadable == [f"{path}: {message}"]
    assert len(rows) == 1


def test_missing_files_and_directories_are_named(tmp_path: Path) -> None:
    source = Captures([str(tmp_path / "missing"), str(tmp_path)], 0)
    source.open()
    assert source.unreadable == [
        f"{tmp_path}/missing: No such file or directory",
        f"{tmp_path} is a directory: name the captures in it, for example {tmp_path}/*.pcap",
    ]


def test_a_file_that_goes_away_after_the_first_look_is_not_passed_over(tmp_path: Path) -> None:
    first = Pcap().write(tmp_path / "first", [(1, SYN)])
    second = Pcap().write(tmp_path / "second", [(9 * SECOND_NS, SYN)])
    source = Captures([first, second], 0)
    source.open()
    Path(second).unlink()
    assert sum(len(frames) for frames in source) == 1
    assert source.troubles == [f"{second}: No such file or directory"]


class FailsLater(io.RawIOBase):
    """Gives some bytes, then fails as a dying disk does."""

    def __init__(self, data: bytes) -> None:
        self.data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        count = self.data.readinto(buffer)
        if not count:
            raise OSError(5, "Input/output error")
        return count


def test_a_read_error_midway_keeps_what_was_read() -> None:
    data = Pcap().file([(1, SYN), (2, SYN)])
    stream = Pushback(FailsLater(data[6:]), data[:6])
    with patch.object(Capture, "_open", lambda _self, _name: (stream, None)):
        source, rows = frames_of(["broken"])
    assert len(rows) == 2
    assert source.troubles == [
        f"broken: Input/output error at byte {len(data)}; the 2 packets before it were read"
    ]


def test_a_capture_says_when_it_begins(tmp_path: Path) -> None:
    timed = Capture(Pcap().write(tmp_path / "timed", [(3_000_000_000, b"x")]))
    assert timed.peek_first_ns() == 3 * SECOND_NS
    timed.close()
    path = tmp_path / "untimed"
    path.write_bytes(Pcapng().section() + Pcapng().interface(ETHERNET) + Pcapng().simple(b"x"))
    untimed = Capture(str(path))
    assert untimed.peek_first_ns() == NO_TIME
    untimed.close()
