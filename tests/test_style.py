"""The style points that a program can check, and the linters."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "darkflow"
TESTS = ROOT / "tests"
MODULES = sorted(p for p in SRC.rglob("*.py*") if p.suffix in (".py", ".pyx"))
TYPED = sorted([*SRC.rglob("*.py"), *TESTS.rglob("*.py"), *(ROOT / "bench").rglob("*.py")])
COMPILED = sorted([*SRC.rglob("*.pyx"), *SRC.rglob("*.pxd")])
MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_PARAMETERS = 400, 70, 6

# From the top down: a module may import what is below it in this list, never what is above.
LAYERS = (
    ("cli",), ("commands",), ("lab", "analysis"), ("pipeline",),
    ("sources", "sinks", "divert", "honeypot"), ("flow",),
    ("config",), ("shorter_holds",), ("setting", "units"),
)  # fmt: skip
# Words that a module without logic of its own has no test for: protocols, constants.
NO_LOGIC = {"__init__", "source", "sink"}
# Compiled containers, tested through what works on them.
TESTED_THROUGH = {
    "batch": "test_engine",
    "kept": "test_dark_pcap",
    "derived": "test_lines",
    "arrow": "test_columns",
    "signature": "test_lines",
    "units": "test_config",
    "planes": "test_dataplane",
    "cutting": "test_dataplane",
    "carrying": "test_dataplane",
    "tcp": "test_dataplane",
    "address_lists": "test_lists",
    "clients": "test_evaluate",
    "forged": "test_evaluate",
    "machine": "test_evaluate",
    "network": "test_evaluate",
    "parts": "test_evaluate",
    "wire": "test_evaluate",
    "compared": "test_evaluated",
    "evaluated_machine": "test_evaluated",
    "evaluation": "test_evaluated",
    "setting": "test_config",
    "shorter_holds": "test_config",
    "parser_honeypot": "test_parser",
    "parser_lab": "test_lab",
    "parser_report": "test_parser",
    "paper": "test_charts",
    "parser_learning": "test_parser",
    "reading": "test_addresses",
    "stored_addresses": "test_addresses",
    "stored_waits": "test_tune",
    "supervisor": "test_sensor",
}


def name_of(path: Path) -> str:
    """A file's name in the messages."""
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[tuple[str, int, int]]:
    """(name, lines, parameters) of every function in a Python or Cython file."""
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                arguments = node.args
                count = len(arguments.posonlyargs + arguments.args + arguments.kwonlyargs)
                count -= bool(arguments.args) and arguments.args[0].arg in ("self", "cls")
                yield node.name, (node.end_lineno or 0) - node.lineno + 1, count
        return
    lines = path.read_text().splitlines()
    starts = [
        (at, match)
        for at, line in enumerate(lines)
        if (match := re.match(r"( *)(?:cdef|cpdef|def) (?!class )[^=(]*?(\w+)\(", line))
    ]
    for at, match in starts:
        signature, end = "", at
        while True:
            signature += lines[end]
            end += 1
            if signature.rstrip().endswith(":") or end == len(lines):
                break
            if path.suffix == ".pxd" and signature.count("(") == signature.count(")"):
                break
        indent = len(match[1])
        while end < len(lines) and (
            not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip()) > indent
        ):
            end += 1
        while not lines[end - 1].strip():
            end -= 1
        inside = signature[signature.index("(") + 1 : signature.rindex(")")]
        names = [part for part in inside.split(",") if part.strip() and part.strip() != "self"]
        yield match[2], end - at, len(names)


@pytest.mark.parametrize("path", sorted({*MODULES, *COMPILED, *TYPED}), ids=name_of)
def test_files_and_functions_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_FILE_LINES
    for name, lines, parameters in functions(path):
        assert lines <= MAX_FUNCTION_LINES, f"{name} has {lines} lines"
        if TESTS not in path.parents:
            assert parameters <= MAX_PARAMETERS, f"{name} takes {parameters} parameters"


