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

from conftest import TESTS, beside, lane_of

ROOT = Path(__file__).resolve().parents[1]
LANES = (
    ("tests/commands/test_wake.py", "tests/commands/test_fields.py", "tests/test_pipeline.py"),
    ("tests/divert/test_plan.py", "tests/divert/test_replay.py"),
)
COMPUTING = "tests/commands/test_config_file.py"


def test_lanes_of_live_tests_have_workers_to_themselves() -> None:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    argv = [sys.executable, "-m", "pytest", "-n", "3", "-v", "-p", "no:cacheprovider"]
    files = {path for lane in LANES for path in lane} | {COMPUTING}
    done = subprocess.run(
        [*argv, *sorted(files)], cwd=ROOT, env=inherited, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    ran = re.findall(r"^\[(gw\d)\].*PASSED (\S+?)::", done.stdout, re.MULTILINE)
    workers = {path: {worker for worker, where in ran if where == path} for _, path in ran}
    assert workers.keys() == files
    lanes = [set.union(*(workers[path] for path in lane)) for lane in LANES]
    assert [len(lane) for lane in lanes] == [1] * len(LANES)
    assert len(set.union(*lanes)) == len(LANES)
    assert workers[COMPUTING] - set.union(*lanes), "the third worker is not idle"


@pytest.mark.parametrize(
    ("path", "lane"),
    [
        ("divert/test_plan.py", "live: honeypot"),
        ("commands/test_honeypot_control.py", "live: honeypot"),
        ("commands/test_lab.py", "live: lab"),
        ("honeypot/test_responder.py", "live: lab"),
        ("honeypot/protocols/test_tls.py", ""),
        ("sinks/test_outputs.py", "live: sinks"),
        ("sinks/test_alerts.py", ""),
        ("sources/test_live_rings.py", "live: sensor"),
        ("test_a_file_that_is_new.py", "live: sensor"),
    ],
)
def test_the_lane_of_a_file(path: str, lane: str) -> None:
    assert lane_of(str(TESTS / path)) == lane


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
