"""The checks of the machine: what a number that is wrong is said to be."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import skip
from darkflow.commands import checks
from darkflow.commands.checks import FAILED, OK, UNKNOWN, WARNING, Finding
from darkflow.config import SETTINGS
from darkflow.sources import card, kernel

SIZES: dict[str, Any] = {
    setting.name: setting.parse(setting.default)
    for setting in SETTINGS
    if setting.name in ("queue_size", "flow_table_size", "ring_size", "workers", "store_bytes")
    and setting.default
}
MIB = 1 << 20


def of(findings: Iterator[Finding], check: str) -> Finding:
    """The one finding of a check."""
    (found,) = [finding for finding in findings if finding.check == check]
    return found


def test_a_kernel_that_lacks_something(monkeypatch: pytest.MonkeyPatch) -> None:
    features = {"TPACKET_V3": True, "ignoring what goes out": True, "fanout": True}
    monkeypatch.setattr(kernel, "packet_features", lambda: features)
    assert of(checks.kernel_findings(), "kernel").state == OK
    features["fanout"] = False
    assert of(checks.kernel_findings(), "kernel").state == WARNING
    features["TPACKET_V3"] = False
    assert of(checks.kernel_findings(), "kernel").state == FAILED


def test_what_may_not_be_tried_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> dict[str, bool]:
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(kernel, "packet_features", refuse)
    monkeypatch.setattr(kernel, "capabilities", lambda: {"CAP_NET_RAW": False})
    assert of(checks.kernel_findings(), "kernel").state == UNKNOWN
    found = of(checks.permission_findings(), "permission")
    assert found.state == FAILED
    assert "AmbientCapabilities=CAP_NET_RAW" in found.mend


@pytest.mark.parametrize(
    ("free_mib", "state"), [(4096, OK), (500, WARNING), (100, FAILED)]
)  # 2 rings of 64 MiB, tables of at most 448 MiB
def test_memory(free_mib: int, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "free_memory_bytes", lambda: free_mib * MIB)
    monkeypatch.setattr(kernel, "cgroup_limit_bytes", lambda: None)
    sizes = SIZES | {"ring_size": 64 * MIB}
    found = list(checks.memory_findings(sizes, 2, False))
    assert [finding.state for finding in found] == [state, OK]
    assert "rings 128.0 MiB" in found[0].found
    # Each worker has its own.
    found = list(checks.memory_findings(sizes | {"workers": 4}, 2, False))
    assert "rings 512.0 MiB" in found[0].found


@pytest.mark.parametrize(("limit_mib", "state"), [(1024, OK), (256, WARNING)])
def test_a_control_group(limit_mib: int, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "cgroup_limit_bytes", lambda: limit_mib * MIB)
    assert of(checks.memory_findings(SIZES, 1, False), "memory limit").state == state


@pytest.mark.parametrize(("error_us", "state"), [(None, WARNING), (900, OK), (16_000_000, WARNING)])
def test_the_clock(error_us: int | None, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "clock_error_us", lambda: error_us)
    assert of(checks.clock_findings(), "clock").state == state


@pytest.mark.parametrize(
    ("name", "state"), [("tsc", OK), ("kvm-clock", OK), ("hpet", WARNING), ("", UNKNOWN)]
)
def test_the_clock_source(name: str, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "clock_source", lambda: name)
    assert of(checks.clock_findings(), "clock source").state == state


@pytest.mark.parametrize(("count", "state"), [(0, OK), (5, WARNING), (None, UNKNOWN)])
def test_what_a_card_has_lost(
    count: int | None, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card, "lost", lambda _: count)
    assert of(checks.interface_findings("lo"), "card").state == state


def test_a_store_that_can_be() -> None:
    folder = Path("/tmp") / f"darkflow-test-{os.getpid()}" / "not" / "yet"
    found = {one.check: one.state for one in checks.store_findings(str(folder), SIZES)}
    assert found["store"] == OK
    assert not folder.parent.parent.exists(), "nothing is left behind"


def test_a_store_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = list(checks.store_findings(str(tmp_path / "file"), SIZES))
    assert [(one.check, one.state) for one in found] == [("store", FAILED)]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 96 MiB in memory."""
    if os.geteuid() != 0:
        skip("mounting needs root")
    mount = ["mount", "-t", "tmpfs", "-o", "size=96M", "darkflow-test", str(tmp_path)]
    subprocess.run(mount, check=True)
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_small_disk_that_fills_up(small: Path) -> None:
    def states(store_bytes: int) -> dict[str, str]:
        settings = SIZES | {"store_bytes": store_bytes}
        return {one.check: one.state for one in checks.store_findings(str(small), settings)}

    assert states(10 << 30) == {"store": OK, "room": WARNING, "file system": WARNING}
    assert states(80 * MIB)["room"] == OK
    (small / "day.parquet").write_bytes(bytes(20 * MIB))
    # What is held counts: it is part of the store's own size.
    assert states(90 * MIB)["room"] == OK
    assert states(110 * MIB)["room"] == WARNING
    (small / "other").write_bytes(bytes(20 * MIB))
    assert states(MIB)["room"] == FAILED
    with pytest.raises(OSError, match="No space"):
        (small / "rest").write_bytes(bytes(90 * MIB))
    assert states(MIB) == {"store": FAILED}
