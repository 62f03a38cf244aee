"""An interface's ring on loopback: what the kernel lets up, and what it counts as lost."""

from __future__ import annotations

import os
import socket
import time

import pytest

from conftest import skip
from darkflow.flow.batch import Frames
from darkflow.flow.decode import Decoder
from darkflow.sources.interface import Interface, RingSize, Watch

PORT = 9  # nobody listens there


@pytest.fixture(autouse=True)
def _root() -> None:
    if os.geteuid() != 0:
        skip("AF_PACKET needs root")


def connect(times: int) -> None:
    """Connections to a closed port of this machine: a SYN and an RST each."""
    for _ in range(times):
        with socket.socket() as client:
            client.connect_ex(("127.0.0.1", PORT))


def drain(interface: Interface) -> list[str]:
    """What came of packets from and to that port."""
    frames, decoder = Frames(), Decoder()
    found: list[str] = []
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        if interface.read(frames):
            rows = decoder.decode(frames).to_list()
            found += [row["kind"] for row in rows if PORT in (row["sport"], row["dport"])]
        else:
            time.sleep(0.01)
    return found


def test_syns_and_resets_come_up_once() -> None:
    interface = Interface("lo", Watch(outgoing=False))
    connect(20)
    found = drain(interface)
    assert (found.count("syn"), found.count("rst")) == (20, 20)
    assert interface.take_drops() == 0
    assert interface.other_name == "lo"
    interface.close()


def test_other_packets_stay_in_the_kernel() -> None:
    interface = Interface("lo", Watch(outgoing=False))
    server = socket.create_server(("127.0.0.1", 0))
    with server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        for _ in range(500):
            client.sendall(b"x" * 1000)
            accepted.recv(1000)
        accepted.close()
    drain(interface)
    assert interface.walker.packets < 100
    interface.close()


def test_what_finds_no_room_is_counted() -> None:
    interface = Interface("lo", Watch(RingSize(4096, 2, 1000), outgoing=False))
    connect(500)
    found = len(drain(interface))
    dropped = interface.take_drops()
    assert found < 200
    assert dropped > 500
    assert interface.take_drops() == 0
    interface.close()


def test_an_interface_that_is_not_there() -> None:
    with pytest.raises(OSError):
        Interface("nosuch0", Watch())
