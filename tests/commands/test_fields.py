"""`darkflow fields` as a user runs it."""

from __future__ import annotations

import json

from darkflow.sinks.fields import FIELDS, as_markdown
from running import darkflow


def test_every_field_is_listed() -> None:
    lines = darkflow("fields").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [field.name for field in FIELDS]
    assert "darkflow.t0_ns" in lines[12]
    assert "integer [ns since 1970]: first SYN" in lines[12]


def test_as_json_and_as_markdown() -> None:
    listed = json.loads(darkflow("fields", "--json").stdout)
    assert [row["name"] for row in listed] == [field.name for field in FIELDS]
    assert darkflow("fields", "--markdown").stdout == as_markdown() + "\n"
