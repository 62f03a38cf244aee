"""Runs the kernels' tests and the fuzzer on a build with AddressSanitizer and UBSan.

    python tools/sanitize.py [--fuzz SECONDS] [--seed N] [--captures FOLDER] [TEST...]

The build lies in build/sanitize, beside the installed one, and is made anew when a source is newer.
Status 0: nothing found; 1: a report or a failing test; 2: no compiler, or no sanitizer libraries.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "sanitize"
STAMP = BUILD / "built"
# The fuzzer runs for itself, and longer.
TESTS = ("tests/flow", "tests/sources", "tests/sinks", "--ignore=tests/flow/test_fuzz.py")
LIBRARIES = ("libasan.so", "libubsan.so")
# Whether the kernels that Python finds are those of the build, and report what they do.
IS_IT = """
import sys, darkflow.flow.decode as kernel
with open(kernel.__file__, "rb") as file:
    sys.exit(sys.argv[1] not in kernel.__file__ or b"__asan_report_load" not in file.read())
"""


def libraries() -> list[str]:
    """The sanitizers' libraries, or an exit that says what is missing."""
    compiler = shutil.which("gcc")
    if compiler is None:
        sys.stderr.write("gcc is not installed\n")
        raise SystemExit(2)
    found = []
    for name in LIBRARIES:
        asked = subprocess.run(
            [compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True
        )
        # gcc gives a name back as it is when it has no such file.
        if asked.stdout.strip() == name:
            sys.stderr.write(f"gcc has no {name}\n")
            raise SystemExit(2)
        found.append(asked.stdout.strip())
    return found


def is_built() -> bool:
    """Whether the build is newer than every source."""
    sources = [path for path in (ROOT / "src").rglob("*.p*") if path.suffix != ".pyc"]
    newest = max(path.stat().st_mtime_ns for path in [*sources, ROOT / "setup.py"])
    return STAMP.exists() and STAMP.stat().st_mtime_ns > newest


def build() -> None:
    """Compile into build/sanitize, the Python files beside; the in-place build stays as it is."""
    print("building the kernels with sanitizers (15 s)", flush=True)
    command = [sys.executable, "setup.py", "--quiet", "build", f"--parallel={os.cpu_count() or 1}"]
    command += [f"--build-lib={BUILD}", f"--build-temp={BUILD}-objects"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"DARKFLOW_SANITIZE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        raise SystemExit(1)
    STAMP.touch()


def environment(preload: list[str]) -> dict[str, str]:
    """What a Python that was built without sanitizers needs to run kernels that have them."""
    return os.environ | {
        "LD_PRELOAD": " ".join(preload),
        # Python itself leaks on purpose; its own allocator would hide where a block ends.
        "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=1:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(BUILD),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def main() -> int:
    """Build if needed, check that the build is what runs, test, fuzz."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--fuzz", type=float, default=120, help="seconds of fuzzing (120)")
    parser.add_argument("--seed", help="the fuzzer's seed (from the clock)")
    parser.add_argument("--captures", help="folder of real captures to damage, too")
    parser.add_argument(
        "tests", nargs="*", help="tests to run, or options of pytest (the kernels')"
    )
    options, further = parser.parse_known_args()
    tests = [*(options.tests or TESTS), *further]
    preload = libraries()
    if not is_built():
        build()
    variables = environment(preload)
    # Captured output would be lost with a process that a sanitizer ends.
    pytest = [
        "-m",
        "pytest",
        "-q",
        "--capture=sys",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
    ]
    fuzz = ["tests/fuzz.py", str(options.fuzz)]
    for name in ("seed", "captures"):
        if getattr(options, name):
            fuzz += [f"--{name}", getattr(options, name)]
    for arguments in (["-c", IS_IT, str(BUILD)], [*pytest, *tests], fuzz):
        done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=variables, check=False)
        if done.returncode:
            sys.stderr.write(f"sanitizer build: {' '.join(arguments[:3])} ended with a failure\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
