"""The metrics of a run in Prometheus' text format, version 0.0.4, generated from the one table."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from darkflow import __version__
from darkflow.sinks.metrics import METRICS, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Buckets must not come and go between two scrapes, and a few suffice: each is an edge of
# flow/delays.pyx, so their counts are exact.
BUCKETS_NS = (*(step * 10**power for power in range(4, 11) for step in (1, 2, 5)), 10**11)
BUCKETS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 31)
_SECOND_NS = 1_000_000_000


def prometheus_name(metric: Metric) -> str:
    """`darkflow_` and the name, in base units: seconds, not ns; counters end in `_total`."""
    name = f"{metric.name.removesuffix('_ns')}_seconds" if metric.unit == "ns" else metric.name
    return f"darkflow_{name}" + ("_total" if metric.type == "counter" else "")


def render(values: Mapping[str, Any]) -> str:
    """A page of every metric that is in `values` (see Metric), and of this process."""
    lines: list[str] = []
    for metric in METRICS:
        value = values.get(metric.name)
        if value is None:
            continue
        name = prometheus_name(metric)
        lines += _head(name, metric.type, f"{_unit(metric)}: {metric.meaning}")
        if metric.type == "histogram":
            lines += _histogram(name, metric, value, values.get(f"{metric.name}_sum"))
        elif metric.label:
            lines += [
                f'{name}{{{metric.label}="{escaped(label)}"}} {_number(metric, number)}'
                for label, number in value.items()
            ]
        else:
            lines.append(f"{name} {_number(metric, value)}")
    build = f'version="{__version__}",python="{platform.python_version()}"'
    lines += _head("darkflow_build_info", "gauge", "always 1; which program this is")
    lines.append(f"darkflow_build_info{{{build}}} 1")
    for name, kind, meaning, number in _process():
        lines += [*_head(name, kind, meaning), f"{name} {number}"]
    return "\n".join(lines) + "\n"


def escaped(label: str) -> str:
    """A label's value as it may stand between quotes."""
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _unit(metric: Metric) -> str:
    return "seconds" if metric.unit == "ns" else metric.unit


def _head(name: str, kind: str, meaning: str) -> list[str]:
    text = meaning.replace("\\", r"\\").replace("\n", " ")
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _number(metric: Metric, value: float) -> str:
    return _seconds(value) if metric.unit == "ns" else str(value)


def _seconds(value_ns: float) -> str:
    """Exact to the ns: a time since 1970 has more digits than a float holds."""
    whole, fraction = divmod(round(value_ns), _SECOND_NS)
    return f"{whole}.{fraction:09}".rstrip("0").rstrip(".")


def _histogram(
    name: str, metric: Metric, bins: Iterable[Mapping[str, int | None]], total: float | None
) -> Iterator[str]:
    """Cumulative counts; `_sum` only where it is known."""
    counted = [(at["le"], at["count"] or 0) for at in bins]
    for edge in BUCKETS_NS if metric.unit == "ns" else BUCKETS:
        below = sum(count for le, count in counted if le is not None and le <= edge)
        yield f'{name}_bucket{{le="{_number(metric, edge)}"}} {below}'
    count = sum(count for _, count in counted)
    yield f'{name}_bucket{{le="+Inf"}} {count}'
    if total is not None:
        yield f"{name}_sum {_number(metric, total)}"
    yield f"{name}_count {count}"


def _process() -> Iterator[tuple[str, str, str, str]]:
    """(name, type, meaning, value): the names that Prometheus' own clients give them."""
    page, tick = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
    # Behind the name, which may hold anything: field 3 of proc(5) and on.
    words = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    cpu_s = (int(words[11]) + int(words[12])) / tick
    yield "process_cpu_seconds_total", "counter", "user and system time", f"{cpu_s:.2f}"
    yield "process_resident_memory_bytes", "gauge", "in memory", str(int(words[21]) * page)
    yield "process_virtual_memory_bytes", "gauge", "address space", words[20]
    yield "process_threads", "gauge", "threads", words[17]
    booted = Path("/proc/stat").read_text().partition("btime ")[2].split(maxsplit=1)
    if booted:
        started = f"{int(booted[0]) + int(words[19]) / tick:.2f}"
        yield "process_start_time_seconds", "gauge", "since 1970", started
    try:
        fds = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (only how many)
    except OSError:
        return  # a process that has changed its user may not look there
    yield "process_open_fds", "gauge", "open files", str(fds)
