"""A TCP connection that carries as much as it can, as two programs.

    python -m darkflow.lab.tcp sink PORT
    python -m darkflow.lab.tcp source ADDRESS PORT TARGET PORT SECONDS

The sink prints of each connection, at its end: Mbit/s, bytes, seconds of CPU time.
"""

from __future__ import annotations

import socket
import sys
import time

PIECE = bytes(1 << 18)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def sink(port: int) -> None:
    """Take one connection after the other."""
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    _say("ready")
    buffer = bytearray(1 << 18)
    while True:
        sock, _ = listener.accept()
        with sock:
            sock.recv_into(buffer, 1)
            began_s, busy_s, total = time.perf_counter(), time.process_time(), 1
            while count := sock.recv_into(buffer):
                total += count
            mbit_s = total * 8e-6 / (time.perf_counter() - began_s)
            _say(f"{mbit_s} {total} {time.process_time() - busy_s}")


def source(ends: list[str], seconds: float) -> None:
    """Send for so long."""
    family = socket.AF_INET6 if ":" in ends[2] else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((ends[0], int(ends[1])))
        sock.connect((ends[2], int(ends[3])))
        end_s, busy_s = time.perf_counter() + seconds, time.process_time()
        while time.perf_counter() < end_s:
            sock.sendall(PIECE)
        sock.shutdown(socket.SHUT_WR)
        # The other end closes when it has everything.
        sock.recv(1)
        _say(f"{time.process_time() - busy_s}")


if __name__ == "__main__":
    if sys.argv[1] == "sink":
        sink(int(sys.argv[2]))
    else:
        source(sys.argv[2:6], float(sys.argv[6]))
