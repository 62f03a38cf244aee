"""Which ports are listened on, by the kernel's own list."""

from __future__ import annotations

import os
import socket
import threading

from darkflow.divert.open_ports import listening_ports
from honeypots import World


def test_both_families_and_only_those_that_listen(place: World) -> None:
    with (
        place.away(),
        socket.create_server(("127.0.0.1", 8001)) as first,
        socket.create_server(("::1", 8002), family=socket.AF_INET6),
        socket.socket() as bound,
        socket.create_connection(first.getsockname()) as client,
    ):
        bound.bind(("127.0.0.1", 8003))
        # (The namespace of this thread.)
        assert listening_ports(threading.get_native_id()) == {8001, 8002}
        assert client.getpeername()[1] == 8001
    assert not listening_ports(os.getpid()) & {8001, 8002, 8003}


def test_a_process_that_is_gone() -> None:
    assert listening_ports(1 << 22) == frozenset()
