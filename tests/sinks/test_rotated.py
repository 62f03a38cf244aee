"""Files that are rotated: every line is there once, in order, the newest stay, all are packed."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path
from shutil import which

from darkflow.sinks.rotated import Rotated
from darkflow.sinks.rotating_file import Rotation
from outboxes import KIB, Rotating, lines, mounted, numbers, plain, wait_for

SECOND_NS = 1_000_000_000


def test_under_load_every_line_is_there_once_across_rotation_and_reopening(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    out = Rotating(path, Rotation(size_bytes=256 * KIB, keep=1000))
    threads, count = 3, 4000
    moved: list[Path] = []

    def work(worker: int) -> None:
        for first in range(0, count, 5):
            out.box.put(lines(first, 5, worker), 5)
            time.sleep(0.0003)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in workers:
        thread.start()
    while any(thread.is_alive() for thread in workers):
        time.sleep(0.05)
        moved.append(path.rename(tmp_path / f"moved-{len(moved):03}"))
        out.box.reopen()
    out.offered = threads * count
    assert out.close() is None
    assert out.box.dropped == 0
    rotated = out.rotated()
    assert len(rotated) > 5
    assert len(moved) > 3
    assert all(path.stat().st_size <= 256 * KIB for path in rotated if path.suffix != ".zst")
    # Files moved away and files rotated away are in no common order; within each there is one.
    parts = [plain(path) for path in (*moved, *rotated, path)]
    for worker in range(threads):
        found = [numbers(part, worker) for part in parts]
        assert all(part == sorted(part) for part in found)
        assert sorted(number for part in found for number in part) == list(range(count))
    assert out.said == out.said_of_file == []


def test_a_file_moved_away_while_it_is_rotated_is_the_movers_alone(tmp_path: Path) -> None:
    path, moved = tmp_path / "events.jsonl", tmp_path / "moved"
    path.write_text("once\n")

    class MovedMeanwhile(type(tmp_path)):  # type: ignore[misc]
        def replace(self, target: Path) -> Path:
            target.rename(moved)
            return Path(self).replace(target)

    fresh = MovedMeanwhile(tmp_path / "events.jsonl.new")
    fresh.touch()
    rotated = Rotated(path, 10, lambda _: None)
    rotated.put_away(fresh)
    assert moved.read_text() == "once\n"
    assert path.read_text() == ""
    assert rotated.names() == []
    rotated.close(0)


def test_rotated_files_are_compressed_in_the_background_and_in_order(tmp_path: Path) -> None:
    out = Rotating(tmp_path / "events.jsonl", Rotation(size_bytes=64 * KIB, keep=1000))
    for first in range(0, 2000, 10):
        out.put(first, 10)
    out.wait_until_written()
    out.wait_until_compressed()
    out.close()
    rotated = out.rotated()
    assert len(rotated) > 10
    together = b"".join(plain(path) for path in (*rotated, out.path))
    assert numbers(together) == list(range(2000))
    assert not list(tmp_path.glob("*.part"))
    if which("zstd"):
        subprocess.run(["zstd", "-tq", *rotated], check=True)


def test_no_more_than_the_newest_stay(tmp_path: Path) -> None:
    out = Rotating(tmp_path / "events.jsonl", Rotation(size_bytes=64 * KIB, keep=3))
    for first in range(0, 3000, 10):
        out.put(first, 10)
    out.wait_until_written()
    out.wait_until_compressed()
    assert len(out.rotated()) == 3
    out.close()
    together = b"".join(plain(path) for path in (*out.rotated(), out.path))
    found = numbers(together)
    assert found == list(range(found[0], 3000))
    assert found[0] > 1000


def test_by_time_at_full_periods_and_without_traffic(tmp_path: Path) -> None:
    out = Rotating(tmp_path / "events.jsonl", Rotation(period_ns=SECOND_NS))
    # Not just before the end of a second: the line would be rotated away with its file at once.
    time.sleep((SECOND_NS - time.time_ns() % SECOND_NS) / 1e9 + 0.05)
    out.put(0, 1)
    out.wait_until_written()
    assert not out.rotated()
    wait_for(lambda: out.rotated(), 3)
    assert time.time_ns() % SECOND_NS < SECOND_NS // 2
    assert out.path.read_bytes() == b""
    out.wait_until_compressed()
    time.sleep(1.2)  # an empty file is not rotated
    assert len(out.rotated()) == 1
    out.put(1, 1)
    out.wait_until_written()
    assert numbers(out.path.read_bytes()) == [1]
    out.close()


def test_a_unit_larger_than_the_file_may_be_is_written_all_the_same(tmp_path: Path) -> None:
    out = Rotating(tmp_path / "events.jsonl", Rotation(size_bytes=100))
    out.put(0, 3)
    out.wait_until_written()
    assert out.close() is None
    everything = b"".join(plain(path) for path in (*out.rotated(), out.path))
    assert numbers(everything) == [0, 1, 2]


def test_where_nothing_can_be_renamed_it_goes_on_in_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    (tmp_path / "elsewhere").touch()
    path.touch()
    with mounted(path, "--bind", str(tmp_path / "elsewhere")):
        out = Rotating(path, Rotation(size_bytes=64 * KIB))
        for first in range(0, 1000, 10):
            out.put(first, 10)
        out.wait_until_written()
        assert numbers(path.read_bytes()) == list(range(1000))
        assert out.said_of_file == [
            f"cannot rotate {path}: Device or resource busy; going on in the same file"
        ]
        assert out.close() is None


def test_what_a_killed_run_left_uncompressed_is_compressed_by_the_next(tmp_path: Path) -> None:
    left = tmp_path / "events-20260301T100000.000Z.jsonl"
    left.write_bytes(lines(0, 10))
    (tmp_path / f"{left.name}.zst.part").write_bytes(b"half")
    (tmp_path / "events-20260228T100000.000Z.jsonl.zst.part").write_bytes(b"of one deleted since")
    other = tmp_path / "events-other.jsonl"
    other.write_bytes(b"of somebody else")
    out = Rotating(tmp_path / "events.jsonl")
    out.wait_until_compressed()
    out.close()
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{left.name}.zst", "events-other.jsonl", "events.jsonl",
    }  # fmt: skip
    assert numbers(plain(out.rotated()[0])) == list(range(10))
