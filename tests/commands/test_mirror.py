"""A mirror that carries one direction, from the start or later, or loses what live hosts send."""

from __future__ import annotations

from darkflow.commands.mirror import AGAIN, ORPHANED, SILENT, UNANSWERED, MirrorCheck
from darkflow.flow.batch import Frames
from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from darkflow.flow.senders import Senders
from writers import SECOND_NS, Flow, ethernet

MS = 1_000_000
FAR = "198.51.100.1"


class Window:
    """Windows of traffic through the real stages."""

    def __init__(self) -> None:
        self.senders = Senders()
        self.decoder = Decoder()
        self.engine = Engine(SECOND_NS, 60 * SECOND_NS)
        self.check = MirrorCheck()
        self.t_ns = 0
        self.port = 0

    def see(self, asked: int, answered: int, orphans: int = 0, calls: int = 0) -> str:
        """SYNs to hosts, some answered; SYN+ACKs to no SYN; SYNs that the hosts themselves send."""
        packets = []
        for n in range(asked):
            self.port += 1
            flow = Flow(FAR, self.port, f"192.0.2.{n % 50}", 80)
            packets += [flow.syn(), *([flow.answer()] if n < answered else [])]
        packets += [Flow("192.0.2.9", n + 1, FAR, 443).answer() for n in range(orphans)]
        packets += [Flow(f"192.0.2.{n}", 999, "203.0.113.1", 80).syn() for n in range(calls)]
        packets = packets[-calls:] + packets[:-calls] if calls else packets
        batch = [(self.t_ns + n * MS, 1, ethernet(p)) for n, p in enumerate(packets)]
        self.t_ns += 20 * SECOND_NS
        for events in self.engine.observe(
            self.senders.note(self.decoder.decode(Frames.of(batch, self.t_ns)))
        ):
            self.senders.count(events)
        return self.check.look(self.engine.counters, [self.senders])


def test_both_directions_are_well() -> None:
    window = Window()
    assert [window.see(150, 80), window.see(150, 80), window.see(0, 0)] == ["", "", ""]


def test_no_answer_at_all_is_said_once() -> None:
    window = Window()
    assert window.see(150, 0) == SILENT
    assert window.see(150, 0) == ""


def test_answers_to_other_syns_make_it_plainer() -> None:
    assert Window().see(150, 0, orphans=120) == ORPHANED


def test_a_direction_that_is_lost_later_and_comes_back() -> None:
    window = Window()
    assert window.see(150, 140) == ""
    assert window.see(150, 0) == SILENT
    assert window.see(150, 140) == AGAIN


def test_hosts_that_send_and_never_answer() -> None:
    window = Window()
    assert window.see(400, 2, calls=50) == UNANSWERED
    # The same without a sign of life from them is a scan of what is not there.
    assert Window().see(400, 3) == ""


def test_too_little_tells_nothing_and_waits_for_more() -> None:
    window = Window()
    assert window.see(60, 0) == ""
    assert window.see(60, 0) == SILENT
