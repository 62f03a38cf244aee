"""Which packets show that the watched hosts' answers are seen."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from darkflow.flow.answers import Answers
from darkflow.flow.batch import Frames
from darkflow.flow.decode import Decoder
from darkflow.flow.networks import Networks
from darkflow.units import parse_networks
from writers import ACK, RST, Flow, Tcp, ethernet

WATCHED = ("192.0.2.0/24", "2001:db8::/32")
ENDS4 = ("192.0.2.0", "192.0.2.255", "192.0.3.0", "198.51.100.1")
ENDS6 = ("2001:db8::1", "2001:db8:ffff::2", "2001:db9::1")


def networks() -> Networks:
    """The watched ones."""
    cidrs, ranges4, ranges6 = parse_networks(",".join(WATCHED))
    return Networks(ranges4, ranges6, cidrs)


def watched(text: str) -> bool:
    """Slowly."""
    return any(ip_address(text) in ip_network(one) for one in WATCHED)


def see(answers: Answers, *packets: bytes) -> None:
    """One packet a nanosecond, from 1 on."""
    batch = [(n, 1, ethernet(packet)) for n, packet in enumerate(packets, 1)]
    answers.note(Decoder().decode(Frames.of(batch, len(packets) + 1)))


def packet(flow: Flow, what: str) -> bytes:
    """One of the flow; all but `syn` come from who was asked."""
    if what == "syn":
        return flow.syn()
    if what == "answer":
        return flow.answer()
    if what == "reset":
        return flow.turned().packet(Tcp(RST | ACK, 7, 9))
    if what == "abort":
        return flow.turned().packet(Tcp(RST, 0, 0))
    return flow.reset()


KINDS = ("syn", "answer", "reset", "abort", "refusal")
ANY = st.sampled_from([(a, b) for ends in (ENDS4, ENDS6) for a in ends for b in ends])


@given(st.lists(st.tuples(ANY, st.sampled_from(KINDS))))
def test_the_kernel_says_what_the_plain_rule_says(
    seen: list[tuple[tuple[str, str], str]],
) -> None:
    packets, expected = [], []
    for n, ((orig, resp), what) in enumerate(seen, 1):
        packets.append(packet(Flow(orig, 1, resp, 2), what))
        if what in ("answer", "refusal") and watched(resp) and not watched(orig):
            expected.append(n)
    answers = Answers(networks())
    see(answers, *packets)
    assert answers.count == len(expected)
    assert answers.first_ns == (expected[0] if expected else 0)


def test_what_was_forgotten_begins_anew() -> None:
    answers = Answers(networks())
    flow = Flow("198.51.100.1", 1, "192.0.2.1", 2)
    see(answers, flow.answer())
    answers.forget()
    assert answers.first_ns == 0
    see(answers, flow.syn(), flow.answer())
    assert (answers.first_ns, answers.count) == (2, 2)
