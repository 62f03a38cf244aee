"""A mirror that carries one direction, from the start or later, or loses what live hosts send."""

from __future__ import annotations

from darkflow.commands.mirror import (
    AGAIN,
    NEVER_NS,
    ORPHANED,
    SEEN,
    SILENT,
    STOPPED,
    UNANSWERED,
    WAITING,
    Gate,
    MirrorCheck,
)
from darkflow.flow.answers import Answers
from darkflow.flow.batch import Frames
from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from darkflow.flow.networks import Networks
from darkflow.flow.senders import Senders
from darkflow.units import parse_networks
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


def test_where_few_are_answered_a_hundred_without_tell_nothing() -> None:
    window = Window()
    assert window.see(1000, 10) == ""
    assert window.see(500, 0) == ""
    assert window.see(501, 0) == SILENT


def test_a_lost_direction_is_well_at_its_first_answers() -> None:
    window = Window()
    assert window.see(150, 0) == SILENT
    assert window.see(3, 0) == ""
    assert window.see(3, 1) == AGAIN


class Gated:
    """A gate, the answers that two workers see, and what the engines count."""

    def __init__(self) -> None:
        cidrs, ranges4, ranges6 = parse_networks("192.0.2.0/24")
        self.check = MirrorCheck()
        self.answers = [Answers(Networks(ranges4, ranges6, cidrs)) for _ in range(2)]
        self.gate = Gate(self.check, self.answers)
        self.counts = dict.fromkeys(
            ("attempts", "answered", "refused", "late_answers", "dark", "unsolicited"), 0
        )
        self.now_s = 0.0

    def see(self, t_ns: int, worker: int = 0) -> None:
        """A watched host answers."""
        packet = ethernet(Flow(FAR, 1, "192.0.2.1", 80).answer())
        decoded = Decoder().decode(Frames.of([(t_ns, 1, packet)], t_ns + 1))
        self.answers[worker].note(decoded)

    def look(self, seconds: float = 1, **more: int) -> list[str]:
        """Later, when so many more of each were counted: the lines."""
        self.now_s += seconds
        for name, count in more.items():
            self.counts[name] += count
        return [line for _, line in self.gate.look(self.counts, self.now_s)]


def test_nothing_is_diverted_before_an_answer_is_seen() -> None:
    gated = Gated()
    assert gated.look(attempts=5) == []
    assert (gated.gate.since_ns, gated.gate.trouble) == (NEVER_NS, WAITING)
    assert gated.look(dark=5) == [WAITING]
    assert gated.look(dark=5) == []
    gated.see(80, worker=1)
    assert (gated.gate.since_ns, gated.gate.trouble) == (80, "")
    gated.see(70)
    gated.see(90)
    assert gated.gate.since_ns == 70
    assert gated.look(answered=3) == [SEEN]


def test_nothing_is_diverted_while_answers_have_stopped() -> None:
    gated = Gated()
    gated.see(80)
    assert gated.look(attempts=100, answered=50) == []
    assert gated.look(4, attempts=1000) == []  # a scan of what is not there is over soon
    assert gated.gate.since_ns == 80
    assert gated.look(2) == [STOPPED]
    assert (gated.gate.since_ns, gated.gate.trouble) == (NEVER_NS, STOPPED)
    gated.see(200)
    assert gated.gate.since_ns == 200
    assert gated.look(answered=1) == [SEEN]


def test_where_few_are_alive_silence_tells_nothing() -> None:
    gated = Gated()
    gated.see(80)
    assert gated.look(attempts=1000, answered=1) == []
    assert gated.look(600, attempts=9000) == []
    assert gated.look(attempts=1001) == [STOPPED]


def test_a_finding_of_the_mirror_check_shuts_it() -> None:
    gated = Gated()
    gated.see(80)
    assert gated.look(attempts=1, answered=1) == []
    gated.check.finding = UNANSWERED
    assert gated.gate.since_ns == NEVER_NS
    assert gated.look() == []  # who looks at the mirror has said it
    assert gated.gate.trouble == UNANSWERED
    gated.see(200)
    assert gated.look() == []
    gated.check.finding = ""
    # Answered or not, of what came in the meantime nobody knows.
    assert gated.gate.since_ns == NEVER_NS
    gated.see(300)
    assert gated.gate.since_ns == 300
