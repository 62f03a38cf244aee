"""The real thing, as root: it works, it has no way out, and nothing of it stays."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from darkflow.lab.namespaces import (
    PREFIX,
    built,
    entered,
    existing,
    remove_leftovers,
    uninterrupted,
)
from darkflow.lab.run import terminated_like_interrupted
from darkflow.lab.topology import GATEWAY, INSIDE, OUTSIDE, PRINTER, internet

pytestmark = pytest.mark.usefixtures("real_lab")

KILLED_RUN = """
import sys, time
from pathlib import Path
from darkflow.lab.namespaces import built
from darkflow.lab.programs import Programs
from darkflow.lab.topology import internet
with built(internet()) as names, Programs(Path(sys.argv[1])) as programs:
    argv = ["sh", "-c", "echo up; exec sleep 600"]
    program = programs.start("sleeper", names["inside"], argv, 600.0)
    while not program.output():
        time.sleep(0.01)
    print(program.pid, flush=True)
    time.sleep(600)
"""


def mine() -> list[str]:
    return [name for name in existing() if name.startswith(f"{PREFIX}-{os.getpid()}.")]


def test_refused_by_a_live_host_in_both_families() -> None:
    with built(internet()) as names:
        for address in PRINTER.addresses:
            with entered(names[OUTSIDE]), pytest.raises(ConnectionRefusedError):
                socket.create_connection((address, 80), timeout=3.0)


def test_silence_from_behind_the_firewall() -> None:
    with built(internet()) as names:
        for address in ("203.0.113.200", "2001:db8:b:0:8000::200"):
            with entered(names[OUTSIDE]), pytest.raises(TimeoutError):
                socket.create_connection((address, 80), timeout=0.3)


def test_no_way_out() -> None:
    with built(internet()) as names:
        for role in (OUTSIDE, GATEWAY, INSIDE):
            with entered(names[role]):
                interfaces = {name for _, name in socket.if_nameindex()}
                with (
                    socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
                    pytest.raises(OSError, match="unreachable"),
                ):
                    sock.connect(("192.0.2.1", 53))
            described = {end.name for end in internet().interfaces() if end.namespace == role}
            # A kernel may put tunnel devices of its own into every namespace; they lead nowhere.
            assert described | {"lo"} <= interfaces


def test_entering_ends_with_the_block() -> None:
    home = Path("/proc/thread-self/ns/net").readlink()
    with built(internet()) as names:
        with entered(names[INSIDE]):
            assert Path("/proc/thread-self/ns/net").readlink() != home
        with pytest.raises(ZeroDivisionError), entered(names[INSIDE]):
            raise ZeroDivisionError
        assert Path("/proc/thread-self/ns/net").readlink() == home


def test_two_labs_side_by_side() -> None:
    with built(internet()) as one, built(internet()) as other:
        assert not set(one.values()) & set(other.values())
        assert set(one.values()) | set(other.values()) <= set(existing())
        assert remove_leftovers() == []
    assert mine() == []


def test_nothing_stays_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), built(internet()):
        raise ZeroDivisionError
    assert mine() == []


def test_leftovers_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED_RUN, str(tmp_path)], stdout=subprocess.PIPE
    ) as run:
        assert run.stdout is not None
        sleeper = Path("/proc", run.stdout.readline().decode().strip(), "stat")
        left = [name for name in existing() if name.startswith(f"{PREFIX}-{run.pid}.")]
        assert len(left) == 3
        assert set(left).isdisjoint(remove_leftovers()), "its owner still lives"
        run.send_signal(signal.SIGKILL)
    deadline_s = time.monotonic() + 5.0
    while _runs(sleeper) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert not _runs(sleeper), "the kernel ends the programs of a killed lab"
    remove_leftovers()
    assert set(left).isdisjoint(existing())


def test_inhabitants_of_a_dead_runs_namespace_are_ended() -> None:
    # No process has an id beyond 2^22.
    name = f"{PREFIX}-4194305.1-{os.getpid()}-inside"
    subprocess.run(["ip", "netns", "add", name], check=True)
    with subprocess.Popen(["ip", "netns", "exec", name, "sleep", "60"]) as inhabitant:
        while "sleep" not in Path(f"/proc/{inhabitant.pid}/comm").read_text():
            time.sleep(0.01)
        remove_leftovers()
        assert inhabitant.wait(5.0) == -signal.SIGKILL
    assert name not in existing()


def _runs(stat: Path) -> bool:
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_what_may_not_be_interrupted_ends_first(
    number: signal.Signals, raised: type[BaseException]
) -> None:
    done: list[str] = []

    def work() -> None:
        with uninterrupted(), uninterrupted():
            signal.raise_signal(number)
            done.append("all of it")

    with terminated_like_interrupted():
        with pytest.raises(raised):
            work()
        assert done == ["all of it"]
        with pytest.raises(raised):
            signal.raise_signal(number)


def test_no_fork_swallows_an_interrupt() -> None:
    """Python ignores what is raised in the callbacks of a fork, and so would the one that forks."""
    calls = 0

    def interrupt_once() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            signal.raise_signal(signal.SIGINT)

    os.register_at_fork(after_in_parent=interrupt_once)
    with pytest.raises(KeyboardInterrupt), built(internet()):
        pass
    assert calls >= 2
    assert not mine()
