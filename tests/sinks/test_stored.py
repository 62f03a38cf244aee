"""Reading a store: pieces by time, documents as the lines have them."""

from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from darkflow.sinks import stored
from darkflow.sinks.delta import Table
from darkflow.sinks.stored import between, in_a_line, json_lines, readable_times, scan
from judging import judge
from sinks.test_columns import EXAMPLE, story
from sinks.test_columns import Table as Kept
from sinks.test_lines import Lines
from storing import NOON_NS, columns, feed
from writers import RAW, SECOND_NS, Pcap

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten flows at each noon of three days, the last day first, in a file each."""
    path = tmp_path_factory.mktemp("store")
    table = Table(path, "darkflows", "run")
    for number, day in enumerate((2, 0, 1)):
        made = columns()
        feed(made.add, 10, NOON_NS + day * 86_400 * SECOND_NS)
        table.append(made.take()["darkflows"], number + 1)
    return path


def test_there_is_a_store_or_a_plain_word(tmp_path: Path, store: Path) -> None:
    assert list(scan(str(store))) == ["darkflows"]
    with pytest.raises(FileNotFoundError, match="no store in"):
        scan(str(tmp_path))
    with pytest.raises(FileNotFoundError, match="no table late_answers in"):
        between(str(store), "late_answers", None, None)


@pytest.mark.parametrize(
    ("what", "said"),
    [("cut", "is not as long as its log says"), ("gone", "cannot be read: No such file"),
     ("zeros", "is no Parquet file")],
)  # fmt: skip
def test_a_damaged_file_is_named_before_it_is_read(
    store: Path, tmp_path: Path, what: str, said: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    scan(str(copy))
    file = sorted(copy.rglob("*.parquet"))[1]
    if what == "gone":
        file.unlink()
    else:
        data = file.read_bytes()
        file.write_bytes(data[:-1] if what == "cut" else bytes(len(data)))
    with pytest.raises(ValueError, match=f"^the store is damaged: {re.escape(str(file))} {said}"):
        scan(str(copy))
    assert "darkflows" in scan(str(copy), ("stats",))


def test_a_damaged_log_is_named(store: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    first = min((copy / "darkflows" / "_delta_log").glob("*.json"))
    first.write_bytes(first.read_bytes()[:30])
    with pytest.raises(ValueError, match=r"^the store is damaged: \S+/_delta_log: [^\n]+$"):
        scan(str(copy))


def test_what_polars_says_is_one_line_without_a_panic() -> None:
    for error in (pl.exceptions.ComputeError, pl.exceptions.PanicException):
        with pytest.raises(ValueError, match=r"^the store cannot be read: first$"), in_a_line():
            raise error("first\nsecond")


@pytest.mark.parametrize("piece_rows", [1, 10, 15, 1000])
@pytest.mark.parametrize(
    ("since", "until", "rows"),
    [(None, None, 30), (0, None, 30), (1, None, 20), (None, 1, 10), (1, 2, 10), (0.5, 0.6, 0),
     (3, None, 0), (None, 0, 0)],
)  # fmt: skip
def test_pieces_hold_every_row_once_in_order(
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
    piece_rows: int,
    since: float | None,
    until: float | None,
    rows: int,
) -> None:
    monkeypatch.setattr(stored, "PIECE_ROWS", piece_rows)
    limits = [None if at is None else NOON + timedelta(days=at) for at in (since, until)]
    pieces = between(str(store), "darkflows", *limits)
    times = pl.concat(piece.sort("timestamp") for piece in pieces).collect()["timestamp"]
    assert len(times) == rows
    assert times.is_sorted()


def test_until_is_to_the_microsecond(store: Path) -> None:
    middle = NOON + timedelta(microseconds=4)
    (first,) = between(str(store), "darkflows", None, middle)
    assert first.collect().height == 4
    (rest,) = between(str(store), "darkflows", middle, NOON + timedelta(days=1))
    assert rest.collect().height == 6


@pytest.mark.parametrize("name", ["story", "example"])
def test_documents_are_those_of_the_lines(tmp_path: Path, name: str) -> None:
    path = EXAMPLE
    if name == "story":
        path = tmp_path / "story.pcap"
        path.write_bytes(Pcap(RAW, nano=True).file(story()))
    lines, kept = Lines(at_verdict=True), Kept(at_verdict=True)
    kept.close = lambda: None  # type: ignore[method-assign]
    judge([path], [lines, kept], sizes=(4096, 4096))
    found: list[object] = []
    for table, rows in kept.columns.take().items():
        texts = json_lines(pl.DataFrame(rows).lazy(), table).collect()["line"]
        found += [json.loads(line) for line in texts]
    order = ["darkflow", "late_answer", "undecided"]  # of the tables
    assert found == sorted(
        lines.documents, key=lambda d: order.index(d["event_type"].removesuffix("_end"))
    )


@pytest.mark.parametrize("digits", range(10))
@pytest.mark.parametrize("t_ns", [NOON_NS + 123_456_789, -1, 0, -86_400_000_000_001])
def test_times_have_the_digits_that_are_known(digits: int, t_ns: int) -> None:
    from slow_lines import timestamp

    frame = pl.LazyFrame({"t0_ns": [t_ns], "timestamp_digits": [digits]})
    found = frame.select(stored.rfc3339("darkflows")).collect().item()
    assert found == timestamp(t_ns, digits)


def test_times_as_text() -> None:
    frame = pl.LazyFrame({"a": [NOON], "b": [1]})
    assert readable_times(frame).collect().rows() == [("2026-03-01T12:00:00.000000Z", 1)]
