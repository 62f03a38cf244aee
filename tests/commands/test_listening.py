"""What a mirror shows, judged: both directions, one of them, halves of connections, too little."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from darkflow.commands.checks import FAILED, OK, WARNING
from darkflow.commands.listening import ENOUGH, Heard, directions

NOTHING = {
    "syn": 0, "synack": 0, "rst": 0, "unsolicited": 0, "answered": 0, "dark": 0,
    "dark_at_senders": 0, "senders_told": True, "seconds": 10.0, "counted": "",
}  # fmt: skip


@pytest.mark.parametrize(
    ("what", "state", "words"),
    [
        ({}, WARNING, "too little"),
        ({"syn": 19, "dark": 19}, WARNING, "too little"),
        ({"syn": 500, "dark": 500}, FAILED, "that of the SYNs"),
        ({"syn": 500, "dark": 500, "rst": 30, "unsolicited": 30}, FAILED, "of each connection"),
        ({"synack": 30, "unsolicited": 30}, FAILED, "that of the answers"),
        ({"syn": 100, "dark": 95, "answered": 5, "synack": 5}, OK, "5.0% of 100"),
        # A scan of the empty part of a network: what answers answers.
        ({"syn": 9000, "dark": 8999, "answered": 1, "synack": 1}, OK, "both come"),
        (
            {"syn": 9000, "dark": 8999, "answered": 1, "synack": 1, "dark_at_senders": 2000},
            WARNING,
            "hardly ever answer",
        ),
        # More addresses than can be told apart: nothing is said of senders.
        (
            {"syn": 9000, "dark": 8999, "answered": 1, "synack": 1, "dark_at_senders": 2000,
             "senders_told": False},
            OK,
            "both come",
        ),
    ],
)  # fmt: skip
def test_directions(what: dict[str, int], state: str, words: str) -> None:
    found = directions(cast(Heard, SimpleNamespace(**NOTHING | what)))
    assert (found.state, words in found.found) == (state, True), found
    assert bool(found.mend) == (state != OK)


def test_chance_is_not_taken_for_a_fault() -> None:
    assert ENOUGH >= 20
