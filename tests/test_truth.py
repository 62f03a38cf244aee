"""Real captures: every count and every dark flow as the slow oracle beside the project says."""

from __future__ import annotations

import importlib.util
import json
import socket
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from conftest import SHARED, skip
from running import darkflow

TRUTH = SHARED / "truth" / "truth.json"
NAMES = sorted(json.loads(TRUTH.read_text())) if TRUTH.exists() else []
NEW_KEYS = {
    "undecoded", "dropped", "icmp_unreachable", "direction", "elapsed_s", "packets_per_s",
    "top_ports", "top_sources", "tools",
}  # fmt: skip


@pytest.fixture(scope="module")
def slow_oracle() -> ModuleType:
    """The oracle that computed the truth."""
    path = SHARED / "truth" / "oracle.py"
    if not path.exists():
        skip("../shared/truth is not there")
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location("truth_oracle", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.remove(str(path.parent))
    return module


def dark_flows(events: Path) -> list[tuple[Any, ...]]:
    """Dark flows of an events file in the oracle's form."""
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    return sorted(
        (e["darkflow"]["t0_ns"], e["src_ip"], e["src_port"], e["dest_ip"], e["dest_port"],
         e["darkflow"]["syn_count"])
        for e in lines if e["event_type"] == "darkflow"
    )  # fmt: skip


def undecided_flows(events: Path) -> list[tuple[Any, ...]]:
    """Undecided flows of an events file: flow, and how long each was held."""
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    return sorted(
        (e["src_ip"], e["src_port"], e["dest_ip"], e["dest_port"], e["undecided"]["held_ns"])
        for e in lines if e["event_type"] == "undecided"
    )  # fmt: skip


def text(address: bytes) -> str:
    """A packed address as text."""
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)


def test_the_captures_are_there(truth: dict[str, Any], captures: Path) -> None:
    assert len(truth) == 117
    assert {path.name for path in captures.iterdir()} >= set(truth)


@pytest.mark.parametrize("name", NAMES)
def test_real_capture(
    name: str, truth: dict[str, Any], captures: Path, slow_oracle: ModuleType, tmp_path: Path
) -> None:
    events = tmp_path / "events.jsonl"
    path = captures / name
    done = darkflow("analyze", str(path), "--json", "--events", str(events))
    document = json.loads(done.stdout)
    expect = truth[name]["expect"]
    assert set(expect) | NEW_KEYS <= set(document)
    assert document["packets"] == expect["packets"]
    assert document["packets"] == document["tcp"] + sum(document["undecoded"].values())
    dropped = document["dropped"]
    assert document["syn"] == (
        document["attempts"] + document["retransmitted_or_repeated"] + dropped["queue"]
    )
    assert document["disorder_ns"] == expect["disorder_ns"]
    faults = {"truncated", "bad_record", "bad_block", "bad_section", "bad_interface"}
    unknown_only = "link_type" in str(document["undecoded"]) and not document["tcp"]
    assert done.returncode == (1 if faults & set(expect["reader_notes"]) or unknown_only else 0)
    remarks = (dropped["clamped"] > 0) + ("times that no clock shows" in done.stderr)
    assert len(done.stderr.splitlines()) == done.returncode + remarks
    if not truth[name]["exact"]:
        # Beyond the reorder limit: it is not judged exactly, but it is said, and where.
        assert f"{name}: {dropped['clamped']} packets, the first of them number" in done.stderr
        assert dropped["clamped"] > 0
        assert document["disorder_ns"] > 1_000_000_000
        return
    assert {key: document[key] for key in expect} == expect
    assert dropped["clamped"] == 0
    undecided = undecided_flows(events)
    assert len(undecided) == len({flow[:4] for flow in undecided}) == expect["undecided"]
    assert all(0 <= flow[4] <= 5_000_000_000 for flow in undecided)
    _, dark = slow_oracle.judge(str(path))
    # With T as long as they were held, or less, they are dark: nobody had answered them.
    if undecided and (shortest := min(flow[4] for flow in undecided)):
        _, sooner = slow_oracle.judge(str(path), shortest - 1)
        flows = {(text(k[0]), k[1], text(k[2]), k[3]) for _, k, _ in sooner}
        assert flows >= {flow[:4] for flow in undecided}
    assert dark_flows(events) == sorted(
        (t0, text(k[0]), k[1], text(k[2]), k[3], syns) for t0, k, syns in dark
    )
