"""Interfaces as a live source: what a ring holds is neither lost nor judged before its time."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import skip
from darkflow.flow.batch import Frames
from darkflow.flow.decode import Decoder
from darkflow.sources import live
from darkflow.sources.fanout import Fanout
from darkflow.sources.interface import Interface, RingSize, Watch
from darkflow.sources.live import Live
from wires import cannot
from writers import Flow, ethernet

HOUR_NS = 3600 * 1_000_000_000


@pytest.fixture
def pair() -> Iterator[tuple[str, str]]:
    """A veth pair: to send at one end, to listen at the other."""
    reason = cannot()
    if reason is not None:
        skip(reason)
    near, far = f"dfn{os.getpid()}", f"dff{os.getpid()}"
    run("ip", "link", "add", near, "type", "veth", "peer", "name", far)
    try:
        for name in (near, far):
            Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
            run("ip", "link", "set", name, "up")
        yield near, far
    finally:
        subprocess.run(["ip", "link", "del", near], check=False, capture_output=True)


def run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True, timeout=20)


def send(name: str, count: int, size: int = 0) -> None:
    """So many SYNs, each with so many bytes behind it."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        sender.bind((name, 0))
        for port in range(count):
            sender.send(ethernet(Flow(orig_port=port % 60_000 + 1).syn()) + bytes(size))


def connect(address: str) -> None:
    """A SYN and an RST on loopback; nobody listens there."""
    with socket.socket() as client:
        client.connect_ex((address, 9))


def test_time_does_not_pass_what_still_waits_in_a_ring(pair: tuple[str, str]) -> None:
    near, far = pair
    source = Live([far], lambda _: None, Watch(RingSize(1 << 16, 512, 5)))
    send(near, 8000, 1400)  # some 180 blocks, more than are read in one turn
    time.sleep(0.3)
    count, reached_ns, late = 0, live.NO_TIME, 0
    decoder = Decoder()
    for frames in source:
        rows = decoder.decode(frames).to_list()
        late += sum(row["t_ns"] < reached_ns for row in rows)
        count += len(rows)
        reached_ns = max(reached_ns, source.now_ns)
        if count == 8000:
            break
    source.close()
    assert late == 0


def test_it_says_until_when_packets_were_missed(pair: tuple[str, str]) -> None:
    near, far = pair
    begun_ns = time.time_ns()
    source = Live(["lo", far], lambda _: None, Watch(RingSize(1 << 16, 2, 20), whole=1500))
    try:
        open_ns = source.missed_ns(2)
        assert begun_ns < open_ns <= time.time_ns()
        send(near, 5)
        assert source.missed_ns(2) - open_ns < 1_000_000  # the same, but for how clocks drift
        send(near, 500, 1000)  # four times what the ring can hold
        assert sum(source.dropped_ring.values()) == 0, "nobody has asked the kernel yet"
        assert open_ns + 1_000_000 < source.missed_ns(2) <= time.time_ns()
        assert source.dropped_ring[far] > 100
        assert source.missed_ns(1) - open_ns < 1_000_000
    finally:
        source.close()


def test_while_an_interface_is_down_or_gone_packets_are_missed(pair: tuple[str, str]) -> None:
    near, far = pair
    source = Live(["lo", far], lambda _: None, Watch(RingSize(1 << 16, 2, 20)))

    def lag_ms() -> float:
        return (time.time_ns() - source.missed_ns(2)) / 1e6

    def comes(there: Callable[[], bool]) -> None:
        # The kernel tells of carriers once a second at most.
        end = time.monotonic() + 3
        while not there():
            assert time.monotonic() < end, lag_ms()
            time.sleep(0.01)

    try:
        comes(lambda: lag_ms() > 40)
        for device in (near, far):  # no carrier; not even up
            run("ip", "link", "set", device, "down")
            comes(lambda: lag_ms() < 5)
            run("ip", "link", "set", device, "up")
            comes(lambda: lag_ms() > 40)
        assert source.missed_ns(1) < source.missed_ns(2)
        run("ip", "link", "del", far)
        comes(lambda: lag_ms() < 5)
    finally:
        source.close()


