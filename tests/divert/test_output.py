"""What services print is kept, and never more of it than was agreed."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from conftest import skip
from darkflow.divert.output import (
    LINES_PER_S,
    LONGEST_LINE_BYTES,
    Lines,
    RotatingFile,
    safe_path,
)


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


def test_a_full_disk_loses_output_and_counts_it(tmp_path: Path) -> None:
    file = RotatingFile(str(tmp_path / "log"), 1 << 20)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3, hard))
    try:
        file.write(b"12345", 0.0)
        file.write(b"678", 0.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    file.close()
    assert file.lost == 5


def test_it_goes_on_when_no_new_file_could_be_opened_for_a_while(tmp_path: Path) -> None:
    path = tmp_path / "log"
    file = RotatingFile(str(path), 10)
    file.write(b"12345678", 0.0)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        file.write(b"lost.", 0.0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    file.write(b"kept.", 0.0)
    file.close()
    assert (path.read_bytes(), file.lost) == (b"kept.", 5)


USER = (65533, 65533, (65532,))


def test_no_link_is_followed_at_the_start_or_later(tmp_path: Path) -> None:
    mine, log = tmp_path / "mine", tmp_path / "log"
    mine.write_bytes(b"precious")
    log.symlink_to(mine)
    with pytest.raises(OSError, match="is a symbolic link"):
        RotatingFile(str(log), 10)
    log.unlink()
    file = RotatingFile(str(log), 10)
    file.write(b"12345678", 0.0)
    log.unlink()
    log.symlink_to(mine)
    for _ in range(2):  # the link itself is put aside
        file.write(b"evil.evil", 0.0)
    file.close()
    assert mine.read_bytes() == b"precious"
    # One that comes between a look at the path and its opening.
    log.unlink()
    log.symlink_to(mine)
    file._path = log
    with pytest.raises(OSError, match="symbolic links"):
        file._open()


def test_only_regular_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"No such device|no regular file"):
        RotatingFile(str(tmp_path / "pipe"), 10)
    with pytest.raises(OSError, match="is no regular file"):
        RotatingFile("/dev/null", 10)


@pytest.mark.parametrize(
    ("owner", "mode", "allowed"),
    [
        ((0, 0), 0o755, True),
        ((0, 0), 0o775, True),
        ((0, 0), 0o777, False),
        ((0, 65533), 0o770, False),
        ((0, 65532), 0o775, False),
        ((0, 65532), 0o755, True),
        ((65533, 0), 0o555, False),
        ((65531, 0), 0o755, True),
    ],
)
def test_no_folder_may_be_the_users(
    tmp_path: Path, owner: tuple[int, int], mode: int, allowed: bool
) -> None:
    if os.geteuid() != 0:
        skip("folders of others can only be had as root")
    folder = tmp_path / "between"
    (folder / "logs").mkdir(parents=True)
    os.chown(folder, *owner)
    folder.chmod(mode)
    (tmp_path / "way").symlink_to("between/../between/logs")
    for path in (folder / "log", folder / "logs" / "log", tmp_path / "way" / "log"):
        if allowed:
            RotatingFile(str(path), 10, [USER]).close()
            continue
        with pytest.raises(OSError, match=f"user .*, who runs a service, may write to {folder}"):
            RotatingFile(str(path), 10, [(1, 1, ()), USER])
    # What others can do is not looked at where no user is named.
    RotatingFile(str(folder / "log"), 10).close()


def test_a_sticky_folder_is_good_on_the_way_but_not_as_the_last(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    tmp_path.chmod(0o1777)
    assert safe_path(str(tmp_path / "logs" / "log"), [USER]) == tmp_path / "logs" / "log"
    with pytest.raises(OSError, match="may write to"):
        safe_path(str(tmp_path / "log"), [USER])


def test_links_that_lead_nowhere_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(OSError, match="too many links"):
        safe_path(str(tmp_path / "a" / "log"), [])


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
