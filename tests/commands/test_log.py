"""Lines of the sensor's log."""

from __future__ import annotations

import re

import pytest

from darkflow.commands.log import Log


def test_a_line_has_time_level_message_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    Log()("warning", "something happened", count=3, name="w1")
    told = capsys.readouterr().err
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ warning something happened count=3 name=w1\n", told
    )


def test_lines_can_go_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    log, lines = Log(), list[str]()
    log.write = lines.append
    log("info", "here")
    assert lines[0].endswith("Z info here")
    assert capsys.readouterr().err == ""
