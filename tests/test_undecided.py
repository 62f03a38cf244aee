"""What the end of the input leaves undecided is reported once, as undecided and nothing else."""

from __future__ import annotations

from pathlib import Path

from judging import judge
from sinks.test_lines import Lines, write
from writers import SECOND_NS, Flow, icmp_error


def test_what_is_undecided_at_the_end_has_its_line_and_never_another(tmp_path: Path) -> None:
    gone, held, at_t, answered, resent = (Flow(orig_port=port) for port in range(1, 6))
    packets = [
        (0, gone.syn()), (2 * SECOND_NS, at_t.syn()), (3 * SECOND_NS, resent.syn()),
        (3 * SECOND_NS + 7, answered.syn()), (4 * SECOND_NS, answered.answer()),
        (4 * SECOND_NS, resent.syn()), (4 * SECOND_NS, icmp_error("203.0.113.254", resent.syn())),
        (6_999_999_999, held.syn()), (7 * SECOND_NS, b""),
    ]  # fmt: skip
    path = write(tmp_path / "capture", packets)
    for at_verdict in (False, True):
        lines = Lines(at_verdict)
        pipeline, _ = judge([path], [lines])
        assert [
            (d["src_port"], d["event_type"], d["darkflow"]["syn_count"], d.get("undecided"))
            for d in sorted(lines.documents, key=lambda d: d["src_port"])
        ] == [
            (1, "darkflow", 1, None), (2, "undecided", 1, {"held_ns": 1}),
            (3, "undecided", 1, {"held_ns": 5 * SECOND_NS}),
            (5, "undecided", 2, {"held_ns": 4 * SECOND_NS}),
        ]  # fmt: skip
        assert pipeline.engine.counters["undecided"] == 3
        assert {d["conn_state"] for d in lines.documents} == {"S0"}
        reason = [d["darkflow"]["icmp"] is not None for d in lines.documents if "undecided" in d]
        assert reason == [False, True, False]
