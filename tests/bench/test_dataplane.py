"""The data plane's bench: fills what it says, and measures in small what it measures in full."""

from __future__ import annotations

import subprocess

import dataplane
from captures import BENCH
from process import python

from conftest import skip
from darkflow.lab import planes
from darkflow.lab.cutting import registered


def test_flows_that_fill_the_table_differ() -> None:
    for version, length in ((4, 4), (6, 16)):
        flows = registered(0, 70_000, version)
        assert len(set(flows)) == 70_000
        assert {len(flow[0]) for flow in flows} == {len(flow[2]) for flow in flows} == {length}
        # Those that are measured are none of them.
        assert planes.packed(planes.CLIENT[version]) not in {flow[0] for flow in flows}
        assert planes.packed(planes.NOBODY[version]) not in {flow[0] for flow in flows}


def test_quartiles() -> None:
    assert dataplane.quartiles([9, 1, 2, 8, 5]) == "5.0 (2.0-8.0)"
    assert dataplane.quartiles([3]) == "3.0 (3.0-3.0)"


def test_a_quick_run() -> None:
    if (reason := planes.cannot()) is not None:
        skip(reason)
    argv = python(str(BENCH / "run.py"), "--quick", "--only", "plane")
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    rows = ("router, IPv4 | 1", "router, IPv4 | 10 k", "mirror, IPv6 | 1", "router | diverted | 1",
            "mirror | live | no table", "256")  # fmt: skip
    for row in rows:
        assert f"| {row} |" in done.stdout
