"""The dashboard and the alerts ask only for what there is, and the dashboard shows every loss."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from darkflow.sinks.metrics import METRICS
from darkflow.sinks.prometheus import prometheus_name, render

CONTRIB = Path(__file__).resolve().parents[2] / "contrib"
DASHBOARD: dict[str, Any] = json.loads((CONTRIB / "grafana" / "darkflow.json").read_text())
ALERTS = (CONTRIB / "prometheus" / "alerts.yml").read_text()
LOSSES = [metric for metric in METRICS if metric.live and metric.name.startswith("dropped_")]


def samples() -> dict[str, set[str]]:
    """Every series name that a sensor can show, and its labels."""
    values: dict[str, Any] = {}
    for metric in METRICS:
        if metric.live:
            histogram = metric.type == "histogram"
            values[metric.name] = [] if histogram else {"x": 1} if metric.label else 1
            values[f"{metric.name}_sum"] = 1.0
    found: dict[str, set[str]] = {"up": set()}
    for family in text_string_to_metric_families(render(values)):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def names_in(expression: str) -> set[str]:
    """The series that a PromQL expression names."""
    return set(re.findall(r"\b(?:darkflow|process)_\w+|\bup\b", expression))


def expressions() -> list[tuple[str, str]]:
    """(panel, PromQL) of the whole dashboard."""
    return [
        (panel["title"], target["expr"])
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    ]


def alerts() -> list[tuple[str, str]]:
    """(alert, PromQL); each expression is one line in quotes, so that no YAML parser is needed."""
    return re.findall(r"- alert: (\w+)\n +expr: '([^'\n]+)'\n", ALERTS)


@pytest.mark.parametrize(("where", "expression"), [*expressions(), *alerts()])
def test_only_what_there_is_is_asked_for(where: str, expression: str) -> None:
    known = samples()
    names = names_in(expression)
    assert names, where
    assert names <= set(known)
    for open_, close in ("()", "[]", "{}"):
        assert expression.count(open_) == expression.count(close)
    for name in names:
        # A counter is of use only as a rate; a label must be there.
        if name.endswith("_total"):
            assert re.search(rf"(rate|increase)\({name}\b", expression), f"{where}: {name}"
    for label in re.findall(r"\bby \(([\w, ]+)\)", expression):
        for word in label.split(", "):
            assert word in ("instance", "job") or any(word in known[name] for name in names)


def test_every_loss_is_on_one_panel() -> None:
    (panel,) = [panel for panel in DASHBOARD["panels"] if panel["title"] == "Losses"]
    shown = {name for target in panel["targets"] for name in names_in(target["expr"])}
    assert shown == {prometheus_name(metric) for metric in LOSSES}
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [step["color"] for step in steps] == ["green", "red"]
    assert steps[1]["value"] <= 1e-6


def test_every_loss_raises_an_alert() -> None:
    asked = {name for _, expression in alerts() for name in names_in(expression)}
    assert {prometheus_name(metric) for metric in LOSSES} <= asked


def test_the_dashboard_can_be_imported_anywhere() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids)) > 10
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = {
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    }
    assert len(cells) == sum(place["w"] * place["h"] for place in places), "panels overlap"
    assert max(x for x, _ in cells) == 23
    for panel in DASHBOARD["panels"]:
        for source in (panel["datasource"], *(target["datasource"] for target in panel["targets"])):
            assert source == {"type": "prometheus", "uid": "${datasource}"}


def test_the_alerts_are_all_read() -> None:
    assert len(alerts()) == ALERTS.count("- alert:") >= 6
    assert len({name for name, _ in alerts()}) == len(alerts())
    assert "\t" not in ALERTS
    # One shape for all of them: what a YAML parser would make of it is plain.
    for line in ALERTS.splitlines():
        assert re.fullmatch(
            r"#.*|groups:|  - name: [\w-]+|    rules:|      - alert: \w+|        expr: '[^']+'"
            r"|        for: \d+m|        labels: \{severity: (info|warning|critical)\}"
            r'|        annotations: \{summary: "[^"]+"\}|',
            line,
        ), line
