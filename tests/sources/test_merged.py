"""Several captures as one, merged by time, without having them all open at once."""

from __future__ import annotations

import os
import random
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkflow.sources import captures
from darkflow.sources.captures import Captures
from judging import judge, rows_in_order
from running import DARKFLOW
from slow_reader import NO_TIME, rows_of
from writers import SECOND_NS, Flow, Pcap, ethernet


def syn(number: int) -> bytes:
    """A SYN that can be told from others by its sequence number."""
    return ethernet(Flow(orig_port=1024 + number).syn(seq=number))


@contextmanager
def chunks(small: bool) -> Iterator[None]:
    """Reading in pieces of a few records, if `small`."""
    if not small:
        yield
        return
    with patch.object(captures, "CHUNK_BYTES", 256):
        yield


# (file, time in ms): few distinct times, so that files begin and end within each other.
arrivals = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), max_size=60)


@given(arrivals, st.sampled_from([0, 3, 10]), st.booleans())
@settings(max_examples=150, deadline=None)
def test_files_merged_are_as_one_file_with_all_packets_sorted(
    tmp_path_factory: pytest.TempPathFactory,
    arrived: list[tuple[int, int]],
    reorder_ms: int,
    small: bool,
) -> None:
    folder = tmp_path_factory.mktemp("merged")
    newest: dict[int, int] = {}
    files: dict[int, list[tuple[int, bytes]]] = {0: [], 1: [], 2: [], 3: []}
    expected = []
    for number, (file, t_ms) in enumerate(arrived):
        # Disorder within a file stays within what may be put right.
        t_ms = max(t_ms, newest.get(file, 0) - reorder_ms)
        newest[file] = max(t_ms, newest.get(file, 0))
        files[file].append((t_ms * 1_000_000, syn(number)))
        expected.append((t_ms * 1_000_000, file, number))
    names = [Pcap().write(folder / str(file), packets) for file, packets in files.items()]
    with chunks(small):
        rows = rows_in_order(names, reorder_ms * 1_000_000)
    assert [(row["t_ns"], row["source"], row["seq"]) for row in rows] == sorted(expected)


@given(arrivals, st.sampled_from([0, 3, 10]))
@settings(max_examples=100, deadline=None)
def test_a_batch_s_time_is_kept_by_every_later_frame(
    tmp_path_factory: pytest.TempPathFactory, arrived: list[tuple[int, int]], reorder_ms: int
) -> None:
    folder = tmp_path_factory.mktemp("floor")
    names = [
        Pcap().write(
            folder / str(file), [(t * 1_000_000, b"") for f, t in arrived if f == file]
        )
        for file in range(4)
    ]  # fmt: skip
    floor_ns = NO_TIME
    with chunks(small=True):
        source = Captures(names, reorder_ms * 1_000_000)
        source.open()
        for frames in source:
            rows = rows_of(frames)
            assert all((row.t_ns or 0) >= floor_ns - source.reorder_ns for row in rows)
            floor_ns = max(floor_ns, frames.now_ns)
    assert source.now_ns == max((t * 1_000_000 for _, t in arrived), default=NO_TIME)


def test_one_file_per_direction(tmp_path: Path) -> None:
    flows = [Flow(orig_port=2000 + i) for i in range(50)]
    out = [(i * 100_000_000, ethernet(flow.syn())) for i, flow in enumerate(flows)]
    back = [
        (i * 100_000_000 + 40_000_000, ethernet(flow.answer() if i % 4 == 1 else flow.reset()))
        for i, flow in enumerate(flows)
        if i % 4
    ]
    names = [
        Pcap().write(tmp_path / "in", back),
        Pcap(nano=True).write(tmp_path / "out", [*out, (20 * SECOND_NS, b"")]),
    ]
    pipeline, events = judge(names)
    counters = pipeline.engine.counters
    assert (counters["answered"], counters["refused"], counters["dark"]) == (13, 24, 13)
    assert counters["unsolicited"] == 0
    assert pipeline.engine.reply_delays.quantile(0.0) == 40_000_000
    assert pipeline.engine.reply_delays.max_ns == 40_000_000
    assert [event["sport"] for event in events if event["event"] == "dark"] == list(
        range(2000, 2050, 4)
    )


@pytest.mark.parametrize(("turned", "answered"), [(False, 1), (True, 0)])
def test_equal_times_go_in_the_order_of_the_files(
    tmp_path: Path, turned: bool, answered: int
) -> None:
    out = Pcap().write(tmp_path / "out", [(SECOND_NS, ethernet(Flow().syn()))])
    back = Pcap().write(tmp_path / "back", [(SECOND_NS, ethernet(Flow().answer()))])
    pipeline, _ = judge([back, out] if turned else [out, back])
    counters = pipeline.engine.counters
    assert (counters["answered"], counters["unsolicited"]) == (answered, 1 - answered)


def _rotated(folder: Path, count: int) -> list[str]:
    names = [
        Pcap().write(folder / f"{i:03}", [(i * 10 * SECOND_NS, syn(i)), (i * 10 * SECOND_NS, b"")])
        for i in range(count)
    ]
    random.Random(3).shuffle(names)
    return names


def _open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def test_files_that_do_not_overlap_are_open_one_after_the_other(tmp_path: Path) -> None:
    source = Captures(_rotated(tmp_path, 100), SECOND_NS)
    before = _open_descriptors()
    source.open()
    assert _open_descriptors() == before
    most, times = 0, list[int]()
    for frames in source:
        most = max(most, _open_descriptors() - before)
        times += [row.t_ns or 0 for row in rows_of(frames)]
    assert times == [i * 10 * SECOND_NS for i in range(100) for _ in (1, 2)]
    assert most <= 2
    assert _open_descriptors() == before


@pytest.fixture(scope="module")
def few_descriptors() -> dict[str, object]:
    """Options for a subprocess that may open 32 files."""
    return {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))}


def test_three_hundred_rotated_files_need_few_descriptors(
    tmp_path: Path, few_descriptors: dict[str, object]
) -> None:
    command = [DARKFLOW, "analyze", "--json", *_rotated(tmp_path, 300)]
    done = subprocess.run(  # type: ignore[call-overload]
        command, capture_output=True, check=False, timeout=60, **few_descriptors
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b'"attempts": 300,' in done.stdout


def test_too_many_files_at_once_are_told(
    tmp_path: Path, few_descriptors: dict[str, object]
) -> None:
    names = [
        Pcap().write(tmp_path / str(i), [(t * SECOND_NS, b"") for t in (0, 99)]) for i in range(60)
    ]
    done = subprocess.run(  # type: ignore[call-overload]
        [DARKFLOW, "analyze", "--json", *names],
        capture_output=True, check=False, timeout=60, text=True, **few_descriptors,
    )  # fmt: skip
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) > 20
    assert all("Too many open files" in line for line in lines)
