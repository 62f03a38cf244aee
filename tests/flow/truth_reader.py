"""Borrows the slow capture reader that truth.json was made with."""

from __future__ import annotations

import importlib.util
from types import ModuleType

from conftest import SHARED, skip


def truth_reader() -> ModuleType:
    """`read_capture(path)` gives frames, `tcp_of(link, data)` the outermost TCP header."""
    path = SHARED / "truth" / "capread.py"
    if not path.exists():
        skip("../shared/truth is not there")
    spec = importlib.util.spec_from_file_location("capread", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
