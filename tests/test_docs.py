"""The docs follow the program: every command, option and setting is described."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from darkflow.commands.parser import build_parser
from darkflow.config import LIVE, SETTINGS, settings_as_markdown

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands() -> dict[str, argparse.ArgumentParser]:
    """Every command's parser."""
    for action in build_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    raise AssertionError("no commands")


@pytest.mark.parametrize(
    "command", ["addresses", "analyze", "doctor", "honeypot", "report", "sensor", "tune"]
)
def test_settings_table_is_in_the_docs(command: str) -> None:
    assert settings_as_markdown(command) in (ROOT / "docs" / f"{command}.md").read_text()


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_and_option_is_documented(name: str) -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    assert f"darkflow {name}" in text
    for action in commands()[name]._actions:
        for flag in action.option_strings:
            if flag not in ("-h", "--help"):
                assert f"`{flag}" in text, f"{flag} of {name} is not documented"


@pytest.mark.parametrize("name", sorted(commands()))
def test_help_has_an_example(name: str) -> None:
    parser = commands()[name]
    assert f"darkflow {name}" in (parser.epilog or "")
    assert parser.description


def test_every_setting_has_a_default_that_can_be_read() -> None:
    for setting in SETTINGS:
        assert setting.help
        if setting.default is not None:
            setting.parse(setting.default)


def test_what_a_reload_changes_is_listed() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    section = text.partition("## While the sensor runs")[2]
    keys = [key for row in re.findall(r"^\|(.*?)\|", section, re.M)
            for key in re.findall(r"`([a-z-]+)`", row)]  # fmt: skip
    assert sorted(keys) == sorted(name.replace("_", "-") for name in LIVE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_page_is_reached_from_the_readme() -> None:
    seen, open_pages = set(), [ROOT / "README.md"]
    while open_pages:
        page = open_pages.pop()
        if page in seen:
            continue
        seen.add(page)
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            path = (page.parent / target).resolve()
            open_pages += [path] if path.suffix == ".md" else list(path.glob("*.md"))
    assert {page.resolve() for page in PAGES} <= seen
