"""Lines from values, against json.dumps."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from darkflow.sinks.templates import Template

NAMES = ("a", "b.c", "b.d.e", "b.f", "g")
TEMPLATE = Template(NAMES)

texts = st.text(max_size=30) | st.text(st.characters(max_codepoint=127), max_size=30)
values = st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | texts


def slowly(row: tuple[Any, ...], more: dict[str, Any]) -> str:
    """The same by the standard library."""
    a, c, e, f, g = row
    document = {"a": a, "b": {"c": c, "d": {"e": e}, "f": f}, "g": g} | more
    return json.dumps(document, separators=(",", ":")) + "\n"


@given(st.tuples(values, values, values, values, values), st.booleans())
@example((-(1 << 63), (1 << 63) - 1, '\0\x1f\x7f"\\/', "é\ud800\U0001f600", ""), True)
def test_a_line_is_what_json_dumps_writes(row: tuple[Any, ...], more: bool) -> None:
    added = {"http": {"url": "/"}} if more else {}
    text = b',"http":{"url":"/"}' if more else b""
    assert TEMPLATE.line(row, text).decode() == slowly(row, added)


def test_long_texts_find_room() -> None:
    row = ('"' * 100_000, "\n" * 100_000, "x" * 100_000, None, -1)
    assert TEMPLATE.line(row).decode() == slowly(row, {})


def test_many_lines_are_each_their_own() -> None:
    lines = [TEMPLATE.line((n, None, True, "x", False)) for n in range(1000)]
    assert [json.loads(line)["a"] for line in lines] == list(range(1000))


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ((1, 2, 3, 4), ValueError), ((1, 2, 3, 4, 5, 6), ValueError),
        ((1, 2, 3, 4, 1 << 63), OverflowError), ((1, 2, 3, 4, 1.5j), TypeError),
        ((1, 2, 3, 4, b"x"), TypeError), ((1, 2, 3, 4, []), TypeError),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(row: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        TEMPLATE.line(row)


@pytest.mark.parametrize("names", [("a", "a"), ("a.b", "c", "a.d")])
def test_names_that_are_not_in_the_order_of_their_values(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="in the order"):
        Template(names)


def test_numbers_with_a_fraction() -> None:
    line = Template(["a", "b"]).line((0.1, -1e300))
    assert json.loads(line) == {"a": 0.1, "b": -1e300}
