"""dark.pcap: the SYN frames of dark flows and nothing else, original bytes, times and order."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from shutil import which

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import skip
from darkflow.flow.kept import KeptFrames
from darkflow.pipeline import Pipeline
from darkflow.sinks.dark_pcap import SNAPLEN, DarkPcap, PcapFiles
from darkflow.sinks.direct import DirectFile
from judging import judge
from slow_reader import Row, SlowReader
from writers import (
    ETHERNET,
    LINUX_OPTIONS,
    RAW,
    SECOND_NS,
    SLL,
    Flow,
    Pcap,
    Pcapng,
    Tcp,
    ethernet,
    loopback,
    sll,
)

MS = 1_000_000
MIB = 1 << 20


def dark_pcap(path: str, kept: KeptFrames) -> DarkPcap:
    """As for captures: written at once."""
    return DarkPcap(kept, PcapFiles(path, lambda path: DirectFile(path, prompt=False), live=False))


def extract(
    captures: list[Path], out: Path, limit_bytes: int = MIB, sizes: tuple[int, int] = (999, 999)
) -> tuple[DarkPcap, KeptFrames, Pipeline]:
    """Judge captures and write their dark SYNs."""
    kept = KeptFrames(limit_bytes)
    sink = dark_pcap(str(out), kept)
    pipeline, _ = judge(captures, [sink], kept, sizes)
    assert pipeline.troubles == []
    assert kept.bytes_held == 0
    return sink, kept, pipeline


def read(path: Path) -> list[Row]:
    """The frames of a capture."""
    reader = SlowReader().read(path.read_bytes())
    assert reader.fault is None
    return reader.rows


def write(path: Path, packets: list[tuple[int, bytes]], form: Pcap | Pcapng | None = None) -> Path:
    """A capture in us, unless said otherwise."""
    path.write_bytes((form or Pcap()).file(packets))
    return path


def test_dark_flows_with_their_retransmissions_and_nothing_else(tmp_path: Path) -> None:
    dark, answered, refused, late, undecided = (Flow(orig_port=port) for port in range(1, 6))
    second_dark = Flow("2001:db8:f::7", 6, "2001:db8:1::22", 22)
    wanted = [
        (10 * MS, ethernet(dark.syn(options=LINUX_OPTIONS), [(0x88A8, 5), (0x8100, 7)])),
        (50 * MS, ethernet(late.syn())),
        (60 * MS, ethernet(second_dark.syn())),
        (1000 * MS, ethernet(dark.syn())),
        (1001 * MS, ethernet(dark.syn(4711))),
        (7000 * MS, ethernet(dark.syn())),
        (7500 * MS, ethernet(second_dark.packet(Tcp(payload=b"early data")))),
    ]
    others = [
        (20 * MS, ethernet(answered.syn())), (30 * MS, ethernet(answered.answer())),
        (40 * MS, ethernet(refused.syn())), (41 * MS, ethernet(refused.reset())),
        (45 * MS, ethernet(answered.syn())), (6000 * MS, ethernet(late.answer())),
        (5500 * MS, ethernet(undecided.syn())), (8000 * MS, ethernet(undecided.syn())),
    ]  # fmt: skip
    capture = write(tmp_path / "capture", sorted([*wanted, *others]))
    sink, kept, pipeline = extract([capture], tmp_path / "dark.pcap")
    assert [(row.t_ns, row.data) for row in read(tmp_path / "dark.pcap")] == wanted
    assert (sink.files.written, sink.files.not_written, kept.dropped) == (7, 0, 0)
    assert pipeline.engine.counters["undecided"] == 1


def test_a_payload_in_the_syn_and_a_cut_off_frame_stay_as_they_were(tmp_path: Path) -> None:
    whole = ethernet(Flow(orig_port=1).packet(Tcp(payload=bytes(range(256)) * 5))) + b"trailer"
    cut = ethernet(Flow(orig_port=2).syn())[:50]
    capture = tmp_path / "capture"
    capture.write_bytes(
        Pcap().header() + Pcap().record(1000, whole) + Pcap().record(2000, cut, origlen=1514)
        + Pcap().record(9 * SECOND_NS, b"")
    )  # fmt: skip
    extract([capture], tmp_path / "dark.pcap")
    assert read(tmp_path / "dark.pcap") == [
        Row(1000, ETHERNET, len(whole), len(whole), 6, whole),
        Row(2000, ETHERNET, 50, 1514, 6, cut),
    ]


def test_a_flow_that_opens_anew_while_the_first_was_answered(tmp_path: Path) -> None:
    flow = Flow()
    packets = [
        (0, ethernet(flow.syn(1))), (MS, ethernet(flow.answer())),
        (2 * MS, ethernet(flow.syn(2))), (3 * MS, ethernet(flow.syn(2))), (9 * SECOND_NS, b""),
    ]  # fmt: skip
    extract([write(tmp_path / "capture", packets)], tmp_path / "dark.pcap")
    assert [row.t_ns for row in read(tmp_path / "dark.pcap")] == [2 * MS, 3 * MS]


def test_syns_that_the_queue_did_not_hold_are_not_in_it(tmp_path: Path) -> None:
    packets = [(i * MS, ethernet(Flow(orig_port=i).syn())) for i in range(10)]
    capture = write(tmp_path / "capture", [*packets, (9 * SECOND_NS, b"")])
    _, _, pipeline = extract([capture], tmp_path / "dark.pcap", sizes=(4, 4))
    assert pipeline.engine.counters["dropped_queue"] == 6
    assert [(row.t_ns, row.data) for row in read(tmp_path / "dark.pcap")] == packets[:4]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12), st.sampled_from("ssssar"))))
@settings(max_examples=100, deadline=None)
def test_as_many_frames_as_the_dark_flows_have_syns(
    tmp_path_factory: pytest.TempPathFactory, story: list[tuple[int, int, str]]
) -> None:
    folder = tmp_path_factory.mktemp("dark")
    packets = []
    for number, (port, second, kind) in enumerate(sorted(story, key=lambda step: step[1])):
        flow = Flow(orig_port=port)
        made = {"s": flow.syn(), "a": flow.answer(), "r": flow.reset()}[kind]
        packets.append((second * SECOND_NS + number * 1000, ethernet(made)))
    capture = write(folder / "capture", packets)
    kept = KeptFrames(MIB)
    sink = dark_pcap(str(folder / "dark.pcap"), kept)
    _, events = judge([capture], [sink], kept)
    written = [(row.t_ns or 0, row.data) for row in read(folder / "dark.pcap")]
    assert written == [packet for packet in packets if packet in written]
    assert len(written) == sum(e["syn_count"] for e in events if e["event"] == "end")
    assert {e["t0_ns"] for e in events if e["event"] == "end"} <= {t_ns for t_ns, _ in written}
    assert kept.bytes_held == 0


# ---- link types and precision ---------------------------------------------------------------


def test_nanoseconds_are_kept(tmp_path: Path) -> None:
    packets = [
        (1_700_000_000_123_456_789, ethernet(Flow().syn())),
        (1_700_000_009 * SECOND_NS, b""),
    ]
    extract([write(tmp_path / "capture", packets, Pcap(nano=True))], tmp_path / "dark.pcap")
    assert [row.t_ns for row in read(tmp_path / "dark.pcap")] == [1_700_000_000_123_456_789]
    assert (tmp_path / "dark.pcap").read_bytes()[:4] == b"\x4d\x3c\xb2\xa1"


@pytest.mark.parametrize(
    ("link", "wrap"),
    [(0, loopback), (RAW, bytes), (SLL, sll), (12, bytes), (108, loopback), (228, bytes)],
)
def test_the_link_type_is_kept(tmp_path: Path, link: int, wrap: Callable[[bytes], bytes]) -> None:
    packets = [(1000, wrap(Flow().syn())), (9 * SECOND_NS, b"")]
    extract([write(tmp_path / "capture", packets, Pcap(link))], tmp_path / "dark.pcap")
    assert [(row.link, row.data) for row in read(tmp_path / "dark.pcap")] == [(link, packets[0][1])]


def test_another_link_type_or_precision_gets_a_file_of_its_own(tmp_path: Path) -> None:
    form = Pcapng()
    frames = [
        (0, 0, ethernet(Flow(orig_port=1).syn())), (1, 1_000_000, Flow(orig_port=2).syn()),
        (2, 2_000_007, sll(Flow(orig_port=3).syn())), (0, 3000, ethernet(Flow(orig_port=4).syn())),
        (3, 4_000_000, ethernet(Flow(orig_port=5).syn())),
    ]  # fmt: skip
    capture = tmp_path / "capture"
    capture.write_bytes(
        form.section() + form.interface(ETHERNET, 6) + form.interface(RAW, 9)
        + form.interface(SLL, 9) + form.interface(ETHERNET, 9)
        + b"".join(form.enhanced(ticks, data, interface) for interface, ticks, data in frames)
        + form.enhanced(9_000_000, b"")
    )  # fmt: skip
    sink, _, _ = extract([capture], tmp_path / "dark.pcap")
    others = [tmp_path / f"dark.linktype-{name}.pcap" for name in ("101-ns", "113-ns", "1-ns")]
    assert sink.files.further_files == [str(path) for path in others]
    assert [row.data for row in read(tmp_path / "dark.pcap")] == [frames[0][2], frames[3][2]]
    assert [[row.t_ns for row in read(path)] for path in others] == [
        [1_000_000], [2_000_007], [4_000_000],
    ]  # fmt: skip
    assert [read(path)[0].link for path in others] == [RAW, SLL, ETHERNET]


def test_standard_output_carries_one_link_type_and_counts_the_rest(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = write(tmp_path / "one", [(0, ethernet(Flow().syn())), (9 * SECOND_NS, b"")])
    two = write(tmp_path / "two", [(1000, Flow(orig_port=9).syn())], Pcap(RAW))
    with open(1, "wb", closefd=False) as binary:
        monkeypatch.setattr("sys.stdout", type("Out", (), {"buffer": binary}))
        kept = KeptFrames(MIB)
        sink = dark_pcap("-", kept)
        judge([one, two], [sink], kept)
        monkeypatch.undo()
        binary.flush()
    assert SlowReader().read(capfdbinary.readouterr().out).rows == [
        Row(0, ETHERNET, 54, 54, 6, ethernet(Flow().syn()))
    ]
    assert (sink.files.written, sink.files.not_written, sink.files.further_files) == (1, 1, [])


def test_times_that_pcap_cannot_tell_are_clamped(tmp_path: Path) -> None:
    form, capture = Pcapng(), tmp_path / "capture"
    capture.write_bytes(
        form.section() + form.interface(RAW, 6, -10) + form.enhanced(0, Flow().syn())
        + form.enhanced(20_000_000, b"")
    )  # fmt: skip
    extract([capture], tmp_path / "dark.pcap")
    assert [row.t_ns for row in read(tmp_path / "dark.pcap")] == [0]


def test_a_frame_longer_than_the_snap_length_is_cut(tmp_path: Path) -> None:
    long = ethernet(Flow().syn()) + bytes(SNAPLEN)
    capture = write(tmp_path / "capture", [(0, long), (9 * SECOND_NS, b"")])
    extract([capture], tmp_path / "dark.pcap")
    (row,) = read(tmp_path / "dark.pcap")
    assert (row.caplen, row.origlen, row.data) == (SNAPLEN, len(long), long[:SNAPLEN])


def test_without_dark_flows_it_is_an_empty_capture(tmp_path: Path) -> None:
    extract([write(tmp_path / "capture", [(0, b"")])], tmp_path / "dark.pcap")
    assert (tmp_path / "dark.pcap").read_bytes() == struct.pack(
        "<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, SNAPLEN, 1
    )


def test_a_path_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        dark_pcap(str(tmp_path / "missing" / "dark.pcap"), KeptFrames(MIB))


# ---- the buffer -----------------------------------------------------------------------------


def test_frames_beyond_the_buffer_are_counted(tmp_path: Path) -> None:
    frames = [(i * MS, ethernet(Flow(orig_port=i).syn()) + bytes(1000)) for i in range(20)]
    capture = write(tmp_path / "capture", [*frames, (9 * SECOND_NS, b"")])
    sink, kept, pipeline = extract([capture], tmp_path / "dark.pcap", limit_bytes=5600)
    assert pipeline.engine.counters["dark"] == 20
    assert (sink.files.written, kept.dropped) == (5, 15)
    assert [(row.t_ns, row.data) for row in read(tmp_path / "dark.pcap")] == frames[:5]


def test_the_buffer_is_used_again_after_the_verdicts(tmp_path: Path) -> None:
    # Ten come at a time, after the verdict of the ten before them: no more than twenty are held.
    frames = [
        (turn * 10 * SECOND_NS + i * MS, ethernet(Flow(orig_port=100 * turn + i).syn()))
        for turn in range(10)
        for i in range(10)
    ]
    names = [
        write(tmp_path / str(turn), frames[turn * 10 : turn * 10 + 10]) for turn in range(10)
    ]  # fmt: skip
    names.append(write(tmp_path / "last", [(200 * SECOND_NS, b"")]))
    sink, kept, _ = extract(names, tmp_path / "dark.pcap", limit_bytes=20 * 110)
    assert (sink.files.written, kept.dropped) == (100, 0)
    assert [(row.t_ns, row.data) for row in read(tmp_path / "dark.pcap")] == frames


# ---- read back by others --------------------------------------------------------------------


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dark.pcap of two flows in ns."""
    folder = tmp_path_factory.mktemp("feed")
    packets = [
        (1_700_000_000_000_000_123, ethernet(Flow(orig_port=7).syn(5))),
        (1_700_000_001_000_000_456, ethernet(Flow("2001:db8::7", 8, "2001:db8::1", 23).syn(6))),
        (1_700_000_009_000_000_000, b""),
    ]
    extract([write(folder / "capture", packets, Pcap(nano=True))], folder / "dark.pcap")
    return folder / "dark.pcap"


