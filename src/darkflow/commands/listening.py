"""Listens for some seconds, as the sensor does, and tells what comes: for `darkflow doctor`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

from darkflow.commands.checks import FAILED, OK, UNKNOWN, WARNING, Finding
from darkflow.commands.mirror import LEAST_SHARE
from darkflow.commands.worker import Lookout, Worker
from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from darkflow.flow.networks import Networks
from darkflow.flow.order import Reorder
from darkflow.pipeline import Pipeline
from darkflow.sinks.summary import Summary
from darkflow.sources.interface import RingSize, Watch, card_counters
from darkflow.sources.live import Live

SECOND_NS = 1_000_000_000
# Answers come within a second, or they are rare: no need to wait for the sensor's T.
HOLD_NS = 2 * SECOND_NS
# Less than this may be chance.
ENOUGH = 20
# With so many verdicts there is nothing more to learn.
PLENTY = 500
LOOK_S = 0.1


class Heard:
    """What came while it was listened."""

    def __init__(self, worker: Worker, cards: dict[str, int], dropped: int, seconds: float) -> None:
        counts = worker.pipeline.engine.counters
        packets = worker.pipeline.decoder.counters
        self.syn: int = packets["syn"]
        self.synack: int = packets["synack"]
        self.rst: int = packets["rst"]
        self.unsolicited = counts["unsolicited"]
        self.answered = counts["answered"] + counts["refused"] + counts["late_answers"]
        self.dark = counts["dark"]
        self.dark_at_senders, self.senders_told = worker.lookout.senders.turn()
        self.passed = worker.source.packets
        self.cards = cards
        self.dropped = dropped
        self.seconds = seconds

    @property
    def counted(self) -> str:
        """The packets by kind, to be read."""
        return f"{self.syn:,} SYNs, {self.synack:,} SYN+ACKs, {self.rst:,} RSTs"


def listening_findings(
    interfaces: list[str], settings: dict[str, Any], seconds: float
) -> Iterator[Finding]:
    """Listen on interfaces that are up, for so long at most, and tell what that shows."""
    said: list[str] = []
    blocks = max(2, settings["ring_size"] // settings["ring_block"])
    watch = Watch(RingSize(settings["ring_block"], blocks), bool(settings["decap"]))
    try:
        source = Live(interfaces, said.append, watch)
    except PermissionError:
        text = "needs CAP_NET_RAW to be listened for"
        yield Finding("directions", UNKNOWN, text, "sudo darkflow doctor -i " + interfaces[0])
        return
    except (OSError, MemoryError) as error:
        text = f"cannot listen: {getattr(error, 'strerror', None) or error}"
        yield Finding("directions", FAILED, text, "lower --ring-size", ",".join(interfaces))
        return
    cidrs = settings["networks"]
    networks = Networks.everything() if cidrs is None else Networks(cidrs[1], cidrs[2])
    summary = Summary(networks, os.urandom(16), 100_000)
    heard = _listen(source, summary, settings, seconds)
    for line in said:
        yield Finding("interface", WARNING, line)
    for name in interfaces:
        yield _traffic(name, heard)
    if heard.dropped:
        text = f"{heard.dropped:,} packets found no room in it"
        yield Finding("ring", WARNING, text, f"--ring-size {settings['ring_size'] >> 19}MiB")
    yield directions(heard)
    if cidrs is not None:
        yield _networks(cidrs[0], summary.by_direction)


def _listen(source: Live, summary: Summary, settings: dict[str, Any], seconds: float) -> Heard:
    hold_ns = min(HOLD_NS, int(seconds * SECOND_NS / 2))
    lookout = Lookout()
    # A dark flow is over at once: the summary counts those that are.
    sizes = (settings["queue_size"], settings["flow_table_size"])
    engine = Engine(hold_ns, 1, sizes, os.urandom(16))
    decoder = Decoder(settings["decap"])
    pipeline = Pipeline(decoder, Reorder(0), engine, [lookout, summary])
    pipeline.stages.append(lookout.senders.note)
    worker = Worker(source, pipeline, lookout, lambda _level, _line: None, lambda: None)
    before = card_counters()
    began_s = time.monotonic()
    worker.start()
    try:
        while (passed_s := time.monotonic() - began_s) < seconds and worker.failed is None:
            time.sleep(min(LOOK_S, seconds - passed_s))
            counts = engine.counters
            known = counts["answered"] + counts["refused"] + counts["dark"]
            if known >= PLENTY and passed_s > hold_ns / SECOND_NS + 1:
                break
    finally:
        source.stop()
        worker.join(10)
    if worker.failed is not None:
        raise worker.failed
    after, none = card_counters(), (0, 0)
    cards = {name: after.get(name, none)[0] - before.get(name, none)[0] for name in source.names}
    dropped = sum(source.dropped_ring.values())
    return Heard(worker, cards, dropped, time.monotonic() - began_s)


def _traffic(name: str, heard: Heard) -> Finding:
    passed, received = heard.passed[name], heard.cards[name]
    seconds = f"in {heard.seconds:.0f} s"
    if passed:
        text = f"{passed:,} SYNs, answers and ICMP errors {seconds}; {received:,} packets received"
        return Finding("traffic", OK, text, "", name)
    if received > ENOUGH:
        text = f"{received:,} packets {seconds}, but no SYN, no answer and no ICMP error"
        return Finding("traffic", WARNING, text, "is it a tunnel? Then: --decap", name)
    text = f"nothing came {seconds}" if not received else f"only {received} packets {seconds}"
    mend = f"sudo tcpdump -c 10 -n -i {name}  # check the mirror's configuration"
    return Finding("traffic", WARNING, text, mend, name)


def directions(heard: Heard) -> Finding:
    """Whether SYNs and their answers come: without the answers every live host looks dark."""
    counted = heard.counted
    answers = heard.synack + heard.rst
    mend = "have the mirror copy both directions (rx and tx, ingress and egress) of the port"
    if heard.dark >= ENOUGH and heard.answered == 0 and heard.unsolicited >= ENOUGH:
        text = f"{counted}: but not one answer to a SYN that was seen. One direction of each" \
            " connection is missing"  # fmt: skip
        return Finding("directions", FAILED, text, mend + ", or add the other path with -i")
    if heard.dark >= ENOUGH and heard.answered == 0:
        text = f"{counted}: only one direction comes, that of the SYNs. Every live host looks dark"
        return Finding("directions", FAILED, text, mend)
    if heard.syn < ENOUGH <= answers and heard.answered == 0:
        text = f"{counted}: only one direction comes, that of the answers. Nothing will be found"
        return Finding("directions", FAILED, text, mend)
    known = heard.answered + heard.dark
    if known < ENOUGH:
        text = f"{counted} in {heard.seconds:.0f} s: too little to tell"
        return Finding(
            "directions", WARNING, text, "darkflow doctor --seconds 60  # in busier hours"
        )
    share = f"{heard.answered / known:.1%} of {known:,} attempts were answered"
    at_senders = heard.dark_at_senders
    few = heard.answered < LEAST_SHARE * (heard.answered + at_senders)
    if at_senders >= ENOUGH and few and heard.senders_told:
        text = f"{share}; hosts that are seen sending hardly ever answer. A part is missing"
        return Finding("directions", WARNING, f"{counted}: {text}", mend)
    return Finding("directions", OK, f"{counted}: both come; {share}")


def _networks(cidrs: tuple[str, ...], by_direction: dict[str, int]) -> Finding:
    known = sum(by_direction.values())
    own = known - by_direction["transit"]
    told = ", ".join(f"{count:,} {name}" for name, count in by_direction.items() if count)
    if known < ENOUGH:
        return Finding("networks", UNKNOWN, "too few dark flows to tell whether they are right")
    if own == 0:
        text = f"none of {known:,} dark flows has an end in {', '.join(cidrs)}"
        return Finding("networks", WARNING, text, "are these the networks of this link?")
    return Finding("networks", OK, f"dark flows: {told}")
