"""The captures of the bench: made when first needed, kept or removed, checked against the truth."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from process import python, run_step, warm

BENCH = Path(__file__).resolve().parent
# A generator that other projects are measured with, if it stands beside this one.
REFERENCE = BENCH.parents[1] / "shared" / "bench" / "gen.py"
REFERENCE_NAMES = {"packets": "packets", "syn": "syn_packets"}
NEEDED_BYTES = 5 << 30
SCALES = (1.0, 0.5, 0.25, 0.1, 0.01)


def affordable_scale(folder: Path) -> float:
    """The largest scale whose captures have room; RuntimeError if there is room for none."""
    free = shutil.disk_usage(folder).free
    for scale in SCALES:
        if NEEDED_BYTES * scale <= free:
            return scale
    raise RuntimeError(f"{folder} has only {free >> 20} MiB free")


class Captures:
    """Captures in a folder; they are kept if that is another one than the working directory."""

    def __init__(self, folder: Path, work: Path) -> None:
        self.folder = folder
        self.work = work

    def get(self, kind: str, count: int, suffix: str = "pcap") -> Path:
        """A capture of our own generator, in the page cache."""
        path = self.folder / f"{kind}-{count}.{suffix}"
        return self._made(path, python(str(BENCH / "traffic.py"), kind, str(path), f"-n{count}"))

    def reference(self, count: int) -> Path:
        """A capture of the reference generator, or of our own where that is absent."""
        if not REFERENCE.exists():
            return self.get("mix", count)
        path = self.folder / f"reference-{count}.pcap"
        return self._made(path, python(str(REFERENCE), str(path), f"-n{count}"))

    def _made(self, path: Path, argv: tuple[str, ...]) -> Path:
        truth = truth_path(path)
        if not (path.exists() and truth.exists()):
            print(f"  making {path.name} ...", file=sys.stderr)
            run_step(argv, self.work)
        warm(path)
        return path

    def remove(self) -> None:
        """Free the disk, unless the captures are to be kept."""
        if self.folder == self.work:
            for pattern in ("*.pcap", "*.pcapng", "*.json"):
                for path in self.folder.glob(pattern):
                    path.unlink()


def truth_path(capture: Path) -> Path:
    """Where the generators write what is in a capture."""
    return Path(f"{capture}.json")


def check(capture: Path, document: dict[str, Any]) -> None:
    """RuntimeError if `analyze --json` does not say what is known to be in the capture."""
    truth: dict[str, Any] = json.loads(truth_path(capture).read_text())
    if "syn_packets" in truth:
        truth = {ours: truth[theirs] for ours, theirs in REFERENCE_NAMES.items()}
    truth = {name: value for name, value in truth.items() if not name.startswith("known_")}
    wrong = {name: (document[name], value) for name, value in truth.items()
             if document[name] != value}  # fmt: skip
    if wrong:
        raise RuntimeError(f"{capture.name}: (said, true) differ: {wrong}")
