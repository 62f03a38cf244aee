"""Compressed captures: known by content; what can be decompressed before damage is read."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import pytest
import zstandard

from darkflow.sources.captures import Captures
from judging import frames_of
from slow_reader import SlowReader, rows_of
from writers import Pcap, Pcapng


def _capture(packets: int) -> bytes:
    chance = random.Random(11)
    return Pcap().file([(i * 1000, chance.randbytes(200)) for i in range(packets)])


LARGE = _capture(4000)
SMALL = _capture(3)

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, 1),
    "zstd": lambda data: zstandard.ZstdCompressor(1, write_checksum=True).compress(data),
    "xz": lambda data: lzma.compress(data, preset=0),
    "bzip2": lambda data: bz2.compress(data, 1),
    "lz4": lambda data: bytes(lz4.frame.compress(data, content_checksum=True)),
}
MISLEADING = {"gzip": "a.zst", "zstd": "a.pcap", "xz": "a.gz", "bzip2": "a.xz", "lz4": "a.txt"}


def decompressed(name: str, data: bytes) -> bytes:
    """All that the library gives of the beginning of a compressed file."""
    if name == "gzip":
        return zlib.decompressobj(31).decompress(data)
    if name == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    if name == "xz":
        return lzma.LZMADecompressor().decompress(data)
    if name == "bzip2":
        return bz2.BZ2Decompressor().decompress(data)
    return bytes(lz4.frame.LZ4FrameDecompressor().decompress(data))


@pytest.fixture(scope="module")
def large() -> dict[str, bytes]:
    """The large capture in every compression."""
    return {name: compress(LARGE) for name, compress in COMPRESS.items()}


@pytest.mark.parametrize("name", COMPRESS)
def test_compression_is_known_by_content_whatever_the_name(
    tmp_path: Path, large: dict[str, bytes], name: str
) -> None:
    path = tmp_path / MISLEADING[name]
    path.write_bytes(large[name])
    source, rows = frames_of([path])
    assert rows == SlowReader().read(LARGE).rows
    assert (source.troubles, source.notes) == ([], {})
    assert source.position_bytes == source.size_bytes == len(large[name])


def test_a_plain_capture_may_have_any_name(tmp_path: Path) -> None:
    path = tmp_path / "capture.gz"
    path.write_bytes(SMALL)
    assert len(frames_of([path])[1]) == 3


@pytest.mark.parametrize("name", COMPRESS)
@pytest.mark.parametrize("at", [10, 24, 24 + 216, 300_000])
def test_several_members_in_one_file_are_one_capture(tmp_path: Path, name: str, at: int) -> None:
    compress = COMPRESS[name]
    path = tmp_path / "capture"
    path.write_bytes(compress(LARGE[:at]) + compress(LARGE[at:]) + compress(b""))
    source, rows = frames_of([path])
    assert rows == SlowReader().read(LARGE).rows
    assert source.troubles == []


@pytest.mark.parametrize("name", COMPRESS)
def test_pcapng_compressed(tmp_path: Path, name: str) -> None:
    path = tmp_path / "capture"
    path.write_bytes(COMPRESS[name](Pcapng(big=True).file([(5, b"abc"), (6, b"d")])))
    assert [(row.t_ns, row.data) for row in frames_of([path])[1]] == [(5, b"abc"), (6, b"d")]


@pytest.mark.parametrize("name", COMPRESS)
@pytest.mark.parametrize("kept", [0.3, 0.5, 0.77, 0.99, -1])
def test_a_truncated_file_is_read_as_far_as_it_can_be_decompressed(
    tmp_path: Path, large: dict[str, bytes], name: str, kept: float
) -> None:
    data = large[name]
    cut = data[:-1] if kept == -1 else data[: int(len(data) * kept)]
    expected = SlowReader().read(decompressed(name, cut)).rows
    assert len(expected) > 500
    path = tmp_path / "capture"
    path.write_bytes(cut)
    source, rows = frames_of([path])
    assert rows == expected
    assert len(source.troubles) == 1
    assert source.troubles[0].startswith(f"{path}: ")
    assert f"the {len(rows)} packets before it were read" in source.troubles[0]
    assert source.notes == {"truncated": True}


@pytest.mark.parametrize("name", COMPRESS)
def test_a_small_truncated_file_is_read_too(tmp_path: Path, name: str) -> None:
    cut = COMPRESS[name](SMALL)[:-1]
    expected = SlowReader().read(decompressed(name, cut)).rows
    path = tmp_path / "capture"
    path.write_bytes(cut)
    if not expected:
        source, rows = frames_of([path])
        assert (rows, len(source.unreadable)) == ([], 1)
        return
    source, rows = frames_of([path])
    assert rows == expected
    assert (len(source.troubles), source.unreadable) == (1, [])


@pytest.mark.parametrize("name", COMPRESS)
@pytest.mark.parametrize("kept", [5, 20, -5])
def test_a_second_member_that_is_cut_off_is_not_passed_over(
    tmp_path: Path, name: str, kept: int
) -> None:
    # The first member ends where a record ends: only the compression knows that more was there.
    compress = COMPRESS[name]
    path = tmp_path / "capture"
    path.write_bytes(compress(SMALL) + compress(os.urandom(2000))[:kept])
    source, rows = frames_of([path])
    assert rows[:3] == SlowReader().read(SMALL).rows
    assert len(source.troubles) == 1


@pytest.mark.parametrize("name", COMPRESS)
@pytest.mark.parametrize("position", [0.5, 0.9])
def test_damage_costs_nothing_that_lies_well_before_it(
    tmp_path: Path, large: dict[str, bytes], name: str, position: float
) -> None:
    data = bytearray(large[name])
    at = int(len(data) * position)
    data[at : at + 64] = b"\xff" * 64
    sure = SlowReader().read(decompressed(name, bytes(data[: at - (128 << 10)]))).rows
    path = tmp_path / "capture"
    path.write_bytes(data)
    source, rows = frames_of([path])
    assert len(sure) > 500
    assert rows[: len(sure)] == sure
    assert len(source.troubles) == 1


@pytest.mark.parametrize("name", COMPRESS)
def test_garbage_behind_a_compressed_capture_is_told(tmp_path: Path, name: str) -> None:
    path = tmp_path / "capture"
    path.write_bytes(COMPRESS[name](SMALL) + b"garbage that is no further member")
    source, rows = frames_of([path])
    assert rows == SlowReader().read(SMALL).rows
    assert len(source.troubles) == 1


@pytest.mark.parametrize("name", COMPRESS)
def test_nothing_but_the_beginning_of_a_compressed_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / "capture"
    path.write_bytes(COMPRESS[name](SMALL)[:8])
    source, rows = frames_of([path])
    assert rows == []
    assert len(source.unreadable) == 1
    assert source.unreadable[0].startswith(f"{path}: ")


@pytest.mark.parametrize("name", COMPRESS)
def test_compressed_text_is_no_capture(tmp_path: Path, name: str) -> None:
    path = tmp_path / "capture"
    path.write_bytes(COMPRESS[name](b"this is text, not a capture, at all"))
    source, _ = frames_of([path])
    assert source.unreadable == [f"{path}: not a capture: it begins neither as pcap nor as pcapng"]


@pytest.mark.parametrize("name", COMPRESS)
def test_nothing_compressed_is_an_empty_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / "capture"
    path.write_bytes(COMPRESS[name](b""))
    source, _ = frames_of([path])
    assert len(source.unreadable) == 1


def test_a_compressed_pipe_gives_what_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    readable, writable = os.pipe()
    compressor = zlib.compressobj(wbits=31)
    begun = compressor.compress(SMALL) + compressor.flush(zlib.Z_SYNC_FLUSH)
    os.write(writable, begun)
    monkeypatch.setattr("sys.stdin", os.fdopen(readable))
    # Who waits for a full buffer is let go in the end, and has failed.
    patience = threading.Timer(3, os.close, (writable,))
    patience.start()
    source = Captures(["-"], 0)
    source.open()
    batches = iter(source)
    assert rows_of(next(batches)) == SlowReader().read(SMALL).rows
    assert patience.is_alive()
    patience.cancel()
    os.close(writable)
    assert list(batches) == []
    assert len(source.troubles) == 1
