"""The responder's settings on their way through its command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from darkflow import config
from darkflow.honeypot.settings import SETTINGS, Limits, arguments, limits, parsed


def defaults() -> dict[str, str | None]:
    """What a command line without options gives."""
    return {setting.name: setting.default for setting in SETTINGS}


def test_the_defaults_are_the_same_in_both_places() -> None:
    assert limits(parsed(defaults())) == Limits()


def test_they_are_the_honeypots() -> None:
    names = {setting.name for setting in config.settings_of("honeypot")}
    assert {setting.name for setting in SETTINGS} <= names
    assert len(SETTINGS) == 8


def test_their_table_is_in_the_docs() -> None:
    docs = (Path(__file__).resolve().parents[2] / "docs" / "responder.md").read_text()
    rows = config.settings_as_markdown("honeypot").splitlines()
    for setting in SETTINGS:
        (row,) = [row for row in rows if row.startswith(f"| `{setting.flags[0]}` |")]
        assert row in docs


def test_there_and_back() -> None:
    texts = {**defaults(), "responder_idle": "50ms", "payload": "1KiB", "responder_marker": "m1",
             "responder_tls": "0", "responder_certificate": "/etc/x.pem"}  # fmt: skip
    line = arguments({**texts, "networks": "192.0.2.0/24"})
    assert "--responder-idle=50ms" in line
    assert not [word for word in line if "networks" in word]
    again = dict(word[2:].split("=", 1) for word in line)
    read = {name: again.get(name.replace("_", "-")) for name in texts}
    assert limits(parsed(read)) == Limits(
        idle_s=0.05, kept=1024, marker="m1", tls=0, certificate="/etc/x.pem"
    )


def test_a_bad_one_is_named() -> None:
    with pytest.raises(ValueError, match=r"^--responder-time: '0' is too short"):
        parsed({**defaults(), "responder_time": "0"})
    with pytest.raises(ValueError, match=r"^--payload: '1MiB' is more than 64KiB"):
        parsed({**defaults(), "payload": "1MiB"})
