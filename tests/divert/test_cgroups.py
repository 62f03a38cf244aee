"""Limits of a service with all its processes: what is written, and the kernel's own where it is."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from darkflow.divert.cgroups import Cgroups, hierarchy, limits
from darkflow.divert.services import Service

SERVICE = Service("web", ((80, 80),), ("true",), memory_bytes=1 << 26, processes=9, cpu=0.25)


def test_what_is_written() -> None:
    assert limits(SERVICE) == {
        "memory.max": "67108864", "memory.swap.max": "0", "pids.max": "9", "cpu.max": "25000 100000"
    }  # fmt: skip
    assert "cpu.max" not in limits(Service("web", ()))


def test_a_process_is_in_it_and_it_is_gone_afterwards() -> None:
    root = hierarchy()
    if root is None or os.geteuid() != 0 or not os.access(root / "cgroup.procs", os.W_OK):
        pytest.skip("cgroup v2 cannot be written to here: services have rlimits alone")
    name = f"test-{os.getpid()}"
    cgroups = Cgroups(name)
    procs, held = cgroups.add(SERVICE)
    own = root / f"darkflow-{name}" / "web"
    try:
        assert procs == str(own / "cgroup.procs")
        controllers = set((own / "cgroup.controllers").read_text().split())
        assert held == controllers & {"memory", "cpu", "pids"}
        for file, value in limits(SERVICE).items():
            if file.partition(".")[0] in held and "swap" not in file:
                assert (own / file).read_text().strip() == value
        with subprocess.Popen(["sleep", "600"]) as sleeper:
            Path(procs).write_text(str(sleeper.pid))
            assert f"/darkflow-{name}/web" in Path(f"/proc/{sleeper.pid}/cgroup").read_text()
            # Not while somebody is in it.
            cgroups.remove()
            assert own.exists()
            sleeper.kill()
    finally:
        until = time.monotonic() + 5
        while own.parent.exists() and time.monotonic() < until:
            cgroups.remove()
            time.sleep(0.02)
    assert not own.parent.exists()


def test_where_it_cannot_be_written_there_are_no_limits_of_it(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        root = Path("/proc/self")
    else:
        root = tmp_path
        root.chmod(0o555)
    assert Cgroups("test", root).add(SERVICE) == ("", frozenset())
    Cgroups("test", root).remove()


def test_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("darkflow.divert.cgroups.hierarchy", lambda: None)
    assert Cgroups("test").add(SERVICE) == ("", frozenset())
    Cgroups("test").remove()


def test_only_what_the_kernel_takes_counts_as_held(tmp_path: Path) -> None:
    """A hierarchy with one controller: the others' files are not there, nor are they made."""
    own = tmp_path / "darkflow-test" / "web"
    own.mkdir(parents=True)
    (own / "pids.max").write_text("")
    _, held = Cgroups("test", tmp_path).add(SERVICE)
    assert held == {"pids"}
    assert (own / "pids.max").read_text() == "9"
    assert not (own / "memory.max").exists()
