"""`darkflow lab evaluate`: the wire is read rightly, a quick run whole, Ctrl-C leaves nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from darkflow.analysis import evaluation
from darkflow.commands import evaluate
from darkflow.commands.evaluate import chosen
from darkflow.lab.evaluate import clients, forged, machine, network, parts, wire
from darkflow.lab.evaluate.clients import FULL, OUTCOMES, QUICK
from darkflow.lab.namespaces import PREFIX, existing
from darkflow.lab.slow import ACK, FIN, ISN, RST, SYN, Segment, SlowHost, back, packed, written
from darkflow.lab.topology import PATIENT, SLOW, WEB
from running import DARKFLOW, darkflow

SECTIONS = ("overview", "sequences", "clients", "delay", "late", "forged", "hold", "throughput",
            "cut", "load", "ports", "losses", "lists", "about")  # fmt: skip
PORT = OUTCOMES["rst_by_server"]


def pcap(*packets: tuple[float, Segment]) -> bytes:
    data = struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    for t_s, segment in packets:
        frame = written(segment)
        data += struct.pack("=IIII", int(t_s), round(t_s % 1 * 1e6), len(frame), len(frame)) + frame
    return data


def from_client(to: str, port: int, flags: int, seq: int = 7, ack: int = 0) -> Segment:
    return Segment(bytes(12), packed(PATIENT.ipv4), packed(to), (4000, port), seq, ack, flags)


def late_talk() -> list[tuple[float, Segment]]:
    """A duplicate SYN+ACK: the honeypot's at 5 s, the host's at 7 s."""
    syn = from_client(SLOW.ipv4, PORT, SYN)
    ack = from_client(SLOW.ipv4, PORT, ACK, 8, 1001)
    return [
        (100.0, syn), (101.0, syn), (105.0, back(syn, SYN | ACK, 1000, 8)), (105.1, ack),
        (107.0, back(syn, SYN | ACK, ISN, 8)), (107.1, ack), (107.2, back(ack, RST, 1001, 0)),
        (109.0, replace(ack, flags=FIN | ACK)),
    ]  # fmt: skip


def test_a_sequence_knows_the_honeypot_from_the_late_host() -> None:
    seen = list(wire.segments(pcap(*late_talk())))
    found = network.sequences(seen)["duplicate"]
    assert [(row["t_s"], row["from"], row["what"]) for row in found] == [
        (0.0, "client", "SYN"), (1.0, "client", "SYN again"), (5.0, "honeypot", "SYN+ACK"),
        (5.1, "client", "ACK"), (7.0, "real host", "SYN+ACK"), (7.1, "client", "ACK"),
        (7.2, "real host", "RST"),
    ]  # fmt: skip


def test_who_answers_for_nobody_is_the_honeypot_and_a_live_host_is_itself() -> None:
    syn, other = from_client(clients.ABSENT, 80, SYN), from_client(WEB.ipv4, 80, SYN)
    talk = ((1.0, syn), (6.0, back(syn, SYN | ACK, 9, 8)), (2.0, other),
            (2.1, back(other, SYN | ACK, 9, 8)))  # fmt: skip
    found = network.sequences(list(wire.segments(pcap(*talk))))
    assert [row["from"] for row in found["delayed"]] == ["client", "honeypot"]
    assert [row["from"] for row in found["normal"]] == ["client", "real host"]
    assert found["duplicate"] == []


def test_a_schedule_is_that_of_one_flow() -> None:
    syn = from_client(clients.FAR_CURL, 80, SYN)
    other = replace(syn, ports=(4001, 80))
    talk = [(10.0, syn), (11.0, syn), (11.5, other), (13.0, syn), (13.5, replace(syn, flags=ACK))]
    seen = list(wire.segments(pcap(*talk)))
    assert wire.schedule(seen, clients.FAR_CURL) == [0.0, 1.0, 3.0]
    assert wire.schedule(seen, clients.FAR_SOCKET) == []


def test_a_capture_that_breaks_off_or_is_none(tmp_path: Path) -> None:
    whole = pcap(*late_talk())
    for length in range(24, len(whole)):
        assert len(list(wire.segments(whole[:length]))) <= len(late_talk())
    with pytest.raises(ValueError, match="not a pcap"):
        list(wire.segments(b"text"))
    assert wire.captured(tmp_path / "nothing.pcap") == []


def test_when_a_client_gave_up() -> None:
    assert network.gave_up_after("gave up 3.0042 timed out\n") == 3.0
    assert network.gave_up_after("connected 5.01\n") is None
    assert network.gave_up_after("") is None


def test_names_of_flags() -> None:
    names = {SYN: "SYN", SYN | ACK: "SYN+ACK", ACK: "ACK", FIN | ACK: "FIN+ACK", 0x18: "data"}
    assert {flags: wire.said(flags) for flags in names} == names


def test_a_mute_host_says_its_syn_ack_and_nothing_more() -> None:
    syn, ack = from_client(clients.MUTE, 80, SYN), from_client(clients.MUTE, 80, ACK, 8, 1001)
    for mute, resets in ((True, 0), (False, 1)):
        host = SlowHost([packed(clients.MUTE)], 2.0, mute)
        assert host.heard(syn, 0.0) is None
        assert [one.flags for one in host.due(2.0)] == [SYN | ACK]
        assert (host.heard(ack, 3.0) is not None) == resets


@pytest.mark.parametrize("times", [FULL, QUICK])
def test_each_outcome_has_its_clients_in_time(times: clients.Times, tmp_path: Path) -> None:
    steps = clients.steps(times, tmp_path, sys.executable)
    assert [step.at_s for step in steps] == sorted(step.at_s for step in steps)
    for name, port in OUTCOMES.items():
        mine = [step for step in steps if step.ports == (port,)]
        assert [step.tool for step in mine] == [name] * times.outcomes
        # The late answer and what follows it are within the run.
        assert all(step.at_s + times.hold_s + 2.0 + 1.5 < times.active_s for step in mine)
    assert clients.scans_of(steps)


def test_parts_in_their_order() -> None:
    assert chosen(None) == list(parts.PARTS)
    assert chosen(["cut", "network", "cut"]) == ["network", "cut"]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("too busy"), "too busy"),
        (OSError(28, "No space left"), "[Errno 28] No space left"),
        (ValueError("not a pcap\nat all"), "not a pcap"),
        (KeyError("engine"), "KeyError: 'engine'"),
        (IndexError("list index out of range"), "IndexError: list index out of range"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_a_part_that_fails_or_is_interrupted_loses_no_other(
    error: Exception, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(*_: object) -> dict[str, Any]:
        raise error

    def is_interrupted(*_: object) -> dict[str, Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr(machine, "throughput", fails)
    monkeypatch.setattr(machine, "cut", is_interrupted)
    names = ["throughput", "cut", "lists"]
    found = parts.run(names, True, tmp_path, lambda _: None, lambda _: {})
    assert found["interrupted"]
    said = {name: part["failed"] for name, part in found["parts"].items()}
    assert said == {"throughput": told, "cut": "interrupted"}


def test_a_store_that_cannot_be_read_leaves_what_the_network_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def panics(*_: object) -> dict[str, Any]:
        raise pl.exceptions.PanicException("called unwrap() on None\nbacktrace")

    monkeypatch.setattr(network, "run", lambda *_: ({"hold_s": 0.7}, False))
    monkeypatch.setattr(evaluation, "of_store", panics)
    found = parts.run(["network"], True, tmp_path, lambda _: None, evaluate._stored)
    (part,) = found["parts"].values()
    assert (part["hold_s"], part["store"]) == (0.7, None)
    assert part["unread"] == "the store cannot be read: called unwrap() on None"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--only", "lunch"), "--only: 'lunch' is none of network"),
        (("-o", "page.txt"), "has to end in .html"),
        (("-o", "/nowhere/page.html"), "there is no folder /nowhere"),
        (("something",), "takes no 'something'"),
    ],
)
def test_what_cannot_be_is_one_line(words: tuple[str, ...], told: str) -> None:
    done = darkflow("lab", "evaluate", *words)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert told in done.stderr


def test_without_root_it_says_so(tmp_path: Path) -> None:
    argv = [str(DARKFLOW), "lab", "evaluate", "-o", "/tmp/evaluate.html"]
    if os.geteuid() == 0:
        # Somebody else, who may still read this environment.
        argv = ["setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all",
                "--bounding-set=-all", *argv]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 2
    assert done.stderr == "darkflow: the lab needs root, to make network namespaces\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"cuts": ["kernel"]}, None),
        ({"kept": 1}, None),
        ({}, "saw no forged SYN+ACK (hping3 ended with status 1)"),
        ({"kept": None}, "saw no forged SYN+ACK"),
        ({"cuts": ["kernel"], "downloading_before": False}, "the download had ended before"),
    ],
)
def test_a_download_survives_only_a_packet_that_was_seen(
    more: dict[str, Any], told: str | None
) -> None:
    found = {"downloading_before": True, "cuts": [], "kept": 0, "hping3_exit": 1, "survived": True}
    if told is None:
        forged.check("cuts", found | more)
        return
    with pytest.raises(RuntimeError, match=f"^--late-answer cuts: .*{re.escape(told)}"):
        forged.check("cuts", found | more)


def mine(pid: int) -> list[str]:
    return [name for name in existing() if name.startswith(f"{PREFIX}-{pid}.")]


def test_a_quick_run_has_every_outcome_and_what_ctrl_c_leaves(
    real_lab: None, tmp_path: Path
) -> None:
    del real_lab
    argv = [str(DARKFLOW), "lab", "evaluate", "--quick", "-o", str(tmp_path / "page.html")]
    argv += ["--only", "network", "--only", "forged", "--only", "cut"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert next(line for line in run.stdout if "late answers beside" in line)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=60)
    assert run.returncode == 130
    assert said.splitlines() == [
        "darkflow: interrupted; the lab is gone, and what was measured is in the page"
    ]
    assert not [name for name in existing() if name.startswith(f"{PREFIX}-{run.pid}.")]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "page-figures", "page.html", "page.json",
    ]  # fmt: skip
    document = json.loads((tmp_path / "page.json").read_text())
    has_every_outcome(document["parts"]["network"])
    has_both_settings(document["parts"]["forged"]["settings"])
    page = (tmp_path / "page.html").read_text()
    assert "The run was interrupted." in page
    for section in SECTIONS:
        assert f'<section id="{section}">' in page
    assert page.count("Not measured: it was left out with --only.") == 2
    assert page.count("Not measured: interrupted.") == 1
    figures = {path.name for path in (tmp_path / "page-figures").iterdir()}
    assert {"fig5.svg", "fig6.png", "fig8.svg", "fig9.png", "table1.svg"} <= figures


def has_every_outcome(found: dict[str, Any]) -> None:
    """All four of Table 1, as Darkflow's own trace tells them."""
    by_port = {port: trace for port, trace, _ in found["store"]["traces"]}
    for name in ("rst_by_server", "rst_by_client", "fin"):
        assert by_port[OUTCOMES[name]] == name
    # Silence is what has no trace so soon: the cut was, and nothing followed.
    assert OUTCOMES["silence"] not in by_port
    assert [OUTCOMES["silence"], "syn_ack", 1] in found["store"]["cuts"]
    answers = [one["from"] for one in found["sequences"]["duplicate"] if one["what"] == "SYN+ACK"]
    assert answers == ["honeypot", "real host"]


def has_both_settings(settings: dict[str, Any]) -> None:
    """The download is cut by one, and goes on with the other."""
    always, established = settings["cuts"], settings["unless-established"]
    assert always["bytes_before"] > 0 == always["bytes_after"]
    assert established["bytes_before"] > 0 < established["bytes_after"]
    assert (always["survived"], established["survived"]) == (False, True)
    assert (always["ends"], established["kept"]) == (["late_answer"], 1)
