"""The TOML file of --config: its keys are the long options of the commands that read it."""

from __future__ import annotations

import argparse
import difflib
import tomllib
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from darkflow.config import SETTINGS
from darkflow.setting import Setting

LARGEST_BYTES = 1 << 20
NOT_IN_FILE = ("help", "config", "print_config")


class Keys:
    """What a file may say: for each command that has --config, its keys and their options."""

    def __init__(self, commands: Mapping[str, argparse.ArgumentParser]) -> None:
        self.of = {name: keys_of(parser) for name, parser in commands.items()}
        self.of = {name: keys for name, keys in self.of.items() if keys}

    @property
    def all(self) -> set[str]:
        """The keys of every command."""
        return {key for keys in self.of.values() for key in keys}


def keys_of(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Key and option: the long option without its hyphens. None for a command without --config."""
    if "--config" not in parser._option_string_actions:
        return {}
    return {
        action.option_strings[-1].lstrip("-"): action
        for action in parser._actions
        if action.option_strings and action.dest not in NOT_IN_FILE
    }


def file_values(path: str, command: str, keys: Keys) -> dict[str, Any]:
    """What the file says to a command, as the command line would: by name, texts mostly.

    A key at the top is for every command that has it, one in a section [COMMAND] for that command
    alone. ValueError says in one line what is wrong, in whatever section.
    """
    values: dict[str, Any] = {}
    try:
        document = read_toml(path)
        flat = {key: value for key, value in document.items() if key not in keys.of}
        for key, value in _normal(flat, {*keys.all, *keys.of}, "").items():
            for owner in keys.of:
                if key in keys.of[owner]:
                    action = keys.of[owner][key]
                    read = value_of(key, value, action)
                    if owner == command:
                        values[action.dest] = read
        for section in (key for key in document if key in keys.of):
            if not isinstance(document[section], dict):
                raise ValueError(f"{section}: is a section: write [{section}] before its settings")
            own, table = keys.of[section], dict(document[section])
            if section == "honeypot" and "service" in table:
                services = _services(table.pop("service"))
                if section == command:
                    values["service"] = services
            for key, value in _normal(table, own, f" in [{section}]").items():
                read = value_of(key, value, own[key])
                if section == command:
                    values[own[key].dest] = read
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return values


def _services(tables: object) -> list[Any]:
    """The tables of [[honeypot.service]], tried."""
    from darkflow.divert.services import read_services

    read_services(tables)
    return list(tables)  # type: ignore[call-overload, no-any-return]


def read_toml(path: str) -> dict[str, Any]:
    """The document; ValueError says why there is none, with line and column."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (pathlib is slow to import)
            text = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
    if len(text) > LARGEST_BYTES:
        raise ValueError("larger than 1 MiB: is it a configuration file?")
    try:
        return tomllib.loads(text.decode(), parse_float=Decimal)
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line}: not UTF-8") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        what, _, where = str(error).rpartition(" (at ")
        raise ValueError(f"{where.rstrip(')')}: {what}") from None
    except ValueError:
        # What int() says of thousands of digits.
        raise ValueError("a number in it is too long") from None


def _normal(table: Mapping[str, Any], known: Iterable[str], where: str) -> dict[str, Any]:
    """The table with hyphens in its keys; ValueError for one that is not known or there twice."""
    found: dict[str, Any] = {}
    names = sorted(known)
    for written, value in table.items():
        key = written.replace("_", "-")
        if key not in names:
            kind = "section" if isinstance(value, dict) else "setting"
            near = difflib.get_close_matches(key, names, 1)
            meant = f'did you mean "{near[0]}"?' if near else "--print-config prints all there are"
            raise ValueError(f'unknown {kind} "{written}"{where}: {meant}')
        if key in found:
            raise ValueError(f'"{key}"{where} is there twice, with "-" and with "_"')
        found[key] = value
    return found


def value_of(key: str, value: object, action: argparse.Action) -> Any:
    """A value of the file as the command line would give it; ValueError says what to write."""
    if isinstance(action, argparse._StoreTrueAction):
        if not isinstance(value, bool):
            raise ValueError(f"{key}: write true or false")
        return value
    if isinstance(action, argparse._AppendAction):
        return _texts(key, value)
    setting = next((setting for setting in SETTINGS if setting.name == action.dest), None)
    if setting is not None:
        return _setting(key, value, setting)
    if isinstance(value, bool):
        value = "yes" if value else "no"
        if not action.choices:
            raise ValueError(f'{key}: write a text: {key} = "..."')
    if not isinstance(value, str):
        raise ValueError(f'{key}: write a text: {key} = "..."')
    if action.choices and value not in action.choices:
        raise ValueError(f'{key}: "{value}" is none of {", ".join(action.choices)}')
    return value


def _texts(key: str, value: object) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
        raise ValueError(f'{key}: write a list of texts: {key} = ["...", "..."]')
    return texts


def _setting(key: str, value: object, setting: Setting) -> str | None:
    """The text of a setting as on the command line, tried."""
    text = _setting_text(value, setting)
    if text is None:
        example = '["...", "..."]' if setting.is_list else f'"{setting.default or "..."}"'
        raise ValueError(
            f"{key}: not a value that it can have: write for example {key} = {example}"
        )
    if text == "" and setting.is_list:
        return setting.default
    try:
        setting.parse(text)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
    return text


def _setting_text(value: object, setting: Setting) -> str | None:
    if isinstance(value, bool):
        # As a bare --decap does.
        return ("all" if value else "") if setting.name == "decap" else None
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal):
        # Written out, 1e999999999 would fill the memory.
        return f"{value:f}" if abs(value.adjusted()) < 30 else str(value)
    if isinstance(value, list) and setting.is_list:
        return ",".join(value) if all(isinstance(one, str) for one in value) else None
    return value if isinstance(value, str) else None
