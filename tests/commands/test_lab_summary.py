"""The summary of a run: what it tells, and that hostile words are only words."""

from __future__ import annotations

import io
from pathlib import Path

from darkflow.commands.lab_summary import show
from darkflow.lab.answering import Place
from darkflow.lab.show import Found, Shown
from darkflow.lab.topology import SLOW, WEB

HOSTILE = "[bold red]GET[/] /{0} \\x1b"


def shown() -> Shown:
    found = Found()
    ends = {"src_ip": "198.51.100.11", "dest_ip": "203.0.113.200", "dest_port": 80}
    found.take({**ends, "event_type": "darkflow"})
    found.take({**ends, "event_type": "session", "app_proto": "http", "session": {
        "handshake": True, "payload_bytes": 3, "payload_printable": HOSTILE}})  # fmt: skip
    for address, by in zip(SLOW.addresses, ("kernel", "engine"), strict=True):
        cut = {"answer": "syn_ack", "cut_by": by, "t0_ns": 10**9, "answered_ns": 8 * 10**9}
        found.take({**ends, "event_type": "cut", "dest_ip": address, "cut": cut})
    found.take({**ends, "event_type": "cut_trace", "cut_trace": {"trace": "rst_by_server"}})
    status = {"engine": {"answered": 7, "dark": 1234}, "flows": {"diverted": 99}, "losses": {}}
    return Shown(
        place=Place(Path("there")), mode="mirror", status=status, found=found, runs=(),
        banners={"203.0.113.99": HOSTILE}, live_banners={WEB.ipv4: "SimpleHTTP"}, pages={},
        pages_asked=3, pages_answered=3, troubles=(),
    )  # fmt: skip


def told(one: Shown) -> str:
    out = io.StringIO()
    show(one, out, terminal=False)
    return out.getvalue()


def test_it_tells_what_there_is() -> None:
    text = told(shown())
    assert "1,234" in text
    assert "99 dark flows from outside went to the honeypot" in text
    assert "ended 2 flows, 1 of them in the kernel" in text
    assert "they came 7.00 to 7.00 s after the SYN" in text
    assert "1 a reset by the host" in text
    assert "export --store there/store" in text
    assert "answered 3 of 3 requests itself; 0 of its flows" in text
    assert "sessions: nothing" in text
    assert "query --store there/store" in text
    assert text.count(HOSTILE) == 2, "as it was said, and no mark-up"


def test_failures_are_named() -> None:
    good = shown()
    assert good.failures == []
    bad = Shown(**{
        **good.__dict__, "pages_answered": 2, "banners": {}, "pages": {"203.0.113.200": "nothing"},
        "status": {"losses": {"dropped_ring": 4}}, "found": Found(), "troubles": ("ill",),
    })  # fmt: skip
    assert [line.split(":")[0] for line in bad.failures] == [
        "ill", "the web server answered 2 of 3", "lost",
        f"the late answer of {SLOW.ipv4} cut nothing",
        "the late answer of 2001", "203.0.113.200", "masscan got no banner from an absent address",
    ]  # fmt: skip
