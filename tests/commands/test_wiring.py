"""Stages and sinks as the options ask for them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from darkflow.commands.wiring import Wiring
from darkflow.config import SETTINGS
from darkflow.flow.networks import Networks
from darkflow.sinks.store import Limits
from darkflow.sinks.summary import Summary
from darkflow.units import parse_networks


def wired(live: bool = False, **options: Any) -> Wiring:
    """With every setting at its default."""
    settings = {s.name: s.parse(s.default) if s.default is not None else None for s in SETTINGS}
    given = {"events": None, "events_at": "auto", "dark_pcap": None, "store": None, **options}
    return Wiring(argparse.Namespace(**given), settings, live)


def test_outputs_are_opened_only_when_asked_for(tmp_path: Path) -> None:
    none = wired()
    assert (none.dark_pcap, none.store, none.close()) == (None, None, [])
    both = wired(events=[str(tmp_path / "e")], dark_pcap=str(tmp_path / "d"))
    pipeline = both.pipeline(Summary(both.networks), 0)
    assert [sink.name for sink in pipeline.sinks] == [
        "the summary", "scans", f"events to {tmp_path / 'e'}", f"dark SYNs to {tmp_path / 'd'}",
    ]  # fmt: skip
    pipeline.finish(0)
    assert (tmp_path / "d").stat().st_size == 24


def test_a_store_is_one_of_the_sinks(tmp_path: Path) -> None:
    stored = wired(store=str(tmp_path))
    pipeline = stored.pipeline(Summary(stored.networks), 0)
    assert [sink.name for sink in pipeline.sinks] == [
        "the summary", f"store {tmp_path}", f"store {tmp_path}, table answered", "scans",
    ]  # fmt: skip
    another = stored.pipeline(Summary(stored.networks), 0)
    assert pipeline.sinks[1] is not another.sinks[1]
    pipeline.finish(0)
    another.finish(0)
    assert stored.store is not None
    stored.store.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "answered", "backscatter", "cut_traces", "cuts", "darkflows", "late_answers", "scans",
        "sessions", "stats", "undecided",
    ]  # fmt: skip


def test_a_store_that_wants_no_answers_is_told_of_none(tmp_path: Path) -> None:
    stored = wired(store=str(tmp_path))
    stored.settings["store_answered"] = 0
    pipeline = stored.pipeline(Summary(stored.networks), 0)
    assert [sink.name for sink in pipeline.sinks] == ["the summary", f"store {tmp_path}", "scans"]
    assert not wired().pipeline(Summary(stored.networks), 0).engine.tells
    pipeline.finish(0)
    assert stored.store is not None
    stored.store.close()


def test_what_a_reload_changes_reaches_the_networks_and_the_store(tmp_path: Path) -> None:
    stored = wired(store=str(tmp_path))
    assert stored.store is not None
    stored.change({"networks": parse_networks("192.0.2.0/24"), "store_days": 3})
    ends = bytes([10, 0, 0, 1]), bytes([192, 0, 2, 1])
    assert stored.networks.direction_of(*ends) == "inbound"
    assert stored.store._limits == Limits(2.0, 500_000, 3, 10 << 30)
    assert stored.store.housekeeping._days == 3
    stored.change({"networks": None, "store_bytes": 1 << 20})
    assert stored.networks.direction_of(*ends) == "internal"
    assert stored.store._limits == Limits(2.0, 500_000, 3, 1 << 20)
    stored.store.close()


def test_an_output_that_cannot_be_opened_is_said_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        wired(events=[str(tmp_path / "missing" / "e")])


def test_every_run_has_a_seed_of_its_own() -> None:
    assert wired().seed != wired().seed
    assert isinstance(wired().networks, Networks)
