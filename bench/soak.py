"""The sensor for ten minutes at 50,000 packets/s: memory stays flat, nothing is lost: `make soak`.

Prints a report; a run of ten minutes or more also writes it into docs/performance.md. Exit status 1
if memory grows, a packet is lost or a dark flow is not as sent.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from live import HOLD_S, SETTLE_S, Loaded, dark_as_sent
from live_programs import BENCH, Sender, Sensor, Wire, cannot, wire
from report import (
    MIB,
    SOAK,
    Aim,
    Result,
    Table,
    at_most,
    document,
    machine,
    replace_between_markers,
)

PAGE = BENCH.parent / "docs" / "performance.md"
FULL_S = 600
# In it the flow table fills: a dark flow stays for a minute.
WARM_S = 60.0
GROWTH_MIB = 1.0


@dataclass(frozen=True)
class Sample:
    """Resident memory so long after the start."""

    at_s: float
    bytes: int


@dataclass(frozen=True)
class Soaked:
    """A whole run."""

    loaded: Loaded
    samples: list[Sample]
    cpu_share: float


def soaked(link: Wire, work: Path, rate: float, seconds: float, options: Sequence[str]) -> Soaked:
    """Send at a steady rate, look at the sensor's memory once a second."""
    # A table of scans' sources that is full before memory is looked at; what grows then is a leak.
    sender, sensor = Sender(work), Sensor(link, work, "--scan-sources", "1024", *options)
    samples = []
    try:
        began_s, before_ns = time.monotonic(), sensor.cpu_ns
        running = sender.start(link, "mix", 1 << 62, rate, seconds)
        while running.poll() is None:
            time.sleep(1)
            samples.append(Sample(time.monotonic() - began_s, sensor.memory_bytes()))
        cpu_share = (sensor.cpu_ns - before_ns) / 1e9 / (time.monotonic() - began_s)
        sent = sender.sent(running)
        time.sleep(HOLD_S + SETTLE_S)
        peak_bytes = sensor.memory_bytes("VmHWM")
        sensor.stop()
        found = dark_as_sent(sensor, sent)
    finally:
        sensor.stop(signal.SIGKILL)
    return Soaked(Loaded(sent, sensor.state(), peak_bytes, found), samples, cpu_share)


def growth(samples: Sequence[Sample], after_s: float) -> float:
    """MiB by which memory grows from a time to the end, by the fitted line."""
    kept = [sample for sample in samples if sample.at_s >= after_s]
    if len(kept) < 2:
        raise RuntimeError("too few samples of memory: soak for longer")
    middle_s = sum(sample.at_s for sample in kept) / len(kept)
    spread = sum((sample.at_s - middle_s) ** 2 for sample in kept)
    slope = sum((sample.at_s - middle_s) * sample.bytes for sample in kept) / spread
    return slope * (kept[-1].at_s - kept[0].at_s) / MIB


def result(run: Soaked, warm_s: float) -> Result:
    """The report's tables and aims."""
    sent, state = run.loaded.sent, run.loaded.state
    lost = sum(value for name, value in state.items() if name.startswith("dropped_"))
    rows = [
        ("seconds", f"{sent.seconds:.0f}"),
        ("packets sent, 3% SYN", str(sent.packets)),
        ("packets/s", f"{sent.packets / sent.seconds:.0f}"),
        ("packets that pass the filter", str(sent.wanted)),
        ("SYNs", str(sent.syn)),
        ("dark flows", str(state["dark"])),
        (f"resident MiB after {warm_s:.0f} s", mib(run.samples, warm_s)),
        ("resident MiB at the end", mib(run.samples, run.samples[-1].at_s)),
        ("peak MiB", f"{run.loaded.peak_bytes / MIB:.1f}"),
        ("CPU of one core", f"{100 * run.cpu_share:.2f}%"),
    ]
    aims = [
        at_most(f"soak: memory grows after {warm_s:.0f} s", growth(run.samples, warm_s),
                GROWTH_MIB, " MiB"),
        at_most("soak: lost, each counter", lost, 0, digits=0),
        at_most("soak: not accounted for", run.loaded.unaccounted + run.loaded.unjudged, 0,
                digits=0),
        Aim("soak: dark flows", "each once", "each once" if run.loaded.found else "wrong",
            run.loaded.found),
    ]  # fmt: skip
    return Result([Table("Soak", ("what", "value"), list(rows))], aims)


def mib(samples: Sequence[Sample], at_s: float) -> str:
    """Memory at the first sample from a time on."""
    return f"{next(sample.bytes for sample in samples if sample.at_s >= at_s) / MIB:.1f}"


def main(argv: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=FULL_S)
    parser.add_argument("--rate", type=float, default=50_000, help="packets/s")
    parser.add_argument("options", nargs="*", help="options for the sensor, after --")
    asked = parser.parse_args(argv)
    if reason := cannot():
        print(f"soak: {reason}", file=sys.stderr)
        return 2
    warm_s = min(WARM_S, asked.seconds / 2)
    try:
        with tempfile.TemporaryDirectory(prefix="darkflow-soak-") as work, wire() as link:
            run = soaked(link, Path(work), asked.rate, asked.seconds, asked.options)
            found = result(run, warm_s)
    except RuntimeError as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1
    text = document([found], f"Measured on: {machine()}.").replace("### Aims", "### Soak: aims")
    print(text)
    if asked.seconds >= FULL_S:
        PAGE.write_text(replace_between_markers(PAGE.read_text(), text, SOAK))
    return 0 if all(aim.met for aim in found.aims) else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
