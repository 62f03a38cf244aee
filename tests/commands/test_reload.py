"""What a file that was changed while a command runs does at once, and what later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from darkflow.cli import read_all
from darkflow.commands.reload import as_key, reread
from darkflow.config import LIVE, settings_of
from darkflow.units import SECOND_NS, parse_networks

BEFORE = 'hold = "3s"\nstats = 10\nnetworks = ["192.0.2.0/24"]\ninterface = ["eth1"]\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file."""
    path = tmp_path / "darkflow.toml"
    path.write_text(BEFORE)
    return path


def started(path: Path, *words: str) -> tuple[Any, dict[str, Any]]:
    """Options and settings of a sensor that started with this file."""
    return read_all(["sensor", "--config", str(path), *words])


def test_what_did_not_change_does_nothing(path: Path) -> None:
    options, settings = started(path)
    path.write_text("# a remark\n" + BEFORE.replace('"3s"', "3.0"))
    assert reread(options, settings) == (settings, (), ())
    assert reread(*read_all(["sensor"])) == (read_all(["sensor"])[1], (), ())


def test_some_of_it_applies_at_once_and_the_rest_at_the_next_start(path: Path) -> None:
    options, settings = started(path)
    changed = BEFORE.replace("10", "20").replace("3s", "4s").replace("eth1", "eth2")
    path.write_text(changed.replace('["192', '["2001:db8::/32", "192') + 'store = "s"\n')
    found = reread(options, settings)
    assert found.live == ("networks", "stats")
    assert found.later == ("hold", "interface", "store")
    assert found.settings["stats"] == 20 * SECOND_NS
    assert found.settings["networks"] == parse_networks("2001:db8::/32,192.0.2.0/24")
    assert found.settings["hold"] == 3 * SECOND_NS
    assert settings["stats"] == 10 * SECOND_NS  # the caller decides
    # Said again until it is started anew; what applies is in use by then.
    assert reread(options, found.settings) == (found.settings, (), found.later)


def test_a_line_that_is_gone_gives_the_default_back(path: Path) -> None:
    options, settings = started(path)
    path.write_text(BEFORE.replace("stats = 10\n", "").replace("networks", "#networks"))
    found = reread(options, settings)
    assert (found.live, found.later) == (("networks", "stats"), ())
    assert (found.settings["stats"], found.settings["networks"]) == (60 * SECOND_NS, None)


def test_the_command_line_still_comes_first(path: Path) -> None:
    options, settings = started(path, "--stats", "5")
    path.write_text(BEFORE.replace("10", "20"))
    assert reread(options, settings) == (settings, (), ())


@pytest.mark.parametrize("text", ["stats = 20\nholds = 5", "stats = 20\nhold", "stats = 0", None])
def test_a_broken_file_changes_nothing(path: Path, text: str | None) -> None:
    options, settings = started(path)
    before = dict(settings)
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=f"^{path}: "):
        reread(options, settings)
    assert settings == before


def test_only_settings_of_the_sensor_change_while_it_runs() -> None:
    assert set(LIVE) <= {setting.name for setting in settings_of("sensor")}
    assert as_key("queue_size") == "queue-size"
