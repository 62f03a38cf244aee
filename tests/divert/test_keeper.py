"""Services for real: started, restarted with patience, stopped for good, their words kept."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from darkflow.divert import program
from honeypots import CLIENT4, CONTAINED, PYTHON, World, honeypot, run

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""


def table(command: Any, **more: Any) -> dict[str, Any]:
    return {"name": "a", "ports": ["22"], "command": command, **more}


def test_one_that_ends_is_started_again_each_time_later(
    place: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "FIRST_WAIT_S", 0.05)
    with honeypot(place, [table("sh -c 'echo here; exit 3'")]) as pot:
        pot.wait_for(lambda: place.lines("a").count("here") == 4)
        times = []
        for level, message, _ in place.said:
            if level == "warning":
                times.append(message)
        assert times[:3] == ["service ended: status 3; it is started again"] * 3
        waits = [values["in_s"] for level, _, values in place.said if level == "warning"]
        assert waits[:3] == [0.05, 0.1, 0.2]
        state = pot.keeper.states()[0]
        assert (state.restarts, state.exit_status) in ((3, 3), (4, 3))


def test_one_that_was_steady_is_started_again_at_once(
    place: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(program, "STEADY_S", 0.0)
    with honeypot(place, [table("false")]) as pot:
        pot.wait_for(lambda: pot.keeper.states()[0].restarts >= 4)
        waits = {values["in_s"] for level, _, values in place.said if level == "warning"}
        assert waits == {0.01}


@pytest.mark.parametrize(
    ("restart", "command", "again"),
    [
        ("never", "false", False), ("on-failure", "true", False), ("on-failure", "false", True),
        ("always", "true", True),
    ],
)  # fmt: skip
def test_when_it_is_started_again(
    place: World, restart: str, command: str, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "FIRST_WAIT_S", 0.01)
    with honeypot(place, [table(command, restart=restart)]) as pot:
        if again:
            pot.wait_for(lambda: pot.keeper.states()[0].restarts > 0)
        else:
            pot.wait_for(lambda: pot.keeper.states()[0].state == "ended")
            assert pot.keeper.states()[0].restarts == 0


def test_the_end_of_one_that_is_killed_is_told(place: World) -> None:
    with honeypot(place, [table("sh -c 'kill -9 $$'", restart="never")]) as pot:
        pot.wait_for(lambda: pot.keeper.states()[0].state == "ended")
        assert pot.keeper.states()[0].exit_status == 128 + signal.SIGKILL
        assert ("warning", "service ended: status 137", {"service": "a"}) in place.said


def test_stop_is_polite_and_then_not(place: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "GRACE_S", 0.5)
    polite = "trap 'echo bye; exit 0' TERM; echo hello; while :; do sleep 0.1; done"
    services = [
        table(["sh", "-c", polite]),
        table([PYTHON, "-c", STUBBORN]) | {"name": "b", "ports": ["23"]},
    ]
    with honeypot(place, services) as pot:
        pot.wait_for(lambda: "hello" in place.lines("a") and "deaf" in place.lines("b"))
        pids = [state.pid for state in pot.keeper.states()]
        began = time.monotonic()
    assert 0.5 <= time.monotonic() - began < 3
    assert "bye" in place.lines("a")
    assert "service stopped" in place.lines("b")
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_the_end_of_its_thread_is_seen(place: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with honeypot(place, [table("sleep 600")]) as pot:
        pot.wait_for(lambda: pot.keeper.states()[0].pid > 0)
        assert pot.keeper.failed is None
        broken = MemoryError("none left")
        monkeypatch.setattr(pot.keeper._programs[0], "turn", broken_turn(broken))
        pot.keeper._wake()
        pot.wait_for(lambda: pot.keeper.failed is broken)


def broken_turn(error: BaseException) -> Any:
    """A turn that fails in a way nobody has thought of."""

    def turn(*_: object) -> None:
        raise error

    return turn


def test_stop_does_not_wait_for_a_restart(place: World) -> None:
    with honeypot(place, [table("false")]) as pot:
        pot.wait_for(lambda: pot.keeper.states()[0].state == "waiting")
        began = time.monotonic()
    assert time.monotonic() - began < 1


def test_its_words_are_in_a_file_of_bounded_size(place: World, tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    command = "sh -c 'i=0; while [ $i -lt 30000 ]; do echo line $i; i=$((i+1)); done; echo err >&2'"
    service = table(command, restart="never", log=str(log), log_bytes="64KiB")
    with honeypot(place, [service]) as pot:
        pot.wait_for(lambda: pot.keeper.states()[0].state == "ended")
    assert log.stat().st_size <= 65536
    assert Path(f"{log}.1").stat().st_size <= 65536
    assert log.read_text().endswith("line 29999\nerr\n")
    assert pot.keeper.states()[0].lost == 0


def test_a_log_that_cannot_be_written_is_said_at_once(place: World) -> None:
    with (
        pytest.raises(OSError, match='service "a": log /no/such/log: No such file'),
        honeypot(place, [table("true", log="/no/such/log")]),
    ):
        pass


def test_a_limit_that_cannot_be_kept_is_said(place: World) -> None:
    with honeypot(place, [table("sleep 600", cpu=0.5)]) as pot:
        pot.wait_for(lambda: pot.keeper.states()[0].pid > 0)
    held = pot.keeper._programs[0]._held
    said = any("cpu is not limited" in line for line in place.lines("a"))
    assert said == ("cpu" not in held)


def test_one_that_listens_elsewhere_is_told_of(
    place: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "LISTEN_WITHIN_S", 1.0)
    web = [PYTHON, "-m", "http.server", "8000"]
    services = [
        table("sleep 600", ports=["80"], port=8080),
        table(web, ports=["8000-8005"]) | {"name": "b"},
        {"name": "c", "ports": ["22"], "to": "127.0.0.1:9"},
    ]
    with honeypot(place, services) as pot:
        assert not pot.keeper.wait(0.2)
        pot.wait_for(lambda: any("nothing listens" in line for line in place.lines("a")))
        said = next(line for line in place.lines("a") if "nothing listens" in line)
        assert said.startswith("nothing listens inside on 8080: is that where")
        assert not [line for line in place.lines("b") if "nothing listens" in line]


def test_waiting_until_all_listen(place: World) -> None:
    web = [PYTHON, "-m", "http.server", "8000"]
    services = [
        table(web, ports=["80"], port=8000),
        table("true", restart="never", ports=["81"]) | {"name": "b"},
        {"name": "c", "ports": ["22"], "to": "127.0.0.1:9"},
    ]
    with honeypot(place, services) as pot:
        assert pot.keeper.wait(20)
        states = {one.name: one for one in pot.keeper.states()}
        assert (states["a"].listens, states["c"].listens) == (True, True)
        assert states["b"].state == "ended"
        with place.connect("203.0.113.7", 80):
            pass


def test_ports_come_to_their_programs(place: World) -> None:
    """On the port it listens on, on another one, over both families; other ports: the responder."""
    web = [PYTHON, "-m", "http.server", "--bind", "::", "8000"]
    with honeypot(
        place, [{"name": "web", "ports": ["80", "8000-8005"], "port": 8000, "command": web}]
    ) as pot:
        pot.wait_for_port(8000)
        for address in ("203.0.113.7", "2001:db8:b::7"):
            for port in (80, 8000, 8003):
                with place.away():
                    asked = http.client.HTTPConnection(address, port, timeout=5)
                    asked.request("GET", "/")
                    assert asked.getresponse().read().startswith(b"<!DOCTYPE")
                    asked.close()
        with place.connect("203.0.113.7", 8006) as sock:
            listener = pot.listeners[0]
            listener.settimeout(5)
            connection, peer = listener.accept()
            with connection:
                assert connection.getsockname() == ("203.0.113.7", 8006)
                assert peer == sock.getsockname()
        # The program sees the true address of its own side too, beside the port.
        assert any(CLIENT4 in line for line in place.lines("web"))


def test_an_outer_host_gets_connections_and_nothing_else(place: World) -> None:
    """The relay's way is outside the namespace, and nothing inside can use it."""
    with socket.create_server(("127.0.0.1", 0)) as far:
        port = far.getsockname()[1]
        service = {"name": "far", "ports": ["22"], "to": f"127.0.0.1:{port}", "idle": 600,
                   "proxy-protocol": True}  # fmt: skip
        far.settimeout(5)
        with honeypot(place, [service]) as pot:
            pot.wait_for(lambda: pot.keeper.states()[0].pid > 0)
            for address in ("203.0.113.9", "2001:db8:b::9"):
                with place.connect(address, 22) as client:
                    connection, via = far.accept()
                    with connection:
                        client.sendall(b"hello")
                        kind = "TCP6" if ":" in address else "TCP4"
                        mine = client.getsockname()
                        first = f"PROXY {kind} {mine[0]} {address} {mine[1]} 22\r\n"
                        heard = b""
                        while len(heard) < len(first) + 5:
                            heard += connection.recv(1000)
                        assert heard == first.encode() + b"hello"
                        connection.sendall(b"world")
                        assert client.recv(100) == b"world"
                        connection.shutdown(socket.SHUT_WR)
                        assert client.recv(100) == b""
                        client.shutdown(socket.SHUT_WR)
                pot.wait_for(lambda address=address: any(address in x for x in place.lines("far")))  # type: ignore[misc]
                line = next(x for x in place.lines("far") if address in x)
                told = json.loads(line)["relayed"]
                assert told["orig"] == list(mine[:2])
                assert told["resp"] == [address, 22]
                assert told["via"] == list(via)
                assert (told["to_target_bytes"], told["to_client_bytes"]) == (5, 5)
                assert told["end"] == "closed"
            run("nft", CONTAINED)
            inside_cannot(pot, far)


def inside_cannot(pot: Any, far: socket.socket) -> None:
    """A program inside finds no way to the host elsewhere, by whatever address and port."""
    from darkflow.divert.namespace import entered

    far.settimeout(0.3)
    places = [("127.0.0.1", 2), ("::1", 2), ("203.0.113.9", 22), ("203.0.113.9", 2)]
    threads = []

    def attempt(address: str, port: int) -> None:
        with entered(pot.namespace.fd), suppress(OSError):
            socket.create_connection((address, port), timeout=0.3).close()

    for address, port in places:
        threads.append(threading.Thread(target=attempt, args=(address, port)))
        threads[-1].start()
    with pytest.raises(TimeoutError):
        far.accept()
    for thread in threads:
        thread.join()
