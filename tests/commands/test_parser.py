"""The commands and options as argparse has them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest

from darkflow.commands.parser import (
    TABLES,
    HelpFormatter,
    build_parser,
    commands_of,
    terminal_columns,
)
from darkflow.config import SETTINGS


def _all_of(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for one in commands_of(parser).values():
        yield from _all_of(one)


PARSERS = {parser.prog: parser for parser in _all_of(build_parser())}


def test_commands_are_found_by_name() -> None:
    found = commands_of(build_parser())
    assert {"analyze", "sensor", "query", "export", "fields", "lab"} <= found.keys()
    assert found["sensor"].prog == "darkflow sensor"
    assert commands_of(found["sensor"]) == {}


@pytest.mark.parametrize("prog", PARSERS)
def test_every_command_can_say_its_help(prog: str) -> None:
    text = " ".join(PARSERS[prog].format_help().split())
    assert text.startswith(f"usage: {prog} ")
    assert "%%" not in text
    options = {action.dest for action in PARSERS[prog]._actions}
    for setting in SETTINGS:
        if setting.name in options and setting.default:
            assert f"(default: {setting.default})" in text


def test_a_default_with_a_percent_sign_is_said_as_it_is() -> None:
    assert "(default: 0.01%)" in " ".join(PARSERS["darkflow tune"].format_help().split())


def test_the_tables_are_those_of_the_store() -> None:
    from darkflow.sinks.delta import TABLES as OF_THE_STORE

    assert TABLES == OF_THE_STORE


def test_options_are_not_abbreviated(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(["sensor", "--interf", "eth1"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "darkflow: unrecognized arguments: --interf eth1 (see: darkflow --help)\n"
    )


@pytest.mark.parametrize(("columns", "width"), [("120", 120), ("0", 80), ("wide", 80)])
def test_help_is_as_wide_as_the_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: str, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    if columns == "120":
        assert terminal_columns() == width
    assert HelpFormatter("darkflow")._width == terminal_columns() - 2
