"""The live bench: its sender sends what it says, its soak sees what grows, its sums add up."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import pytest
from live import Cost, Loaded, cost_ratios, dark_as_sent
from live_programs import BENCH, Sender, Sensor, Sent, cannot, wire
from process import python
from soak import Sample, growth

from conftest import skip
from running import darkflow
from wires import Recording, dark_flows

SENT = Sent(packets=100, syn=30, synack=26, rst=2, seconds=1.0, cpu_s=0.5)


@pytest.fixture
def possible() -> None:
    """Root, two cores, a compiler."""
    reason = cannot()
    if reason is not None:
        skip(reason)


def state(**changed: int) -> dict[str, int]:
    return {"packets": 58, "attempts": 30, "dropped_ring": 0, "dropped_queue": 0, **changed}


def test_what_is_not_accounted_for() -> None:
    def of(**changed: int) -> tuple[int, int]:
        run = Loaded(SENT, state(**changed), 0, True)
        return run.unaccounted, run.unjudged

    assert of() == (0, 0)
    assert of(packets=50, dropped_ring=8) == (0, 0)
    assert of(attempts=20, dropped_queue=10) == (0, 0)
    assert of(packets=57) == (1, 0)
    assert of(packets=59) == (1, 0)
    assert of(attempts=29) == (0, 1)


def test_ratios_are_taken_turn_by_turn() -> None:
    assert cost_ratios([[2.0, 8.0], [1.0, 2.0]]).least == 2.0
    cost = Cost(cpu_ns_per_s=100, packets_per_s=10, wanted_per_s=5, wakes_per_s=0, delivery_ns=30)
    assert (cost.ns_per_wanted, cost.whole_ns(unheard_ns=20)) == (20, 20)


def test_growth_of_memory() -> None:
    flat = [Sample(second, 50 << 20) for second in range(100)]
    grows = [Sample(second, (50 << 20) + second * (1 << 20)) for second in range(100)]
    assert growth(flat, 60) == 0
    assert growth(grows, 60) == pytest.approx(39)
    filled = [*grows[:60], *(Sample(second, 110 << 20) for second in range(60, 100))]
    assert growth(filled, 60) == 0
    with pytest.raises(RuntimeError, match="soak for longer"):
        growth(flat, 99)


@pytest.mark.usefixtures("possible")
def test_the_sender_sends_exactly_what_it_says(tmp_path: Path) -> None:
    with wire() as link:
        beside = Recording(link, tmp_path / "sent.pcap")
        sent = Sender(tmp_path).send(link, "mix", 40_000, 20_000, 30)
        flood = Sender(tmp_path).send(link, "flood", 5_000, 20_000, 30)
        beside.end()
    assert flood.packets == flood.syn == flood.wanted == 5_000
    assert sent.packets > 40_000
    read = subprocess.run(
        ["tcpdump", "-nvr", str(beside.path)], capture_output=True, text=True, check=True
    ).stdout
    assert "incorrect" not in read
    assert "bad cksum" not in read
    flags = Counter(line.partition("Flags [")[2].partition("]")[0] for line in read.splitlines())
    assert flags["S"] == sent.syn + flood.syn
    assert (flags["S."], flags["R."]) == (sent.synack, sent.rst)
    assert flags.total() - flags[""] == sent.packets + flood.packets
    done = darkflow("analyze", "--json", "--hold", "10ms", "--events", str(tmp_path / "e"),
                    str(beside.path))  # fmt: skip
    assert done.returncode == 0
    ends = {key[:2] for key in dark_flows((tmp_path / "e").read_text().splitlines())}
    assert ends >= sent.dark_ports
    assert sent.syn // 15 <= len(sent.dark_ports) <= sent.syn // 15 + 1


@pytest.mark.usefixtures("possible")
def test_the_event_file_is_held_to_what_was_sent(tmp_path: Path) -> None:
    with wire() as link:
        sensor = Sensor(link, tmp_path, "--hold", "400ms")
        sent = Sender(tmp_path).send(link, "mix", 60_000, 100_000, 30)
        sensor.wait_for(lambda: len(sensor.dark_lines()) >= len(sent.dark_ports))
        sensor.stop()
        assert dark_as_sent(sensor, sent)
        run = Loaded(sent, sensor.state(), 0, True)
        assert (run.unaccounted, run.unjudged, sensor.lost()) == (0, 0, 0)
    lines = sensor.events.read_text().splitlines(keepends=True)
    for wrong in (lines[1:], [*lines, lines[0]]):
        sensor.events.write_text("".join(wrong))
        assert not dark_as_sent(sensor, sent)


@pytest.mark.usefixtures("possible")
def test_a_short_soak(tmp_path: Path) -> None:
    """The same program as ten minutes of it; flows are forgotten soon, so that it settles."""
    page = (BENCH.parent / "docs" / "performance.md").read_text()
    options = ("--seconds", "20", "--rate", "20000", "--", "--hold", "2s", "--idle", "1s")
    done = subprocess.run(
        python(str(BENCH / "soak.py"), *options), cwd=tmp_path, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| soak: dark flows | each once | each once | yes |" in done.stdout
    assert (BENCH.parent / "docs" / "performance.md").read_text() == page
