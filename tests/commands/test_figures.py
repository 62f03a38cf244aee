"""What a real honeypot counts, as Prometheus, the store and `darkflow status` are told it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric as Family
from prometheus_client.parser import text_string_to_metric_families

from conftest import skip
from darkflow.commands.figures import LOSS
from darkflow.sinks.metrics import METRICS
from darkflow.sinks.prometheus import prometheus_name
from honeypot_wires import Honeypot, Site, cannot, silent, site, written
from running import darkflow

HOLD = ("--hold", "400ms")
ASK = (
    "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9465/metrics').read().decode())"
)
# The kernel tells the size of its sets since 6.16.
PERHAPS = {"darkflow_kernel_flows"}


@pytest.fixture(autouse=True)
def possible() -> None:
    """Root and the programs."""
    reason = cannot()
    if reason is not None:
        skip(reason)


def scraped(place: Site) -> dict[str, Family]:
    """The page by the names that Prometheus' own parser gives: without `_total`."""
    page = place.run(place.machine, sys.executable, "-c", ASK)
    return {family.name: family for family in text_string_to_metric_families(page)}


def values(family: Family) -> dict[str, float]:
    """By label, or "" where there is none."""
    return {next(iter(s.labels.values()), ""): s.value for s in family.samples}


def test_everything_is_told_everywhere(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    with site("inline") as place:
        place.serve()
        honeypot = Honeypot(place, tmp_path, *HOLD, "--metrics", "9465", "--store", store,
                            "--allow-port", "81")  # fmt: skip
        for version in (4, 6):
            address = written(silent(version, 5))
            assert "It works!" in place.curl(f"http://{address}/")[0]
            assert place.curl(f"http://{address}:81/", limit_s=1) == ("", 0)
        honeypot.wait_for(lambda: len(honeypot.events("session")) == 2)
        found = scraped(place)
        status = honeypot.status()
        wanted = {prometheus_name(m).removesuffix("_total") for m in METRICS if m.live}
        store_metrics = {name for name in wanted if "store" in name}
        assert wanted - set(found) <= PERHAPS | store_metrics
        check(found, status)
        assert honeypot.end()[0] == 0
    rows = darkflow("query", "--store", store, "--format", "json", "SELECT * FROM stats")
    last = json.loads(rows.stdout)[-1]
    assert (last["diverted"], last["not_diverted"], last["sessions"]) == (2, 2, 2)
    assert last["kernel_diverted"] >= last["kernel_answered"] > 4
    assert {last[m.name] for m in METRICS if m.honeypot and m.name.startswith(LOSS)} == {0}


def check(found: dict[str, Family], status: dict[str, Any]) -> None:
    """The page says what the status says."""

    def told(name: str) -> dict[str, float]:
        return values(found[f"darkflow_{name}"])

    assert told("diverted") == {"": status["flows"]["diverted"]} == {"": 2}
    assert told("not_diverted")["allowed"] == status["not_diverted"]["allowed"] >= 2
    assert told("syns_replayed") == told("sessions") == {"": 2}
    assert told("sessions_open") == {"": 0}
    assert told("cuts") == status["cuts"] == dict.fromkeys(status["cuts"], 0)
    for name in ("diverted", "copied", "answered", "dropped", "shielded", "diverted_bytes"):
        assert told(f"kernel_{name}") == {"": status["kernel"][name]}, name
    assert told("services_running") == {"responder": 1}
    assert told("service_restarts") == {"responder": 0}
    assert told("responder_refused") == {"": 0}
    losses = {n if n.startswith(LOSS) else LOSS + n: v for n, v in status["losses"].items()}
    # By interface on the page, their sum in the status.
    assert {name: sum(told(name).values()) for name in losses} == losses
    assert len(losses) > 12
