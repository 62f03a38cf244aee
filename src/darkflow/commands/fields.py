"""`darkflow fields`: every field of the events, with type, unit and meaning."""

from __future__ import annotations

import json
import sys

from darkflow.sinks.fields import FIELDS, as_markdown

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def fields_command(options: argparse.Namespace) -> int:
    """Print the table of fields; 0."""
    if options.json:
        json.dump([vars(field) for field in FIELDS], sys.stdout, indent=1)
        sys.stdout.write("\n")
    elif options.markdown:
        sys.stdout.write(as_markdown() + "\n")
    else:
        width = max(len(field.name) for field in FIELDS)
        for field in FIELDS:
            unit = f" [{field.unit}]" if field.unit else ""
            meaning = field.meaning.replace("`", "")
            sys.stdout.write(f"{field.name:{width}}  {field.type}{unit}: {meaning}\n")
    return 0
