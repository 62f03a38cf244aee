"""Event lines on disk: when they are there, and what a full disk says."""

from __future__ import annotations

from pathlib import Path

import pytest

from darkflow.flow.batch import Frames
from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from darkflow.flow.networks import Networks
from darkflow.sinks.direct import DirectFile
from darkflow.sinks.event_file import EventFile
from darkflow.sinks.lines import LineFormat
from flow.test_engine import RAW, frame, syn

HOLD_NS = 5_000_000_000


def write_one(path: str, prompt: bool) -> EventFile:
    """A sink that has been given one dark flow."""
    decoder, engine = Decoder(), Engine(HOLD_NS, 60_000_000_000)
    list(engine.observe(decoder.decode(Frames.of([(0, RAW, frame(syn(0)))], 0))))
    sink = EventFile(
        path, LineFormat(Networks.everything(), HOLD_NS, True), [DirectFile(path, prompt)]
    )
    for events in engine.observe(decoder.decode(Frames.of([], HOLD_NS + 1))):
        sink.write(events)
    return sink


def test_prompt_lines_are_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = write_one(str(path), prompt=True)
    assert path.read_bytes().count(b"\n") == 1
    sink.close()


def test_other_lines_are_there_after_close(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = write_one(str(path), prompt=False)
    assert path.read_bytes() == b""
    sink.close()
    assert path.read_bytes().count(b"\n") == 1


def test_a_full_disk_is_said() -> None:
    with pytest.raises(OSError, match="No space left"):
        write_one("/dev/full", prompt=True)
