"""The tables: plain where they are piped, and with every loss in words."""

from __future__ import annotations

import io
from typing import Any

from darkflow.analysis.tables import DROPPED, show


def document(**more: Any) -> dict[str, Any]:
    """A small result."""
    base: dict[str, Any] = {
        "inside_sources": [],
        "packets": 1234567, "elapsed_s": 0.5, "packets_per_s": 2469134, "attempts": 200,
        "answered": 100, "refused": 50, "dark": 40, "undecided": 10, "dark_sources": 3,
        "dark_destinations": 4, "direction": {"inbound": 40, "outbound": 0}, "late_answers": 2,
        "icmp_unreachable": 5, "undecoded": {}, "dropped": dict.fromkeys(DROPPED, 0),
        "top_ports": [{"port": 445, "packets": 3234928, "flows": 9, "sources": 384803}],
        "top_sources": [
            {"src_ip": "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff", "flows": 1, "packets": 2,
             "ports": 3, "targets": 4}
        ],
        "tools": [{"tool": "nmap", "flows": 30, "low": 2, "packets": 33, "sources": 1}],
        "reply_delay_ns": {"p50": 28_000, "p99": 107_000, "max": 2_837_000},
        "reply_delay_exact": True,
        "reply_delay_share": {"1ms": 0.5, "10ms": 0.981, "30ms": 1.0, "1s": 1.0, "5s": 1.0},
    }  # fmt: skip
    return {**base, **more}


def shown(terminal: bool = False, **more: Any) -> str:
    """The tables as text."""
    out = io.StringIO()
    show(document(**more), out, terminal)
    return out.getvalue()


def test_numbers_stand_in_their_rows() -> None:
    rows = [line.split() for line in shown().splitlines()]
    assert ["dark", "40", "20.0%"] in rows
    assert ["445", "3,234,928", "384,803", "9"] in rows
    assert ["2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff", "1", "2", "3", "4"] in rows
    assert ["10", "ms", "98.10%"] in rows
    assert ["nmap", "30", "75.0%", "33", "1"] in rows
    assert ["1", "s", "100.00%"] in rows


def test_plain_text_has_no_colour_and_a_terminal_has() -> None:
    assert "\x1b[" not in shown()
    assert "\x1b[" in shown(terminal=True)


def test_sentences_are_not_broken() -> None:
    lines = shown().splitlines()
    assert (
        "dark flows from 3 sources to 4 destinations (40 inbound); 5 with an ICMP reason;"
        " 2 answered late"
    ) in lines
    assert "of these flows 2 are named by their looks alone (low confidence)" in lines
    assert "median 0.028 ms; 99% 0.107 ms; longest 2.837 ms" in lines
    assert "1,234,567 packets in 0.50 s (2,469,134 packets/s)" in lines


def test_every_loss_is_said() -> None:
    assert "What was not judged" not in shown()
    dropped = {name: number for number, name in enumerate(DROPPED, start=7001)}
    text = shown(dropped=dropped, undecoded={"link_type_105": 12, "fragment": 34})
    for name, number in dropped.items():
        assert f"{number:,}" in text
        assert DROPPED[name].split(":")[0][:30] in text
    assert "frames of unknown link type 105" in text
    assert "fragments other than the first" in text


def test_nothing_dark_and_no_reply_leave_their_tables_out() -> None:
    text = shown(top_ports=[], top_sources=[], tools=[], reply_delay_ns={"p50": None})
    assert "Connection attempts" in text
    assert "Top sources" not in text
    assert "Reply delays" not in text


def test_sources_inside_come_first_with_what_is_known_of_them() -> None:
    inside = {
        "src_ip": "203.0.113.66", "flows": 1200, "packets": 1300, "ports": 1, "targets": 999,
        "first_ns": 1_772_359_200_123_456_789, "last_ns": 1_772_359_260_000_000_000,
        "known": "printer", "country": None, "asn": 64500,
    }  # fmt: skip
    text = shown(inside_sources=[inside])
    assert text.lstrip().startswith("Sources inside: likely infected")
    row = " ".join(text.splitlines()[5].split())
    assert row == ("203.0.113.66 printer AS64500 1,200 1 999 2026-03-01 10:00 2026-03-01 10:01")
