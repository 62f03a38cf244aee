"""What the honeypot sends is no answer of the real host, when a mirror shows it again."""

from __future__ import annotations

from typing import Any

import pytest

from darkflow.flow.batch import Frames
from darkflow.flow.decode import Decoder
from darkflow.flow.echoes import Echoes
from darkflow.flow.order import Reorder
from writers import SECOND_NS, Flow, ethernet

MS = 1_000_000
MIRROR, HONEYPOT = 0, 1
FLOWS = (Flow(), Flow("2001:db8::1", 40_000, "2001:db8:1::2", 22))
Seen = list[tuple[int, int, bytes]]


class Stages:
    """Decode, order and the filter, for packets of two interfaces."""

    def __init__(self, places: int = 64) -> None:
        self.echoes = Echoes(HONEYPOT, bytes(16), places)
        self.order = Reorder(0)

    def see(self, seen: Seen) -> list[dict[str, Any]]:
        """What is left of (time, interface, packet)."""
        for source in (MIRROR, HONEYPOT):
            mine = [(t_ns, 1, ethernet(p)) for t_ns, s, p in seen if s == source]
            self.order.put(Decoder().decode(Frames.of(mine, 0, source)))
        last = Frames.of([], max(t for t, _, _ in seen) + 1)
        return self.echoes.filter(self.order.put(Decoder().decode(last))).to_list()


@pytest.mark.parametrize("flow", FLOWS)
def test_the_honeypots_answer_and_its_echo_are_taken_out(flow: Flow) -> None:
    stages = Stages()
    left = stages.see([
        (1, MIRROR, flow.syn()), (2, HONEYPOT, flow.answer()), (MS, MIRROR, flow.answer()),
        (2 * MS, HONEYPOT, flow.reset()), (3 * MS, MIRROR, flow.reset()),
    ])  # fmt: skip
    assert [row["kind"] for row in left] == ["syn"]
    assert (stages.echoes.answers, stages.echoes.echoes) == (2, 2)


@pytest.mark.parametrize("flow", FLOWS)
def test_the_real_hosts_answer_stays(flow: Flow) -> None:
    stages = Stages()
    left = stages.see([
        (1, HONEYPOT, flow.answer(seq=7)), (2, MIRROR, flow.answer(seq=8)),
        (3, MIRROR, flow.reset()), (4, MIRROR, flow.answer(seq=7)),
    ])  # fmt: skip
    assert [row["kind"] for row in left] == ["syn_ack", "rst"]


def test_an_echo_comes_within_a_second() -> None:
    stages, flow = Stages(), FLOWS[0]
    left = stages.see([
        (1, HONEYPOT, flow.answer()), (SECOND_NS, MIRROR, flow.answer()),
        (SECOND_NS + 2, MIRROR, flow.answer()),
    ])  # fmt: skip
    assert [row["t_ns"] for row in left] == [SECOND_NS + 2]


def test_the_honeypots_own_attempts_concern_nobody() -> None:
    assert Stages().see([(1, HONEYPOT, FLOWS[0].syn())]) == []


def test_what_is_forgotten_for_want_of_room_is_counted() -> None:
    stages = Stages(16)
    flows = [Flow(orig_port=n + 1) for n in range(18)]
    left = stages.see(
        [(n + 1, HONEYPOT, flow.answer()) for n, flow in enumerate(flows)]
        + [(n + 100, MIRROR, flow.answer()) for n, flow in enumerate(flows)]
    )
    assert stages.echoes.forgotten == 2
    assert sorted(row["dport"] for row in left) == [1, 2]


def test_the_answers_of_a_second_have_room() -> None:
    echoes, flow = Echoes(HONEYPOT, bytes(16)), FLOWS[0]
    answers = [(1 + n * 50_000, 1, ethernet(flow.answer(seq=n))) for n in range(20_000)]
    for first in range(0, len(answers), 1000):
        some = Frames.of(answers[first : first + 1000], 0, HONEYPOT)
        assert echoes.filter(Decoder().decode(some)).to_list() == []
    assert (echoes.answers, echoes.forgotten) == (20_000, 0)


def test_what_is_no_filter() -> None:
    for seed, places in ((bytes(15), 16), (bytes(16), 24), (bytes(16), 8)):
        with pytest.raises(ValueError):
            Echoes(1, seed, places)
