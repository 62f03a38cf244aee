"""`darkflow report` as a user runs it: from captures, from a store, and with bad input."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from darkflow.cli import main
from darkflow.commands import report
from running import darkflow

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "lab.pcap"
NETWORKS = ("--networks", "203.0.113.0/24,192.0.2.0/24")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the example, a page on the capture itself, and other things to report on."""
    path = tmp_path_factory.mktemp("report")
    words = ("--store", "store", "--store-days", "36500")
    done = darkflow("analyze", str(EXAMPLE), *words, *NETWORKS, cwd=path)
    assert (done.returncode, done.stderr) == (0, "")
    # As a service without a home: matplotlib finds no folder for its list of fonts.
    homeless = os.environ | {"MPLCONFIGDIR": "/proc/nowhere"}
    words = ("-o", "capture.html", *NETWORKS)
    done = darkflow("report", str(EXAMPLE), *words, cwd=path, env=homeless)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (path / "empty").mkdir()
    (path / "text.pcap").write_text("no capture")
    (path / "bad").mkdir()
    shutil.copytree(path / "store" / "darkflows", path / "bad" / "darkflows")
    for file in (path / "bad").rglob("*.parquet"):
        file.write_bytes(file.read_bytes()[:2000])
    return path


def test_a_page_on_a_capture(folder: Path) -> None:
    text = (folder / "capture.html").read_text()
    assert "<h1>Dark flows</h1>" in text
    assert "<span>capture lab.pcap</span>" in text
    assert "1,813 flows from 9 sources to 350 destinations" in text
    assert "1 host of your own sent such flows outside, most of all 203.0.113.66" in text
    assert len(text) < 300_000
    assert not list(folder.glob(".*"))


def test_rows_period_title_and_figures_of_a_store(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    words = ("--top", "2", "--until", "2026-11-23T00:13:00Z", "--title", "A <b>")
    assert main(["report", "--store", "store", "-o", "s.html", "--figures", "f/g", *words]) == 0
    text = Path("s.html").read_text()
    assert "<h1>A &lt;b&gt;</h1>" in text
    assert "<span>store store</span>" in text
    assert "<span>to 2026-11-23 00:13:00 UTC</span>" in text
    assert 0 < int(re.findall(r"<strong>([\d,]+)", text)[0].replace(",", "")) < 1813
    assert re.search(r"Sources by flows: 2 of [3-9]\b", text)
    names = ("fig10", "fig11", "fig5", "fig8", "fig9", "table2")
    found = sorted(path.name for path in Path("f/g").iterdir())
    assert found == sorted(f"{name}.{kind}" for name in names for kind in ("png", "svg"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give either captures or --store DIR"),
        (("--store", "store", str(EXAMPLE)), "give either captures or --store DIR"),
        (("--store", "nowhere"), "no store in nowhere"),
        (("--store", "empty"), "no store in empty"),
        (("--store", "store", "--since", "2099-01-01"), "nothing is stored in store in this time"),
        (("--store", "store", "--since", "1h", "--until", "2h"), "is not before --until"),
        (("--store", "store", "--since", "soon"), "'soon' is not understood"),
        (("--store", "store", "-o", "nowhere/page.html"), "there is no folder nowhere"),
        (("--store", "store", "-o", "empty"), "it is a folder"),
        (("--store", "store", "--top", "0"), "--top: '0' is not a whole number"),
        (("--store", "bad"), "the store is damaged: bad/darkflows/day="),
        (("--store", "store", "--figures", "text.pcap"), "it is no folder"),
        (("absent.pcap",), "absent.pcap"),
        (("text.pcap",), "text.pcap"),
        (("text.pcap", "-o", "text.pcap"), "is one of the captures"),
        (("-", "-"), "can be read only once"),
    ],
)
def test_bad_input_is_one_line(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(folder)
    output = () if "-o" in arguments else ("-o", "never.html")
    try:
        status = main(["report", *arguments, *output])
    except SystemExit as ended:
        status = int(ended.code or 0)
    out, errors = capsys.readouterr()
    assert (status, out) == (2, "")
    # Of captures that cannot be read each is said, and what follows from that.
    unreadable = arguments in (("absent.pcap",), ("text.pcap",))
    assert errors.count("\n") == 1 + unreadable
    assert said in errors
    assert all(line.startswith("darkflow: ") for line in errors.splitlines())
    assert not (folder / "never.html").exists()
    assert (folder / "text.pcap").read_text() == "no capture"


def test_a_capture_that_is_cut_off_is_reported_on(folder: Path) -> None:
    (folder / "few.pcap").write_bytes(EXAMPLE.read_bytes()[:200])
    done = darkflow("report", "few.pcap", "-o", "-", cwd=folder)
    assert done.returncode == 1
    assert "few.pcap" in done.stderr
    assert done.stdout.startswith("<!doctype html>")
    assert "No flow was dark in this time" in done.stdout
    assert done.stdout.rstrip().endswith("</html>")


def test_a_page_is_there_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("old")
    os.link(page, tmp_path / "reader")
    report._write(str(page), b"new")
    assert page.read_text() == "new"
    # Who still reads the old one is left alone: it was replaced and not written over.
    assert (tmp_path / "reader").read_text() == "old"
    (tmp_path / "page.html").unlink()
    (tmp_path / "page.html").mkdir()
    with pytest.raises(report.Refused, match="cannot write"):
        report._write(str(page), b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "reader"]


def test_what_is_no_file_is_written_to() -> None:
    report._write("/dev/null", b"gone")
    assert Path("/dev/null").is_char_device()
