"""What a running honeypot is asked and told to do."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from darkflow.commands.requests import Requests, allowed_of, changed, range_text
from darkflow.divert.dispatcher import Allowed, Dispatcher, Diverted, Flow
from darkflow.divert.flowtext import flow_text, parse_flow
from darkflow.divert.plane import Plane
from darkflow.honeypot.sessions import Session, Tracker

MAC = bytes(6)


class Place:
    """The kernel's side and the tap, as far as requests need them: a set, and a tracker."""

    def __init__(self) -> None:
        self.tracker = Tracker(MAC, 60_000_000_000)
        self.dispatcher = Dispatcher(lambda *_: True)
        self.plane = Plane(self.dispatcher, self, lambda frames: [0] * len(frames), bytes(12), self)
        self.plane.start()
        self.requests = Requests(self, self.dispatcher, self.plane, self)  # type: ignore[arg-type]

    def add(self, flows: Sequence[Flow]) -> Sequence[Flow]:
        assert flows
        return ()

    def delete(self, flows: Sequence[Flow]) -> None:
        pass

    def served(self, flows: Sequence[Flow]) -> Sequence[Flow]:
        return flows[:0]

    def diverted(self, diverted: Sequence[Diverted], t_ns: int) -> None:
        pass

    def ended(self, diverted: Diverted, t_ns: int, why: str) -> None:
        session = self.tracker.close(diverted.flow, t_ns)
        assert session is not None
        self.tracker.cut(session, t_ns, why)

    def overtaken(self, diverted: Diverted) -> None:
        pass

    def open(self) -> list[Session]:
        return self.tracker.open()

    def status(self) -> dict[str, Any]:
        return {"flows": len(self.dispatcher.flows)}

    def divert(self, *texts: str) -> None:
        for text in texts:
            self.dispatcher.dark(parse_flow(text), time.time_ns())
            self.tracker.begin(parse_flow(text), time.time_ns())

    def left(self) -> list[str]:
        """Flows that are diverted, when the plane has done what it was told."""
        end = time.monotonic() + 5
        while self.plane._cuts and time.monotonic() < end:
            time.sleep(0.002)
        time.sleep(0.02)
        return [flow_text(flow) for flow in self.dispatcher.flows]


FLOWS = (
    "198.51.100.7:1-192.0.2.1:22", "198.51.100.7:2-192.0.2.2:80",
    "[2001:db8::7]:3-[2001:db8:1::9]:22",
)  # fmt: skip


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place()
    made.divert(*FLOWS)
    yield made
    made.plane.close()


def test_flows_are_listed_the_latest_first(place: Place) -> None:
    told = place.requests.handlers()["flows"]({})
    assert [flow["flow"] for flow in told["flows"]] == list(FLOWS[::-1])
    assert (told["open"], told["diverted"]) == (3, 3)
    assert not told["flows"][0]["handshake"]
    assert place.requests.flows({"limit": 1})["flows"][0]["flow"] == FLOWS[2]
    assert place.requests.flows({"limit": 1})["open"] == 3
    assert place.requests.flows({"limit": 0})["flows"] == []
    with pytest.raises(ValueError, match="--limit -1: give a number of flows, 0 or more"):
        place.requests.flows({"limit": -1})


def test_one_flow_is_cut(place: Place) -> None:
    assert place.requests.cut({"flow": FLOWS[0]}) == {"cut": 1}
    assert place.left() == list(FLOWS[1:])
    with pytest.raises(ValueError, match="is not diverted"):
        place.requests.cut({"flow": FLOWS[0]})
    with pytest.raises(ValueError, match="is no flow"):
        place.requests.cut({"flow": "x"})


def test_all_are_cut(place: Place) -> None:
    assert place.requests.cut({"all": True}) == {"cut": 3}
    assert place.left() == []
    assert place.requests.cut({"all": True}) == {"cut": 0}


def test_what_is_allowed_from_now_on_is_cut(place: Place) -> None:
    told = place.requests.allow({"action": "add", "kind": "port", "value": "22"})
    assert (told["ports"], told["cut"]) == ([22], 2)
    assert "in the file" in told["lasts"]
    assert place.left() == [FLOWS[1]]
    told = place.requests.allow({"action": "add", "kind": "source", "value": "198.51.100.0/24"})
    assert (told["sources"], told["cut"]) == (["198.51.100.0/24"], 1)
    assert place.left() == []
    assert (place.requests.allow({})["addresses"], place.requests.allow({})["lasts"]) == ([], "")
    place.requests.allow({"action": "remove", "kind": "port", "value": "22"})
    assert place.dispatcher.allowed.ports == frozenset()


def test_the_list_from_texts() -> None:
    allowed = allowed_of(["192.0.2.1", "2001:db8::/32"], ["198.51.100.0/24"], ["22", "443"])
    assert [range_text(ends) for ends in allowed.addresses] == ["192.0.2.1", "2001:db8::/32"]
    assert allowed.covers(parse_flow("[2001:db9::1]:1-[2001:db8::5]:80"))
    assert allowed.covers(parse_flow("198.51.100.3:1-192.0.2.9:80"))
    assert not allowed.covers(parse_flow("198.51.99.3:1-192.0.2.9:80"))
    with pytest.raises(ValueError):
        allowed_of(["x"], [], [])
    with pytest.raises(ValueError):
        allowed_of([], ["192.0.2.1/24"], [])
    with pytest.raises(ValueError):
        allowed_of([], [], ["65536"])


def test_what_cannot_be_changed() -> None:
    for action, kind, text in (
        ("remove", "port", "22"), ("remove", "address", "192.0.2.1"), ("set", "port", "22"),
        ("add", "colour", "22"), ("add", "source", "x"),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            changed(Allowed(), action, kind, text)
