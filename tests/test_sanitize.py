"""The kernels under AddressSanitizer and UBSan, for a short time; `make sanitize` takes longer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from conftest import skip

ROOT = Path(__file__).resolve().parents[1]


def test_nothing_is_read_beyond_its_end() -> None:
    """Cut-off packets of every kind, then the fuzzer; the first time, a build of 15 s."""
    command = [sys.executable, "tools/sanitize.py", "--fuzz", "5", "tests/flow/test_tunnels.py"]
    command += ["tests/flow/test_decode.py", "-k", "cut_off or damaged or random_bytes or nested"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 2:
        skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing found" in done.stdout
