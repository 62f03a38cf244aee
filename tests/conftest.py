"""Shared by all tests: where the real captures are, and when a skip is a failure."""

from __future__ import annotations

import json
import os
import signal
import tarfile
from pathlib import Path
from typing import Any, NoReturn

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"
CI = os.environ.get("CI") == "true"

# A shell starts what runs in its background with Ctrl-C ignored, and programs pass that on. The
# programs that are tested here must be as they are in the foreground.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def skip(reason: str) -> NoReturn:
    """Skip, and say why; under CI nothing that this machine could do may be skipped."""
    if CI:
        pytest.fail(f"may not be skipped under CI: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def truth() -> dict[str, Any]:
    """What must be said of each real capture."""
    path = SHARED / "truth" / "truth.json"
    if not path.exists():
        skip("../shared/truth is not there")
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


@pytest.fixture(scope="session")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the real captures, unpacked for this run only."""
    archive = SHARED / "captures" / "captures.tar.xz"
    if not archive.exists():
        skip("../shared/captures is not there")
    folder = tmp_path_factory.mktemp("captures")
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            if member.isfile():
                member.name = Path(member.name).name
                tar.extract(member, folder, filter="data")
    return folder


@pytest.fixture(scope="session")
def real_lab() -> None:
    """For tests that build the lab. Under CI a machine that cannot is a broken machine."""
    from darkflow.lab.run import can_run

    reason = can_run()
    if reason is not None:
        skip(reason)
