"""The table of fields: in the docs as in the program."""

from __future__ import annotations

from pathlib import Path

from darkflow.sinks.fields import FIELDS, as_markdown

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_docs_hold_the_table() -> None:
    assert as_markdown() in (DOCS / "events.md").read_text()


def test_every_field_is_described_once() -> None:
    names = [field.name for field in FIELDS]
    assert len(names) == len(set(names))
    for field in FIELDS:
        assert field.meaning
        assert set(field.type.split(" or ")) <= {"string", "integer", "boolean", "object", "null"}
        assert set(field.events) <= {"darkflow", "late_answer", "undecided"}
