"""`darkflow status`, `flows`, `cut`, `allow` against a control socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from darkflow.commands.control import Control
from running import darkflow

FLOW = "198.51.100.7:4242-192.0.2.9:22"


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[str]:
    """A control socket whose answers repeat the question."""
    shown = {
        "flow": FLOW, "age_s": 7.25, "idle_s": 1.0, "handshake": True, "bytes_toserver": 1234,
        "bytes_toclient": 5,
    }  # fmt: skip
    asked: dict[str, Any] = {
        "status": lambda _: {"uptime_s": 3, "flows": {"diverted_now": 12345, "running": True}},
        "flows": lambda r: {"flows": [shown][: r["limit"]], "open": 3, "diverted": 4},
        "cut": lambda r: {"cut": 1 if r["flow"] == FLOW else 2 if r["all"] else 0},
        "allow": lambda r: {
            "addresses": [r["value"]], "sources": [], "ports": [r["action"], r["kind"]], "cut": 2,
            "lasts": "until it ends",
        },
    }  # fmt: skip
    control = Control(str(tmp_path / "c.sock"), None, asked)
    yield control.path
    control.close()


def said(socket: str, *words: str) -> str:
    """What the command prints."""
    done = darkflow(words[0], "--control", socket, *words[1:])
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_status(socket: str) -> None:
    text = said(socket, "status")
    assert "uptime_s                 3\n" in text
    assert "  diverted now                   12,345\n" in text
    assert "  running                        True\n" in text
    assert json.loads(said(socket, "status", "--json"))["flows"]["diverted_now"] == 12345


def test_flows(socket: str) -> None:
    text = said(socket, "flows")
    assert FLOW in text
    assert "established" in text
    assert "3 sessions open, 2 of them not shown; 4 flows diverted" in text
    assert said(socket, "flows", "--limit", "0").count("\n") == 1


def test_cut(socket: str) -> None:
    assert said(socket, "cut", FLOW) == "1 flows cut\n"
    assert said(socket, "cut", "--all") == "2 flows cut\n"
    for words in ((), (FLOW, "--all")):
        done = darkflow("cut", "--control", socket, *words)
        assert done.returncode == 2
        assert "cut one FLOW, or --all" in done.stderr


def test_allow(socket: str) -> None:
    text = said(socket, "allow", "add", "address", "192.0.2.0/24")
    assert "addresses  192.0.2.0/24\n" in text
    assert "sources    none\n" in text
    assert "ports      add, address\n" in text
    assert "lasts      until it ends\n" in text
    assert "2 flows cut" in text


def test_nobody_there(tmp_path: Path) -> None:
    done = darkflow("status", "--control", str(tmp_path / "none"))
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"darkflow: {tmp_path / 'none'}: no honeypot is running (darkflow honeypot)"
    ]