def test_what_an_interface_caught_last_is_not_lost(pair: tuple[str, str]) -> None:
    near, far = pair
    said: list[str] = []
    source = Live([far], said.append, Watch(RingSize(1 << 16, 16, 400)))
    decoder, count, end = Decoder(), 0, time.monotonic() + 8
    sent = False
    for frames in source:
        count += len(decoder.decode(frames).to_list())
        if not sent:
            send(near, 5)
            run("ip", "link", "del", near)
            source._check_at_ns = 0  # it looks before the kernel has handed the block over
            sent = True
        if time.monotonic() > end or (said and not source._open):
            break
    source.close()
    assert count == 5
    assert said[-1] == f"interface {far} has gone; waiting for it"
    assert source.packets == {far: 5}


def test_packets_are_counted_once_while_a_ring_is_closed(
    pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = pair
    source = Live([far], lambda _: None)
    send(near, 3)
    batches = (len(Decoder().decode(frames).to_list()) for frames in source)
    assert sum(itertools.islice(itertools.takewhile(lambda n: n < 3, batches), 50)) < 3
    told: list[dict[str, int]] = []
    whole = Interface.close

    def close(self: Interface) -> None:
        told.append(source.packets)
        whole(self)

    monkeypatch.setattr(Interface, "close", close)
    source.close()
    assert told == [{far: 3}]


def test_a_pause_between_two_looks_at_the_clock_is_no_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    true_ns, looks = time.time_ns, itertools.count()

    def slow() -> int:
        now_ns = true_ns()
        if next(looks) == 0:
            time.sleep(0.4)
        return now_ns

    monkeypatch.setattr(time, "time_ns", slow)
    assert abs(live.clock_ahead_ns() - (true_ns() - time.monotonic_ns())) < 50_000_000


def test_a_clock_that_is_set_back_does_not_put_a_worker_to_sleep() -> None:
    if os.geteuid() != 0:
        skip("AF_PACKET needs root")
    ring = Interface("lo", Watch(outgoing=False, fanout=Fanout(1)))
    frames, decoder = Frames(), Decoder()
    try:
        for _ in range(2):  # also for the second step nothing is passed over
            ring.read(frames)
            ring.step(-HOUR_NS, time.time_ns() - HOUR_NS)
            connect("127.0.0.77")
            time.sleep(0.1)
            found = []
            while ring.read(frames):
                found += [row["dport"] for row in decoder.decode(frames).to_list()]
            assert 9 in found
            ring.step(0, 0)
    finally:
        ring.close()


LISTEN = """
import sys
from darkflow.flow.batch import Frames
from darkflow.flow.decode import Decoder
from darkflow.sources.fanout import Fanout
from darkflow.sources.interface import Interface, Watch
ring = Interface("lo", Watch(outgoing=False, fanout=Fanout(1)))
print("ready", flush=True)
sys.stdin.readline()
frames, decoder, found = Frames(), Decoder(), set()
while ring.read(frames):
    found |= {row["dst"] for row in decoder.decode(frames).to_list() if row["dport"] == 9}
print(len(found))
"""


def test_programs_do_not_share_a_group() -> None:
    """Neither do two whose process number is the same: each in a container of its own."""
    if os.geteuid() != 0:
        skip("AF_PACKET needs root")
    argv = ["unshare", "--pid", "--fork", sys.executable, "-c", LISTEN]
    both = [
        subprocess.Popen(argv, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    try:
        for process in both:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for n in range(20):
            connect(f"127.0.2.{n}")
        time.sleep(0.1)
        assert [process.communicate("now\n", timeout=20)[0] for process in both] == ["20\n"] * 2
    finally:
        for process in both:
            process.kill()
            process.wait(10)
