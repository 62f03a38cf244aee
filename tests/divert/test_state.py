"""The file that a later start reads: a lock, and the settings as they were found."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path

import pytest

from darkflow.divert.honeynet import Step
from darkflow.divert.state import SYSCTL, State, read_state, state_path
from honeypots import World

KEY = "ipv4/conf/m0/send_redirects"


def to(value: str) -> list[Step]:
    """A step that changes a setting of the machine, and one that is about our own link."""
    return [
        Step("", "set", KEY, {"value": value}),
        Step("", "set", "ipv4/conf/hp0/forwarding", {"value": value}),
    ]


def test_only_one_has_it(place: World) -> None:
    path = state_path(place.net.name)
    first = State(place.net.name)
    first.keep(5, [])
    with pytest.raises(BlockingIOError, match=f"runs already .process {os.getpid()}."):
        State(place.net.name)
    with place.away():
        # Another network namespace of the machine's is another place.
        assert state_path(place.net.name) != path
        State(place.net.name).end()
    first.end()
    assert not path.exists()
    State(place.net.name).end()


def test_settings_are_put_back_as_they_were_first_found(place: World) -> None:
    found = (SYSCTL / KEY).read_text()
    first = State(place.net.name)
    first.keep(5, to("0"))
    (SYSCTL / KEY).write_text("0")
    assert list(read_state(first.path)["settings"]) == [KEY]
    # As if killed: the lock goes, the file stays.
    os.close(first._fd)
    second = State(place.net.name)
    second.keep(5, to("0"))
    second.restore()
    assert (SYSCTL / KEY).read_text() == found
    second.end()


def test_whoever_has_touched_nothing_leaves_it_as_it_was(place: World) -> None:
    first = State(place.net.name)
    first.leave()
    assert not first.path.exists(), "there was none"
    killed = State(place.net.name)
    killed.keep(5, to("0"))
    os.close(killed._fd)
    State(place.net.name).leave()
    later = State(place.net.name)
    assert list(read_state(later.path)["settings"]) == [KEY]
    later.end()


def test_the_dead_are_forgotten_unless_there_is_something_to_put_right(place: World) -> None:
    empty, telling, living = (State(f"{place.net.name}-{number}") for number in range(3))
    for state, steps in ((empty, []), (telling, to("0")), (living, [])):
        state.keep(5, steps)
    for state in (empty, telling):
        os.close(state._fd)  # As if killed.
    own = State(place.net.name)
    assert [one.path.exists() for one in (empty, telling, living, own)] == [False, True, True, True]
    telling.path.unlink()
    living.end()
    own.end()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"boot": "another", "settings": {"x": "y"}}'])
def test_a_file_that_says_nothing_of_now_is_passed_over(place: World, text: str) -> None:
    path = state_path(place.net.name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    assert read_state(path) == {}
    state = State(place.net.name)
    state.restore()
    state.keep(7, [])
    kept = json.loads(path.read_text())
    assert (kept["pid"], kept["fd"], kept["settings"]) == (os.getpid(), 7, {})
    state.end()


def test_its_folder_can_be_entered_whatever_the_umask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("darkflow.divert.state.STATE", tmp_path / "darkflow")
    mask = os.umask(0o077)
    try:
        State("one").end()
    finally:
        os.umask(mask)
    assert (tmp_path / "darkflow").stat().st_mode & 0o777 == 0o755


def test_what_is_written_down_stays_whole(place: World) -> None:
    """When there is no room for more, and when there is less to say."""
    state = State(place.net.name)
    state.keep(1234567, to("0"))
    kept = read_state(state.path)
    assert list(kept["settings"]) == [KEY]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            state.keep(7, to("1"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert read_state(state.path) == kept
    state.keep(7, [])
    assert read_state(state.path) == kept | {"fd": 7}
    state.end()
