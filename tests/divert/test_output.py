"""What services print is kept, and never more of it than was agreed."""

from __future__ import annotations

from pathlib import Path

import pytest

from darkflow.divert.output import LINES_PER_S, LONGEST_LINE_BYTES, Lines, RotatingFile


def test_a_file_is_put_aside_at_its_size(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"old.")
    file = RotatingFile(str(path), 10)
    for part in (b"12345", b"6789", b"abc"):
        file.write(part, 0.0)
    file.close()
    assert path.read_bytes() == b"6789abc"
    assert Path(f"{path}.1").read_bytes() == b"old.12345"
    assert path.stat().st_mode & 0o007 == 0


def test_what_is_larger_than_a_file_fills_several(tmp_path: Path) -> None:
    file = RotatingFile(str(tmp_path / "log"), 10)
    file.write(b"x" * 10 + b"y" * 10 + b"z" * 5, 0.0)
    file.close()
    assert (tmp_path / "log").read_bytes() == b"zzzzz"
    assert (tmp_path / "log.1").read_bytes() == b"yyyyyyyyyy"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1"]
    assert file.lost == 0


def test_a_full_disk_loses_output_and_counts_it() -> None:
    file = RotatingFile("/dev/full", 1 << 20)
    file.write(b"12345", 0.0)
    file.write(b"678", 0.0)
    assert file.lost == 8


@pytest.fixture
def said() -> list[str]:
    return []


def test_lines_come_whole(said: list[str]) -> None:
    lines = Lines(said.append)
    for part in (b"on", b"e\ntwo\r\n", b"th", b"ree"):
        lines.write(part, 1.0)
    assert said == ["one", "two"]
    lines.close()
    assert said == ["one", "two", "three"]


def test_too_many_are_counted(said: list[str]) -> None:
    lines = Lines(said.append)
    lines.write(b"line\n" * (LINES_PER_S + 5), 1.0)
    assert (len(said), lines.lost) == (LINES_PER_S, 5)
    lines.write(b"line\n", 2.0)
    assert (len(said), lines.lost) == (LINES_PER_S + 1, 5)


def test_one_without_an_end_is_cut(said: list[str]) -> None:
    lines = Lines(said.append)
    for _ in range(50):
        lines.write(b"x" * 100, 1.0)
    assert all(len(line) <= LONGEST_LINE_BYTES for line in said)
    assert len(lines._rest) <= LONGEST_LINE_BYTES
    assert len(said) == 4


def test_no_escape_reaches_a_terminal(said: list[str]) -> None:
    lines = Lines(said.append)
    lines.write("\x1b]0;pwn\x07 gr\u00fc\u00dfe \u202e\n".encode() + b"\xff\n", 1.0)
    assert said == ["\\x1b]0;pwn\\x07 gr\u00fc\u00dfe \\u202e", "\\xff"]
