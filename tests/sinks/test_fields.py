"""The table of fields: in the docs as in the program."""

from __future__ import annotations

from pathlib import Path

from darkflow.sinks.fields import ALL, FIELDS, TABLES, TIMES, as_markdown, columns_of

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_docs_hold_the_table() -> None:
    assert as_markdown() in (DOCS / "events.md").read_text()


def test_every_field_is_described_once() -> None:
    names = [field.name for field in FIELDS]
    assert len(names) == len(set(names))
    for field in FIELDS:
        assert field.meaning
        assert set(field.type.split(" or ")) <= {
            "string", "integer", "number", "boolean", "object", "null",
        }  # fmt: skip
        assert set(field.events) <= set(ALL)


def test_every_event_has_a_table_with_its_time() -> None:
    assert set(TABLES.values()) == set(ALL)
    for table in TABLES:
        names = [column.name for column in columns_of(table)]
        assert len(names) == len(set(names))
        assert set(TIMES[table]) <= set(names)
