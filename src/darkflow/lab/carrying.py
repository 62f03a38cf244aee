"""What a TCP connection carries through the data plane, beside a table of any size."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from darkflow.lab import planes
from darkflow.lab.cutting import OTHER_CORE, SENDING_CORE, Plane, running, said

TCP = (sys.executable, "-m", "darkflow.lab.tcp")


@dataclass(frozen=True)
class Carried:
    """One connection: what it carried, and the processors' time for it."""

    mbit_s: float
    cpu_ns_per_byte: float


def connections(
    kind: str, sizes: Sequence[int], turns: int, seconds: float
) -> dict[tuple[str, int], list[Carried]]:
    """By connection (`diverted`, `live`) and size of the table, turn by turn; 0: no table at all.

    Each connection carries what it can for `seconds`.
    """
    runs: dict[tuple[str, int], list[Carried]] = {}
    with planes.stand(kind) as stand:
        stand.without_offload()
        plane = Plane(stand)
        sinks = (running(stand, role, OTHER_CORE, *TCP, "sink", "80") for role in ("hp", "in"))
        with next(sinks) as dark, next(sinks) as live:
            numbers = iter(range(20_000, 60_000))

            def carry(what: str) -> Carried:
                port, diverted = str(next(numbers)), what == "diverted"
                if diverted:
                    plane.table.add([planes.flow_of(4, int(port))])
                target = planes.ABSENT[4] if diverted else planes.LIVE[4]
                before_ns = softirq_ns()
                argv = ["taskset", "-c", SENDING_CORE, *TCP, "source"]
                sent = stand.run("out", *argv, planes.CLIENT[4], port, target, "80", str(seconds))
                mbit_s, total, busy_s = map(float, said(dark if diverted else live).split())
                cpu_ns = (float(sent) + busy_s) * 1e9 + softirq_ns() - before_ns
                return Carried(mbit_s, cpu_ns / total)

            for _ in range(turns):
                with stand.at(stand.where):
                    plane.table.remove()
                runs.setdefault(("live", 0), []).append(carry("live"))
                plane.empty()
                for size in sizes:
                    plane.fill(size)
                    for what in ("diverted", "live"):
                        runs.setdefault((what, size), []).append(carry(what))
    return dict(sorted(runs.items()))


def softirq_ns() -> int:
    """CPU time of the kernel's threads that go on with packets when there are too many at once."""
    found = 0
    for thread in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (thread / "comm").read_text().startswith("ksoftirqd/"):
                found += int((thread / "schedstat").read_text().split()[0])
    return found