def test_tshark_reads_it(feed: Path) -> None:
    if which("tshark") is None:
        skip("tshark is not installed")
    names = ["frame.time_epoch", "tcp.srcport", "tcp.seq_raw", "tcp.flags", "_ws.malformed"]
    fields = [word for name in names for word in ("-e", name)]
    done = subprocess.run(
        ["tshark", "-r", feed, "-Tfields", *fields], capture_output=True, text=True, check=True
    )
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [(float(t), *rest) for t, *rest in lines] == [
        (pytest.approx(1_700_000_000, abs=1e-3), "7", "5", "0x0002", ""),
        (pytest.approx(1_700_000_001, abs=1e-3), "8", "6", "0x0002", ""),
    ]
    assert lines[0][0].endswith(".000000123")


def test_tcpdump_reads_it(feed: Path) -> None:
    if which("tcpdump") is None:
        skip("tcpdump is not installed")
    done = subprocess.run(
        ["tcpdump", "-r", feed, "-nn", "-tt", "--time-stamp-precision=nano", "-v"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    text = " ".join(done.stdout.split())
    assert "1700000000.000000123 IP " in text
    assert "198.51.100.7.7 > 192.0.2.1.22: Flags [S], cksum" in text
    assert "1700000001.000000456 IP6 " in text
    assert "2001:db8::7.8 > 2001:db8::1.23: Flags [S], cksum" in text
    assert text.count("(correct)") == 2
    assert "incorrect" not in text


def test_a_clamped_frame_keeps_the_time_that_its_capture_tells(tmp_path: Path) -> None:
    """It is judged later than its own time, but written as it was."""
    late = (2 * SECOND_NS, ethernet(Flow(orig_port=2).syn()))
    packets = [(9 * SECOND_NS, ethernet(Flow(orig_port=1).syn())), late, (99 * SECOND_NS, b"")]
    capture = write(tmp_path / "capture", packets)
    extract([capture], tmp_path / "dark.pcap")
    assert [(row.t_ns, row.data) for row in read(tmp_path / "dark.pcap")] == [late, packets[0]]
