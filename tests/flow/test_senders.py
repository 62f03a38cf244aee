"""Which addresses have been seen sending, and how many dark flows went to them."""

from __future__ import annotations

from darkflow.flow.batch import Frames
from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from darkflow.flow.senders import Senders
from writers import SECOND_NS, Flow, ethernet

HOST, OTHER = "192.0.2.7", "192.0.2.8"


class Watched:
    """An engine whose decoder notes who sends."""

    def __init__(self) -> None:
        self.senders = Senders()
        self.decoder = Decoder()
        self.engine = Engine(SECOND_NS, 60 * SECOND_NS)
        self.t_ns = 0

    def see(self, *packets: bytes) -> None:
        """A packet each 10 ms, and 2 s of silence."""
        batch = [(self.t_ns + n * 10_000_000, 1, ethernet(p)) for n, p in enumerate(packets)]
        self.t_ns += 2 * SECOND_NS
        rows = self.senders.note(self.decoder.decode(Frames.of(batch, self.t_ns)))
        for events in self.engine.observe(rows):
            self.senders.count(events)


def test_dark_flows_to_addresses_that_send_are_counted() -> None:
    for host, other in ((HOST, OTHER), ("2001:db8::7", "2001:db8::8")):
        far = "198.51.100.1" if host == HOST else "2001:db8:ffff::1"
        seen = Watched()
        seen.see(Flow(host, 1, far, 80).syn(), Flow(far, 2, host, 80).syn(),
                 Flow(far, 3, other, 80).syn())  # fmt: skip
        # The host's own SYN went to an address that sends as well.
        assert seen.senders.turn() == (2, True)


def test_answers_and_resets_send_too() -> None:
    for packet in (
        Flow("198.51.100.1", 5, HOST, 1).answer(),
        Flow("198.51.100.1", 5, HOST, 1).reset(),
    ):
        seen = Watched()
        seen.see(packet, Flow("198.51.100.1", 6, HOST, 80).syn())
        assert seen.senders.turn() == (1, True)


def test_a_window_is_remembered_for_one_more() -> None:
    seen = Watched()
    seen.see(Flow(HOST, 1, "198.51.100.1", 80).syn())
    seen.senders.turn()
    seen.see(Flow("198.51.100.2", 2, HOST, 80).syn())
    assert seen.senders.turn() == (1, True)
    seen.senders.turn()
    seen.see(Flow("198.51.100.3", 2, HOST, 80).syn())
    assert seen.senders.turn() == (0, True)


def test_with_too_many_senders_nothing_can_be_told() -> None:
    senders = Senders()
    decoder = Decoder()
    for high in range(8):
        packets = [
            ethernet(Flow(f"10.{high}.{n >> 8}.{n & 255}", 1, HOST, 80).syn()) for n in range(9000)
        ]
        senders.note(decoder.decode(Frames.of([(0, 1, packet) for packet in packets])))
    assert senders.turn() == (0, False)
    assert senders.turn() == (0, False)  # the window before still counts
    assert senders.turn() == (0, True)
