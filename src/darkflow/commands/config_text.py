"""A configuration file with every setting in it, as --print-config prints it."""

from __future__ import annotations

import argparse
import json
import textwrap
from decimal import Decimal
from typing import Any

from darkflow.commands.config_file import keys_of
from darkflow.config import LIVE, SETTINGS

COLUMNS = 96
# What stands in a line that is commented out, by what the option takes.
EXAMPLES: dict[str, Any] = {
    "CIDR,...": ["192.0.2.0/24", "2001:db8::/32"],
    "IF": ["eth1"],
    "PACKETS": 1000000,
    "DIR": "/var/lib/darkflow",
    "address:port": "127.0.0.1:9465",
    "TARGET": ["/var/lib/darkflow/events.jsonl", "syslog:/dev/log"],
    "TARGET,...": ["https://hooks.example.net/alerts", "syslog:/dev/log"],
    "FILE,...": ["/var/lib/darkflow/country.mmdb", "/var/lib/darkflow/asn.mmdb"],
    "BYTES": "1GiB",
    "TIME": "24h",
    "FILE": "/var/lib/darkflow/FILE",
}


def config_text(parser: argparse.ArgumentParser, options: argparse.Namespace) -> str:
    """A TOML document that gives a command the values that `options` has.

    ValueError for a value that no TOML document can hold.
    """
    lines = [
        f"# Configuration of `{parser.prog}`, every setting and option with its value.",
        "# A line that begins with #NAME is not set.",
    ]
    for key, action in keys_of(parser).items():
        lines += ["", *_comment(action)]
        value = _native(action, getattr(options, action.dest))
        if value is None:
            example = EXAMPLES.get(str(action.metavar), str(action.metavar or "..."))
            lines.append(f"#{key} = {_toml(key, example)}")
        else:
            lines.append(f"{key} = {_toml(key, value)}")
    for table in getattr(options, "service", None) or ():
        lines += ["", "[[honeypot.service]]"]
        lines += [f"{key} = {_toml(key, value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def _comment(action: argparse.Action) -> list[str]:
    about = (action.help or "").replace("%%", "%").partition(" (default:")[0]
    if action.choices:
        about += f"; one of {', '.join(action.choices)}"
    if action.dest in LIVE:
        about += "; changes at a reload"
    wrapped = textwrap.wrap(about, COLUMNS, break_on_hyphens=False, break_long_words=False)
    return [f"# {line}" for line in wrapped]


def _native(action: argparse.Action, value: Any) -> Any:
    """As an operator would write it in TOML; None for what is not given."""
    setting = next((setting for setting in SETTINGS if setting.name == action.dest), None)
    if setting is None:
        return None if value in (None, "", []) else value
    if setting.is_list:
        return None if value is None else [word for word in value.split(",") if word]
    return int(value) if isinstance(value, str) and _is_whole(value) else value


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18 and str(int(text)) == text


def _toml(key: str, value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_toml(key, one) for one in value)}]"
    if isinstance(value, dict):
        pairs = (f"{_toml(key, name)} = {_toml(key, one)}" for name, one in value.items())
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{key}: {value!r} is no UTF-8 text and fits into no TOML") from None
        # JSON's escapes are TOML's too; only DEL it leaves as it is.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
