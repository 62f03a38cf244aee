"""The program as a user runs it: what it prints, how it ends, what it says of bad input."""

from __future__ import annotations

import json
import os
import resource
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from conftest import skip
from running import DARKFLOW, darkflow
from writers import RAW, SECOND_NS, Flow, Pcap, ethernet, ip

EXPECTED_KEYS = {
    "packets", "tcp", "syn", "synack", "rst", "attempts", "retransmitted_or_repeated", "answered",
    "refused", "dark", "undecided", "late_answers", "unsolicited", "disorder_ns", "dark_sources",
    "dark_destinations", "reply_delay_ns", "reader_notes", "undecoded", "dropped",
    "icmp_unreachable", "direction", "elapsed_s", "packets_per_s", "top_ports", "top_sources",
    "tools",
}  # fmt: skip


def syns(count: int, first_port: int = 1024) -> list[tuple[int, bytes]]:
    """SYNs of as many flows, 1 ms apart."""
    return [(i * 1_000_000, ethernet(Flow(orig_port=first_port + i).syn(i))) for i in range(count)]


END = (30 * SECOND_NS, b"")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small captures, good and bad."""
    path = tmp_path_factory.mktemp("cli")
    answered, late = Flow(orig_port=5), Flow("2001:db8::5", 6, "2001:db8::1", 80)
    story = [
        (0, ethernet(Flow().syn())), (0, ethernet(answered.syn())), (0, ethernet(late.syn())),
        (40_000_000, ethernet(answered.answer())), (SECOND_NS, ethernet(Flow().syn())),
        (9 * SECOND_NS, ethernet(late.answer())), END,
    ]  # fmt: skip
    Pcap().write(path / "small.pcap", story)
    Pcap().write(path / "many.pcap", [*syns(3000), END])
    (path / "cut.pcap").write_bytes(Pcap().file([*syns(2), END, (0, b"lost")])[:-1])
    Pcap(147).write(path / "unknown.pcap", syns(3))
    (path / "empty").write_bytes(b"")
    (path / "text.txt").write_text("this is a text, not a capture\n" * 9)
    return path


def analyze(folder: Path, *words: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run `darkflow analyze` in the folder of captures."""
    return darkflow("analyze", *words, cwd=folder, **options)


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one JSON document on stdout."""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# ---- wrong usage ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("analyze .", "is a directory"),
        ("analyze empty", "empty: the file is empty"),
        ("analyze text.txt", "text.txt: not a capture"),
        ("analyze missing.pcap", "missing.pcap: No such file or directory"),
        ("analyze", "the following arguments are required: FILE"),
        ("analyze -T 0 small.pcap", "-T/--hold: '0' is too short"),
        ("analyze -T banana small.pcap", "-T/--hold: 'banana' is not understood"),
        ("analyze -T -1 small.pcap", "-T/--hold: '-1' is not understood"),
        ("analyze -T '' small.pcap", "-T/--hold: '' is not understood"),
        ("analyze -T 25h small.pcap", "-T/--hold: '25h' is longer than a day"),
        ("analyze --idle 0 small.pcap", "--idle: '0' is too short"),
        ("analyze --reorder x small.pcap", "--reorder: 'x' is not understood"),
        ("analyze --networks 10.0.0.1/8 small.pcap", "'10.0.0.1/8' has host bits set"),
        ("analyze --networks nowhere small.pcap", "'nowhere' is no network"),
        ("analyze --limit 0 small.pcap", "--limit: '0' is not a whole number"),
        ("analyze --top many small.pcap", "--top: 'many' is not a whole number"),
        ("analyze --queue-size 0 small.pcap", "--queue-size: '0' is not a whole number"),
        ("analyze --flow-table-size 9999999999 small.pcap", "more than the largest table"),
        ("analyze --frame-buffer 5XB --dark-pcap d small.pcap", "'5XB' is not understood"),
        ("analyze --frame-buffer 99999999999GiB --dark-pcap d small.pcap", "--frame-buffer"),
        ("analyze --decap=banana small.pcap", "--decap: unknown tunnel 'banana'"),
        ("analyze --decap vxlan,banana small.pcap", "--decap: unknown tunnel 'banana'"),
        ("analyze --top 5000 small.pcap", "--top: '5000' is more than 1000 rows"),
        ("analyze --events-at noon small.pcap", "invalid choice: 'noon'"),
        ("analyze --events missing/e.jsonl small.pcap", "cannot write missing/e.jsonl: No such"),
        ("analyze --dark-pcap missing/d small.pcap", "cannot write missing/d: No such file"),
        ("analyze --events . small.pcap", "cannot write .: Is a directory"),
        ("analyze --events small.pcap small.pcap", "small.pcap is one of the captures"),
        ("analyze --dark-pcap ./small.pcap empty small.pcap", "is one of the captures"),
        ("analyze --events e --dark-pcap e small.pcap", "e is named twice"),
        ("analyze --events - --json small.pcap", "can have standard output"),
        ("analyze --events - --dark-pcap - small.pcap", "can have standard output"),
        ("analyze - -", "standard input (-) can be read only once"),
        ("analyze --wrong small.pcap", "unrecognized arguments: --wrong"),
        ("analyze --js small.pcap", "unrecognized arguments: --js"),
        ("analyse small.pcap", "invalid choice: 'analyse'"),
        ("--wrong", "--wrong"),
    ],
)
def test_bad_input_gets_one_line_and_status_2(folder: Path, words: str, said: str) -> None:
    before = (folder / "small.pcap").read_bytes()
    done = darkflow(*shlex.split(words), cwd=folder, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("darkflow: ")
    assert said in line
    assert (folder / "small.pcap").read_bytes() == before


def test_without_a_command_the_help_is_printed() -> None:
    done = darkflow()
    assert (done.returncode, done.stderr) == (2, "")
    assert "analyze" in done.stdout


@pytest.mark.parametrize("how", ["symlink", "hard link"])
def test_an_output_that_is_an_input_by_another_name_is_refused(tmp_path: Path, how: str) -> None:
    capture = tmp_path / "capture"
    Pcap().write(capture, [END])
    before = capture.read_bytes()
    (tmp_path / "other").symlink_to(capture)
    if how == "hard link":
        (tmp_path / "other").unlink()
        (tmp_path / "other").hardlink_to(capture)
    done = darkflow("analyze", "capture", "--events", "other", cwd=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert capture.read_bytes() == before


def test_a_file_without_permission_to_read_gets_one_line(tmp_path: Path) -> None:
    secret = tmp_path / "secret.pcap"
    Pcap().write(secret, [END])
    secret.chmod(0)
    command = [str(DARKFLOW), "analyze", str(secret)]
    if os.getuid() == 0:
        # Root reads everything, unless it gives up the capabilities to do so.
        if which("setpriv") is None:
            skip("setpriv is not installed")
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"darkflow: {secret}: Permission denied\n"


@pytest.mark.parametrize("redirection", ["<&-", "< /dev/null", "< text.txt"])
def test_standard_input_that_cannot_be_read_gets_one_line(folder: Path, redirection: str) -> None:
    command = f"exec {shlex.quote(str(DARKFLOW))} analyze - {redirection}"
    done = subprocess.run(
        command, shell=True, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("darkflow: ")


# ---- what could not be read to its end ------------------------------------------------------


def test_one_bad_file_of_several_costs_only_itself(folder: Path) -> None:
    done = analyze(folder, "--json", "missing.pcap", "small.pcap", "empty", "many.pcap")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "darkflow: missing.pcap: No such file or directory",
        "darkflow: empty: the file is empty",
    ]
    assert document(done)["packets"] == 7 + 3001


def test_a_truncated_capture_is_reported_all_the_same(folder: Path) -> None:
    done = analyze(folder, "--json", "cut.pcap")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("darkflow: cut.pcap: the capture ends within a record at byte ")
    assert line.endswith("; the 3 packets before it were read")
    found = document(done)
    assert (found["packets"], found["dark"]) == (3, 2)
    assert found["reader_notes"] == {"truncated": True}


def test_nothing_but_an_unknown_link_type_is_named(folder: Path) -> None:
    done = analyze(folder, "--json", "unknown.pcap")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "link type 147" in line
    assert document(done)["undecoded"] == {"link_type_147": 3}


def test_an_unknown_link_type_beside_a_known_one_is_only_counted(folder: Path) -> None:
    done = analyze(folder, "--json", "unknown.pcap", "small.pcap")
    assert (done.returncode, done.stderr) == (0, "")
    assert document(done)["undecoded"]["link_type_147"] == 3


# ---- what is printed ------------------------------------------------------------------------


def test_one_json_document_with_all_keys(folder: Path) -> None:
    done = analyze(folder, "--json", "small.pcap")
    assert (done.returncode, done.stderr) == (0, "")
    found = document(done)
    assert set(found) >= EXPECTED_KEYS
    numbers = {"packets": 7, "tcp": 6, "syn": 4, "synack": 2, "rst": 0, "attempts": 3,
               "retransmitted_or_repeated": 1, "answered": 1, "refused": 0, "dark": 2,
               "undecided": 0, "late_answers": 1, "unsolicited": 0, "disorder_ns": 0,
               "dark_sources": 2, "dark_destinations": 2, "icmp_unreachable": 0}  # fmt: skip
    assert {name: found[name] for name in numbers} == numbers
    assert found["reply_delay_ns"] == {"p50": 40_000_000, "p99": 40_000_000, "max": 40_000_000}
    assert found["undecoded"] == {"short": 1}
    assert set(found["dropped"].values()) == {0}
    assert found["direction"] == {"inbound": 0, "outbound": 0, "internal": 2, "transit": 0}
    assert found["top_ports"] == [
        {"port": 22, "packets": 2, "flows": 1, "sources": 1},
        {"port": 80, "packets": 1, "flows": 1, "sources": 1},
    ]
    assert [row["src_ip"] for row in found["top_sources"]] == ["198.51.100.7", "2001:db8::5"]


def test_options_reach_the_engine(folder: Path) -> None:
    networks = "192.0.2.0/24,2001:db8::5/128"
    words = ("--json", "-T", "20ms", "--networks", networks, "--top", "1", "small.pcap")
    found = document(analyze(folder, *words))
    assert (found["answered"], found["dark"], found["late_answers"]) == (0, 3, 2)
    assert found["direction"] == {"inbound": 2, "outbound": 1, "internal": 0, "transit": 0}
    assert len(found["top_ports"]) == len(found["top_sources"]) == 1
    assert document(analyze(folder, "--json", "--limit", "2", "many.pcap"))["packets"] == 2
    dropped = document(analyze(folder, "--json", "--queue-size", "10", "many.pcap"))["dropped"]
    assert dropped["queue"] == 2990


def test_tables_are_plain_text_when_piped(folder: Path) -> None:
    plain = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    done = analyze(folder, "small.pcap", env=plain)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["dark", "2", "66.7%"] in rows
    assert ["22", "2", "1", "1"] in rows
    assert ["198.51.100.7", "1", "2", "1", "1"] in rows
    assert max(len(line) for line in done.stdout.splitlines()) <= 100


def test_tables_are_in_colour_on_a_terminal(folder: Path) -> None:
    ours, theirs = os.openpty()
    command = [str(DARKFLOW), "analyze", "small.pcap"]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(
        command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        text = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:
                break
            text += piece
    os.close(ours)
    assert process.returncode == 0
    assert b"\x1b[" in text
    assert b"Connection attempts" in text
    assert b"198.51.100.7" in text


def test_events_and_dark_pcap_go_where_they_should(folder: Path, tmp_path: Path) -> None:
    events, pcap = tmp_path / "events", tmp_path / "dark.pcap"
    words = ("--json", "--events", str(events), "--dark-pcap", str(pcap), "small.pcap")
    done = analyze(folder, *words)
    assert (done.returncode, document(done)["dark"]) == (0, 2)
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    assert [line["event_type"] for line in lines] == ["darkflow", "late_answer", "darkflow"]
    assert pcap.read_bytes()[:4] == b"\xd4\xc3\xb2\xa1"
    to_stdout = analyze(folder, "--events", "-", "small.pcap")
    assert to_stdout.stdout == events.read_text()
    assert "Connection attempts" in to_stdout.stderr


def test_the_same_capture_twice_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    words = ("--json", "many.pcap", "small.pcap", "--flow-table-size", "500")
    for name in "ab":
        analyze(folder, *words, "--events", str(tmp_path / name))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes().count(b"\n") == 3003


@pytest.mark.parametrize(
    ("words", "attempts"),
    [
        ("--decap gre.pcap", 1),
        ("gre.pcap --decap", 1),
        ("--decap all gre.pcap", 1),
        ("--decap gre gre.pcap", 1),
        ("--decap vxlan,gre gre.pcap", 1),
        ("--decap=gre gre.pcap", 1),
        ("--decap vxlan gre.pcap", 0),
        ("gre.pcap", 0),
    ],
)
def test_decap_with_and_without_a_list(tmp_path: Path, words: str, attempts: int) -> None:
    inner = b"\0\0\x08\0" + Flow().syn()
    packet = ip("203.0.113.1", "203.0.113.2", 47, inner)
    Pcap(RAW).write(tmp_path / "gre.pcap", [(0, packet), END])
    done = darkflow("analyze", "--json", *words.split(), cwd=tmp_path)
    assert (done.returncode, document(done)["attempts"]) == (0, attempts)


# ---- readers that go away, disks that are full ----------------------------------------------


@pytest.mark.parametrize(
    "words", ["analyze --events - many.pcap", "analyze --json many.pcap", "fields", "--help"]
)
def test_a_reader_that_goes_away_is_no_error_to_show(folder: Path, words: str) -> None:
    command = f"{shlex.quote(str(DARKFLOW))} {words} | head -1"
    done = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert done.returncode in (0, 141)


@pytest.mark.parametrize("option", ["--events", "--dark-pcap"])
@pytest.mark.parametrize("capture", ["small.pcap", "many.pcap"])
def test_a_full_disk_costs_the_events_only(folder: Path, option: str, capture: str) -> None:
    done = analyze(folder, "--json", option, "/dev/full", capture)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("darkflow: cannot write ")
    assert line.endswith("to /dev/full: No space left on device")
    assert document(done)["packets"] == (7 if capture == "small.pcap" else 3001)


@pytest.mark.parametrize("words", ["analyze --json small.pcap", "analyze small.pcap", "fields"])
def test_standard_output_on_a_full_disk_gets_one_line(folder: Path, words: str) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [DARKFLOW, *words.split()],
            cwd=folder, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    (line,) = done.stderr.splitlines()
    assert line.startswith("darkflow: ")
    assert "No space left on device" in line
    assert done.returncode == 1


# ---- how quick it is ------------------------------------------------------------------------


def _cpu_s(run: Callable[[], object]) -> float:
    """CPU seconds of the quickest of five runs, its children's included."""
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return min(seconds)


@pytest.mark.parametrize(
    ("words", "limit_s"),
    [("--help", 0.3), ("analyze --help", 0.3), ("analyze small.pcap", 0.5),
     ("analyze --json small.pcap", 0.5)],
)  # fmt: skip
def test_it_starts_quickly(folder: Path, words: str, limit_s: float) -> None:
    def run() -> None:
        assert darkflow(*words.split(), cwd=folder).returncode == 0

    assert _cpu_s(run) < limit_s