def test_the_checker_sees_long_functions(tmp_path: Path) -> None:
    """The check above can fail, for both languages."""
    long = tmp_path / "long.pyx"
    long.write_text("cdef int f(int a, int b) noexcept nogil:\n" + "    a += 1\n" * 80)
    assert list(functions(long)) == [("f", 81, 2)]
    other = tmp_path / "long.py"
    other.write_text("class C:\n    def f(self, a, b, *, c):\n" + "        a += 1\n" * 80)
    assert list(functions(other)) == [("f", 81, 3)]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_say_their_purpose_first(path: Path) -> None:
    text = path.read_text()
    assert text.startswith('"""'), "a module begins with its docstring"
    first = text.splitlines()[0].strip('"')
    assert 10 < len(first) <= 100
    assert first.endswith((".", ":", ";", ",")) or not text.splitlines()[0].endswith('"""')


@pytest.mark.parametrize("path", sorted(SRC.rglob("*.py")), ids=name_of)
def test_public_functions_have_docstrings(path: Path) -> None:
    for node in ast.parse(path.read_text()).body:
        inner = node.body if isinstance(node, ast.ClassDef) else []
        for item in [node, *inner]:
            if not isinstance(item, ast.FunctionDef | ast.ClassDef) or item.name.startswith("_"):
                continue
            if isinstance(node, ast.ClassDef) and node.name.startswith("_"):
                continue
            overrides = item.name in ("readable", "readinto", "close")
            assert ast.get_docstring(item) or overrides, f"{item.name} has no docstring"


@pytest.mark.parametrize("path", sorted({*MODULES, *COMPILED}), ids=name_of)
def test_nothing_is_left_undone_or_printed(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"TODO|FIXME|XXX", text)
    assert not re.search(r"except( Exception)?:\s*pass", text)
    if path.name != "cli.py":
        assert not re.search(r"^\s*print\(", text, re.M)


def test_no_folder_is_a_drawer() -> None:
    drawers = {"utils", "common", "helpers", "misc", "manager"}
    assert not [p for p in SRC.rglob("*") if p.stem in drawers]


def imports(path: Path) -> set[str]:
    """Parts of darkflow that a file imports, Cython's cimport included."""
    found = re.findall(r"^\s*(?:from|import|cimport) darkflow\.(\w+)", path.read_text(), re.M)
    return set(found)


@pytest.mark.parametrize("path", sorted({*MODULES, *COMPILED}), ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    """import-linter sees no Cython; this sees both."""
    relative = path.relative_to(SRC)
    own = relative.parts[0].partition(".")[0]
    level = next((i for i, layer in enumerate(LAYERS) if own in layer), None)
    if level is None:
        assert own in ("__init__",)
        return
    below = {name for layer in LAYERS[level + 1 :] for name in layer}
    assert imports(path) <= below | {own}


@pytest.mark.parametrize("path", sorted((SRC / "flow").iterdir()), ids=name_of)
def test_the_engine_knows_no_clock_and_no_io(path: Path) -> None:
    if path.suffix in (".py", ".pyx", ".pxd"):
        outside = r"\b(import|cimport) (socket|time|datetime|threading|asyncio|io|os|pathlib)\b"
        assert not re.search(outside, path.read_text())
        assert not re.search(r"\b(fopen|open|clock_gettime|gettimeofday)\(", path.read_text())


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_with_logic_have_a_test_of_their_name(path: Path) -> None:
    if path.stem in NO_LOGIC:
        return
    expected = TESTED_THROUGH.get(path.stem, f"test_{path.stem}")
    assert list(TESTS.rglob(f"{expected}.py")), f"no {expected}.py"


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"], ["lint-imports"]],
    ids=" ".join,
)
def test_linters(command: list[str]) -> None:
    tool = Path(sys.executable).parent / command[0]
    done = subprocess.run(
        [tool, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
