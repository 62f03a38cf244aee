"""What the engine tells of itself, from its first packet to its end."""

from __future__ import annotations

from darkflow.flow.batch import Frames
from darkflow.flow.decode import Decoder
from darkflow.flow.engine import Engine
from oracle import COUNTS
from writers import RAW, SECOND_NS, Flow

HOLD_NS, IDLE_NS = 5 * SECOND_NS, 60 * SECOND_NS


def observe(engine: Engine, packets: list[tuple[int, bytes]]) -> None:
    """Judge IP packets."""
    frames = Frames.of([(t_ns, RAW, packet) for t_ns, packet in packets])
    for _ in engine.observe(Decoder().decode(frames)):
        pass


def test_a_new_engine_has_counted_nothing() -> None:
    engine = Engine(HOLD_NS, IDLE_NS)
    assert engine.counters == dict.fromkeys(COUNTS, 0)
    assert engine.sizes == (0, 0)
    assert engine.retry_counts == [0] * 33
    assert engine.kept_frames is None
    assert engine.reply_delays.count == engine.late_delays.count == engine.retry_spans.count == 0


def test_sizes_and_memory_follow_the_flows() -> None:
    engine = Engine(HOLD_NS, IDLE_NS)
    before = engine.memory_bytes
    observe(engine, [(n, Flow(orig_port=n).syn()) for n in range(1, 1501)])
    assert engine.sizes == (1500, 0)
    assert engine.memory_bytes - before == 2 * 1024 * 192  # two segments of slots
    observe(engine, [(6 * SECOND_NS, Flow(orig_port=1).syn())])
    assert engine.sizes == (0, 1500)
    assert engine.memory_bytes - before == 2 * 1024 * 192


def test_resent_syns_are_told_when_a_record_ends() -> None:
    engine = Engine(HOLD_NS, IDLE_NS)
    observe(engine, [(SECOND_NS * n, Flow().syn()) for n in range(4)])
    observe(engine, [(0, b""), (SECOND_NS * 100, Flow(orig_port=9).syn())])
    assert engine.retry_counts[:5] == [0, 0, 0, 1, 0]
    assert (engine.retry_spans.count, engine.retry_spans.max_ns) == (1, 3 * SECOND_NS)
