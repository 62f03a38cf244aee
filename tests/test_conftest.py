"""With several workers, each lane of live tests runs on one of them, one after the other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import beside

ROOT = Path(__file__).resolve().parents[1]
SENSOR = ("tests/commands/test_wake.py", "tests/commands/test_fields.py", "tests/test_pipeline.py")
HONEYPOT = ("tests/divert/test_plan.py", "tests/divert/test_replay.py")
COMPUTING = "tests/commands/test_config_file.py"


def test_lanes_of_live_tests_have_workers_to_themselves() -> None:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    argv = [sys.executable, "-m", "pytest", "-n", "3", "-v", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*argv, *SENSOR, *HONEYPOT, COMPUTING], cwd=ROOT, env=inherited, capture_output=True,
        text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    ran = re.findall(r"^\[(gw\d)\].*PASSED (\S+?)::", done.stdout, re.MULTILINE)
    workers = {path: {worker for worker, where in ran if where == path} for _, path in ran}
    assert workers.keys() == {*SENSOR, *HONEYPOT, COMPUTING}
    lanes = [set.union(*(workers[path] for path in lane)) for lane in (SENSOR, HONEYPOT)]
    assert [len(lane) for lane in lanes] == [1, 1]
    assert lanes[0] != lanes[1]
    assert workers[COMPUTING] - lanes[0] - lanes[1], "the third worker is not idle"


def test_who_is_to_be_alone_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTEST_XDIST_TESTRUNUID", tmp_path.parent.name)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    inside: list[str] = []
    most: list[tuple[str, ...]] = []

    def one(name: str) -> None:
        with beside(name == "alone"):
            inside.append(name)
            time.sleep(0.05)
            most.append(tuple(inside))
            inside.remove(name)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(one, ["a", "b", "alone", "c", "d", "alone"] * 2))
    assert {len(names) for names in most if "alone" in names} == {1}
    assert max(len(names) for names in most) > 1
