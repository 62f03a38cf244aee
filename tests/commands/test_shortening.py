"""`darkflow tune --adaptive`: how much sooner, and at what cost."""

from __future__ import annotations

import json

import pytest

from commands.test_adapting import QUICKLY, capture
from running import darkflow
from writers import SECOND_NS

__all__ = ["capture"]


def test_tune_tells_how_much_sooner_and_at_what_cost(capture: str) -> None:
    done = darkflow("tune", capture, "--json", *QUICKLY)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["adaptive"]
    # As `analyze` with the same settings: commands/test_adapting.py.
    assert (told["dark"], told["listed"], told["early"], told["false"]) == (20, 17, 11, 1)
    assert told["holds"] == [
        {"hold_ns": SECOND_NS, "flows": 11}, {"hold_ns": 5 * SECOND_NS, "flows": 9},
    ]  # fmt: skip
    assert told["mean_hold_ns"] == (11 + 9 * 5) * SECOND_NS // 20
    assert told["false_share"] == 1 / 11
    assert told["later_than_hold"] == 0
    text = darkflow("tune", capture, *QUICKLY).stdout
    assert (
        "--adaptive 1s: 20 dark flows would have been told after 2.80 s on average, not 5s:"
        " 55.0% after 1s, 45.0% after 5s.\nOf 11 that were dark before 5s 1 were answered" in text
    )
    assert "adaptive" not in json.loads(darkflow("tune", capture, "--json").stdout)


def test_without_enough_evidence_it_says_so(capture: str) -> None:
    text = darkflow("tune", capture, "--adaptive", "1s").stdout
    assert "--adaptive 1s: no flow would have been dark before 5s: of 19 dark flows 0" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--store", "/nowhere", "--adaptive", "1s"), "--adaptive needs captures"),
        (("x", "--adaptive", "7s"), "--adaptive: the shortest hold"),
    ],
)
def test_what_cannot_be_is_one_line(arguments: tuple[str, ...], said: str) -> None:
    done = darkflow("tune", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr.splitlines()[-1]
