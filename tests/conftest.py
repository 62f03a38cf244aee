"""Shared by all tests: where the real captures are, and when a skip is a failure."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
from xdist.scheduler import LoadScopeScheduling

SHARED = Path(__file__).resolve().parents[2] / "shared"
CI = os.environ.get("CI") == "true"

# A shell starts what runs in its background with Ctrl-C ignored, and programs pass that on. The
# programs that are tested here must be as they are in the foreground.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# What only computes; everything else listens on real interfaces or watches the clock. With several
# workers (`make test`) live tests have lanes, each of which is one after the other, and these run
# beside them, out of the way.
TESTS = Path(__file__).resolve().parent
COMPUTES = tuple(str(TESTS / name) for name in (
    "analysis/", "bench/test_lists.py", "bench/test_run.py", "bench/test_stores.py",
    "bench/test_traffic.py", "commands/test_addresses.py", "commands/test_analyze.py",
    "commands/test_config_", "commands/test_detecting.py", "commands/test_export.py",
    "commands/test_query.py", "commands/test_tune.py", "contrib/", "flow/", "honeypot/protocols/",
    "honeypot/test_conversation.py", "honeypot/test_machines.py", "sinks/test_alerts.py",
    "sinks/test_answered.py", "sinks/test_columns.py", "sinks/test_dark_pcap.py",
    "sinks/test_detections.py", "sinks/test_endpoints.py", "sinks/test_housekeeping.py",
    "sinks/test_labels.py", "sinks/test_lines.py", "sinks/test_records_stored.py",
    "sinks/test_scan_records.py", "sinks/test_summary.py", "sinks/test_waits.py",
    "sources/test_compressed.py", "sources/test_kernel_filter.py", "sources/test_records.py",
    "test_cli.py", "test_docs.py", "test_sanitize.py", "test_style.py", "test_truth.py",
))  # fmt: skip
LANES = {
    "live: honeypot": ("commands/test_honeypot", "divert/"),
    "live: lab": (
        "bench/test_dataplane.py", "commands/test_lab", "honeypot/", "lab/", "test_real_tools.py",
    ),
    "live: sinks": ("sinks/",),
}  # fmt: skip
# Live tests that need the machine for themselves: high rates, answers within milliseconds, or
# how long one thing takes beside another.
QUIET = tuple(str(TESTS / name) for name in (
    "bench/test_dataplane.py", "bench/test_live.py", "commands/test_honeypot_promises.py",
    "commands/test_honeypot_scanners.py", "commands/test_sensor.py", "divert/test_dataplane",
    "divert/test_nft.py", "lab/test_live_scanners.py", "sinks/test_records.py",
    "sources/test_live_rings.py", "test_live_captures.py",
))  # fmt: skip
IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ


def lane_of(path: str) -> str:
    """Which live tests run one after the other; "" for those that only compute."""
    if path.startswith(COMPUTES):
        return ""
    inside = path.removeprefix(f"{TESTS}/")
    found = (lane for lane, begins in LANES.items() if inside.startswith(begins))
    return next(found, "live: sensor")


class LiveInLanes(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """A lane of live tests is one unit of work, run by one worker; each other test is its own.

    With this pytest, xdist's own groups (--dist loadgroup) reach no worker.
    """

    def _split_scope(self, nodeid: str) -> str:
        return lane_of(str(TESTS.parent / nodeid.partition("::")[0])) or nodeid


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first: nothing else is left to do while it ends."""
    items.sort(key=lambda item: "test_sanitize.py" not in item.nodeid)


@pytest.hookimpl(optionalhook=True)  # the sanitizer's run does without xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LiveInLanes:
    """What deals tests out to workers."""
    return LiveInLanes(config, log)


@contextmanager
def beside(alone: bool) -> Iterator[None]:
    """Live tests of all lanes beside each other, but one that is to be alone without the others.

    Who waits to be alone holds the gate, so that he is the next.
    """
    name = f"darkflow-tests-{os.environ['PYTEST_XDIST_TESTRUNUID']}"
    folder = Path(tempfile.gettempdir())
    with (folder / f"{name}.gate").open("w") as gate, (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """What computes gives way to what is live; only root can take its place back afterwards."""
    path = str(item.path)
    if not IS_WORKER:
        return (yield)
    if os.geteuid() == 0:
        os.setpriority(os.PRIO_PROCESS, 0, 0 if lane_of(path) else 19)
    if not lane_of(path):
        return (yield)
    with beside(path.startswith(QUIET)):
        return (yield)


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
