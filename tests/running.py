"""Runs the installed `darkflow` as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

DARKFLOW = Path(sys.executable).parent / "darkflow"
# For Python programs of a test that use the tests' own helpers.
WITH_HELPERS = os.environ | {
    "PYTHONPATH": os.pathsep.join(
        filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH")))
    )
}


def darkflow(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run it to its end; stdout and stderr as text."""
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [DARKFLOW, *arguments],
        **{"capture_output": True, "text": True, "check": False, "timeout": 120, **options},
    )
