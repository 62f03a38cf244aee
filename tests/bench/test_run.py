"""The bench measures what it says, keeps the page's text, and never hides a miss."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import captures
import pytest
import run
from measures import MEASURES, Bench, bound_bytes
from process import Command, Figure, Sample, in_turn, python, ratio, run_step
from report import (
    BEGIN,
    END,
    PLANE,
    Aim,
    Result,
    Table,
    at_least,
    at_most,
    count,
    document,
    machine,
    replace_between_markers,
)

BENCH = captures.BENCH
PAGE = BENCH.parent / "docs" / "performance.md"


def test_text_around_the_markers_stays() -> None:
    page = f"# Title\n\nbefore\n{BEGIN}\nold\n{END}\nafter\n"
    once = replace_between_markers(page, "\nnew\n\n")
    assert once == f"# Title\n\nbefore\n{BEGIN}\nnew\n{END}\nafter\n"
    assert replace_between_markers(once, "new") == once


@pytest.mark.parametrize("page", ["", BEGIN, END, f"{END} {BEGIN}"])
def test_a_page_without_both_markers_is_not_written(page: str) -> None:
    with pytest.raises(ValueError, match="the page has no"):
        replace_between_markers(page, "new")


def test_the_page_has_the_markers() -> None:
    replace_between_markers(PAGE.read_text(), "new")


def test_figures_are_medians_with_least_and_most() -> None:
    assert Figure.of([5.0, 1.0, 9.0]) == Figure(5.0, 1.0, 9.0)
    assert Figure.of([1.0, 2.0]) == Figure(1.5, 1.0, 2.0)
    ours = [Sample(1.0, 0, 0), Sample(4.0, 0, 0), Sample(3.0, 0, 0)]
    theirs = [Sample(2.0, 0, 0), Sample(4.0, 0, 0), Sample(2.0, 0, 0)]
    assert ratio(ours, theirs) == Figure(1.0, 0.5, 1.5)


def test_commands_run_in_turn_and_the_first_round_does_not_count(tmp_path: Path) -> None:
    log = tmp_path / "log"
    commands = [
        Command(name, (python("-c", f"open({str(log)!r}, 'a').write({name!r})"),))
        for name in ("a", "b")
    ]
    samples = in_turn(commands, 2, tmp_path)
    assert log.read_text() == "ababab"
    assert {name: len(runs) for name, runs in samples.items()} == {"a": 2, "b": 2}
    assert all(run.cpu_s > 0 and run.wall_s > 0 for runs in samples.values() for run in runs)


def test_a_child_s_time_and_memory_are_counted(tmp_path: Path) -> None:
    work = "t = __import__('time'); e = t.process_time() + 0.2\n"
    busy = run_step(python("-c", work + "while t.process_time() < e: pass"), tmp_path)
    assert 0.2 <= busy.cpu_s < 1
    # More than this process itself has, which is the least that the kernel can tell.
    large = run_step(python("-c", "x = bytearray(600 << 20)"), tmp_path)
    assert 600 << 20 <= large.peak_bytes < 660 << 20
    sleeps = run_step(python("-c", "import time; time.sleep(0.3)"), tmp_path)
    assert sleeps.wall_s >= 0.3
    assert sleeps.cpu_s < 0.3


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ended with 1: ValueError: so it is"):
        run_step(python("-c", "raise ValueError('so it is')"), tmp_path)


def test_byte_code_is_cached_as_in_an_installed_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    run_step(python("-c", "import json"), tmp_path)
    assert list((tmp_path / "pycache").rglob("*.pyc"))


def test_a_miss_is_shown_as_a_miss() -> None:
    aims = [at_most("slow", 2.0, 1.0, " s"), at_least("fast", 3.0, 1.0)]
    assert [aim.met for aim in aims] == [False, True]
    text = document([Result([Table("T", ("a", "b"), [("c", "d")])], aims)], "where")
    assert "| slow | <= 1 s | 2.00 s | **no** |" in text
    assert "| fast | >= 1 | 3.0 | yes |" in text
    assert "### T\n\n| a | b |\n|---|---:|\n| c | d |\n" in text
    assert "**no**" not in document([Result([], aims)], "where", judged=False)


def test_numbers_are_written_short() -> None:
    texts = [count(number) for number in (10_000_000, 1_500_000, 300_000, 1_000, 999, 1_001)]
    assert texts == ["10 M", "1.5 M", "300 k", "1 k", "999", "1001"]


def test_the_machine_is_described_without_its_name() -> None:
    import platform

    assert platform.node() not in machine() or len(platform.node()) < 3
    assert f"Python {platform.python_version()}" in machine()


def test_smaller_disks_get_smaller_captures(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil._ntuple_diskusage
    for free_gib, scale in ((100, 1.0), (3, 0.5), (1, 0.1), (0.1, 0.01)):
        found = usage(0, 0, int(free_gib * (1 << 30)))
        monkeypatch.setattr(shutil, "disk_usage", lambda _, found=found: found)
        assert captures.affordable_scale(Path("/")) == scale
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 1 << 20))
    with pytest.raises(RuntimeError, match="has only 1 MiB free"):
        captures.affordable_scale(Path("/"))


def test_a_wrong_count_is_no_benchmark(tmp_path: Path) -> None:
    capture = tmp_path / "x.pcap"
    captures.truth_path(capture).write_text(json.dumps({"dark": 3, "known_dark": 9}))
    captures.check(capture, {"dark": 3})
    with pytest.raises(RuntimeError, match=r"\(4, 3\)"):
        captures.check(capture, {"dark": 4})


def test_memory_bound_follows_the_settings() -> None:
    default = bound_bytes(1 << 20, 1 << 20, 4_000_000)
    assert default < 1.7 * (1 << 30)
    assert bound_bytes(1 << 18, 1 << 18, 1_000_000) < default / 3


def test_a_missed_aim_is_the_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def misses(_: Bench) -> Result:
        return Result([], [Aim("that", "<= 1", "2", False)])

    page = tmp_path / "page.md"
    sections = "".join(f"{begin}\n{end}\n" for begin, end in run.SECTIONS.values())
    empty = f"{BEGIN}\n{END}\n{sections}"
    page.write_text(empty)
    monkeypatch.setattr(run, "PAGE", page)
    monkeypatch.setattr(run, "affordable_scale", lambda _: 1.0)
    for name in MEASURES:
        monkeypatch.setitem(MEASURES, name, (misses, True))
    assert run.main(["--only", "start"]) == 1
    assert page.read_text() == empty
    assert run.main(["--only", "plane"]) == 1
    assert page.read_text().startswith(f"{BEGIN}\n{END}\n{PLANE[0]}\n")
    assert page.read_text().count("**no**") == 1
    assert run.main([]) == 1
    assert page.read_text().count("| that | <= 1 | 2 | **no** |") == len(MEASURES)
    assert run.main(["--quick"]) == 0
    assert "Only 0.01 of the full size" in capsys.readouterr().out


def test_quick_run_of_tiny_captures(tmp_path: Path) -> None:
    """As a user runs it; nothing is written, and nothing is left but what is to be kept."""
    before = PAGE.read_text()
    only = [word for name in ("start", "engine", "flood") for word in ("--only", name)]
    argv = python(str(BENCH / "run.py"), "--quick", *only, "--keep", str(tmp_path / "kept"))
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    for title in ("### Aims", "### Start", "### Stages in one process", "### Flood of 200 k SYNs"):
        assert title in done.stdout
    assert "| as known | as known |" in done.stdout
    assert PAGE.read_text() == before
    kept = {path.suffix for path in (tmp_path / "kept").iterdir()}
    assert kept == {".pcap", ".json"}
