"""What a terminal shows of a running sensor."""

from __future__ import annotations

import io
import socket

from rich.console import Console

from darkflow.commands.view import View

VALUES = {
    "packets": 1000, "attempts": 300, "answered": 100, "refused": 50, "dark": 150,
    "late_answers": 2, "queue_flows": 77, "table_flows": 149, "engine_bytes": 5 << 20,
    "dropped_ring": 0, "dropped_queue": 0,
}  # fmt: skip
FLOW = {
    "src": socket.inet_aton("198.51.100.7"), "dst": socket.inet_aton("192.0.2.9"), "sport": 40000,
    "dport": 23, "t0_ns": 3_723_250_000_000, "syn_count": 2,
}  # fmt: skip
FLOW6 = FLOW | {
    "src": socket.inet_pton(socket.AF_INET6, "2001:db8::7"),
    "dst": socket.inet_pton(socket.AF_INET6, "2001:db8:1::9"),
}


def shown(values: dict[str, int], log: str = "") -> str:
    """The text of one picture."""
    out = io.StringIO()
    view = View(["eth1", "eth2"], Console(file=out, force_terminal=True, width=100, height=60))
    view.start()
    if log:
        view.add_log(log)
    view.show(values, [FLOW, FLOW6])
    view.stop()
    return out.getvalue()


def test_numbers_and_flows_are_there() -> None:
    text = shown(VALUES)
    assert "darkflow sensor on eth1, eth2" in text
    for part in ("1,000", "300", "delay queue 77 SYNs", "flow table 149 dark flows", "5 MiB"):
        assert part in text
    assert "01:02:03.250" in text
    assert "198.51.100.7:40000" in text
    assert "[2001:db8:1::9]:23" in text
    assert "nothing lost" in text


def test_losses_and_log_lines_are_there() -> None:
    text = shown(VALUES | {"dropped_ring": 1234}, "interface eth1 has gone")
    assert "lost: ring 1,234" in text
    assert "nothing lost" not in text
    assert "interface eth1 has gone" in text
