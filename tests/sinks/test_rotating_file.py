"""Files that are moved away, deleted, on full disks: every line is there once, and whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from shutil import which

import pytest

from conftest import skip
from darkflow.sinks.dark_pcap import ETHERNET, pcap_header
from darkflow.sinks.framing import Lines, Records
from darkflow.sinks.outbox import Job
from darkflow.sinks.rotating_file import TAIL_BYTES, RotatingFile, Rotation
from outboxes import KIB, Rotating, lines, numbers, plain, small_disk, wait_for
from running import WITH_HELPERS
from slow_reader import SlowReader
from writers import Flow, Pcap, ethernet

HEADER = pcap_header((ETHERNET, True))


def records(first: int, count: int) -> bytes:
    """Pcap records of SYNs in ns, numbered by their port."""
    form = Pcap(nano=True)
    return b"".join(
        form.record(number * 1000, ethernet(Flow(orig_port=number % 65536).syn()))
        for number in range(first, first + count)
    )


# ---- what is there already, what goes away --------------------------------------------------


def test_it_is_appended_to_and_half_a_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(lines(0, 3) + lines(3, 1)[:-7])
    out = Rotating(path)
    out.put(10, 1)
    out.wait_until_written()
    out.close()
    assert numbers(path.read_bytes()) == [0, 1, 2, 10]


def test_a_file_of_somebody_else_is_not_cut(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"x" * (TAIL_BYTES + 5))
    out = Rotating(path)
    out.put(0, 1)
    out.wait_until_written()
    out.close()
    assert path.read_bytes() == b"x" * (TAIL_BYTES + 5) + b"\n" + lines(0, 1)


def test_a_deleted_file_is_made_anew(tmp_path: Path) -> None:
    out = Rotating(tmp_path / "events.jsonl")
    out.put(0, 1)
    out.wait_until_written()
    out.path.unlink()
    out.put(1, 1)
    out.wait_until_written()
    assert numbers(out.path.read_bytes()) == [1]
    out.close()


def test_a_deleted_folder_is_said_once_and_the_lines_wait_for_it(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    out = Rotating(folder / "events.jsonl")
    out.put(0, 1)
    out.wait_until_written()
    out.path.unlink()
    folder.rmdir()
    out.put(1, 5)
    wait_for(lambda: out.said)
    time.sleep(1)
    folder.mkdir()
    out.wait_until_written()
    wait_for(lambda: len(out.said) == 2)
    assert out.said == [
        "cannot write the file: No such file or directory; trying again",
        "the file written again; 0 lines were lost",
    ]
    assert numbers(out.path.read_bytes()) == [1, 2, 3, 4, 5]
    out.close()


def test_reopening_gives_the_old_file_back_at_once(tmp_path: Path) -> None:
    out = Rotating(tmp_path / "events.jsonl")
    aside = out.path.rename(tmp_path / "aside")
    held = Path("/proc/self/fd")

    def is_held() -> bool:
        return any(os.path.realpath(fd) == str(aside) for fd in held.iterdir())

    assert is_held()
    out.box.reopen()
    wait_for(lambda: not is_held())
    assert out.path.read_bytes() == b""
    out.close()


def test_what_is_put_after_reopening_is_in_the_new_file(tmp_path: Path) -> None:
    out = Rotating(tmp_path / "events.jsonl")
    out.put(0, 1)
    out.wait_until_written()
    aside = out.path.rename(tmp_path / "aside")
    with out.box._changed:  # so that the thread hears of both at the same moment
        out.box.reopen()
        out.put(1, 1)
    out.wait_until_written()
    assert numbers(aside.read_bytes()) == [0]
    assert numbers(out.path.read_bytes()) == [1]
    out.close()


def test_reopening_that_fails_raises_and_the_old_file_stays(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    out = Rotating(folder / "events.jsonl")
    moved = folder.rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError):
        out.box.reopen()
    out.put(0, 1)
    out.wait_until_written()
    assert numbers((moved / "events.jsonl").read_bytes()) == [0]
    out.close()


# ---- full disks, kill -9 --------------------------------------------------------------------


def test_a_full_disk_ends_in_a_whole_line_and_is_used_again(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "512k") as disk:
        (disk / "ballast").write_bytes(bytes(300 * KIB))
        out = Rotating(disk / "events.jsonl")
        for first in range(0, 1000, 10):
            out.put(first, 10)
        wait_for(lambda: out.said)
        written = numbers(out.path.read_bytes())  # asserts that the last line is whole
        assert 100 < len(written) < 600
        (disk / "ballast").unlink()
        # 480 KiB of lines need more than there is: the rest waits on.
        wait_for(lambda: len(numbers(out.path.read_bytes())) > len(written) + 100)
        out.path.rename(disk / "first")
        packed = plain(disk / "first")
        (disk / "first").unlink()
        out.box.reopen()
        out.wait_until_written()
        assert numbers(packed + out.path.read_bytes()) == list(range(1000))
        wait_for(lambda: len(out.said) == 2)
        assert out.said == [
            "cannot write the file: No space left on device; trying again",
            "the file written again; 0 lines were lost",
        ]
        assert out.close() is None


def test_a_disk_that_stays_full_costs_counted_lines_at_the_end(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "128k") as disk:
        out = Rotating(disk / "events.jsonl")
        out.put(0, 1000)
        wait_for(lambda: out.said)
        lost = out.close()
        count = len(numbers(out.path.read_bytes()))
        assert (out.box.written, out.box.dropped) == (count, 1000 - count)
        assert lost == (
            f"the file: {1000 - count} lines could not be written: No space left on device"
        )


WRITE_FOR_EVER = """
import sys
from outboxes import Rotating, lines
from pathlib import Path
out = Rotating(Path(sys.argv[1]))
data = b"".join(lines(n, 1) for n in range(20_000))
while True:
    out.box.put(data, 20_000)
