"""With several workers, live tests run on one of them, one after the other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIVE = ("tests/commands/test_wake.py", "tests/commands/test_fields.py", "tests/test_pipeline.py")
COMPUTING = "tests/commands/test_config_file.py"


def test_live_tests_have_a_worker_to_themselves() -> None:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    argv = [sys.executable, "-m", "pytest", "-n", "2", "-v", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*argv, *LIVE, COMPUTING], cwd=ROOT, env=inherited, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    ran = re.findall(r"^\[(gw\d)\].*PASSED (\S+?)::", done.stdout, re.MULTILINE)
    workers = {path: {worker for worker, where in ran if where == path} for _, path in ran}
    assert workers.keys() == {*LIVE, COMPUTING}
    assert len(set.union(*(workers[path] for path in LIVE))) == 1
    assert workers[COMPUTING] - workers[LIVE[0]], "the other worker is not idle"
