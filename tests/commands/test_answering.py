"""The responder as a child: its reports are heard, and it is started again when it ends."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from darkflow.commands.answering import Answering
from darkflow.divert.dispatcher import Flow


class Heard:
    """A responder on a port of loopback, and what comes of it."""

    def __init__(self, *words: str) -> None:
        self.reports: list[tuple[Flow, dict[str, Any]]] = []
        self.said: list[str] = []
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = listener.getsockname()
        self.answering = Answering(
            [listener], words, lambda *report: self.reports.append(report), self.say
        )
        self.answering.start()

    def say(self, level: str, line: str, **_: object) -> None:
        self.said.append(f"{level} {line}")

    def ask(self) -> bytes:
        """What a web client gets."""
        with socket.create_connection(self.address, 10) as client:
            client.settimeout(20)
            client.sendall(b"GET /where HTTP/1.0\r\n\r\n")
            return client.recv(1000)

    def pid(self) -> int:
        process = self.answering._process
        assert process is not None
        return process.pid


def until(there: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not there():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def heard() -> Iterator[Heard]:
    made = Heard("--responder-marker=dkflw")
    yield made
    made.answering.close()


def test_reports_are_heard(heard: Heard) -> None:
    assert heard.ask().startswith(b"HTTP/1.")
    until(lambda: heard.reports != [])
    (flow, said) = heard.reports[0]
    assert flow[0] == flow[2] == b"\x7f\0\0\1"
    assert flow[3] == heard.address[1]
    assert (said["protocol"], said["fields"]["http"]["path"]) == ("http", "/where")
    assert "running, process" in heard.answering.describe()


def test_it_is_started_again(heard: Heard) -> None:
    heard.ask()
    os.kill(heard.pid(), signal.SIGKILL)
    until(lambda: heard.answering.restarts == 1)
    assert heard.ask().startswith(b"HTTP/1.")
    assert any(line.startswith("error the responder has ended") for line in heard.said)


def test_one_that_is_stuck_is_ended_and_started_again(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("darkflow.commands.answering.SILENCE_S", 2.5)
    monkeypatch.setattr("darkflow.commands.answering.LOOK_S", 0.1)
    heard.ask()
    stuck = heard.pid()
    os.kill(stuck, signal.SIGSTOP)
    until(lambda: heard.answering.restarts == 1)
    assert "error the responder has said nothing for 2 s and is ended" in heard.said
    assert heard.ask().startswith(b"HTTP/1.")
    assert heard.pid() != stuck


def test_what_is_wrong_with_it_is_said() -> None:
    heard = Heard("--responder-idle=never")
    until(lambda: any("never" in line for line in heard.said))
    heard.answering.close()
    assert "not running" in heard.answering.describe()


def test_it_goes_on_trying_when_it_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process, no file number: that passes, and the thread is there to see it."""
    said: list[str] = []
    tried: list[int] = []

    def refuse(*_: object, **__: object) -> None:
        tried.append(1)
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("darkflow.commands.answering.subprocess.Popen", refuse)
    monkeypatch.setattr("darkflow.commands.answering.FIRST_WAIT_S", 0.01)
    one = Answering([], (), lambda *_: None, lambda _, text, **__: said.append(text))
    files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    one.start()
    until(lambda: len(tried) >= 3)
    assert "the responder cannot be kept" in said[0]
    one.close()
    assert len(os.listdir("/proc/self/fd")) == files  # noqa: PTH208


def test_it_ends_with_us(heard: Heard) -> None:
    heard.ask()
    pid = heard.pid()
    heard.answering.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