"""


def test_kill_leaves_whole_lines_but_for_the_last(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    writer = subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, str(path)], env=WITH_HELPERS)
    wait_for(lambda: path.exists() and path.stat().st_size > 1 << 22)
    writer.send_signal(signal.SIGKILL)
    writer.wait(20)
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    found = numbers(whole)
    assert found == [n % 20_000 for n in range(len(found))]
    Rotating(path).close()
    assert path.read_bytes() == whole


# ---- pcap -----------------------------------------------------------------------------------


def tshark_ports(path: Path) -> list[int]:
    """The source ports of a capture, as tshark tells them."""
    if which("tshark") is None:
        skip("tshark is not installed")
    done = subprocess.run(
        ["tshark", "-r", path, "-Tfields", "-e", "tcp.srcport"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


def test_tshark_reads_a_pcap_while_it_is_written_and_every_rotated_one(tmp_path: Path) -> None:
    path = tmp_path / "dark.pcap"
    out = Rotating(path, Rotation(size_bytes=64 * KIB, keep=100), Records(), HEADER)
    assert tshark_ports(path) == []
    for first in range(0, 3000, 100):
        out.box.put(records(first, 100), 100)
        out.offered += 100
        if first % 1000 == 0:
            wait_for(lambda: out.box.written > 0)
            tshark_ports(path)  # fails if it ends in half a record
    out.wait_until_written()
    out.wait_until_compressed()
    assert len(out.rotated()) == 3
    ports = []
    for name in (*out.rotated(), path):
        assert SlowReader().read(plain(name)).fault is None
        ports += tshark_ports(name)
    assert ports == list(range(3000))
    assert out.close() is None


def test_a_pcap_of_a_run_before_is_put_aside_not_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "dark.pcap"
    path.write_bytes(Pcap().file([(0, b"of another kind")]))
    out = Rotating(path, None, Records(), HEADER)
    out.box.put(records(0, 2), 2)
    out.offered = 2
    out.wait_until_written()
    out.wait_until_compressed()
    out.close()
    assert [row.data for row in SlowReader().read(plain(out.rotated()[0])).rows] == [
        b"of another kind"
    ]
    assert len(SlowReader().read(path.read_bytes()).rows) == 2


def test_another_header_can_be_told_before_the_first_record(tmp_path: Path) -> None:
    out = Rotating(tmp_path / "dark.pcap", None, Records(), HEADER)
    assert out.path.read_bytes() == HEADER
    other = pcap_header((101, True))
    out.box.begin(other)
    out.box.put(records(0, 1), 1)
    out.offered = 1
    out.wait_until_written()
    out.close()
    assert out.path.read_bytes() == other + records(0, 1)


def test_a_full_disk_ends_in_a_whole_record(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "128k") as disk:
        out = Rotating(disk / "dark.pcap", None, Records(), HEADER)
        out.box.put(records(0, 3000), 3000)
        out.offered = 3000
        wait_for(lambda: out.said)
        out.close()
        read = SlowReader().read(out.path.read_bytes())
        assert (read.fault, len(read.rows)) == (None, out.box.written)
        assert 500 < out.box.written < 3000


def test_one_write_by_hand_tells_how_far_it_came(tmp_path: Path) -> None:
    """The contract of a target, without thread and buffer."""
    file = RotatingFile("f", str(tmp_path / "f"), Lines(), Rotation(), lambda _: None)
    job = Job(lines(0, 3), 3)
    file.write(job)
    assert job.done == len(job.data)
    assert file.look_after() is None
    file.close()
