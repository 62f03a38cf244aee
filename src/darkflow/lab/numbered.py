"""Sends one TCP packet again and again, each time with the next sequence number.

    python -m darkflow.lab.numbered DEVICE     then for each line on stdin: OFFSET SECONDS HEX

OFFSET is where in the frame (HEX) the sequence number stands; its checksum is left as it is, as
nobody who forwards the packet reads it. Prints how many were sent.
"""

from __future__ import annotations

import socket
import sys
import time
from typing import IO


def send(sock: socket.socket, frame: bytes, offset: int, seconds: float) -> int:
    """Send for so long; how many."""
    before, after = frame[:offset], frame[offset + 4 :]
    number, end_s = 0, time.perf_counter() + seconds
    while True:
        sock.send(before + number.to_bytes(4, "big") + after)
        number += 1
        if not number % 8 and time.perf_counter() >= end_s:
            return number


def main(device: str, lines: IO[str], out: IO[str]) -> None:
    """Do what each line says."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((device, 0))
        out.write("ready\n")
        out.flush()
        for line in lines:
            offset, seconds, frame = line.split()
            out.write(f"{send(sock, bytes.fromhex(frame), int(offset), float(seconds))}\n")
            out.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.stdin, sys.stdout)
